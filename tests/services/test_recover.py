"""Sessions that end: on their own, by a signal, with their runner; silence and the unknown are never death."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from gastown.model.errors import GtError, NotFound
from gastown.runtime import git, processes, sessions
from gastown.services.sessions import attempts
from gastown.services.work import recover
from gastown.store import layout
from gastown.store.change import Change
from tests.conftest import run_gt
from tests.services.work_lab import Lab, eventually

COMMIT = (
    "import subprocess\nopen('new', 'w').write('x')\n"
    "subprocess.run('git add -A && git commit -qm new', shell=True)\n"
)


def settled(lab: Lab, bead_id: str) -> dict[str, object]:
    """The last session of a bead, once its end is recorded."""
    return eventually(lambda: (s := lab.now(bead_id).last_session) and s.get("ended") and s)


def test_an_agent_killed_dead_is_known_at_once_with_status_and_saved_tree(work):
    bead = work.bead()
    done = work.one(bead.id, agent=work.sleeper())
    (work.tree() / "half.txt").write_text("half\n")
    eventually(lambda: "here" in sessions.log_tail(work.record(done.session).log, 5))
    os.kill(work.record(done.session).agent_pid, signal.SIGKILL)
    assert settled(work, bead.id)["outcome"] == "died"
    now = work.now(bead)
    assert (now.status, now.assignee) == ("hooked", "app/amber")
    note = now.notes[-1]["text"]
    assert "killed by signal 9" in note
    assert "here" in note
    (event,) = work.events("session_death")
    assert event["data"]["exit_signal"] == 9
    assert "half" in "".join(p.read_text() for p in Path(layout.rescue(work.root)).glob("*.patch"))
    assert (work.tree() / "half.txt").exists()


def test_a_failing_agent_is_stalled_with_the_end_of_its_output(work):
    bead = work.run("echo one; echo 'two \x1b[31mred' >&2; exit 7")
    assert bead.status == "in_progress"
    assert bead.last_session["outcome"] == "failed"
    note = bead.notes[-1]["text"]
    assert "exit status 7" in note
    assert "two red" in note


def test_exit_0_with_commits_is_handed_in_on_its_behalf_and_said(work):
    bead = work.bead()
    done = work.one(bead.id, agent=work.agent(COMMIT + "open('left', 'w').write('y')\n"))
    work.ended(done.session)
    now = work.now(bead)
    assert now.status == "merging"
    assert "handed in on its behalf" in now.notes[-1]["text"]
    assert "left" in git.text(["ls-tree", "--name-only", str(now.branch)], cwd=work.bare).split()


@pytest.mark.parametrize(("program", "words"), [("", "without a commit"), (COMMIT + "raise SystemExit(2)", "status 2")])
def test_anything_else_is_stalled(work, program, words):
    bead = work.bead()
    done = work.one(bead.id, agent=work.agent(program))
    work.ended(done.session)
    now = work.now(bead)
    assert now.held
    assert words in now.notes[-1]["text"]


def test_a_killed_runner_is_no_death_while_the_agent_lives(work):
    bead = work.bead()
    record = work.record(work.one(bead.id, agent=work.sleeper()).session)
    os.kill(record.runner_pid, signal.SIGKILL)
    eventually(lambda: not sessions.alive(record.runner))
    assert recover.sweep(work.town) == []
    assert attempts.look(work.town, work.now(bead)).live
    with pytest.raises(GtError, match="still runs"):
        recover.session_ended(work.town, record.id)
    os.kill(record.agent_pid, signal.SIGKILL)
    eventually(lambda: not sessions.alive(record.agent_proc))
    (found,) = recover.sweep(work.town)
    assert (found.what, found.bead, found.address) == ("stalled", bead.id, "app/amber")
    assert "no exit status" in work.now(bead).notes[-1]["text"]
    assert recover.sweep(work.town) == []
    assert len(work.events("session_death")) == 1


def test_a_silent_session_is_never_touched(work):
    bead = work.bead()
    done = work.one(bead.id, agent=work.agent("import time\ntime.sleep(600)\n"))
    real = work.town.clock
    work.town.clock = lambda: real() + 7200
    assert recover.sweep(work.town) == []
    assert sessions.alive(work.record(done.session).agent_proc)
    assert work.now(bead).status == "hooked"


def test_a_session_without_any_record_is_unknown_and_left_alone(work):
    bead = work.bead()
    record = work.record(work.one(bead.id, agent=work.sleeper()).session)
    os.rename(record.folder, record.folder + "x")
    try:
        (found,) = recover.sweep(work.town)
        assert found.what == "unknown"
        assert not work.now(bead).last_session.get("ended")
    finally:
        os.rename(record.folder + "x", record.folder)


def test_after_the_towns_state_was_cleaned_away_its_work_is_as_after_a_crash(work):
    bead, other = work.bead("Dead by then"), work.bead("Lives on")
    work.one(bead.id, agent=work.sleeper())
    lives = work.one(other.id, agent=work.sleeper())
    record = work.record(work.now(bead).last_session["id"])
    eventually(lambda: "here" in sessions.log_tail(record.log, 5))
    (work.tree() / "half.txt").write_text("half\n")
    still = work.record(lives.session)
    for pid in (record.runner_pid, record.agent_pid):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not processes.alive(record.agent_proc))
    os.rename(layout.local(work.root), work.path / "cleaned")
    try:
        run_gt("status", cwd=work.root)
        found = {one.bead: one for one in recover.sweep(work.town)}
        assert found[bead.id].what == "stalled"
        assert "since .gt was removed" in work.now(bead).notes[-1]["text"]
        assert (work.now(bead).status, work.now(bead).last_session["outcome"]) == ("hooked", "interrupted")
        assert "half" in "".join(p.read_text() for p in Path(layout.rescue(work.root)).glob("*.patch"))
        assert found[other.id].what == "unknown"
        assert str(still.agent_pid) in found[other.id].text
        assert processes.alive(still.agent_proc)
    finally:
        for one in (still.runner, still.agent_proc):
            processes.signal_group(one, signal.SIGKILL)
            eventually(lambda one=one: not processes.alive(one))
    assert [one.what for one in recover.sweep(work.town)] == ["stalled"]


def test_a_sling_killed_before_its_session_is_found_and_can_be_finished(work):
    bead = work.bead()
    sid = "s-20261123-dead"

    def claim(change: Change) -> None:
        now = change.bead(bead.id)
        now.move("hooked")
        now.set("assignee", "app/amber")
        now.set("machine", work.town.machine)
        now.set("branch", f"polecat/amber/{bead.id}.a1")
        facts = {"by": "app/amber", "machine": work.town.machine, "started": change.at}
        now.add_session({"id": sid, "attempt": 1, **facts})
        change.save(now)
        change.emit("sling", "x", bead=bead.id)

    from gastown.store import runstate

    runstate.write_json(layout.run(work.root, "starting", f"{sid}.json"), {"pid": 2**22 - 3, "start": "gone"})
    work.town.transact("sling", claim)
    assert attempts.look(work.town, work.now(bead)).state == "interrupted"
    (found,) = recover.sweep(work.town)
    assert (found.what, found.bead) == ("stalled", bead.id)
    again = work.one(bead.id, agent=work.sleeper())
    assert (again.to, again.attempt, again.unchanged) == ("app/amber", 1, False)


def test_work_whose_done_was_killed_is_handed_in_whatever_the_exit(work):
    from gastown.services.work import done as handing_in
    from gastown.store import runstate

    bead = work.bead()
    result = work.one(bead.id, agent=work.sleeper())
    (work.tree() / "new").write_text("x")
    path = handing_in._checkpoint_path(work.town, work.now(bead))
    runstate.write_json(path, {"step": "begun", "status": "completed", "no_changes": None})
    os.kill(work.record(result.session).agent_pid, signal.SIGKILL)
    eventually(lambda: work.now(bead).status == "merging")
    assert work.merges(bead)


def test_work_of_an_agent_that_saw_its_done_fail_and_went_on_is_not_handed_in_when_it_is_killed(work):
    from gastown.services.work import done as handing_in

    bead = work.bead()
    result = work.one(bead.id, agent=work.sleeper())
    (work.tree() / "new").write_text("x")
    os.rename(work.origin, work.origin + ".away")
    with pytest.raises(GtError):
        handing_in.done(work.town, "app/amber")
    os.rename(work.origin + ".away", work.origin)
    (work.tree() / "half").write_text("x")
    os.kill(work.record(result.session).agent_pid, signal.SIGKILL)
    assert settled(work, bead.id)["outcome"] == "died"
    assert work.now(bead).held
    assert not work.merges(bead)


def test_unknown_sessions_and_a_second_call(work):
    with pytest.raises(NotFound):
        recover.session_ended(work.town, "s-20261123-zzzz")
    bead = work.run("exit 1")
    head = git.text(["rev-parse", "HEAD"], cwd=work.root)
    assert recover.session_ended(work.town, bead.last_session["id"]).what == "over"
    assert git.text(["rev-parse", "HEAD"], cwd=work.root) == head
