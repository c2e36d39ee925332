"""Merging where messages lie: by unique name, with the union of flags (sync.md)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Place:
    """Where a message lies in its mailbox: archived, seen (`cur`), its flags."""

    archived: bool
    seen: bool
    flags: frozenset[str] = frozenset()


def parse(path: str) -> tuple[str, str, Place] | None:
    """(mailbox path, unique name, place) of a message's town path; None for any other file."""
    parts = path.split("/")
    if len(parts) < 4 or parts[0] != "mail" or parts[-2] not in ("new", "cur") or parts[-1].startswith("."):
        return None
    archived = parts[-3] == ".Archive"
    box = "/".join(parts[: -3 if archived else -2])
    unique, _, flags = parts[-1].partition(":2,")
    return (box, unique, Place(archived, parts[-2] == "cur", frozenset(flags))) if unique else None


def path_of(box: str, unique: str, place: Place) -> str:
    """The town path of a message at a place; a message in `cur` always carries its `:2,`."""
    folder = f"{box}/.Archive" if place.archived else box
    if not place.seen:
        return f"{folder}/new/{unique}"
    return f"{folder}/cur/{unique}:2,{''.join(sorted(place.flags))}"


def together(places: Iterable[Place]) -> Place:
    """One place for a message that lies in several: `cur` beats `new`, the archive beats both, all flags."""
    found = list(places)
    flags = frozenset().union(*(one.flags for one in found))
    return Place(any(one.archived for one in found), bool(flags) or any(one.seen for one in found), flags)


def merge_place(base: Place | None, ours: Place | None, theirs: Place | None) -> Place | None:
    """Where the message lies after both sides; None if it is deleted.

    Delete beats all but a new flag. A side that did not touch it follows the other.
    """
    if ours == theirs or theirs == base:
        return ours
    if ours == base:
        return theirs
    if ours is None or theirs is None:
        left = ours or theirs
        assert left is not None
        return left if base is None or left.flags - base.flags else None
    return together((ours, theirs))
