"""One gt of this machine at a time claims a bead or gives it back: between two machines the remote decides, here this.

Everything that is done with a claim is several steps: what is known here is read, the remote is asked, the note of
what is ours is written, and the bead comes onto a hook. In between another gt of the same clone would take the claim
for its own, since it is this clone's, and renew or delete it.

Order of the locks: the turn first, then the sync's or the town's; nobody waits for a turn while holding one of those.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from gastown.model.errors import RaceLost
from gastown.store import flock
from gastown.store.town import Town

# So long is another gt waited for that claims the same bead, in seconds: it may wait for the remote itself.
WAIT = 30.0
_POLL = 0.01
_local = threading.local()


@contextlib.contextmanager
def alone(town: Town, bead_id: str, *, wait: float = WAIT) -> Iterator[None]:
    """Be the only one on this machine who claims that bead or gives it back, for the block.

    Whoever has the turn already goes on. Raises RaceLost if another has it for `wait` seconds.
    """
    path = _path(town, bead_id)
    if path in _mine():
        yield
        return
    with _held(path, wait) as got:
        if not got:
            what = f"another gt on this machine is claiming {bead_id}, or gives it back"
            raise RaceLost(what, "wait for it, then again; nothing was changed")
        yield


@contextlib.contextmanager
def tried(town: Town, bead_id: str) -> Iterator[bool]:
    """As `alone`, without waiting: False if anybody has the turn now, this very thread included."""
    path = _path(town, bead_id)
    if path in _mine():
        yield False
        return
    with _held(path, 0) as got:
        yield got


@contextlib.contextmanager
def _held(path: str, wait: float) -> Iterator[bool]:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with flock.hold(path, timeout=wait, poll=_POLL) as handle:
        if handle is None:
            yield False
            return
        _mine().add(path)
        try:
            yield True
        finally:
            _mine().discard(path)
            # While it is held: who waits for it takes a new one. What a killed gt leaves goes with the next turn.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _mine() -> set[str]:
    """The turns that this thread has."""
    if not hasattr(_local, "paths"):
        _local.paths = set()
    found: set[str] = _local.paths
    return found


def _path(town: Town, bead_id: str) -> str:
    return os.path.join(town.repo.git_dir, "gt", "turns", f"{bead_id}.lock")
