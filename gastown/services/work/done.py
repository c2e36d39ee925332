"""`gt done`: hand in the work on one's hook. Each step finds itself done when it is run again after a crash."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from gastown.model.address import author, is_worker, name_of, rig_of
from gastown.model.bead import Bead, parse_branch
from gastown.model.errors import GtError, Refused, UsageError
from gastown.model.message import header_text
from gastown.model.rig import Rig
from gastown.runtime import clones, git, intact, remotes, worktrees
from gastown.services.agents import withheld, worksite
from gastown.services.beads import hook
from gastown.services.files import footing
from gastown.services.landing import landing, queue
from gastown.services.mail import escalate as escalations
from gastown.services.rigs import origins
from gastown.store import layout, runstate
from gastown.store.change import Change
from gastown.store.town import Town

STATUSES = ("completed", "escalated", "deferred")


@dataclass(frozen=True)
class DoneReport:
    """What became of the work. `wip`: what was committed first, a line a file, deletions with a minus.

    `merge` is the merge bead, `already` is true if all of it had been done before.
    """

    bead: str
    status: str
    branch: str = ""
    commit: str = ""
    merge: str = ""
    target: str = ""
    pushed: bool = False
    wip: tuple[str, ...] = ()
    escalation: str = ""
    already: bool = False
    message: str = ""


@dataclass(frozen=True)
class _Job:
    town: Town
    address: str
    rig: Rig
    bead: Bead
    path: str

    @property
    def repo(self) -> str:
        return layout.bare(self.town.root, self.rig.name)

    @property
    def branch(self) -> str:
        return str(self.bead.branch)

    @property
    def env(self) -> dict[str, str]:
        """Who commits, and what the commit-msg hook puts into the trailers."""
        who = git.author_env(*author(self.address, self.town.name))
        return {**who, "GT_BEAD": self.bead.id, "GT_ACTOR": self.address}


def done(
    town: Town, actor: str, *, status: str = "completed", no_changes: str | None = None, message: str | None = None,
    bead_id: str | None = None, attempt: int | None = None,
) -> DoneReport:  # fmt: skip
    """End the work on `actor`'s hook: hand it in, ask for help, or put it off (lifecycle.md, The agent's side).

    `bead_id` and `attempt` are what the caller's session was started for: another attempt is refused, and so is
    a hook that is empty. Run again after it was done: the same report, nothing changes.
    """
    _check_words(actor, status, no_changes, message)
    footing.require_home(town.repo)
    town.settle()
    bead = hook.read(town, actor)
    if bead is None or (bead_id and bead.id != bead_id):
        return _already(town, actor, bead, bead_id, attempt)
    if attempt is not None and attempt != bead.attempt:
        raise Refused(
            f"attempt {attempt} of {bead.id} is over: it is worked on as attempt {bead.attempt}",
            "stop; your commits stay on your branch",
        )
    rig = town.rig(str(rig_of(actor)))
    job = _Job(town, actor, rig, bead, layout.worktree(town.root, rig.name, name_of(actor)))
    _check_branch(job)
    if status == "completed":
        withheld.check(town, rig, name_of(actor), unchanged=no_changes is not None)
    _checkpoint(job, "begun", status=status, no_changes=no_changes)
    try:
        wip = _commit_leftovers(job)
        if status == "completed":
            report = _complete(job, no_changes, message, wip)
            runstate.set_hook_hint(town.root, actor, None)
        else:
            stashed = worksite.keep_stashes(town, rig.name, name_of(actor))
            report = _put_off(job, status, "\n\n".join(filter(None, (message, stashed))), wip)
    except (GtError, KeyboardInterrupt):
        # Whoever sees it fail goes on working: only the call of one that was killed is finished on its behalf.
        _forget(town, bead)
        raise
    _forget(town, bead)
    return report


def _check_words(actor: str, status: str, no_changes: str | None, message: str | None) -> None:
    if not is_worker(actor):
        raise Refused(f"{actor} has no hook: `gt done` is for workers", "stand in a worktree, or --as RIG/NAME")
    if status not in STATUSES:
        raise UsageError(f"{status!r} is no way to be done", "one of: " + " ".join(STATUSES))
    if no_changes is not None and (status != "completed" or not no_changes.strip()):
        raise UsageError("--no-changes says why nothing had to change", 'gt done --no-changes "why"')
    if status == "escalated" and not (message or "").strip():
        raise UsageError("asking for help needs words", 'gt done --status escalated -m "what is in the way"')


def _already(town: Town, actor: str, held: Bead | None, bead_id: str | None, attempt: int | None) -> DoneReport:
    """Nothing to hand in: fine if the work of this very attempt was handed in before, refused otherwise."""
    found = _of_worktree(town, actor) if bead_id is None else (bead_id, attempt)
    if found is not None:
        bead = town.bead(found[0])
        own = bead.branch is not None and parse_branch(bead.branch)[0] == name_of(actor)
        same = own and found[1] in (None, bead.attempt)
        if same and bead.status in ("merging", "closed"):
            word = "completed" if bead.status == "merging" else str(bead.closed.get("reason", "closed"))
            return DoneReport(bead.id, word, str(bead.branch), target=bead.target or "", already=True)
        if bead.status != "open":
            raise Refused(
                f"{bead.id} is not on your hook any more: {bead.status}"
                + (f", with {bead.assignee} (attempt {bead.attempt})" if bead.held else ""),
                "stop; your commits stay on your branch",
            )
        raise Refused(f"{bead.id} was taken off your hook: it is open again", "stop; your commits stay on your branch")
    what = f"; {held.id} is on it" if held else ""
    raise Refused(f"there is nothing to hand in on the hook of {actor}{what}", "`gt hook` shows it")


def _of_worktree(town: Town, actor: str) -> tuple[str, int | None] | None:
    """(bead, attempt) of the branch that the worker's worktree is on."""
    path = layout.worktree(town.root, str(rig_of(actor)), name_of(actor))
    if not os.path.isdir(path):
        return None
    said = git.run(["symbolic-ref", "--quiet", "--short", "HEAD"], cwd=path, check=False)
    _, bead_id, attempt = parse_branch(said.text) if said.code == 0 else ("", "", 0)
    return (bead_id, attempt) if bead_id and town.bead_path(bead_id) else None


def _check_branch(job: _Job) -> None:
    """The worktree must be there and on the attempt's own branch: anything else would hand in the wrong work."""
    if not intact.holds_files(job.path):
        if clones.resolve(job.repo, f"refs/heads/{job.branch}") is None:
            raise GtError(f"the worktree {job.path} and branch {job.branch} are gone", f"gt resume {job.bead.id}")
        return
    intact.require(job.repo, job.path)
    now = worktrees.state(job.path)
    if now.branch != job.branch:
        on = now.branch or "no branch (detached HEAD)"
        fix = f"git switch {job.branch}" + (f" && git merge {now.branch or now.head}" if now.unpushed else "")
        raise Refused(f"{job.path} is on {on}, not on {job.branch}", f"put your commits there: {fix}")


def _commit_leftovers(job: _Job) -> tuple[str, ...]:
    """Commit what is uncommitted as `wip: …`, deletions too; what it was, a line a file."""
    if not intact.holds_files(job.path):
        return ()
    sha, changes = worktrees.commit_all(job.path, f"wip: {header_text(job.bead.title)}\n", job.env)
    if sha:
        _checkpoint(job, "committed", commit=sha)
    signs = {"A": "+", "D": "-"}
    return tuple(f"{signs.get(one.kind, '~')} {one.path}" for one in changes)


# -- completed ------------------------------------------------------------------------------------
def _complete(job: _Job, no_changes: str | None, message: str | None, wip: tuple[str, ...]) -> DoneReport:
    tip = clones.resolve(job.repo, f"refs/heads/{job.branch}")
    target = job.bead.target or job.rig.branch
    if tip is None:
        raise GtError(f"branch {job.branch} is gone", f"gt resume {job.bead.id} makes it anew")
    origins.follow(job.town, job.rig)
    onto = landing.target_now(job.town, job.rig, target)
    origins.check_related(job.town, job.rig, job.branch, tip, onto, target)
    count = worksite.ahead(job.repo, onto, job.branch)
    if count == 0:
        return _close_unchanged(job, no_changes, wip)
    if no_changes is not None:
        raise UsageError(f"{job.branch} has {count} commits of its own", "hand them in: `gt done` without --no-changes")
    pushed = _push(job, tip) if job.rig.landing == "push" else False
    merge = job.town.transact("done", lambda change: _record(change, job, tip, target, message), actor=job.address)
    return DoneReport(job.bead.id, "completed", job.branch, tip, merge, target, pushed, wip, message=message or "")


def _close_unchanged(job: _Job, why: str | None, wip: tuple[str, ...]) -> DoneReport:
    if why is None:
        raise Refused(
            f"{job.branch} has no commits: there is nothing to hand in",
            'commit your work; if nothing had to change: gt done --no-changes "why"',
        )
    reason = " ".join(why.split())

    def body(change: Change) -> None:
        bead = _mine(change, job)
        bead.end_session(at=change.at, outcome="done")
        bead.close(at=change.at, by=change.actor, reason=f"no changes: {reason}")
        change.save(bead)
        change.emit("done", f"{job.address} closed {bead.id} without changes: {reason}", bead=bead.id, rig=job.rig.name,
                    attempt=bead.attempt)  # fmt: skip

    job.town.transact("done", body, actor=job.address)
    return DoneReport(job.bead.id, "no_changes", job.branch, target=job.bead.target or "", wip=wip, message=reason)


def _push(job: _Job, tip: str) -> bool:
    """Push the branch and read the remote ref back. Pushed before the crash: found out, not done again."""
    ref = f"refs/heads/{job.branch}"
    before = _read_checkpoint(job.town, job.bead)
    if before.get("step") == "pushed" and before.get("commit") == tip and before.get("to") == job.rig.git:
        return True
    there = remotes.remote_ref(job.repo, ref)
    if there != tip:
        # The branch is this attempt's alone, so a rebased one may take the place of what was pushed before.
        there = remotes.push(job.repo, tip, ref, expect=there or "", force=True, env=job.env)
    if there != tip:
        raise GtError(
            f"{job.branch} was pushed as {tip[:12]}, but the remote has {there[:12]}",
            "somebody else pushes to it: look, then run it again",
        )
    _checkpoint(job, "pushed", commit=tip, to=job.rig.git)
    return True


def _record(change: Change, job: _Job, tip: str, target: str, message: str | None) -> str:
    bead = _mine(change, job)
    if bead.status == "hooked":
        bead.move("in_progress")
    bead.move("merging")
    bead.set("target", target)
    if message and message.strip():
        bead.add_note(change.at, change.actor, message)
    bead.end_session(at=change.at, outcome="done")
    change.save(bead)
    merge, new = queue.submit(
        change, job.rig.name, bead, branch=job.branch, commit=tip, target=target, worker=job.address
    )
    text = f"{job.address} handed in {bead.id}: {bead.title}"
    change.emit("done", text, bead=bead.id, rig=job.rig.name, attempt=bead.attempt, commit=tip)
    if new:
        change.emit("merge_queued", f"{bead.id} waits to land on {target}", bead=bead.id, rig=job.rig.name,
                    merge=merge.id, commit=tip)  # fmt: skip
    return merge.id


def _mine(change: Change, job: _Job) -> Bead:
    """The bead as it is now; raises Refused if this attempt has lost it meanwhile."""
    bead = change.bead(job.bead.id)
    if not hook.is_on(bead, job.address) or bead.branch != job.branch:
        raise Refused(f"{bead.id} was taken off your hook meanwhile", "stop; your commits stay on your branch")
    return bead


# -- escalated, deferred --------------------------------------------------------------------------
def _put_off(job: _Job, status: str, message: str | None, wip: tuple[str, ...]) -> DoneReport:
    """The bead stays with its worker; its session is over, and `gt resume` starts another."""

    def body(change: Change) -> str:
        bead = _mine(change, job)
        if bead.status == "hooked":
            bead.move("in_progress")
        if (bead.last_session or {}).get("outcome") == status:
            return ""
        bead.end_session(at=change.at, outcome=status)
        if message and message.strip():
            bead.add_note(change.at, change.actor, message)
        change.save(bead)
        word = "asks for help with" if status == "escalated" else "put off"
        change.emit("done" if status == "escalated" else "defer", f"{job.address} {word} {bead.id}: {bead.title}",
                    bead=bead.id, rig=job.rig.name, attempt=bead.attempt, status=status)  # fmt: skip
        return escalate(change, job.rig.name, bead, message or "") if status == "escalated" else ""

    escalation = job.town.transact("done", body, actor=job.address)
    if escalation:
        escalations.page(job.town, escalation)
    return DoneReport(
        job.bead.id, status, job.branch, target=job.bead.target or "", wip=wip, escalation=escalation,
        message=message or "",
    )  # fmt: skip


def escalate(
    change: Change, rig: str, bead: Bead, words: str, *, severity: str = "high", go_on: str = ""
) -> str:
    """An escalation bead for work that its agent cannot finish, and mail to the overseer and the mayor; its id.

    `go_on` is the command that starts it again, `gt resume` if not given. Once the change stands, the caller lets
    `escalations.page` run the town's command for it.
    """
    title = " ".join(f"help wanted with {bead.id}: {bead.title}".split())
    body = f"{words.strip()}\n\nLook: gt show {bead.id}\nGo on: {go_on or f'gt resume {bead.id}'}\n"
    return ask(change, rig, bead.id, title, body, severity=severity)


def ask(change: Change, rig: str, source: str, title: str, body: str, *, severity: str = "high") -> str:
    """An escalation bead about bead `source`, and mail to the overseer and the mayor; its id."""
    raised = change.create(
        None, title=title, type="escalation", priority=1, severity=severity, description=body, source=source
    )
    for who in ("overseer", "mayor"):
        change.deliver(who, header_text(title), body, kind="escalation", priority="high", bead=raised.id)
    change.emit("escalation", title, bead=raised.id, rig=rig, severity=severity, source=source)
    return raised.id


# -- checkpoints ----------------------------------------------------------------------------------
def _checkpoint_path(town: Town, bead: Bead) -> str:
    return layout.run(town.root, "done", f"{bead.id}.a{bead.attempt}.json")


def _checkpoint(job: _Job, step: str, **facts: Any) -> None:
    before = _read_checkpoint(job.town, job.bead)
    if step != "begun" or not before:
        runstate.write_json(_checkpoint_path(job.town, job.bead), {**before, "step": step, **facts})


def _read_checkpoint(town: Town, bead: Bead) -> dict[str, Any]:
    found = runstate.read_json(_checkpoint_path(town, bead))
    return found if isinstance(found, dict) else {}


def begun(town: Town, bead: Bead) -> dict[str, Any]:
    """What `gt done` was called with for this attempt, if it was killed before it ended; else nothing."""
    return _read_checkpoint(town, bead)


def _forget(town: Town, bead: Bead) -> None:
    from gastown.store import files

    files.remove(_checkpoint_path(town, bead))
