"""What gates printed, `.gt/log/gates/<day>/`: kept for a while, and never so much that it fills the disk."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator

from gastown.model import times
from gastown.store import files, layout
from gastown.store.town import Town

KEEP_DAYS = 14
MOST = 1 << 30
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
# A log that was written to just now may be a running gate's.
_FRESH = 3600.0


def prune(town: Town) -> int:
    """Remove the logs of days that are long gone, and of the others the oldest while all are too much; how many."""
    top = layout.log(town.root, "gates")
    last = times.day(town.clock() - KEEP_DAYS * 86400.0)
    removed = 0
    for day in _days(top):
        if day < last:
            removed += sum(1 for _ in _logs(os.path.join(top, day)))
            shutil.rmtree(os.path.join(top, day), ignore_errors=True)
    there = sorted(log for day in _days(top) for log in _logs(os.path.join(top, day)))
    left = sum(size for _, size, _ in there)
    for when, size, path in there:
        if left <= MOST or when > town.clock() - _FRESH:
            break
        files.remove(path)
        left, removed = left - size, removed + 1
    return removed


def _days(top: str) -> list[str]:
    """The folders of days; what else lies there is not ours to remove."""
    names = os.listdir(top) if os.path.isdir(top) else []
    return sorted(name for name in names if _DAY.fullmatch(name) and os.path.isdir(os.path.join(top, name)))


def _logs(folder: str) -> Iterator[tuple[float, int, str]]:
    """(when it was written to, its size, its path) of each log."""
    with os.scandir(folder) as entries:
        for one in entries:
            if one.is_file(follow_symlinks=False):
                found = one.stat(follow_symlinks=False)
                yield found.st_mtime, found.st_size, one.path
