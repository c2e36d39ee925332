"""Merging where messages lie: by unique name, with the union of flags (sync.md); and what people edited in them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from gastown.model.merge_text import merge_lines

# A version that git's merge driver put beside a message is no flag of it.
_BESIDE = ".theirs-"


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
    unique, _, flags = parts[-1].partition(_BESIDE)[0].partition(":2,")
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


def merge_contents(base: bytes | None, versions: Iterable[bytes]) -> tuple[bytes, list[bytes]]:
    """One content for a message that people edited in several places, and the versions that cannot be merged into it.

    By lines; the same in whatever order the versions come. `versions` holds one at least.
    """
    found = set(versions)
    kept, *rest = sorted(found - {base} if found != {base} else found, reverse=True)
    spare = []
    for one in rest:
        merged = merged_lines(base, kept, one)
        if merged is None:
            spare.append(one)
        else:
            kept = merged
    return kept, spare


def merged_lines(base: bytes | None, ours: bytes, theirs: bytes) -> bytes | None:
    """The message with the lines that both sides changed; None where they changed the same."""
    old, mine, other = (data.decode("utf-8", "surrogateescape") for data in (base or b"", ours, theirs))
    merged = merge_lines(old, mine, other)
    return None if merged is None else merged.encode("utf-8", "surrogateescape")


def apart(unique: str, version: bytes) -> tuple[str, bytes]:
    """A name, and the content under it, for a version of a message that becomes a message of its own.

    Its Message-ID is another one too: mail programs show one message for all that have the same. Alike everywhere.
    """
    mark = f".V{hashlib.sha256(version).hexdigest()[:8]}"
    head, _, tail = unique.partition(".")
    end = re.search(rb"\r?\n\r?\n", version)
    size = end.start() if end else len(version)
    top = re.sub(rb"(?im)^(message-id:\s*<[^@>\s]+)", rb"\1" + mark.encode(), version[:size], count=1)
    return f"{head}{mark}{tail}", top + version[size:]
