"""A town's folder that was moved on its computer: what knows its place by an absolute path is put right, silently."""

from __future__ import annotations

import os

from gastown.model.errors import GtError
from gastown.runtime import clones
from gastown.runtime.reattach import reattach
from gastown.services.agents import wiring
from gastown.services.sessions import attempts
from gastown.store import identity, layout, lock
from gastown.store.town import Town


def follow(town: Town) -> bool:
    """Write down where the town stands now, if it was moved or lost its `.gt`; True if so. Nothing is committed.

    Where that fails (a read-only disk, somebody else at it) reading goes on all the same, and the next command tries
    again; `gt doctor` names what is wrong.
    """
    found, lost = identity.standing(town.root, town.clock()), identity.lost(town.root)
    if found.state != "moved" and not (lost and found.own):
        return False
    try:
        with lock.town_lock(town.root, "move", timeout=0):
            if lost and not os.path.isdir(layout.run(town.root, "sessions")):
                attempts.note_lost(town)
            relink(town)
            identity.settle(town.root)
    except (GtError, OSError):
        return False
    return True


def relink(town: Town) -> list[str]:
    """Mend worktrees, settings and hooks after a move; returns the worktrees that had to be mended. Idempotent."""
    mended: list[str] = []
    work = os.path.join(town.root, layout.WORK)
    for rig in sorted(os.listdir(work)) if os.path.isdir(work) else ():
        repo = os.path.join(work, rig, os.path.basename(layout.bare(town.root, "rig")))
        if os.path.isdir(repo):
            mended += reattach(repo)
            clones.configure(repo)
    wiring.wire(town)
    return mended
