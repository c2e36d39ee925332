"""The feed on disk: one append-only log per machine, in segments, a folder a day (town.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from gastown.model import event as events
from gastown.model.times import day as day_of
from gastown.store import layout
from gastown.store.journal import FileOp

SEGMENT_BYTES = 65_536


class Files(Protocol):
    """What reading a feed needs of a view."""

    def names(self, folder: str) -> list[str]: ...
    def read(self, path: str) -> bytes: ...


def next_lines(
    view: Files, machine: str, epoch: float, new: list[dict[str, Any]], committed: Callable[[], Files]
) -> FileOp:
    """The append that puts `new` events into this machine's segment, each with its id.

    Only the machine itself appends, under the town lock; a torn last line is cut off. A clock that was set back
    goes on in the segment of its day, and a new segment's number was never used on any day: not by one either that
    somebody removed from the disk and that git (`committed`) still has.
    """
    day = day_of(epoch)
    number = _last_of(view, machine, day)
    path = layout.feed_segment(day, machine, number)
    old = view.read(path) if number else b""
    whole = old[: old.rfind(b"\n") + 1]
    if not number or len(whole) >= SEGMENT_BYTES:
        places = [(place, one) for place in (view, committed()) for one in place.names(layout.FEED)]
        number = 1 + max((_last_of(place, machine, one) for place, one in places), default=0)
        path, old, whole = layout.feed_segment(day, machine, number), b"", b""
    count = whole.count(b"\n")
    lines = []
    for offset, event in enumerate(new, start=1):
        event["id"] = f"{machine}-{number:04d}-{count + offset:06d}"
        lines.append(events.encode(event))
    return FileOp(path, old or None, whole + b"".join(lines), append_at=len(whole))


def _last_of(view: Files, machine: str, day: str) -> int:
    """The number of the machine's newest segment of a day; 0 if it has none."""
    return max((_number(name, machine) for name in view.names(f"{layout.FEED}/{day}")), default=0)


def _number(name: str, machine: str) -> int:
    stem = name.removesuffix(".jsonl")
    owner, _, digits = stem.rpartition("-")
    return int(digits) if stem != name and owner == machine and digits.isdigit() else 0


def last_of(view: Files, machine: str) -> str:
    """When a machine wrote its last event, an RFC 3339 time; "" if it wrote none. Reads one segment."""
    for day in sorted(view.names(layout.FEED), reverse=True):
        number = _last_of(view, machine, day)
        if number:
            lines = view.read(layout.feed_segment(day, machine, number)).splitlines()
            return max((str(one["ts"]) for line in lines if (one := events.decode(line))), default="")
    return ""


def read_events(view: Files, *, since: str = "") -> Iterator[dict[str, Any]]:
    """Every event from `since` (an RFC 3339 time, inclusive) on, by time, then id.

    A line that is no event (a torn one) is passed over.
    """
    for day in sorted(view.names(layout.FEED)):
        if day < since[:10]:
            continue
        found: list[dict[str, Any]] = []
        for name in view.names(f"{layout.FEED}/{day}"):
            if name.endswith(".jsonl"):
                data = view.read(f"{layout.FEED}/{day}/{name}")
                found += [e for line in data.splitlines() if (e := events.decode(line)) and str(e["ts"]) >= since]
        found.sort(key=lambda e: (str(e["ts"]), str(e.get("id", ""))))
        yield from found
