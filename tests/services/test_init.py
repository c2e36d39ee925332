"""Making a town: names, places, and nothing left after a failure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gastown.model.errors import GtError, Refused, UsageError
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


def state(repo: Path) -> tuple[object, ...]:
    """All that a person sees of a repository, and what git was told of it."""
    found = {str(path.relative_to(repo)): path.read_bytes() for path in repo.rglob("*")
             if path.is_file() and path.relative_to(repo).parts[0] != ".git"}  # fmt: skip
    hooks = sorted(os.listdir(repo / ".git/hooks"))
    asks = (("log", "--all", "--format=%H"), ("status", "--short"), ("ls-files", "-s"))
    attributes = repo / ".git/info/attributes"
    told = (repo / ".git/config").read_bytes(), attributes.exists() and attributes.read_bytes()
    return found, hooks, told, [git(*args, cwd=repo) for args in asks]


def _refusing(tmp_path: Path) -> str:
    """A remote that answers and takes nothing."""
    remote = tmp_path / "refuses.git"
    git("init", "--quiet", "--bare", str(remote), cwd=tmp_path)
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    return str(remote)


@pytest.mark.parametrize("answers", [False, True])
@pytest.mark.parametrize("born", [False, True])
def test_a_failure_leaves_a_repository_as_it_was(tmp_path: Path, answers: bool, born: bool) -> None:
    repo = tmp_path / "repo"
    git("init", "--quiet", "-b", "main", str(repo), cwd=tmp_path)
    (repo / ".vscode").mkdir()
    (repo / ".vscode" / "mine.json").write_text("{}\n")
    (repo / "mine.txt").write_text("mine\n")
    hook = repo / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 0\n")
    hook.chmod(0o755)
    git("add", "mine.txt", cwd=repo)
    if born:
        git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "mine", cwd=repo)
        (repo / "mine.txt").write_text("more\n")
        git("add", "mine.txt", cwd=repo)
    before = state(repo)
    url = _refusing(tmp_path) if answers else str(tmp_path / "nowhere.git")
    with pytest.raises(GtError):
        init.make_town(str(repo), remote=url)
    assert state(repo) == before
    assert os.access(hook, os.X_OK)
    made = init.make_town(str(repo))
    assert made.kept == ()
    assert git("rev-list", "--count", "HEAD", cwd=repo) == str(1 + born)


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
