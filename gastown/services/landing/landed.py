"""After a landing: record it in one change, tell the worker, and put the work branch away."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from gastown.model.address import is_address
from gastown.model.bead import Bead
from gastown.model.errors import GtError
from gastown.model.queue import Entry
from gastown.model.rig import Rig
from gastown.runtime import clones, git, intact, remotes, worktrees
from gastown.services.landing.gates import GatesRun
from gastown.services.landing.landing import REMOTE, refresh
from gastown.store import layout
from gastown.store.change import Change
from gastown.store.town import Town

BRANCHES = "refs/heads/polecat/"


def record(
    town: Town, rig: Rig, items: Sequence[tuple[Entry, str]], *, gates: str, how: str = "", run: GatesRun | None = None
) -> list[Entry]:
    """Close merge beads and work beads as merged with their landed commit, in one change.

    `gates` is said in the feed (`no gates` where a rig has none), `how` adds what was unusual, `run` is kept on
    the merge beads. What is recorded already is left alone. Returns the entries recorded now.
    """

    def body(change: Change) -> list[Entry]:
        return [entry for entry, commit in items if _record_one(change, rig, entry, commit, gates, how, run)]

    return town.transact("merged", body, actor=f"{rig.name}/refinery")


def _record_one(
    change: Change, rig: Rig, entry: Entry, commit: str, gates: str, how: str, run: GatesRun | None
) -> bool:
    merge = change.bead(entry.id)
    if merge.status == "closed":
        return False
    if run is not None:
        merge.set("gates", run.as_docs(change.at))
    merge.close(at=change.at, by=change.actor, reason="merged", commit=commit)
    change.save(merge)
    if entry.source:
        work = change.bead(entry.source)
        if work.status != "closed" and (work.branch or entry.branch) == entry.branch:
            work.set("target", work.target or entry.target)
            work.close(at=change.at, by=change.actor, reason="merged", commit=commit)
            change.save(work)
    where = f"{entry.target} at {commit[:12]}"
    if entry.worker and is_address(entry.worker):
        text = f"{entry.source or entry.branch} ({entry.title}) is on {where}.\n{gates}.\n"
        change.deliver(entry.worker, f"merged: {entry.source or entry.branch}", text, bead=entry.source or None)
    said = f"merged {entry.source or entry.branch} into {where}; {gates}" + (f"; {how}" if how else "")
    change.emit("merged", said, bead=entry.source or entry.id, rig=rig.name, commit=commit, target=entry.target,
                merge=entry.id, worker=entry.worker, gates=gates)  # fmt: skip
    return True


def close(change: Change, rig: Rig, bead: Bead, target: str, commit: str) -> None:
    """Close work that stands on the target already, at `commit`, instead of doing it again."""
    bead.set("target", target)
    bead.close(at=change.at, by=change.actor, reason="merged", commit=commit)
    change.save(bead)
    text = f"{bead.id} is on {target} already, at {commit[:12]}: {bead.title}"
    change.emit("merged", text, bead=bead.id, rig=rig.name, commit=commit, target=target)


def put_away(town: Town, rig: Rig, landed: Sequence[tuple[str, str, str]], *, say: Callable[[str], None]) -> None:
    """Delete landed work branches, given as (branch, queued commit, landed commit), here and on the remote.

    Only while they are still at the queued commit. Idempotent. One that cannot be deleted now is kept and said.
    """
    repo = layout.bare(town.root, rig.name)
    # Where landing is local the remote is a person's own repository: its branches are theirs.
    ways = (_delete_local,) if rig.landing == "local" else (_delete_remote, _delete_local)
    for branch, commit, there in landed:
        for delete in ways:
            try:
                delete(repo, branch, commit, there)
            except GtError as error:
                say(f"branch {branch} was kept: {error.message.splitlines()[0]}")


def _delete_remote(repo: str, branch: str, commit: str, there: str) -> None:
    if clones.resolve(repo, f"{REMOTE}{branch}") == commit:
        remotes.delete(repo, f"refs/heads/{branch}", expect=commit, env=clones.refinery_env(repo))


def _delete_local(repo: str, branch: str, commit: str, there: str) -> None:
    # A worktree is given its next work under this lock: what is found of it holds until it is done.
    with clones.locked(repo) as lock:
        if clones.resolve(repo, f"refs/heads/{branch}") != commit:
            return
        at = clones.branch_checked_out_at(repo, branch)
        if at is not None:
            intact.require(repo, at)
            # The worker's worktree stays for its next work: on what landed, or as it is while something lies in it.
            onto = [there] if worktrees.is_clean(at) else []
            git.run(["checkout", "--quiet", "--detach", *onto], cwd=at, pass_fds=[lock])
        clones.delete_branch(repo, branch, expect=commit)


def tidy(town: Town, rig: Rig) -> list[str]:
    """Put away what landed by the refinery of another machine and is still here; what was kept, and why.

    Only what this clone itself holds as landed, freshly fetched. Raises what `landing.refresh` does.
    """
    repo, said = layout.bare(town.root, rig.name), list[str]()
    if not os.path.isdir(repo) or not leftovers(town, rig):
        return said
    refresh(town, rig)
    there = [one for one in leftovers(town, rig) if clones.resolve(repo, one[2]) is not None]
    put_away(town, rig, there, say=said.append)
    return said


def leftovers(town: Town, rig: Rig) -> list[tuple[str, str, str]]:
    """What `put_away` takes, for branches that landed but are still there, from a run that was killed."""
    repo = layout.bare(town.root, rig.name)
    ask = ["for-each-ref", "--format=%(objectname) %(refname)", BRANCHES, f"{REMOTE}polecat/"]
    there = set()
    for line in git.text(ask, cwd=repo).splitlines():
        commit, _, ref = line.partition(" ")
        there.add((ref.removeprefix("refs/heads/").removeprefix(REMOTE), commit))
    return sorted(
        (str(row.branch), str(row.commit), str(row.closed_commit))
        for row in town.index().rows
        if row.rig == rig.name
        and row.type == "merge"
        and row.closed_reason == "merged"
        and (row.branch, row.commit) in there
    )
