"""Beads followed to their end: real sessions of the exec agent, real gates, no background process."""

from __future__ import annotations

import os
import signal
import time

import pytest

from gastown.services.refinery import drive
from gastown.services.refinery.drive import DriveReport
from gastown.services.sessions import attempts
from gastown.services.sling import sling
from gastown.store import flock, layout
from gastown.store.index import Index
from gastown.store.town import open_town
from tests.services.refinery_lab import RIG, Lab


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path)
    lab.town = open_town(lab.root)
    return lab


def make(lab: Lab, title: str, **fields: object) -> str:
    def body(change):
        bead = change.create(RIG, title=title, target="main", **fields)
        change.emit("create", title, bead=bead.id, rig=RIG)
        return bead.id

    return lab.town.transact("create", body)


def put_on(lab: Lab, bead: str, script: str) -> None:
    report = sling.sling(
        lab.town, [bead], RIG, command=["sh", "-c", script], runtime="process", queue_blocked=True
    )  # fmt: skip
    assert not report.refused, report.refused


def follow(lab: Lab, *beads: str, on_step=None, seconds: float = 60) -> DriveReport:
    steps: list[drive.Step] = []

    def keep(step: drive.Step) -> None:
        steps.append(step)
        if on_step:
            on_step(step)

    report = drive.drive(lab.town, beads, until=time.time() + seconds, on_step=keep)
    assert not report.timed_out, steps
    lab.steps = [*lab.steps, *steps]
    return report


def ends(report: DriveReport) -> list[str]:
    return [one.end for one in report.ends]


def test_work_is_carried_to_the_target(lab):
    lab.gate("test -f list.txt")
    one, two = make(lab, "one"), make(lab, "two")
    put_on(lab, one, "echo 1 > a")
    put_on(lab, two, "echo 2 > b")
    report = follow(lab, one, two)
    assert ends(report) == ["merged", "merged"]
    assert report.merged
    assert (lab.file("a"), lab.file("b")) == ("1", "2")


def test_a_dependent_starts_when_its_need_is_on_its_base(lab):
    one = make(lab, "one")
    two = make(lab, "two", needs=[one])
    put_on(lab, one, "echo 1 > a")
    put_on(lab, two, "cat a a > b")
    assert ends(follow(lab, one, two)) == ["merged", "merged"]
    assert lab.file("b").split() == ["1", "1"]


def test_a_command_that_clashed_runs_again_on_what_has_landed(lab):
    """Both append at the same place: the second is sent back, runs on the new base and lands with both lines."""
    one, two = make(lab, "one", priority=1), make(lab, "two")
    put_on(lab, one, "echo from one >> list.txt")
    put_on(lab, two, "echo from two >> list.txt")
    assert ends(follow(lab, one, two)) == ["merged", "merged"]
    lines = lab.file("list.txt").splitlines()
    assert lines.count("from one") == 1
    assert lines.count("from two") == 1


def test_three_red_attempts_are_set_aside(lab):
    lab.gate("! test -f bad")
    bad, good = make(lab, "bad"), make(lab, "good")
    put_on(lab, bad, "date +%N > bad")
    put_on(lab, good, "echo 1 > good")
    report = follow(lab, bad, good)
    assert ends(report) == ["set_aside", "merged"]
    assert not report.merged
    assert "gt mq retry" in report.ends[0].why


def test_a_command_that_fails_is_stalled_and_not_repeated(lab):
    count = lab.path / "count"
    bead = make(lab, "fails")
    put_on(lab, bead, f"echo x >> {count}; echo the reason; exit 3")
    report = follow(lab, bead)
    assert ends(report) == ["stalled"]
    assert count.read_text() == "x\n"
    assert "the reason" in lab.town.bead(bead).notes[-1]["text"]


def test_a_killed_session_goes_on(lab):
    started = lab.path / "started"
    bead = make(lab, "killed once")
    put_on(lab, bead, f"if [ -f {started} ]; then echo 1 > a; else touch {started}; sleep 60; fi")
    deadline = time.monotonic() + 20
    while not started.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    life = attempts.look(lab.town, lab.town.bead(bead))
    assert life.record is not None
    os.killpg(os.getpgid(life.record.agent_proc.pid), signal.SIGKILL)
    assert ends(follow(lab, bead)) == ["merged"]
    assert lab.file("a") == "1"


def test_a_gate_that_cannot_run_ends_the_waiting_with_its_reason(lab):
    lab.gate("no-such-command")
    bead = make(lab, "one")
    put_on(lab, bead, "echo 1 > a")
    report = follow(lab, bead)
    assert ends(report) == ["waiting"]
    assert "not found" in report.ends[0].why


def test_what_nobody_does_is_not_waited_for(lab):
    one = make(lab, "one")
    two = make(lab, "two", needs=[one])
    report = follow(lab, one, two)
    assert ends(report) == ["open", "blocked"]
    assert one in report.ends[1].why


def test_work_seen_between_two_files_of_one_change_is_not_stalled(lab):
    """The files are read one by one, and a hand-in writes its two one by one."""
    lab.gate("true")
    entry = lab.finish({"a.txt": "a\n"})
    seen = lab.town.index()
    torn = Index([row for row in seen.rows if row.id != entry.id], [])
    loop = drive._Loop(lab.town, (entry.source,), lambda step: None)
    assert loop._end(torn, entry.source) == loop._end(seen, entry.source)
    assert loop._end(torn, entry.source).end == "waiting"
    os.unlink(os.path.join(lab.root, seen.by_id[entry.id].path))
    assert loop._end(lab.town.index(), entry.source).end == "stalled"


def test_a_town_that_is_being_written_is_waited_for(lab, monkeypatch):
    monkeypatch.setattr(drive, "LOCKED", 0.2)
    entry = lab.finish({"a.txt": "a\n"})
    torn = Index([row for row in lab.town.index().rows if row.id != entry.id], [])
    loop = drive._Loop(lab.town, (entry.source,), lambda step: None)
    with flock.hold(layout.local(lab.root, "lock"), timeout=1):
        end = loop._end(torn, entry.source)
    assert (end.end, end.why.partition(" by ")[0]) == ("waiting", "the town is being written")
