"""The town at a glance: counts, workers, and what needs a person."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gastown.deacon.sole import sole
from gastown.model import times
from gastown.services.beads import beads
from gastown.services.beads.beads import Draft
from gastown.services.health import status
from gastown.services.sessions import powers
from gastown.store import layout
from gastown.store.town import Town
from gastown.ui import status as render


def with_worker(town: Town) -> str:
    """A rig `green` with the polecat amber, who holds a bead on this machine without a session; its id."""

    def rig(change):
        mark = {"at": change.at, "by": "overseer"}
        doc = {"name": "green", "prefix": "gr", "created": mark, "git": "/x", "branch": "main"}
        change.put(layout.rig_file("green"), doc)
        worker = {"name": "amber", "kind": "polecat", "rig": "green", "created": mark}
        change.put(layout.worker_file("green", "polecats", "amber"), worker)
        change.emit("rig_add", "added", rig="green")

    def hook(change):
        bead = change.create("green", title="Mend", assignee="green/amber", machine="anvil")
        bead.set("branch", f"polecat/amber/{bead.id}.a2")
        bead.move("hooked")
        change.save(bead)
        change.emit("sling", "slung", bead=bead.id)
        return bead.id

    town.transact("rig add", rig)
    beads.create(town, Draft("waiting", rig="green"))
    return town.transact("sling", hook)


def test_counts_and_workers(town: Town) -> None:
    bead = with_worker(town)
    found = status.status(town, town)
    rig = found.rigs[0]
    # Its session is not alive, so that nobody works.
    assert (rig.name, rig.ready, rig.working, rig.stalled, rig.merging, rig.blocked) == ("green", 1, 0, 1, 0, 0)
    assert found.as_json()["rigs"][0]["workers"][0] | {"since": None, "agent": None} == {
        "address": "green/amber", "state": rig.workers[0].state, "bead": bead, "attempt": 2, "agent": None,
        "machine": "anvil", "since": None, "confirmed": None,
    }  # fmt: skip


def test_a_worker_without_a_session_is_a_problem_with_a_command(town: Town) -> None:
    bead = with_worker(town)
    found = status.status(town, town)
    assert [(one.kind, one.subject, one.command) for one in found.problems] == [
        ("stalled", "green/amber", f"gt resume {bead}")
    ]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("max_polecats: lots\n", "max_polecats"), ("max_polecats: -3\n", "max_polecats"),
        ("deacon:\n  quiet: soon\n", "deacon.quiet"), ("deacon: 3\n", "deacon"),
        ("escalation:\n  commands: page\n", "escalation.commands"), ("sync:\n  lease: []\n", "sync.lease"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_used_is_named_and_breaks_nothing(town: Town, text: str, key: str) -> None:
    with_worker(town)
    with open(Path(town.root, "town.yaml"), "a") as file:
        file.write("\n" + text)
    town.refresh()
    found = [one for one in status.status(town, town).problems if one.kind == "invalid_file"]
    assert [(one.subject, one.command) for one in found] == [("town.yaml", "$EDITOR town.yaml")]
    assert found[0].text.startswith(f"{key} is ")


@pytest.mark.parametrize(
    ("outcome", "said", "command"),
    [("deferred", "was put off by its worker", "gt resume"), ("escalated", "needs help", "gt show")],
)
def test_who_put_work_off_is_told_from_who_needs_help(town: Town, outcome: str, said: str, command: str) -> None:
    bead = with_worker(town)

    def end(change):
        found = change.bead(bead)
        found.set("sessions", [{"id": "s-20261123-0a1b", "agent": "exec", "by": "green/amber", "machine": "anvil",
                                "started": change.at, "ended": change.at, "outcome": outcome}])  # fmt: skip
        change.save(found)
        change.emit("edit", "ended", bead=bead)

    town.transact("edit", end)
    one = status.status(town, town).problems[0]
    assert (one.kind, one.command) == ("stuck", f"{command} {bead}")
    assert said in one.text


def test_that_recovery_waits_is_said(town: Town) -> None:
    with_worker(town)

    def say(change, until, machine):
        change.emit("mass_death", "3 sessions died", until=times.text(town.clock() + until), machine=machine)

    for until, machine in ((-1, "anvil"), (60, "brick")):
        town.transact("mass_death", lambda change, until=until, machine=machine: say(change, until, machine))
    assert [one.kind for one in status.status(town, town).problems] == ["stalled"]
    town.transact("mass_death", lambda change: say(change, 60, "anvil"))
    first = status.status(town, town).problems[0]
    assert (first.kind, first.subject) == ("mass_death", "anvil")
    assert first.text == f"3 sessions died, until {times.text(town.clock() + 60)}"


def test_unread_mail_is_counted(town: Town) -> None:
    assert status.status(town, town).unread == 0
    town.transact("mail", lambda change: [change.deliver("overseer", "s", "b"), change.emit("mail", "m")])
    found = status.status(town, town)
    assert (found.unread, found.as_json()["unread"], status.status(town, town.at("HEAD")).unread) == (1, 1, 0)
    assert "1 unread (gt mail inbox)" in render.lines(found, now=town.clock(), colour=False)[0]


def test_the_past_knows_no_sessions(town: Town) -> None:
    with_worker(town)
    found = status.status(town, town.at("HEAD"))
    assert found.rigs[0].workers[0].state == "working"
    assert (found.rigs[0].working, found.rigs[0].stalled) == (1, 0)
    assert found.problems == ()


def test_escalations_and_invalid_files_are_named(town: Town) -> None:
    def body(change):
        change.create(None, title="help me", type="escalation", severity="high")
        change.emit("escalation", "help me")

    town.transact("escalate", body)
    Path(town.root, "rigs", "bad").mkdir()
    Path(town.root, "rigs", "bad", "rig.yaml").write_text("name: other\n")
    found = status.status(town, town)
    assert [one.kind for one in found.problems] == ["escalation", "invalid_file"]
    assert found.invalid == 1


def test_the_remote_is_read_without_its_password(town: Town) -> None:
    assert status.remote_url(town.root) is None
    with open(Path(town.root, ".git", "config"), "a", encoding="utf-8") as file:
        file.write('[remote "origin"]\n\turl = https://me:secret@example.org/town.git\n')
    assert status.remote_url(town.root) == "https://***@example.org/town.git"


def test_a_killed_deacon_does_not_run_and_is_missed_until_it_is_told_to_end(town: Town) -> None:
    powers.say_running(town.root, "files")
    there = status.status(town, town)
    assert (there.deacon, there.problems) == ("running", ())
    path = powers.note_path(town.root)
    note = json.loads(Path(path).read_text())
    # The process that has this pid now began at another time.
    Path(path).write_text(json.dumps(note | {"start": "long ago"}))
    assert status.status(town, town).deacon is None
    (found,) = status.status(town, town).problems
    assert (found.kind, found.subject, found.command) == ("deacon", "anvil", "gt up")
    assert "ended without being told to" in found.text
    assert powers.stop(town.root) is None
    assert status.status(town, town).problems == ()


def test_only_a_deacon_that_ends_by_an_error_is_missed(town: Town) -> None:
    with sole(town.root):
        powers.say_running(town.root, "files")
    assert powers.noted(town.root) is None
    with pytest.raises(OSError, match="full"), sole(town.root):
        powers.say_running(town.root, "files")
        raise OSError("the disk is full")
    assert powers.noted(town.root) is not None
