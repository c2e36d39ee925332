"""Handing in: what is committed first, what is queued, what is refused, and doing it twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gastown.model.bead import Bead
from gastown.model.errors import GtError, Refused, UsageError
from gastown.runtime import git, sessions
from gastown.services.sling import release
from gastown.services.work import done
from gastown.services.work.done import DoneReport
from gastown.store import layout
from gastown.store.change import Change
from tests.services.work_lab import Lab

ME = "app/amber"


@pytest.fixture
def held(work: Lab) -> Bead:
    """Work on the hook of app/amber, whose agent sleeps."""
    bead = work.bead("Write it")
    work.one(bead.id, agent=work.sleeper())
    return work.now(bead)


def commit(lab: Lab, name: str = "new.txt") -> str:
    (lab.tree() / name).write_text("x\n")
    git.run(["add", "-A"], cwd=lab.tree())
    git.run(["commit", "-qm", f"add {name}"], cwd=lab.tree(), env=git.author_env("a", "a@b"))
    return git.text(["rev-parse", "HEAD"], cwd=lab.tree())


def hand_in(lab: Lab, **options: object) -> DoneReport:
    return done.done(lab.town, ME, **options)


def test_committed_work_is_pushed_and_queued(work, held):
    tip = commit(work)
    report = hand_in(work, message="two call sites left")
    assert (report.status, report.commit, report.pushed, report.wip) == ("completed", tip, True, ())
    bead = work.now(held)
    assert bead.status == "merging"
    assert bead.notes[-1]["text"] == "two call sites left\n"
    assert bead.last_session["outcome"] == "done"
    (merge,) = work.merges(bead)
    assert (merge.id, merge.branch, merge.commit, merge.worker) == (report.merge, held.branch, tip, ME)
    assert git.text(["rev-parse", f"refs/heads/{held.branch}"], cwd=work.origin) == tip
    assert [one["type"] for one in work.town.events()][-2:] == ["done", "merge_queued"]


def test_uncommitted_work_is_committed_first_deletions_listed(work, held):
    (work.tree() / "new.txt").write_text("new\n")
    (work.tree() / "README.md").write_text("changed\n")
    (work.tree() / "old.txt").unlink()
    report = hand_in(work)
    assert set(report.wip) == {"+ new.txt", "~ README.md", "- old.txt"}
    shown = git.text(["log", "-1", "--format=%an %s%n%b", str(held.branch)], cwd=work.bare)
    assert shown.splitlines()[0] == "app/amber wip: Write it"
    assert f"Bead: {held.id}" in shown


def test_done_twice_is_the_same_and_changes_nothing(work, held):
    commit(work)
    hand_in(work, bead_id=held.id, attempt=1)
    head = git.text(["rev-parse", "HEAD"], cwd=work.root)
    for options in ({"bead_id": held.id, "attempt": 1}, {}):
        again = hand_in(work, **options)
        assert again.already
        assert again.bead == held.id
    assert git.text(["rev-parse", "HEAD"], cwd=work.root) == head


def test_an_older_attempt_is_refused_whoever_has_the_work_now(work, held):
    commit(work)
    work.one(held.id, "app/birch", agent=work.sleeper(), force=True)
    with pytest.raises(Refused, match=r"not on your hook any more.*app/birch \(attempt 2\)"):
        hand_in(work, bead_id=held.id, attempt=1)
    release.release(work.town, work.now(held))
    work.one(held.id, ME, agent=work.sleeper())
    with pytest.raises(Refused, match=r"attempt 1 of .* is over: it is worked on as attempt 3"):
        hand_in(work, bead_id=held.id, attempt=1)
    assert work.now(held).status == "hooked"


def test_released_work_cannot_be_handed_in(work, held):
    commit(work)
    release.release(work.town, held)
    with pytest.raises(Refused, match="open again"):
        hand_in(work, bead_id=held.id, attempt=1)


def test_no_commits_needs_a_reason_and_commits_refuse_one(work, held):
    with pytest.raises(Refused, match="no commits"):
        hand_in(work)
    with pytest.raises(UsageError):
        hand_in(work, no_changes="  ")
    assert work.now(held).held
    report = hand_in(work, no_changes="it was  right\nalready")
    assert report.status == "no_changes"
    assert work.now(held).closed["reason"] == "no changes: it was right already"
    sessions.stop(work.record(held.last_session["id"]), 0.2)
    other = work.bead()
    work.one(other.id, ME, agent=work.sleeper())
    commit(work)
    with pytest.raises(UsageError, match="1 commits of its own"):
        hand_in(work, no_changes="nothing")


def test_escalated_stays_with_its_worker_and_calls_for_help(work, held, tmp_path):
    page = f'echo "$GT_SOURCE $GT_SEVERITY" >> {tmp_path}/paged'
    work.configure("town.yaml", escalation={"commands": {"high": page}})
    with pytest.raises(UsageError):
        hand_in(work, status="escalated")
    (work.tree() / "half").write_text("half")
    report = hand_in(work, status="escalated", message="the spec contradicts itself")
    assert report.wip == ("+ half",)
    bead = work.now(held)
    assert (bead.status, bead.assignee, bead.last_session["outcome"]) == ("in_progress", ME, "escalated")
    raised = work.town.bead(report.escalation)
    assert (raised.type, raised.doc["severity"], raised.source) == ("escalation", "high", held.id)
    for who in ("overseer", "mayor"):
        assert "the spec contradicts itself" in work.mail(who)
    assert not hand_in(work, status="escalated", message="again").escalation
    assert (tmp_path / "paged").read_text() == f"{held.id} high\n"


def test_deferred_stays_and_is_resumable(work, held):
    commit(work)
    hand_in(work, status="deferred")
    assert work.now(held).last_session["outcome"] == "deferred"
    sessions.stop(work.record(held.last_session["id"]), 0.2)
    again = work.resume(held, agent=work.sleeper())
    assert (again.attempt, again.unchanged) == (1, False)
    assert (work.tree() / "new.txt").exists()


def test_another_branch_or_an_unfinished_merge_is_refused(work, held):
    git.run(["switch", "-qc", "elsewhere"], cwd=work.tree())
    commit(work)
    with pytest.raises(Refused, match="is on elsewhere, not on") as caught:
        hand_in(work)
    assert f"git switch {held.branch} && git merge elsewhere" in caught.value.hint
    git.run(["switch", "-q", str(held.branch)], cwd=work.tree())
    Path(git.text(["rev-parse", "--absolute-git-dir"], cwd=work.tree()), "MERGE_HEAD").write_text(
        git.text(["rev-parse", "elsewhere"], cwd=work.tree()) + "\n"
    )
    with pytest.raises(Refused, match="unfinished"):
        hand_in(work)
    assert work.now(held).held


def test_who_has_no_work_cannot_be_done(work):
    with pytest.raises(Refused, match="for workers"):
        done.done(work.town, "overseer")
    with pytest.raises(Refused, match="nothing to hand in"):
        done.done(work.town, ME)
    with pytest.raises(UsageError, match="'finished'"):
        done.done(work.town, ME, status="finished")


def test_an_unreachable_remote_fails_loudly_and_the_next_try_finishes(work, held):
    tip = commit(work)
    os.rename(work.origin, work.origin + ".away")
    with pytest.raises(GtError):
        hand_in(work)
    assert work.now(held).held
    assert done.begun(work.town, held) == {}  # it was told: nobody else may call what it does from now on finished
    os.rename(work.origin + ".away", work.origin)
    assert hand_in(work).commit == tip
    assert done.begun(work.town, held) == {}


def test_a_new_commit_supersedes_the_queued_one(work, held):
    first = commit(work)
    hand_in(work)

    def back(change: Change) -> None:
        bead = change.bead(held.id)
        bead.move("in_progress")
        change.save(bead)

    work.town.transact("merge_failed", back)
    second = commit(work, "more.txt")
    hand_in(work)
    found = {merge.commit: merge.closed.get("reason") for merge in work.merges(held)}
    assert found == {first: "superseded", second: None}


def test_rebased_commits_may_replace_what_was_pushed_for_the_attempt(work, held):
    commit(work)
    git.run(["push", "-q", "origin", str(held.branch)], cwd=work.tree())
    git.run(["commit", "-q", "--amend", "-m", "better"], cwd=work.tree(), env=git.author_env("a", "a@b"))
    tip = git.text(["rev-parse", "HEAD"], cwd=work.tree())
    assert hand_in(work).commit == tip
    assert git.text(["rev-parse", f"refs/heads/{held.branch}"], cwd=work.origin) == tip


def test_a_lost_worktree_hands_in_what_the_branch_holds(work, held):
    tip = commit(work)
    sessions.stop(work.record(held.last_session["id"]), 0.2)
    work.ended(held.last_session["id"])
    git.run(["worktree", "remove", "--force", str(work.tree())], cwd=work.bare)
    assert hand_in(work).commit == tip


def test_where_landing_is_local_nothing_is_pushed(local_work):
    lab = local_work
    bead = lab.run("echo x > x")
    assert bead.status == "merging"
    assert lab.merges(bead)[0].commit in git.text(["rev-parse", str(bead.branch)], cwd=lab.bare)
    assert not os.path.exists(layout.run(lab.root, "done", f"{bead.id}.a1.json"))
    assert git.run(["rev-parse", "-q", "--verify", str(bead.branch)], cwd=lab.source, check=False).code != 0


