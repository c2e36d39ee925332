"""Settings: typed by the schema, checked before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastown.model.errors import NotFound, UsageError
from gastown.services.settings import config
from gastown.store import layout, schema
from gastown.store.town import Town
from tests.conftest import git


@pytest.fixture
def rig(town: Town) -> str:
    def body(change):
        doc = {"name": "green", "prefix": "gr", "git": "/x", "branch": "main"}
        change.put(layout.rig_file("green"), doc)
        change.emit("rig_add", "added", rig="green")

    town.transact("rig add", body)
    return "green"


@pytest.mark.parametrize(("key", "text", "value"), [
    ("max_polecats", "3", 3), ("runtime", "process", "process"), ("deacon.quiet", "1h", "1h"),
    ("budget.cost_per_day", "2.5", 2.5), ("escalation.commands.high", "page me", "page me"),
    ("rig.green.batch", "2", 2), ("rig.green.parked", "yes", True), ("my.own", "7", 7),
    ("my.own", "a: b: c", "a: b: c"),
    ("rig.green.polecats.names", "[ann, bob]", ["ann", "bob"]),
    ("rig.green.gates", "[{name: t, run: make}]", [{"name": "t", "run": "make"}]),
])  # fmt: skip
def test_values_have_the_type_of_their_key(town: Town, rig: str, key: str, text: str, value: object) -> None:
    assert config.set_value(town, key, text).value == value
    assert config.get(town, key).value == value
    for kind, path in (("town", "town.yaml"), ("rig", layout.rig_file(rig))):
        assert schema.validate(kind, town.load(path), path) == []
    config.set_value(town, key, None)
    assert config._lookup(town.load(config.place(town, key).path), config.place(town, key).keys) is None


@pytest.mark.parametrize(("key", "text"), [
    ("max_polecats", "-1"), ("deacon.raise_after", "soon"), ("deacon.recoveries", "0"), ("deacon.errands", "many"),
    ("escalation.commands.hihg", "page me"), ("escalation.commands.high", "{a: b}"),
    ("runtime", "docker"), ("deacon.quiet", "later"), ("deacon", "x"),
    ("rig.green.merge", "hope"),
    ("rig.green.gates", "[{name: t}]"), ("rig.green.gates", "[}"), ("rig.green.polecats.max", "x"), ("name", "other"),
    ("prefix", "zz"), ("rig.green.git", "/y"), ("a..b", "1"), ("rig.green", "1"), ("rig.green.parked", "perhaps"),
    ("max_polecats.inner", "1"),
])  # fmt: skip
def test_wrong_values_change_nothing(town: Town, rig: str, key: str, text: str) -> None:
    before = git("rev-parse", "HEAD", cwd=town.root)
    with pytest.raises((UsageError, NotFound)):
        config.set_value(town, key, text)
    assert git("rev-parse", "HEAD", cwd=town.root) == before
    assert git("status", "--porcelain", cwd=town.root) == ""


@pytest.mark.parametrize(("key", "known"), [
    ("deacon.raise_after", True), ("escalation.commands.high", True), ("escalation.commands", True), ("my.own", False),
])  # fmt: skip
def test_what_gt_reads_is_known_to_it_set_or_not(town: Town, key: str, known: bool) -> None:
    if known:
        assert config.get(town, key).description
    value = {"my.own": "1", "escalation.commands": "{high: page}"}.get(key, "5h")
    assert config.set_value(town, key, value).known == known
    with pytest.raises(NotFound):
        config.get(town, "escalation.commands.hihg")


def test_setting_again_makes_no_commit_and_comments_stay(town: Town) -> None:
    path = Path(town.root, "town.yaml")
    path.write_text("# ours\n" + path.read_text())
    config.set_value(town, "max_polecats", "4")
    before = git("rev-parse", "HEAD", cwd=town.root)
    config.set_value(town, "max_polecats", "4")
    assert git("rev-parse", "HEAD", cwd=town.root) == before
    assert path.read_text().startswith("# ours\n")


def test_commands_written_here_are_trusted_once_there_is_a_remote(town: Town, rig: str) -> None:
    from gastown.services.settings import trust

    config.set_value(town, "rig.green.gates", "[{name: test, run: make}]")
    git("remote", "add", "origin", "/nowhere", cwd=town.root)
    trust.require(town, "gate", "green/test", "make")
    assert not trust.is_trusted(town, "gate", "green/test", "make evil")


def test_the_list_holds_every_known_key_once(town: Town) -> None:
    config.set_value(town, "my.own", "1")
    keys = [one.key for one in config.settings(town)]
    assert len(keys) == len(set(keys))
    assert {"deacon.quiet", "max_polecats", "my.own", "escalation.commands"} <= set(keys)
    assert all(one.description for one in config.settings(town) if one.known)
