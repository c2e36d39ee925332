"""What keeps agents from being started on this machine: an emergency stop, little disk, a pause. Light to import."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from gastown.model.errors import Refused
from gastown.store import layout, runstate

# Below this nothing new is started (lifecycle.md, The deacon).
LOW_DISK = 1 << 30


@dataclass(frozen=True)
class Hold:
    """One reason: its `kind` (stopped, disk, paused), in words, and what ends it."""

    kind: str
    why: str
    ends: str


def estop_path(root: str) -> str:
    """The marker of `gt estop`."""
    return layout.run(root, "estop.json")


def pause_path(root: str) -> str:
    """The marker of `gt scheduler pause`."""
    return layout.run(root, "scheduler.json")


def estop_marker(root: str) -> dict[str, Any] | None:
    """Who stopped this machine's agents, when and why; None if they are not stopped."""
    path = estop_path(root)
    note = runstate.read_json(path)
    if isinstance(note, dict):
        return note
    # A marker that cannot be read still says stop.
    return {"reason": "the marker cannot be read"} if os.path.exists(path) else None


def stopped(root: str) -> str:
    """Why no agent may run, in one phrase; "" if it may."""
    note = estop_marker(root)
    return "" if note is None else f"stopped by {note.get('by', 'somebody')} with gt estop{_reason(note)}"


def paused(root: str) -> str:
    """Why queued work is not started by itself, in one phrase; "" if it is."""
    path = pause_path(root)
    note = runstate.read_json(path)
    if not isinstance(note, dict):
        return "the scheduler's marker cannot be read" if os.path.exists(path) else ""
    return f"the scheduler was paused by {note.get('by', 'somebody')}{_reason(note)}"


def _reason(note: dict[str, Any]) -> str:
    return f": {note['reason']}" if note.get("reason") else ""


def free_bytes(root: str) -> int:
    """Free space of the disk the town lies on, for us."""
    found = os.statvfs(root)
    return found.f_bavail * found.f_frsize


def low_disk(root: str) -> str:
    """Why the disk forbids new work, in one phrase; "" if it does not."""
    free = free_bytes(root)
    return f"only {free >> 20} MiB of disk are free" if free < LOW_DISK else ""


def stops(root: str) -> list[Hold]:
    """Every reason for which no session may start now, not even again."""
    found = (Hold("stopped", stopped(root), "gt thaw"), Hold("disk", low_disk(root), "free some space"))
    return [one for one in found if one.why]


def every(root: str) -> list[Hold]:
    """Every reason for which no new work starts by itself now."""
    paused_for = paused(root)
    return stops(root) + ([Hold("paused", paused_for, "gt scheduler resume")] if paused_for else [])


def require_none(root: str) -> None:
    """Raise Refused while no session may start: asked before anything is touched for one."""
    for one in stops(root):
        raise Refused(f"nothing starts on this machine: {one.why}", one.ends)
