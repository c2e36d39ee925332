"""What `gt status` shows as problems: each with the command that deals with it, and none that is dealt with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gastown.services.agents import given as given_
from gastown.services.agents import polecats
from gastown.services.health import doctor, status
from gastown.services.mail import escalate
from gastown.services.settings import commands, config, trust
from gastown.store import layout
from gastown.store.town import Town
from tests.conftest import PROJECT, git
from tests.services.test_status import with_worker


def problems(town: Town) -> list[tuple[str, str, str]]:
    return [(one.kind, one.subject, one.command) for one in status.status(town, town).problems if one.kind != "stalled"]


@pytest.fixture
def rig(town: Town) -> Town:
    """A town with the rig `green` and its worker amber."""
    with_worker(town)
    return town


def given(town: Town, to: str, **fields: object) -> str:
    """An open bead with an assignee, as an editor leaves it."""

    def body(change):
        bead = change.create("green", title="Given", assignee=to, **fields)
        change.emit("hand_edit", "given", bead=bead.id)
        return bead.id

    return town.transact("hand_edit", body)


@pytest.mark.parametrize(
    ("to", "fields", "why"),
    [
        ("green/nobody", {}, "nobody known is called green/nobody"),
        ("red/amber", {}, "no rig 'red'"),
        ("green/refinery", {}, "green/refinery is a service of its rig and takes no work"),
        ("green/amber", {"machine": "nowhere"}, "there is no machine nowhere"),
    ],
)
def test_work_given_to_whom_it_cannot_start_for(rig: Town, to: str, fields: dict[str, object], why: str) -> None:
    bead = given(rig, to, **fields)
    assert problems(rig) == [("given", bead, f"gt sling {bead}")]
    assert any(f"does not start for {to}: {why}" in one.text for one in status.status(rig, rig).problems)


def test_work_of_a_person_or_of_another_machine_is_no_problem(rig: Town) -> None:
    given(rig, "overseer")
    given(rig, "mayor")
    rig.transact("machine", lambda change: change.put(layout.machine_file("brick"), {"name": "brick", "id": "b" * 16}))
    bead = given(rig, "green/amber", machine="brick")
    assert problems(rig) == []

    def retire(change):
        doc = {"name": "brick", "id": "b" * 16, "retired": {"at": change.at, "by": "anvil"}}
        change.put(layout.machine_file("brick"), doc)

    rig.transact("machine", retire)
    assert problems(rig) == [("given", bead, f"gt sling {bead}")]


def agent(town: Town, name: str, command: str = "sleep") -> None:
    with town.change("agent") as change:
        change.put(f"agents/{name}.yaml", {"name": name, "command": [command, "1000"]})
        change.emit("edit", "an agent")


def test_work_given_where_its_agent_cannot_run_says_why_and_what_to_do(rig: Town) -> None:
    bead = given(rig, "green/amber")
    assert problems(rig) == [("given", bead, "gt config set agent NAME")]
    agent(rig, "shy", "no-such-program")
    config.set_value(rig, "agent", "shy")
    assert problems(rig) == [("given", bead, f"gt sling {bead}")]
    (problem,) = [one for one in status.status(rig, rig).problems if one.kind == "given"]
    assert "there is no command no-such-program" in problem.text
    agent(rig, "shy")
    assert problems(rig) == []


def test_a_try_that_failed_is_named_until_anything_it_hangs_on_has_changed(rig: Town) -> None:
    agent(rig, "shy")
    config.set_value(rig, "agent", "shy")
    bead = given(rig, "green/amber")
    assert problems(rig) == []

    def refuse() -> None:
        key = given_.tried_key(rig, rig.index().by_id[bead], "green/amber")
        rig.transact("note", lambda change: change.emit("note", "cannot", bead=bead, key=key, why="no room"))

    for mend in (
        lambda: config.set_value(rig, "deacon.quiet", "20m"),
        lambda: agent(rig, "other"),
        lambda: trust.record(rig, "gate", "green/test", "true"),
        lambda: config.set_value(rig, "rig.green.capacity", "3"),
    ):
        refuse()
        assert problems(rig) == [("given", bead, f"gt sling {bead}")]
        assert "it does not start for green/amber: no room" in [one.text for one in status.status(rig, rig).problems]
        mend()
        assert problems(rig) == []


def test_an_agent_of_the_town_or_a_rig_that_nobody_agreed_to_is_named(rig: Town) -> None:
    agent(rig, "shy")
    agent(rig, "coy")
    agent(rig, "unused")
    config.set_value(rig, "agent", "shy")
    config.set_value(rig, "rig.green.agent", "coy")
    git("remote", "add", "origin", "/nowhere", cwd=rig.root)
    (problem,) = [one for one in status.status(rig, rig).problems if one.kind == "untrusted"]
    assert problem.text == "nobody on this machine has agreed to: agent of coy, agent of shy"
    commands.agree(rig, [], everything=True)
    assert problems(rig) == []


def test_commands_from_elsewhere_wait_for_a_person(rig: Town) -> None:
    def body(change):
        doc = change.load(layout.rig_file("green"))
        change.put(layout.rig_file("green"), {**doc, "gates": [{"name": "test", "run": "make test"}]})
        bead = change.create("green", title="Queued", labels=["queued"], agent="exec", command=["make", "all"])
        change.put(layout.machine_file("far"), {"name": "far", "id": "1" * 16})
        other = change.create("green", title="Elsewhere", labels=["queued"], agent="exec", command=["x"], machine="far")
        change.emit("queue", "queued", bead=other.id)
        return bead.id

    bead = rig.transact("queue", body)
    assert problems(rig) == []  # without a remote all of it was written here
    git("remote", "add", "origin", "/nowhere", cwd=rig.root)
    assert problems(rig) == [("untrusted", "2 commands", "gt trust list")]
    said = [one.text for one in status.status(rig, rig).problems if one.kind == "untrusted"]
    assert said == [f"nobody on this machine has agreed to: gate of green/test, command of {bead}"]
    trust.record(rig, "gate", "green/test", "make test")
    assert problems(rig) == [("untrusted", "1 command", "gt trust list")]
    trust.record(rig, "command", bead, ["make", "all"])
    assert problems(rig) == []


def test_an_escalation_is_a_problem_until_somebody_took_note(town: Town) -> None:
    made = escalate.escalate(town, "which database?", severity="high")
    number = made.bead.id
    assert problems(town) == [("escalation", number, f"gt escalate ack {number}")]
    escalate.ack(town, number)
    assert problems(town) == []


def test_work_handed_in_while_status_looks_is_not_stalled(town: Town) -> None:
    bead = with_worker(town)
    seen = town.index()  # what was read before it was handed in
    with town.change("done") as change:
        now = change.bead(bead)
        now.move("in_progress")
        now.move("merging")
        change.save(now)
    assert [one.state for one in polecats.polecats(town, "green", index=seen)] == ["working"]


def break_agent(town: Town) -> str:
    return write(town, "agents/shy.yaml", "name: shy\ncommand: touch\n")


def break_placeholder(town: Town) -> str:
    return write(town, "agents/coy.yaml", "name: coy\ncommand: [touch, '{nonsense}']\n")


def break_machine(town: Town) -> str:
    return write(town, "machines/brick.yaml", "name: brick\nid: [\n")


def break_formula(town: Town) -> str:
    return write(town, "formulas/ship.toml", "steps = [\n")


def break_formula_bytes(town: Town) -> str:
    return write(town, "formulas/ship.toml", b"\xff\xfe")


def break_feed(town: Town) -> str:
    Path(town.root, "feed/2026-11-22/far-0001.jsonl").mkdir(parents=True)
    return "feed/2026-11-22/far-0001.jsonl"


def break_feed_link(town: Town) -> str:
    Path(town.root, "feed/2026-11-22").mkdir(parents=True)
    os.mkfifo(Path(town.root, "feed/2026-11-22/far-0001.jsonl"))
    return "feed/2026-11-22/far-0001.jsonl"


def write(town: Town, path: str, text: str | bytes) -> str:
    place = Path(town.root, path)
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "spoil",
    [
        break_agent, break_placeholder, break_machine, break_formula, break_formula_bytes, break_feed, break_feed_link,
    ],
)  # fmt: skip
def test_the_status_names_every_broken_file_that_the_doctor_names(town: Town, spoil: Callable[[Town], str]) -> None:
    assert problems(town) == []
    path = spoil(town)
    for _ in range(2):  # what was found good is remembered, what is broken is not
        assert problems(town) == [("invalid_file", path, f"$EDITOR {path}")]
    (found,) = [one for one in doctor.examine(town) if one.check == "files"]
    assert found.state == "error"
    assert path in found.text


def test_a_healthy_status_does_not_load_what_judges_files(town: Town) -> None:
    write(town, "agents/shy.yaml", "name: shy\ncommand: [sleep, '1']\n")
    write(town, "formulas/ship.toml", "name = 'ship'\n")
    status.status(town, town)
    script = (
        "import sys\nfrom gastown.cli.main import main\nassert main(['status']) == 0\n"
        "assert not {'jsonschema', 'tomllib'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=town.root, env={**os.environ, "PYTHONPATH": str(PROJECT)},
                   check=True)  # fmt: skip


@pytest.mark.parametrize(
    ("file", "pattern", "hidden"),
    [
        (".gitignore", "*", "town.yaml"), (".gitignore", "*.yaml", "town.yaml"),
        (".gitignore", "/mail/*/new/", "mail/overseer/new/"), (".gitignore", "rigs/*/beads", "rigs/green/beads/"),
    ],
)  # fmt: skip
def test_a_pattern_that_hides_the_towns_files_is_named(rig: Town, file: str, pattern: str, hidden: str) -> None:
    assert problems(rig) == []
    with open(Path(rig.root, file), "a") as out:
        out.write(f"{pattern}\n")
    line = len(Path(rig.root, file).read_text().splitlines())
    assert ("ignored", file, f"$EDITOR {file}") in problems(rig)
    (found,) = [one for one in doctor.examine(rig) if one.check == "ignored"]
    assert found.state == "warning"
    assert f"{file}:{line} has `{pattern}`, which hides the town's own files from git" in found.text
    assert hidden in found.text


def test_a_file_that_is_hidden_now_is_named_and_counted(town: Town) -> None:
    assert problems(town) == []
    Path(town.root, ".git/info").mkdir(exist_ok=True)
    Path(town.root, ".git/info/exclude").write_text("*shy*\n")
    write(town, "agents/shy.yaml", "name: shy\ncommand: [sleep, '1']\n")
    (found,) = [one for one in doctor.examine(town) if one.check == "ignored"]
    assert ".git/info/exclude:1 has `*shy*`" in found.text
    assert "1 hidden now, as agents/shy.yaml" in found.text
    Path(town.root, ".git/info/exclude").write_text("")
    assert [one.state for one in doctor.examine(town) if one.check == "ignored"] == ["ok"]
