"""gt trust: what waits, agreeing, taking it back; and that an agent cannot agree for a person."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gastown.store import layout
from gastown.store.town import Town
from tests.conftest import Runner, git


def test_a_command_that_came_over_the_wire_waits(gt: Runner, town: Town, git_repo: Callable[..., Path]) -> None:
    gt("rig", "add", "green", str(git_repo()), "--gate", "test=make test")
    git("remote", "add", "origin", "/nowhere", cwd=town.root)
    path = Path(layout.absolute(town.root, layout.rig_file("green")))
    path.write_text(path.read_text().replace("make test", "make evil"))
    assert [(w["command"], w["trusted"]) for w in gt("trust", "list", "--json").json] == [("make evil", False)]
    number = gt("trust", "list").lines[0].split()[0]
    assert gt("trust", "list").lines[0].split()[1:4] == ["waits", "gate", "green/test"]
    assert "no terminal" in gt("trust", "add", "--all", code=5).err
    assert "may not agree" in gt("trust", "add", number, env={"GT_ACTOR": "mayor"}, code=5).err
    assert gt("trust", "add", number).out == f"{number}  trusted: gate of green/test\n"
    assert gt("trust", "list").lines[0].split()[1] == "trusted"
    assert gt("trust", "revoke", number).out == f"{number}  revoked\n"
    assert gt("trust", "add", "--all", "--yes", "--json").json[0]["id"] == number
    assert "no command" in gt("trust", "show", "abc", code=6).err
    path.write_text("torn: [\n")
    assert "rigs/green/rig.yaml" in gt("trust", "list", code=1).err


def test_what_is_typed_here_is_trusted(gt: Runner, town: Town, git_repo: Callable[..., Path]) -> None:
    gt("rig", "add", "green", str(git_repo()), "--gate", "test=make test")
    git("remote", "add", "origin", "/nowhere", cwd=town.root)
    assert [w["trusted"] for w in gt("trust", "list", "--json").json] == [True]
    gt("rig", "config", "green", "setup", "[npm ci]")
    assert {w["kind"]: w["trusted"] for w in gt("trust", "list", "--json").json} == {"gate": True, "setup": True}
