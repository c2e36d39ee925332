"""The town lock: one writer at a time on this machine, and a name to blame when it takes long."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator

from gastown.model.errors import RaceLost
from gastown.store import flock, layout, runstate

TIMEOUT = 30.0
_held: set[str] = set()


@contextlib.contextmanager
def town_lock(root: str, verb: str, *, timeout: float = TIMEOUT) -> Iterator[None]:
    """Hold the town for writing. Raises RaceLost naming the holder after `timeout` seconds.

    The kernel releases it when its holder dies. It is not re-entrant: a change inside a change is a bug.
    """
    if root in _held:
        raise RuntimeError("a change was opened inside another change")
    path = layout.local(root, "lock")
    os.makedirs(layout.local(root), exist_ok=True)
    with flock.hold(path, timeout=timeout) as handle:
        if handle is None:
            raise RaceLost(f"the town is being written by {_holder(path)}", "try again; nothing was changed")
        _held.add(root)
        try:
            # Who holds it stands in the lock itself; a reader that meets it half written says less.
            note = json.dumps({"pid": os.getpid(), "verb": verb, "since": time.time()})
            os.ftruncate(handle, os.pwrite(handle, note.encode() + b"\n", 0))
            yield
        finally:
            _held.discard(root)


def _holder(path: str) -> str:
    note = runstate.read_json(path)
    if not isinstance(note, dict):
        return "another process"
    seconds = max(0, int(time.time() - float(note.get("since", 0))))
    return f"process {note.get('pid')} (gt {note.get('verb')}, for {seconds} s)"
