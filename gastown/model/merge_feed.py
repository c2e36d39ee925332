"""Merging two versions of a feed segment: the union of its events, sorted. Needed only after a disk was copied."""

from __future__ import annotations

from gastown.model import event


def merge_feed(ours: bytes, theirs: bytes) -> bytes:
    """Every line of both, each once, by time, then id; lines that are no event stay, at the end.

    Two different events with one id (two machines wrote as one) are both kept.
    """
    lines = {line for side in (ours, theirs) for line in side.split(b"\n") if line.strip()}
    return b"".join(line + b"\n" for line in sorted(lines, key=_order))


def _order(line: bytes) -> tuple[bool, str, str, bytes]:
    found = event.decode(line)
    return found is None, str((found or {}).get("ts", "")), str((found or {}).get("id", "")), line
