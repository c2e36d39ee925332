"""Uncommitted work in worktrees: saved to refs/gt/rescue/<name> now and then, touching neither files nor index."""

from __future__ import annotations

import os
from dataclasses import dataclass

from gastown.deacon import stamps
from gastown.deacon.action import Action, Later
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model.errors import GtError
from gastown.model.text import counted, some
from gastown.runtime import git, intact, rescue
from gastown.store import layout
from gastown.store.town import Town

STAMP = "rescue"


@dataclass(frozen=True)
class Evidence:
    """The worktrees of this machine, and when they were saved last."""

    worktrees: tuple[str, ...]
    last: float


@dataclass(frozen=True)
class Snapshot(Action):
    """Save the working tree of every worktree that holds something uncommitted."""

    slow = True

    def apply(self, town: Town) -> None:
        """Said in the feed only where something is saved that was not before."""
        stamps.set_stamp(town.root, STAMP, town.clock())
        saved = [where for where in worktrees(town) if _save(town, where)]
        if saved:
            text = f"saved uncommitted work of {some(saved)}"
            town.transact("rescue", lambda change: change.emit("rescue", text, worktrees=saved))


def worktrees(town: Town) -> list[str]:
    """`rig/name` of every worker's worktree on this machine."""
    found = []
    for rig in town.rig_names():
        home = layout.work(town.root, rig)
        for name in sorted(os.listdir(home)) if os.path.isdir(home) else ():
            if not name.startswith(".") and name != "refinery" and os.path.exists(os.path.join(home, name, ".git")):
                found.append(f"{rig}/{name}")
    return found


def _save(town: Town, where: str) -> bool:
    """True if the snapshot is new. One that cannot be made now is made next time."""
    rig, _, name = where.partition("/")
    repo, path = layout.bare(town.root, rig), layout.worktree(town.root, rig, name)
    if not intact.is_whole(repo, path):
        return False
    try:
        if not git.run(["--no-optional-locks", "status", "--porcelain", "-z"], cwd=path).out:
            return False
        before = _tree(repo, name)
        rescue.snapshot(repo, path, name)
        return _tree(repo, name) != before
    except (GtError, OSError):
        return False


def _tree(repo: str, name: str) -> str:
    said = git.run(["rev-parse", "--verify", "--quiet", f"{rescue.PREFIX}{name}^{{tree}}"], cwd=repo, check=False)
    return said.text


def gather(world: World) -> Evidence:
    """A listing and a time."""
    return Evidence(tuple(worktrees(world.town)), stamps.stamp(world.town.root, STAMP, world.now))


def decide(evidence: Evidence, settings: Settings, now: float) -> list[Action]:
    """All of them every ten minutes."""
    if not evidence.worktrees:
        return []
    due = evidence.last + settings.rescue
    if now < due:
        return [Later("worktrees", "saved a moment ago", at=due)]
    return [Snapshot("worktrees", f"{counted(len(evidence.worktrees), 'worktree')} may hold uncommitted work")]
