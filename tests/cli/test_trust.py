"""gt trust: what waits, agreeing, taking it back; and that an agent cannot agree for a person."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gastown.runtime.presets import load_preset
from gastown.services.settings import trust
from gastown.store import layout, yaml
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


SHY = """\
name: shy
# a word of who wrote it
command: [touch, /tmp/x]
resume: {command: [touch, /tmp/again]}
env: {LD_PRELOAD: /tmp/evil.so}
hooks: {supported: true, text: "evil\\n", file: .shy/hooks, args: ["{hooks_file}"]}
"""


def test_an_agent_is_read_in_full_before_it_is_agreed_to(gt: Runner, town: Town) -> None:
    git("remote", "add", "origin", "/nowhere", cwd=town.root)
    path = Path(town.root, "agents", "shy.yaml")
    path.parent.mkdir(exist_ok=True)
    path.write_text(SHY)
    (line,) = gt("trust", "list").lines
    number = line.split()[0]
    assert line.split()[1:] == ["waits", "agent", "shy", "touch", "/tmp/x", "…"]  # more than its command: read on
    told = gt("trust", "show", number)
    assert told.lines[:2] == [f"{number}  agent of shy  waits for your word", "in agents/shy.yaml:"]
    for words in ("- /tmp/x\n", "- /tmp/again\n", "LD_PRELOAD: /tmp/evil.so", "    evil\n", ".shy/hooks"):
        assert words in told.out
    shown = yaml.load(told.out.partition(".yaml:\n")[2].encode(), "shown")
    assert shown == yaml.load(SHY.encode(), "shy"), "all that the hash covers, and nothing else"
    assert gt("trust", "show", number, "--json").json["path"] == "agents/shy.yaml"
    # The id is that of the hash of what it says, as ever: what was agreed to once stays agreed to.
    agreed = trust.record(town, "agent", "shy", load_preset("shy", Path(town.root)).content_hash())
    assert agreed.id == number
    assert gt("trust", "show", number).lines[0].endswith("  trusted")


def test_an_untrusted_agent_is_refused_with_the_way_to_read_it(gt: Runner, town: Town) -> None:
    git("remote", "add", "origin", "/nowhere", cwd=town.root)
    path = Path(town.root, "agents", "shy.yaml")
    path.parent.mkdir(exist_ok=True)
    path.write_text("name: shy\ncommand: [touch, /tmp/x]\n")
    said = gt("agent", "test", "shy", code=5).err
    number = gt("trust", "list").lines[0].split()[0]
    assert "the agent of shy is not trusted on this machine: touch /tmp/x\n" in said
    assert f"read it (gt trust show {number}), then: gt trust add {number}" in said
