"""Logs that others write to: none may fill the disk."""

from __future__ import annotations

import contextlib
import os

# What is left of one that was cut: its end.
KEPT = 4 << 20
_CUT = b"gt: what stood before this was removed: the log had grown past %d MiB\n"


def keep_short(path: str, most: int, *, dir_fd: int | None = None) -> None:
    """Cut the beginning off a log that grew past `most` bytes. All who write to it must append: they go on behind it.

    One that cannot be cut is left.
    """
    with contextlib.suppress(OSError):
        if os.stat(path, dir_fd=dir_fd).st_size <= most:
            return
        log = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            size = os.fstat(log).st_size
            end = os.pread(log, KEPT, size - KEPT)
            os.ftruncate(log, 0)
            os.write(log, _CUT % (most >> 20) + end[end.find(b"\n") + 1 :])
        finally:
            os.close(log)
