"""What goes wrong around the deacon, and that it goes on: a full disk, a nudge that fails, a clock put back."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gastown.cli.main import main
from gastown.deacon import loop, stamps
from gastown.deacon.action import Action
from gastown.deacon.doer import Doer
from gastown.deacon.errands import Errands
from gastown.deacon.log import Log
from gastown.deacon.loop import Deacon
from gastown.deacon.memory import Memory
from gastown.deacon.patrols import hand_edits, mail, packing, syncing
from gastown.deacon.settings import Settings
from gastown.deacon.table import ERRANDS, SESSIONS, Patrol
from gastown.deacon.world import World
from gastown.model.errors import InvalidFile
from gastown.services.mail import nudge
from gastown.store import layout
from gastown.store.town import Town
from tests.conftest import Clock, git, run_gt
from tests.deacon.ground import Ground
from tests.deacon.test_work import about
from tests.services.mail_lab import AMBER, staff, write


def logged(root: str | Path) -> str:
    return Path(root, ".gt/log/deacon.log").read_text()


# -- its own notes cannot be written ------------------------------------------------------------
def test_a_deacon_that_cannot_write_its_own_notes_goes_on_until_it_can(site: Ground) -> None:
    bead, other = site.bead(), site.bead("marker", rig=None)
    child = site.start()
    notes = site.root / ".gt/run/deacon"
    site.until(notes.exists)
    shutil.rmtree(notes)
    notes.write_text("in the place of the folder\n")
    run_gt("mail", "send", "mayor", "-s", "hello", "-m", "text", cwd=site.root)
    site.until(lambda: "mail seen: " in logged(site.root))
    site.queue(bead)  # begun by an errand
    site.until(lambda: "dispatch:app failed, again in 30 s" in logged(site.root))
    site.edit(other, "marker", "marked")
    site.event("hand_edit", about(other))
    assert child.poll() is None
    notes.unlink()
    run_gt("mail", "send", "mayor", "-s", "hello", "-m", "text", cwd=site.root)
    site.until((notes / "mail.stamp").exists)
    assert child.poll() is None


def test_an_errand_whose_note_cannot_be_written_is_not_under_way(town: Town) -> None:
    errands = Errands(town.root, 1, lambda key, error: None)
    action = syncing.Sync("remote", "for a test")
    Path(layout.run(town.root, "deacon")).symlink_to("/nonexistent/folder")
    with pytest.raises(OSError, match="deacon"):
        errands.start(action)
    assert errands.running() == []


# -- what is to be done once --------------------------------------------------------------------
class Ends:
    """Hears of errands that end, as the deacon does."""

    def __init__(self, town: Town) -> None:
        self.heard = threading.Event()
        self.errands = Errands(town.root, 0, self.ended)
        self.log = Log(town.root)
        self.doer = Doer(town, self.errands, self.log)

    def ended(self, key: str, error: str) -> None:
        self.doer.ended(key, error)
        self.heard.set()


@pytest.fixture
def green(town: Town) -> Town:
    return staff(town)


@pytest.fixture
def ends(green: Town) -> Iterator[Ends]:
    made = Ends(green)
    yield made
    made.errands.stop()
    made.log.close()


def news(town: Town, kind: Callable[..., Any]) -> Any:
    write(town, AMBER, "the roof burns", priority="urgent")
    path = next(Path(town.root, "mail", AMBER, "new").glob("[0-9]*"))
    return kind(layout.relative(town.root, str(path)), "urgent mail", to=AMBER, words="the roof burns")


def told(town: Town) -> list[str]:
    return [one.text for one in nudge.waiting(town.root, AMBER, town.clock())]


def test_an_urgent_nudge_that_finds_no_room_is_given_when_there_is(green: Town, ends: Ends) -> None:
    action = news(green, mail.NudgeUrgent)
    ends.doer.do(action)
    assert ends.errands.running() == []
    ends.errands.most = 1
    ends.doer.again()
    assert ends.heard.wait(30)
    assert told(green) == ["the roof burns"]
    ends.doer.again()
    ends.doer.do(action)  # decided again
    assert (ends.errands.running(), ends.doer.owed) == ([], {})


@pytest.mark.parametrize("kind", [mail.NudgeMail, mail.NudgeUrgent])
def test_a_nudge_that_failed_is_tried_again_after_its_pause(
    green: Town, ends: Ends, kind: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends.errands.most = 1
    action = news(green, kind)
    queue = Path(layout.run(green.root, "nudges"))
    shutil.rmtree(queue, ignore_errors=True)
    queue.write_text("in the place of the folder\n")
    ends.doer.do(action)
    assert not action.slow or ends.heard.wait(30)
    assert 0 < ends.doer.next_try(0.0) < float("inf")
    assert "failed, again in 30 s" in logged(green.root)
    queue.unlink()
    ends.heard.clear()
    ends.doer.again()  # too early
    assert told(green) == []
    later = ends.doer.next_try(0.0) + 1
    monkeypatch.setattr("gastown.deacon.doer.time.monotonic", lambda: later)
    ends.doer.again()
    monkeypatch.undo()
    assert not action.slow or ends.heard.wait(30)
    assert told(green) == ["the roof burns"]
    assert ends.doer.next_try(0.0) == float("inf")
    assert ends.doer.owed == {}


def test_who_found_no_room_looks_again_whenever_an_errand_has_ended(
    green: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work that dies while many are being started must not wait for the next look at everything."""
    looked: list[object] = []
    decided: list[Action] = [syncing.Sync("remote", "for a test")]
    patrol = Patrol("crowd", "", (SESSIONS,), lambda world: looked.append(world.paths), lambda *_: decided)
    monkeypatch.setattr(loop, "PATROLS", (patrol,))
    deacon = Deacon(green)
    monkeypatch.setattr(deacon, "_read_settings", lambda: None)
    deacon.errands.most = 0

    def moved(path: str) -> list[object]:
        looked.clear()
        deacon._moved[path] = (0.0, 0.0)
        deacon._partial(time.monotonic())
        return looked

    assert moved(ERRANDS) == []
    assert moved(SESSIONS) == [frozenset({SESSIONS})]
    assert moved(ERRANDS) == [None]
    decided.clear()
    assert moved(ERRANDS) == [None]
    assert moved(ERRANDS) == []
    deacon.log.close()


def test_an_edit_that_meets_a_git_which_began_just_then_waits_a_moment_only(green: Town) -> None:
    """An editor that asks git for the status at every save holds the index for some milliseconds."""
    with green.change("create") as change:
        path = change.create(None, title="before").path
        change.emit("create", "x")
    file, git_lock = Path(green.root, path), Path(green.root, ".git/index.lock")
    file.write_text(file.read_text().replace("before", "after"))
    git_lock.touch()
    mark = hand_edits.mark_of(file.read_bytes())
    patrol = Patrol(
        "hand edits", "", (), lambda world: world, lambda *_: [hand_edits.Adopt(path, "", (path,), {path: mark}, path)]
    )
    deacon = Deacon(green)
    world = World(green, deacon.memory, deacon.pulse)
    began = time.monotonic()
    deacon._patrol(patrol, world)
    assert deacon._later["hand edits"] - began < 0.5
    assert path in git("status", "--porcelain", cwd=green.root)
    git_lock.unlink()
    deacon._later.clear()
    deacon._patrol(patrol, world)
    assert (deacon._later, git("status", "--porcelain", cwd=green.root)) == ({}, "")
    deacon.log.close()


# -- news ---------------------------------------------------------------------------------------
def test_mail_that_settles_while_everything_is_looked_at_is_news(green: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another message that came after it was looked at already, and moved the time from which on mail is news."""
    path = news(green, mail.NudgeUrgent).subject
    seen: list[World] = []
    deacon = Deacon(green)
    monkeypatch.setattr(deacon, "_round", lambda patrols, world: seen.append(world))
    deacon._moved[path] = (0.0, 0.0)
    deacon._full(green.clock() + 1)
    deacon.log.close()
    (world,) = seen
    pulse: Any = SimpleNamespace(live={"s-1": SimpleNamespace(address=AMBER)})
    world.pulse = pulse
    assert [one.fresh for one in mail.gather(world)] == [True]
    old = World(green, Memory(green.root), pulse, since=green.clock() + 1)
    assert [one.fresh for one in mail.gather(old)] == [False]


# -- the clock ----------------------------------------------------------------------------------
def test_what_was_done_by_a_clock_that_was_ahead_is_due(town: Town, clock: Clock) -> None:
    """A laptop that boots a month ahead, and is put right."""
    git("remote", "add", "origin", "/nowhere", cwd=town.root)
    for name in (syncing.STAMP, packing.STAMP, mail.STAMP):
        stamps.set_stamp(town.root, name, clock() + 30 * 86_400)
    pulse: Any = SimpleNamespace(live={})
    world = World(town, Memory(town.root), pulse)
    for patrol, wanted in ((syncing, "sync"), (packing, "pack")):
        found = patrol.decide(patrol.gather(world), Settings(), world.now)
        assert [one.kind for one in found][:1] == [wanted]
    stamps.set_stamp(town.root, mail.STAMP, clock() - 5)
    assert stamps.stamp(town.root, mail.STAMP, clock()) == pytest.approx(clock() - 5, abs=0.01)
    Path(layout.run(town.root, "deacon", f"{mail.STAMP}.stamp")).write_text("nan")
    assert stamps.stamp(town.root, mail.STAMP, clock()) == 0
    assert os.path.isdir(layout.run(town.root, "deacon"))


# -- what it would do, where one cannot look ------------------------------------------------------
def test_a_plan_names_the_patrol_that_cannot_look_and_shows_the_others(
    town: Town, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def blind(world: World) -> None:
        raise InvalidFile("town.yaml", "it says nothing", hint="mend it")

    row = Patrol("blind", "never", (), blind, lambda found, settings, now: [])
    monkeypatch.setattr(loop, "PATROLS", (row, *loop.PATROLS))
    monkeypatch.chdir(town.root)
    assert main(["deacon", "plan", "--json"]) == 1
    *others, last = json.loads(capsys.readouterr().out)
    assert last == {
        "patrol": "blind",
        "error": {"code": "invalid_file", "message": "town.yaml: it says nothing", "hint": "mend it"},
    }
    assert {one["patrol"] for one in others} >= {"packing"}
    assert main(["deacon", "plan"]) == 1
    assert "error: blind: town.yaml: it says nothing" in capsys.readouterr().err
