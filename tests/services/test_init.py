"""Making a town: names, places, and nothing left after a failure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gastown.model.errors import Refused, UsageError
from gastown.model.ids import is_name
from gastown.services.machines import init, machine
from gastown.store import schema
from gastown.store.town import open_town
from tests.conftest import Clock, git


@given(st.text(max_size=60))
def test_every_folder_and_host_gives_a_name(text: str) -> None:
    assert is_name(init.name_from(text))
    assert is_name(machine.name_for(text))
    assert is_name(machine.name_for(text, {machine.name_for(text)}))
    assert machine.name_for(text, {machine.name_for(text)}) != machine.name_for(text)


def test_a_new_town_is_valid_and_clean(tmp_path: Path) -> None:
    made = init.make_town(str(tmp_path / "place"), clock=Clock())
    town = open_town(made.root)
    assert (town.name, town.prefix, town.machine) == ("place", "hq", made.machine)
    for path in made.committed:
        kind = schema.kind_of(path)
        if kind and kind != "event":
            assert schema.validate(kind, town.load(path), path) == []
    assert git("status", "--porcelain", cwd=made.root) == ""
    assert [event["type"] for event in town.events()] == ["town_init"]


def test_a_template_of_ones_own(tmp_path: Path) -> None:
    template = tmp_path / "template"
    (template / "roles").mkdir(parents=True)
    (template / "roles" / "mayor.md").write_text("be kind\n")
    (template / "town.yaml").write_text("name: other\nmax_polecats: 3\n")
    (template / "link").symlink_to("/etc/passwd")
    (template / ".gt").mkdir()
    (template / ".gt" / "x").write_text("local")
    made = init.make_town(str(tmp_path / "mine"), template=str(template))
    town = open_town(made.root)
    assert (town.name, town.setting("max_polecats")) == ("mine", 3)
    assert (Path(made.root) / "roles" / "mayor.md").read_text() == "be kind\n"
    assert not {"link", ".gt/x"} & set(made.committed)


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.mkdir()
    (template / "town.yaml").write_text("max_polecats: [torn\n")
    with pytest.raises(Exception, match=r"town\.yaml of the template"):
        init.make_town(str(tmp_path / "a" / "b"), template=str(template))
    assert not (tmp_path / "a").exists()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").write_text("x")
    with pytest.raises(Exception, match=r"town\.yaml of the template"):
        init.make_town(str(tmp_path / "there"), template=str(template))
    assert os.listdir(tmp_path / "there") == ["mine.txt"]


def test_places_that_cannot_be(tmp_path: Path) -> None:
    git("init", "--quiet", "--bare", str(tmp_path / "bare"), cwd=tmp_path)
    with pytest.raises(Refused, match="bare"):
        init.make_town(str(tmp_path / "bare"))
    with pytest.raises(UsageError):
        init.make_town(str(tmp_path / "x"), template=str(tmp_path / "none"))
    with pytest.raises(UsageError):
        init.make_town(str(tmp_path / "x"), prefix="Bad-")
    assert not (tmp_path / "x").exists()


def test_joining_twice_is_joining_once(tmp_path: Path) -> None:
    made = init.make_town(str(tmp_path / "place"))
    for kept in (".gt", ".git/gt"):
        os.unlink(Path(made.root, kept, "machine.yaml"))
    os.rename(Path(made.root), tmp_path / "moved")
    town = open_town(str(tmp_path / "moved"))
    name = machine.join(town)
    assert name == f"{made.machine}-2"
    assert machine.join(town) == name
    assert [one.name for one in machine.machines(town, name)[0]] == [made.machine, name]
