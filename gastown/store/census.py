"""How many beads a rig has, without listing the day folders that stayed as they were.

A cache in `.gt/cache/`: a folder is counted again when its mtime moved. Only the length of new ids follows
from the count, so one that is a few off does no harm.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from gastown.store import files, layout, runstate

# Today's folder grows with every bead: counting a few folders again is cheaper than writing the cache.
_STALE_ENOUGH = 8


def count(root: str, rig: str | None) -> int:
    """The number of bead files of a rig (None: the town's own)."""
    folder = layout.beads_dir(rig)
    path = layout.cache(root, "census.json")
    everywhere = runstate.read_json(path)
    everywhere = everywhere if isinstance(everywhere, dict) else {}
    known = everywhere.get(folder)
    known = known if isinstance(known, dict) else {}
    fresh = _counted(layout.absolute(root, folder), known)
    if sum(known.get(day) != entry for day, entry in fresh.items()) > _STALE_ENOUGH:
        _save(path, {**everywhere, folder: fresh})
    return sum(number for _, number in fresh.values())


def _counted(base: str, known: dict[str, Any]) -> dict[str, list[int]]:
    """Of each day folder: [mtime_ns, number of beads]."""
    found: dict[str, list[int]] = {}
    for day in _names(base):
        with contextlib.suppress(OSError):
            stamp = os.stat(f"{base}/{day}").st_mtime_ns
            old = known.get(day)
            if isinstance(old, list) and len(old) == 2 and old[0] == stamp and isinstance(old[1], int):
                found[day] = old
            else:
                names = _names(f"{base}/{day}")
                found[day] = [stamp, sum(name.endswith(".yaml") and name[0] != "." for name in names)]
    return found


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _save(path: str, value: dict[str, Any]) -> None:
    # A town on a read-only disk has no change to make; a full one must not fail for want of a cache.
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        files.write(path, json.dumps(value).encode(), durable=False)
