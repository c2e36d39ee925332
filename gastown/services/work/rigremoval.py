"""Removing a rig: what would be lost is named; with force it is saved to .gt/rescue/ before anything goes."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gastown.model import times
from gastown.model.bead import parse_branch
from gastown.model.errors import GtError, Refused
from gastown.model.rig import Rig
from gastown.model.text import counted, some
from gastown.runtime import clones, git, intact, rescue, sessions, worktrees
from gastown.services.agents import worksite
from gastown.services.rigs import localtarget, pulling
from gastown.store import layout
from gastown.store.town import Town

if TYPE_CHECKING:
    from gastown.store.change import Change


@dataclass(frozen=True)
class Removed:
    """A rig that is gone: where its refs and uncommitted work were saved, and how many beads went with it."""

    name: str
    bundle: str | None
    saved: tuple[str, ...]
    beads: int


def at_risk(town: Town, rig: Rig) -> list[str]:
    """What removing the rig would lose or leave undone, a sentence each; empty if nothing."""
    found = []
    rows = [row for row in town.index().live if row.rig == rig.name]
    if rows:
        found.append(f"not closed: {counted(len(rows), 'bead')}: {some([row.id for row in rows])}")
    repo = layout.bare(town.root, rig.name)
    others = [os.path.relpath(path, town.root) for path in _others(town, rig, repo)]
    if others:
        found.append(f"no worktree of the rig, so somebody's own: {some(others)}")
    if not os.path.isdir(repo):
        return found
    unmerged = _unmerged(town, rig, repo)
    if unmerged:
        found.append(f"branches are not merged: {some(unmerged)}")
    waiting = pulling.waiting(town, rig)
    if waiting:
        found.append(f"only in {repo}: {counted(waiting, 'landed commit')}; {pulling.command(town, rig)}")
    for path in _worktrees(town, rig, repo):
        # In the refinery's worktree lie stacks that it made from branches, and nothing of anybody's.
        ours = os.path.realpath(path) == os.path.realpath(layout.worktree(town.root, rig.name, "refinery"))
        if ours or not intact.holds_files(path):
            continue
        if not intact.is_whole(repo, path):
            found.append(f"{os.path.relpath(path, town.root)} holds files, and has lost its .git")
        elif worksite.unsaved(town, repo, path):
            found.append(f"{os.path.relpath(path, town.root)} holds work that is on no branch")
    return found


def _others(town: Town, rig: Rig, repo: str) -> list[str]:
    """What lies in the rig's folder below `work/` and is neither its clone nor a worktree of that."""
    home = layout.work(town.root, rig.name)
    ours = {os.path.realpath(path) for path in (repo, *_worktrees(town, rig, repo))}
    there = [entry.path for entry in os.scandir(home)] if os.path.isdir(home) else []
    return sorted(path for path in there if os.path.realpath(path) not in ours and intact.holds_files(path))


def _unmerged(town: Town, rig: Rig, repo: str) -> list[str]:
    """Local branches with commits that neither the target nor anything fetched from the remote holds.

    An earlier attempt at a bead that has landed since is nothing that waits.
    """
    merged = {row.id for row in town.index().rows if row.closed_reason == "merged"}
    # Not :short, which says `heads/main` where there is a tag of that name.
    heads = git.run(["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads"], git_dir=repo).text.split()
    found = []
    for head in heads:
        if parse_branch(head)[1] in merged:
            continue
        known = ["--remotes=origin"]
        if landed := localtarget.landed(town, rig, rig.branch) if rig.landing == "local" else None:
            known.append(landed)
        count = git.run(["rev-list", "--count", f"refs/heads/{head}", "--not", *known, "--"], git_dir=repo).text
        if count != "0":
            found.append(head)
    return found


def _worktrees(town: Town, rig: Rig, repo: str) -> list[str]:
    ours = os.path.realpath(layout.work(town.root, rig.name))
    if not os.path.isdir(repo):
        return []
    return [
        one["worktree"]
        for one in clones.worktrees(repo)
        if os.path.realpath(one["worktree"]).startswith(ours + os.sep) and os.path.realpath(one["worktree"]) != repo
        and "bare" not in one
    ]  # fmt: skip


def remove(town: Town, name: str, *, force: bool = False) -> Removed:
    """Remove a rig from the town. Its beads stay in git's history.

    Refused while an agent works in it, whatever the force, and while anything is at risk without it.
    Uncommitted work and every ref are saved under .gt/rescue/ and read back before anything is removed.
    """
    rig = town.rig(name)
    _refuse_while_worked_in(town, rig)
    risks = at_risk(town, rig)
    if risks and not force:
        raise Refused(
            f"rig {name} cannot be removed:\n" + "\n".join(f"- {risk}" for risk in risks),
            "settle these first, or --force: everything is saved to .gt/rescue/ then",
        )
    repo = layout.bare(town.root, name)
    saved, bundle = _save(town, rig, repo)
    beads = town.transact("rig remove", lambda change: _remove_files(change, rig))
    if os.path.isdir(repo):
        for path in _worktrees(town, rig, repo):
            worktrees.remove(repo, path)
        shutil.rmtree(repo)
    _remove_empty(layout.work(town.root, name))
    return Removed(name, bundle, saved, beads)


def _remove_empty(home: str) -> None:
    """Remove a folder in which nothing is left but empty folders; what came meanwhile stays."""
    for here, _, _ in os.walk(home, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(here)


def _refuse_while_worked_in(town: Town, rig: Rig) -> None:
    records, unreadable = sessions.all_sessions(layout.run(town.root))
    for error in unreadable:
        raise error  # a session that cannot be read may be alive
    live = [
        f"{one.address} ({one.id})"
        for one in records
        if one.address.startswith(rig.name + "/") and sessions.liveness(one) in ("running", "starting")
    ]
    if live:
        raise Refused(f"agents are at work in rig {rig.name}: {some(live)}", "end them first: gt session stop ID")


def _save(town: Town, rig: Rig, repo: str) -> tuple[tuple[str, ...], str | None]:
    folder, now = layout.rescue(town.root), town.clock()
    os.makedirs(folder, exist_ok=True)
    saved = []
    for path in _worktrees(town, rig, repo):
        if not intact.is_whole(repo, path):
            aside = worksite.set_aside(town, rig.name, os.path.basename(path))
            saved += [f"{os.path.relpath(path, town.root)}: {aside}"] if aside else []
        elif rescue.unsaved(repo, path):
            done = rescue.save(repo, path, os.path.basename(path), folder, now)
            if not worksite.all_landed(town, done):
                saved.append(f"{os.path.relpath(path, town.root)}: {done.description}")
    for path in _others(town, rig, repo):
        aside = intact.set_aside(path, folder, f"{rig.name}-{os.path.basename(path)}", now)
        saved.append(f"{os.path.relpath(path, town.root)}: moved to {layout.relative(town.root, aside)}")
    if not os.path.isdir(repo):
        return tuple(saved), None
    large = os.path.join(repo, "lfs", "objects")
    if intact.holds_files(large):  # no bundle holds what git-lfs keeps outside git
        aside = intact.set_aside(large, folder, f"{rig.name}-lfs-objects", now)
        saved.append(f"large files of {rig.name} (git lfs): moved to {layout.relative(town.root, aside)}")
    refs = git.run(["for-each-ref", "--format=%(refname)", "refs/heads", "refs/gt", "refs/stash"], git_dir=repo).text
    if not refs:
        return tuple(saved), None
    bundle = _free(os.path.join(folder, f"{times.day(now)}-{rig.name}"), ".bundle")
    git.run(["bundle", "create", "--quiet", bundle, "--all"], git_dir=repo)
    git.run(["bundle", "verify", "--quiet", bundle], git_dir=repo)
    held = git.run(["bundle", "list-heads", bundle], git_dir=repo).text
    missing = [ref for ref in refs.split() if ref not in held]
    if missing:
        raise GtError(f"{bundle} does not hold {some(missing)}", "nothing was removed")
    return tuple(saved), bundle


def _free(stem: str, ending: str) -> str:
    number, path = 2, stem + ending
    while os.path.exists(path):
        path, number = f"{stem}-{number}{ending}", number + 1
    return path


def _remove_files(change: Change, rig: Rig) -> int:
    root, folder = change.town.root, layout.rig_dir(rig.name)
    beads = 0
    for here, _, names in os.walk(layout.absolute(root, folder)):
        for name in names:
            path = layout.relative(root, os.path.join(here, name))
            beads += layout.bead_of_path(path) is not None
            change.remove(path)
    change.emit("rig_remove", f"removed rig {rig.name} with {beads} beads", rig=rig.name, beads=beads)
    return beads
