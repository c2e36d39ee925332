"""What stops a machine stops every way of starting an agent on it, and is said."""

from __future__ import annotations

import os

import pytest

from gastown.model.errors import Refused
from gastown.services.health import status as statuses
from gastown.services.refinery import drive
from gastown.services.sessions import estop, holds
from gastown.services.sling import scheduler, sling
from tests.services.test_resume import stalled
from tests.services.work_lab import Lab


def kinds(lab: Lab) -> list[tuple[str, str]]:
    return [(one.kind, one.command) for one in statuses.status(lab.town, lab.town).problems]


@pytest.fixture(params=["estop", "disk"])
def stopped(work: Lab, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Lab:
    """A town with an agent to sling to, on a machine on which nothing may start."""
    work.configure("town.yaml", agent=work.sleeper())
    if request.param == "estop":
        estop.estop(work.town, "lunch")
    else:
        monkeypatch.setattr(holds, "LOW_DISK", 1 << 62)
    return work


def test_sling_is_refused_before_anything_is_touched(stopped: Lab) -> None:
    bead = stopped.bead()
    with pytest.raises(Refused, match=r"nothing starts on this machine: (stopped by overseer .* lunch|only .* disk)"):
        stopped.sling(bead.id)
    with pytest.raises(Refused):
        stopped.sling("Something that is new", titles=())
    assert stopped.now(bead).status == "open"
    assert not os.path.exists(stopped.tree())
    assert len([row for row in stopped.town.index().rows if row.status == "open"]) == 1


def test_what_is_queued_stays_queued(stopped: Lab) -> None:
    bead = stopped.bead()
    with stopped.town.change("queue") as change:
        from gastown.services.sessions import dispatch

        dispatch.enqueue(change, change.bead(bead.id), "app", "for the test")
    assert sling.dispatch_queued(stopped.town) == []
    assert "queued" in stopped.now(bead).labels


def test_dead_work_is_not_resumed(work: Lab) -> None:
    bead = stalled(work)
    estop.estop(work.town)
    with pytest.raises(Refused, match="nothing starts on this machine"):
        work.resume(bead)
    assert len(work.now(bead).sessions) == 1
    assert drive.drive(work.town, [bead.id]).ends[0].end == "stalled"
    assert len(work.now(bead).sessions) == 1
    estop.thaw(work.town)
    assert not work.resume(bead).unchanged


def test_a_session_that_was_on_its_way_when_all_was_stopped_does_not_start(
    work: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.configure("town.yaml", agent=work.sleeper())
    bead = work.bead()
    run_setup = sling.worksite.run_setup

    def stop_meanwhile(*args: object, **options: object) -> object:
        estop.estop(work.town)
        return run_setup(*args, **options)

    monkeypatch.setattr(sling.worksite, "run_setup", stop_meanwhile)
    assert "nothing starts" in work.sling(bead.id).refused[0].message
    assert work.now(bead).status == "open"


def test_status_says_so_first_and_what_ends_it(work: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kinds(work) == []
    estop.estop(work.town, "lunch")
    scheduler.pause(work.town, "a release")
    assert kinds(work) == [("stopped", "gt thaw"), ("paused", "gt scheduler resume")]
    estop.thaw(work.town)
    scheduler.resume(work.town)
    monkeypatch.setattr(holds, "LOW_DISK", 1 << 62)
    assert [kind for kind, _ in kinds(work)] == ["disk"]


def test_a_paused_machine_still_takes_what_a_person_slings(work: Lab) -> None:
    scheduler.pause(work.town)
    assert work.one(work.bead().id, agent=work.sleeper()).to == "app/amber"
    (said,) = [one.text for one in statuses.status(work.town, work.town).problems if one.kind == "paused"]
    assert said.startswith("nothing starts by itself, only what a person slings: the scheduler was paused by")


def test_a_marker_that_cannot_be_read_still_stops(work: Lab) -> None:
    os.makedirs(os.path.dirname(holds.estop_path(work.root)), exist_ok=True)
    with open(holds.estop_path(work.root), "w") as file:
        file.write("{torn")
    assert "cannot be read" in holds.stopped(work.root)
