"""Logs that others write to: none may fill the disk."""

from __future__ import annotations

import contextlib
import os

# What is left of one that was cut: its end.
KEPT = 4 << 20
_CUT = b"gt: what stood before this was removed: the log had grown past %d MiB\n"


def keep_short(path: str, most: int, *, dir_fd: int | None = None) -> None:
    """Cut the beginning off a log that grew past `most` bytes. All who write to it must append: they go on behind it.

    It is moved forward in place and gets short by one step, so that no line written meanwhile comes before what is
    kept. One that cannot be cut is left.
    """
    with contextlib.suppress(OSError):
        if os.stat(path, dir_fd=dir_fd).st_size <= most:
            return
        # Not to append: pwrite would, on Linux, whatever place it is given.
        log = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            _move_forward(log, most)
        finally:
            os.close(log)


def _move_forward(log: int, most: int) -> None:
    read = os.fstat(log).st_size
    more = os.pread(log, KEPT, read - KEPT)
    begun = more.find(b"\n") + 1  # a line that was cut through says nothing, unless it is all there is
    more = _CUT % (most >> 20) + (more[begun:] or more)
    length = 0
    while more and length < most:
        length += os.pwrite(log, more, length)
        more = os.pread(log, KEPT, read)
        read += len(more)
    os.ftruncate(log, length)
