"""Reading the deacon's log, also while it grows and is rotated."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from gastown.deacon import log

_POLL = 0.2


def lines(root: str, count: int, *, go_on: bool = False) -> Iterator[str]:
    """The last `count` lines; with `go_on` also those that come, until the reader stops."""
    path = log.path(root)
    older = [line for number in range(log.KEPT, -1, -1) for line in _all(f"{path}.{number}" if number else path)]
    yield from older[-count:] if count > 0 else []
    if not go_on:
        return
    file, inode, rest = None, 0, ""
    try:
        while True:
            if file is None and os.path.exists(path):
                file = open(path, encoding="utf-8", errors="replace")  # noqa: SIM115 - it is followed, not read once
                file.seek(0, os.SEEK_SET if inode else os.SEEK_END)
                inode = os.fstat(file.fileno()).st_ino
            rest += file.read() if file is not None else ""
            *whole, rest = rest.split("\n")
            yield from whole
            if file is not None and not _is_at(path, inode):
                file.close()
                file = None  # it was rotated: the next one is read from its beginning
                continue
            time.sleep(_POLL)
    finally:
        if file is not None:
            file.close()


def _is_at(path: str, inode: int) -> bool:
    try:
        return os.stat(path).st_ino == inode
    except FileNotFoundError:
        return True


def _all(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []
