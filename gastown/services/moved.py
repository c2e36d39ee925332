"""A town that was moved or copied: whatever in it names its old place is put right, before anything is done there.

Otherwise a worktree of a copy would still belong to the original's clone, and work here would change it there.
"""

from __future__ import annotations

import os

from gastown.model.text import counted
from gastown.runtime import clones, reattach, sessions
from gastown.services import wiring
from gastown.store import layout, runstate
from gastown.store.town import Town


def settle(town: Town) -> list[str]:
    """Put right what names another place than this; what was done, a sentence each. Idempotent.

    Raises GtError or OSError where a clone cannot be put right: then it is tried again the next time.
    """
    before, here = runstate.place(town.root), os.path.realpath(town.root)
    if before == here:
        return []
    said = []
    for rig in town.rigs()[0]:
        repo = layout.bare(town.root, rig.name)
        joined = reattach.reattach(repo)
        if joined:
            said.append(f"rig {rig.name}: {counted(len(joined), 'worktree')} put right")
        if joined or (before and os.path.isdir(repo)):
            clones.configure(repo)
    if before is not None:
        wiring.wire(town)
        said[:0] = [f"this town was at {before} before"]
        if layout.find_root(before) == before:
            said += [f"session {sid} is of the town there" for sid in _leave_sessions(town)]
    runstate.set_place(town.root, here)
    return said


def _leave_sessions(town: Town) -> list[str]:
    """In a copy, live sessions are the original's: put their records away, so that nobody here ends them."""
    run = layout.run(town.root)
    left = [one for one in sessions.all_sessions(run)[0] if sessions.liveness(one) in ("running", "starting")]
    for record in left:
        os.makedirs(os.path.join(run, "left"), exist_ok=True)
        os.rename(record.folder, os.path.join(run, "left", record.id))
    return [record.id for record in left]
