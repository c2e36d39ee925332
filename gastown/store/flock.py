"""A file as a lock of the kernel's: freed when its holder dies, however it dies.

`alone` is filelock. `hold` takes the same lock by hand for what every writing command does: importing filelock costs
as much as bare Python's start, and whoever starts git under the lock needs its descriptor.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

# At 3 ms the last of 8 that wait gets its turn after tens of milliseconds, and waiting costs next to nothing.
POLL = 0.003


@contextlib.contextmanager
def hold(path: str | os.PathLike[str], *, timeout: float, poll: float = POLL) -> Iterator[int | None]:
    """Hold the lock file at `path` for the block: its descriptor, or None if others held it for `timeout` seconds.

    The file is made if need be, in a folder that is there, and stays. Who inherits the descriptor holds the
    lock too. A second hold in one process waits like one of another. Raises OSError, for a symlink as well.
    """
    deadline = time.monotonic() + timeout
    handle = _take(path)
    while handle is None and time.monotonic() < deadline:
        time.sleep(poll)
        handle = _take(path)
    try:
        yield handle
    finally:
        if handle is not None:
            os.close(handle)


@contextlib.contextmanager
def alone(path: str | os.PathLike[str], *, timeout: float, poll: float = POLL) -> Iterator[bool]:
    """Hold the lock file at `path` for the block; False if others held it for `timeout` seconds. Raises OSError."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=timeout, poll_interval=poll)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _take(path: str | os.PathLike[str]) -> int | None:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Somebody may have removed the file since it was opened: then this is no longer the lock others see.
        if os.fstat(handle).st_nlink:
            return handle
    except BlockingIOError:
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None
