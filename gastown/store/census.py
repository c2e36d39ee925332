"""How many beads a rig has, without listing every day folder at every new bead.

A cache in `.gt/cache/`. Folders are compared with it once a day, by mtime; in between only today's and new ones
are counted. Nothing but the length of new ids follows from the count, so one that is a few off does no harm.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from gastown.store import files, layout, runstate

# Of each day folder: [mtime_ns, number of beads].
Counted = dict[str, list[int]]


def count(root: str, rig: str | None, today: str) -> int:
    """The number of bead files of a rig (None: the town's own) on the day `today` (UTC, 2026-11-23)."""
    folder = layout.beads_dir(rig)
    path = layout.cache(root, "census.json")
    everywhere = runstate.read_json(path)
    everywhere = everywhere if isinstance(everywhere, dict) else {}
    known = everywhere.get(folder)
    looked, known = known if isinstance(known, list) and len(known) == 2 else ("", {})
    known = known if isinstance(known, dict) else {}
    fresh = _counted(layout.absolute(root, folder), known, today, trusted=looked == today)
    if looked != today or known.keys() != fresh.keys():
        _save(path, {**everywhere, folder: [today, fresh]})
    return sum(number for _, number in fresh.values())


def _counted(base: str, known: dict[str, Any], today: str, *, trusted: bool) -> Counted:
    found: Counted = {}
    for day in _names(base):
        old = _usable(known.get(day))
        if old and trusted and day != today:
            found[day] = old
            continue
        with contextlib.suppress(OSError):
            stamp = os.stat(f"{base}/{day}").st_mtime_ns
            found[day] = old if old and old[0] == stamp else [stamp, _beads(f"{base}/{day}")]
    return found


def _usable(entry: Any) -> list[int] | None:
    sound = isinstance(entry, list) and len(entry) == 2 and all(isinstance(one, int) for one in entry)
    return entry if sound else None


def _beads(folder: str) -> int:
    return sum(name.endswith(".yaml") and name[0] != "." for name in _names(folder))


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
