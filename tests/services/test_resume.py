"""Resuming: the same attempt in the same worktree, whatever was lost meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from gastown.model.errors import GtError, Refused
from gastown.runtime import clones, git
from gastown.services.refinery import refinery
from gastown.services.sling import release
from gastown.services.work import done
from gastown.store import layout
from tests.services.work_lab import Lab, eventually


def stalled(lab: Lab):  # a held bead whose agent was killed, with one commit and one uncommitted file
    bead = lab.bead()
    done = lab.one(bead.id, agent=lab.sleeper())
    (lab.tree() / "committed").write_text("x")
    git.run(["add", "-A"], cwd=lab.tree())
    git.run(["commit", "-qm", "one"], cwd=lab.tree(), env=git.author_env("a", "a@b"))
    (lab.tree() / "loose").write_text("y")
    os.kill(lab.record(done.session).agent_pid, signal.SIGKILL)
    lab.ended(done.session)
    eventually(lambda: lab.now(bead).last_session.get("ended"))
    return lab.now(bead)


def test_a_new_session_goes_on_in_the_same_attempt_with_everything_in_place(work):
    bead = stalled(work)
    again = work.resume(bead, agent=work.sleeper())
    assert (again.to, again.attempt, again.unchanged) == ("app/amber", 1, False)
    now = work.now(bead)
    assert len(now.sessions) == 2
    assert now.branch == bead.branch
    assert (work.tree() / "committed").exists()
    assert (work.tree() / "loose").exists()
    assert work.resume(bead).unchanged


def test_slinging_it_again_to_its_holder_or_rig_resumes_it(work):
    bead = stalled(work)
    again = work.one(bead.id)
    assert (again.to, again.attempt, again.unchanged) == ("app/amber", 1, False)
    assert work.now(bead).last_session["id"] == again.session


def test_a_lost_worktree_is_rebuilt_from_the_branch(work):
    bead = stalled(work)
    shutil.rmtree(work.tree())
    work.resume(bead)
    assert (work.tree() / "committed").exists()
    assert git.text(["symbolic-ref", "--short", "HEAD"], cwd=work.tree()) == bead.branch


def test_a_resume_that_cannot_start_leaves_it_stalled(work):
    bead = stalled(work)
    with pytest.raises(GtError, match="could not start"):
        work.resume(bead, agent=work.unstartable())
    now = work.now(bead)
    assert (now.held, now.last_session["outcome"]) == (True, "start_failed")
    assert not work.resume(bead, agent=work.sleeper()).unchanged


def test_work_that_landed_before_a_persons_git_took_the_town_back_is_closed_not_done_again(work):
    bead = stalled(work)
    before = git.text(["rev-parse", "HEAD"], cwd=work.root)
    done.done(work.town, "app/amber")
    ((_, _, commit),) = refinery.run_once(work.town, "app").landed
    git.run(["reset", "-q", "--hard", before], cwd=work.root)
    work.town.refresh()
    assert work.now(bead).held
    again = work.resume(bead)
    assert (again.landed, again.session) == (commit, "")
    now = work.now(bead)
    assert (now.status, now.closed["reason"], now.closed["commit"]) == ("closed", "merged", commit)


def test_what_landed_is_found_though_its_branch_is_still_there(work):
    """It was rebased, so that not one of the branch's own commits is on the target."""
    bead = stalled(work)
    work.land_elsewhere("main moves", other="x")
    before = git.text(["rev-parse", "HEAD"], cwd=work.root)
    tip = git.text(["rev-parse", str(bead.branch)], cwd=work.bare)
    done.done(work.town, "app/amber")
    ((_, _, commit),) = refinery.run_once(work.town, "app").landed
    git.run(["branch", str(bead.branch), done_commit(work, bead)], cwd=work.bare)
    assert not clones.is_ancestor(work.bare, tip, commit)
    git.run(["reset", "-q", "--hard", before], cwd=work.root)
    work.town.refresh()
    assert work.resume(bead).landed == commit


def done_commit(lab: Lab, bead) -> str:
    return str(lab.merges(bead)[0].commit)


def test_a_first_part_that_was_there_when_the_attempt_began_does_not_close_it(work):
    """It was given out all the same, for the rest; its agent died before it could commit anything."""
    bead = work.bead()
    (work.source / "part").write_text("x")
    git.run(["add", "-A"], cwd=work.source)
    an_hour_ago = git.author_env("Ada", "ada@x", work.town.clock() - 3600)
    git.run(["commit", "-q", "-m", f"a first part\n\nBead: {bead.id}"], cwd=work.source, env=an_hour_ago)
    git.run(["push", "-q", work.origin, "main"], cwd=work.source)
    begun = work.one(bead.id, agent=work.sleeper(), force=True)
    os.kill(work.record(begun.session).agent_pid, signal.SIGKILL)
    work.ended(begun.session)
    eventually(lambda: work.now(bead).last_session.get("ended"))
    again = work.resume(bead, agent=work.sleeper())
    assert (again.landed, again.attempt) == ("", 1)
    assert work.now(bead).held


def test_what_nobody_holds_cannot_be_resumed(work):
    with pytest.raises(Refused, match="nobody's hook"):
        work.resume(work.bead())


def test_the_agents_own_conversation_is_taken_up(work):
    script = work.path / "talker.py"
    script.write_text("import sys, json\nprint(json.dumps({'sid': 'conv-7'}), *sys.argv[1:], flush=True)\n")
    talk = work.path / "talker"
    talk.write_text(f"#!/bin/sh\nexec python3 {script} \"$@\"\n")
    talk.chmod(0o755)
    preset = {
        "name": "talker", "command": [str(talk), "fresh"], "prompt": {"mode": "none"},
        "resume": {"command": [str(talk), "--resume", "{resume}"]}, "session_id": {"pattern": '"sid": "([^"]+)"'},
    }  # fmt: skip
    work.town.transact("config", lambda change: change.put("agents/talker.yaml", preset))
    bead = work.bead()
    first = work.one(bead.id, agent="talker")
    work.ended(first.session)
    eventually(lambda: work.now(bead).sessions[0].get("resume") == "conv-7")
    again = work.resume(bead)
    work.ended(again.session)
    assert "--resume conv-7" in Path(work.record(again.session).log).read_text()


def test_a_command_may_be_given_anew(work):
    bead = work.run("exit 3")
    again = work.resume(bead, command=["sh", "-c", "echo x > x"])
    work.ended(again.session)
    assert work.now(bead).status == "merging"
    assert work.now(bead).command[-1] == "echo x > x"


def test_released_work_starts_a_new_attempt(work):
    bead = stalled(work)
    release.release(work.town, bead)
    assert work.one(bead.id, agent=work.sleeper()).attempt == 2
    assert not (work.tree() / "loose").exists()
    assert any("loose" in p.read_text() for p in os_patches(work))


def os_patches(lab: Lab):
    return Path(layout.rescue(lab.root)).glob("*.patch")
