"""One deacon a machine and town: a lock that the kernel frees when its holder dies, and a note of who that is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from gastown.model import times
from gastown.model.errors import RaceLost
from gastown.services.sessions import powers
from gastown.store import flock


@contextlib.contextmanager
def sole(root: str, *, patience: float = 1.0) -> Iterator[None]:
    """Be the town's only deacon on this machine. Raises RaceLost naming the one there is."""
    os.makedirs(os.path.dirname(powers.lock_path(root)), exist_ok=True)
    # The kernel may take a moment to bury one that was killed just now.
    with flock.alone(powers.lock_path(root), timeout=patience, poll=0.05) as alone:
        if not alone:
            raise RaceLost(f"this town has a deacon on this machine already: {_holder(root)}", "gt deacon status")
        yield
        powers.say_ended(root)  # one that ends by an error leaves its note, so that `gt status` misses it


def _holder(root: str) -> str:
    there = powers.deacon(root)
    return f"process {there.proc.pid}, since {times.text(there.since)}" if there else "a process that is just starting"
