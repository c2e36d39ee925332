"""The town lock: one writer at a time on this machine, and a name to blame when it takes long."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from gastown.model.errors import RaceLost
from gastown.store import layout, runstate

TIMEOUT = 30.0
# filelock sleeps 50 ms between tries by default; at 3 ms the last of 8 waits tens, not hundreds, of milliseconds.
POLL = 0.003
_held: set[str] = set()


@contextlib.contextmanager
def town_lock(root: str, verb: str, *, timeout: float = TIMEOUT) -> Iterator[None]:
    """Hold the town for writing. Raises RaceLost naming the holder after `timeout` seconds.

    The kernel releases it when its holder dies. It is not re-entrant: a change inside a change is a bug.
    """
    from filelock import FileLock, Timeout

    if root in _held:
        raise RuntimeError("a change was opened inside another change")
    os.makedirs(layout.local(root), exist_ok=True)
    lock = FileLock(layout.local(root, "lock"))
    try:
        lock.acquire(timeout=timeout, poll_interval=POLL)
    except Timeout:
        raise RaceLost(f"the town is being written by {_holder(root)}", "try again; nothing was changed") from None
    _held.add(root)
    holder = layout.run(root, "lock-holder.json")
    try:
        runstate.write_json(holder, {"pid": os.getpid(), "verb": verb, "since": time.time()}, durable=False)
        yield
    finally:
        _held.discard(root)
        lock.release()


def _holder(root: str) -> str:
    note = runstate.read_json(layout.run(root, "lock-holder.json"))
    if not isinstance(note, dict):
        return "another process"
    seconds = max(0, int(time.time() - float(note.get("since", 0))))
    return f"process {note.get('pid')} (gt {note.get('verb')}, for {seconds} s)"
