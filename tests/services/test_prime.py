"""What an agent is told: its hook with everything, the operator's words, and never "empty" for "unknown"."""

from __future__ import annotations

import pytest

from gastown.model.errors import UsageError
from gastown.services.agents import prime
from gastown.services.beads import beads, hook
from gastown.services.beads.hook import HookUnreadable
from gastown.services.sessions import heartbeat
from gastown.store import layout, runstate
from gastown.store.change import Change
from tests.services.work_lab import Lab

ME = "app/amber"


def hooked(lab: Lab, title: str = "Write it", **fields: object) -> str:
    bead = lab.bead(title, **fields)

    def body(change: Change) -> None:
        now = change.bead(bead.id)
        now.move("hooked")
        now.set("assignee", ME)
        now.set("branch", f"polecat/amber/{bead.id}.a1")
        now.set("target", "main")
        change.save(now)
        change.put(layout.worker_file("app", "polecats", "amber"), {"name": "amber", "kind": "polecat", "rig": "app"})

    lab.town.transact("sling", body)
    return bead.id


def test_the_whole_bead_who_you_are_and_what_to_do_next(work):
    bead = hooked(work, description="Line one\nline two", acceptance="tests are green")
    beads.note(work.town, bead, "mind the edge case")
    text = prime.prime(work.town, ME).text
    for part in (f"You are {ME}, polecat", bead, "Line one\nline two", "tests are green", "mind the edge case",
                 "gt done", f"polecat/amber/{bead}.a1", str(work.tree())):  # fmt: skip
        assert part in text
    assert "If there is work on your hook, run it" in text


def test_the_rigs_directives_come_after_the_towns(work):
    hooked(work)
    work.town.transact("config", lambda change: change.write("rigs/app/roles/polecat.md", b"Use tabs here.\n"))
    text = prime.prime(work.town, ME).text
    assert text.index("# Polecat") < text.index("Use tabs here.")


def test_an_empty_hook_is_said_and_mail_is_counted(work):
    told = prime.prime(work.town, ME)
    assert told.bead is None
    assert "Nothing is on your hook" in told.text
    work.town.transact("mail", lambda change: change.deliver(ME, "hello", "there"))
    assert prime.prime(work.town, ME).unread == 1
    assert "You have 1 unread" in prime.prime(work.town, ME).text


@pytest.mark.parametrize("damage", ["\n<<<<<<< ours\n", "\nstatus: nosuch\n"])
def test_a_hook_that_cannot_be_read_is_not_empty(work, damage):
    bead = hooked(work)
    path = layout.absolute(work.root, str(work.town.bead_path(bead)))
    with open(path, "a", encoding="utf-8") as file:
        file.write(damage)
    with pytest.raises(HookUnreadable, match="do not conclude that it is empty"):
        prime.prime(work.town, ME)
    assert hook.read(work.town, "app/birch") is None


def test_two_beads_on_one_hook_are_an_error_that_names_both(work):
    first, second = hooked(work), hooked(work)
    with pytest.raises(HookUnreadable) as caught:
        hook.find(work.town, ME)
    assert first in caught.value.message
    assert second in caught.value.message


def test_the_hint_is_only_believed_while_the_bead_agrees(work):
    bead = hooked(work)
    found = hook.read(work.town, ME)
    assert found is not None
    assert runstate.hook_hint(work.root, ME) == found.path
    other = work.bead()
    runstate.set_hook_hint(work.root, ME, other.path)
    assert hook.read(work.town, ME).id == bead
    runstate.set_hook_hint(work.root, ME, "rigs/app/beads/2026-01-01/gone.yaml")
    assert hook.read(work.town, ME).id == bead


def test_beginning_moves_it_once_and_only_for_its_holder(work):
    bead = work.now(hooked(work))
    assert hook.begin(work.town, "app/birch", bead).status == "hooked"
    assert hook.begin(work.town, ME, bead).status == "in_progress"
    assert hook.begin(work.town, ME, work.now(bead)).status == "in_progress"
    assert len([one for one in work.events("edit") if one["bead"] == bead.id]) == 1


def test_a_heartbeat_is_for_agents_and_tells_its_age(work):
    heartbeat.beat(work.root, ME, "reading\nthe code")
    when, text = runstate.heartbeat(work.root, ME)
    assert text == "reading the code"
    assert heartbeat.age(work.root, ME, when + 90) == pytest.approx(90)
    assert heartbeat.age(work.root, "app/birch", when) is None
    with pytest.raises(UsageError):
        heartbeat.beat(work.root, "overseer")
