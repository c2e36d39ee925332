"""Removing a polecat's worktree and session. Its identity, its history and every byte of its work stay."""

from __future__ import annotations

import os

from gastown.model.address import name_of, rig_of
from gastown.model.bead import Bead
from gastown.model.errors import GtError, Refused
from gastown.model.rig import Rig
from gastown.model.text import counted
from gastown.runtime import git, intact, rescue, worktrees
from gastown.services.agents import polecats, worksite
from gastown.services.agents.polecats import Nuked
from gastown.services.beads import hook
from gastown.services.landing import landing
from gastown.services.sessions import attempts
from gastown.services.sling import release as releasing
from gastown.store import layout
from gastown.store.town import Town


def unfinished(town: Town, address: str) -> list[str]:
    """Why a polecat may not simply go: each kind of work it still has, in words. Empty: nothing would be missed."""
    rig, name = town.rig(str(rig_of(address))), name_of(address)
    found = []
    bead = hook.find(town, address, town.machine)
    if bead is not None:
        found.append(f"{bead.id} is on its hook")
    live, unknown = attempts.live_sessions(town)
    if address in live:
        found.append(f"session {live[address].id} runs")
    elif unknown:
        found.append(f"it is not known whether a session of it runs ({unknown[0]})")
    found += _in_worktree(town, rig, name)
    found += [f"{branch} has {counted(count, 'commit')} not merged" for branch, count in _unmerged(town, rig, name)]
    return found


def _in_worktree(town: Town, rig: Rig, name: str) -> list[str]:
    repo, path = layout.bare(town.root, rig.name), layout.worktree(town.root, rig.name, name)
    if not intact.is_whole(repo, path):
        return [f"{path} holds files and is no worktree"] if intact.holds_files(path) else []
    now = worktrees.state(path)
    found = [
        counted(len(files), f"{what} file")
        for what, files in (("staged", now.staged), ("changed", now.unstaged), ("untracked", now.untracked),
                            ("conflicting", now.conflicts))
        if files
    ]  # fmt: skip
    if now.operation:
        found.append(f"a {now.operation} is under way")
    loose = worksite.unsaved(town, repo, path, ignored=False)
    if any(part.startswith("commit-") for part in loose):
        found.append("commits that are on no branch")
    if any(part.startswith("stash-") for part in loose):
        found.append(f"{now.stashes} stashed changes in the rig's repository")
    return found


def _unmerged(town: Town, rig: Rig, name: str) -> list[tuple[str, int]]:
    """The polecat's branches with commits that the target has not; one whose bead is closed has had its end."""
    repo = layout.bare(town.root, rig.name)
    if not os.path.isdir(repo):
        return []
    target = landing.target_now(town, rig, rig.branch)
    by_id = town.index().by_id
    found = []
    refs = git.text(["for-each-ref", "--format=%(refname:lstrip=2)", f"refs/heads/polecat/{name}/"], cwd=repo)
    for branch in refs.splitlines():
        bead_id = branch.rpartition("/")[2].rpartition(".a")[0]
        row = by_id.get(bead_id)
        count = worksite.ahead(repo, target, branch)
        if count and not (row is not None and row.status == "closed"):
            found.append((branch, count))
    return found


def nuke(town: Town, address: str, *, force: bool = False) -> Nuked:
    """Remove the worktree and end the session. Refused while there is unfinished work, unless `force` saves it all.

    Gone already: nothing changes. Whatever cannot be saved keeps the worktree where it is.
    """
    town.settle()
    polecats.find(town, address)
    rig, name = town.rig(str(rig_of(address))), name_of(address)
    left = unfinished(town, address)
    if left and not force:
        raise Refused(f"{address} still has work: " + "; ".join(left), "--force saves all of it first, and tells where")
    bead = hook.find(town, address, town.machine)
    saved, released = "", ""
    if bead is not None:
        let_go = releasing.release(town, bead)
        saved, released = let_go.saved, bead.id
    live, unknown = attempts.live_sessions(town)
    if unknown:
        raise GtError(f"it is not known whether a session of {address} runs: {unknown[0]}", "gt session list")
    if address in live:
        releasing.stop_session(town, live[address].id)
    saved = _save_everything(town, rig, name) or saved
    path, repo = layout.worktree(town.root, rig.name, name), layout.bare(town.root, rig.name)
    there = os.path.lexists(path)
    branches = tuple(branch for branch, _ in _unmerged(town, rig, name))
    worktrees.remove(repo, path)
    if there:
        _tell(town, address, rig, saved, bead)
    return Nuked(address, there, saved, released, branches)


def _save_everything(town: Town, rig: Rig, name: str) -> str:
    """Save all that only the worktree holds, small ignored files too; what and where, or ""."""
    repo, path = layout.bare(town.root, rig.name), layout.worktree(town.root, rig.name, name)
    if not intact.is_whole(repo, path):
        return worksite.set_aside(town, rig.name, name)
    stashed = worksite.keep_stashes(town, rig.name, name)
    if not rescue.unsaved(repo, path):
        return stashed
    worktrees.clear_locks(path)
    saved = rescue.save(repo, path, f"{rig.name}-{name}", layout.rescue(town.root), town.clock())
    if worksite.all_landed(town, saved):
        return stashed
    where = layout.relative(town.root, saved.patch) if saved.patch else ", ".join(sorted(saved.refs))
    return "; ".join(filter(None, (stashed, f"{saved.description}, saved to {where}")))


def _tell(town: Town, address: str, rig: Rig, saved: str, bead: Bead | None) -> None:
    text = f"removed the worktree of {address}" + (f"; {saved}" if saved else "")
    facts = {"worker": address, "released": bead.id if bead else None}
    town.transact("rescue", lambda change: change.emit("rescue", text, rig=rig.name, **facts))

