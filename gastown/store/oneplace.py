"""One bead that lies in another day's folder on one side, or in two: in a merge it lies in one place on all sides.

People move and copy files. The id says which bead it is, the folder only where it lies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gastown.model.errors import InvalidFile
from gastown.model.merge import Doc, Settled
from gastown.model.merge_bead import born, identity
from gastown.store import filemerge, layout
from gastown.store.treediff import Entry

Side = Mapping[str, Entry | None]
# (content, what it says) by path.
_Spots = dict[str, tuple[bytes, Doc]]


@dataclass(frozen=True)
class Place:
    """A bead that lay at several `paths` lies `at` one of them: `old` before the two sides parted, then both `sides`.

    `left`: the paths each side gives up; `told`: what had to be decided.
    """

    at: str
    paths: tuple[str, ...]
    old: bytes | None
    sides: tuple[bytes | None, bytes | None]
    left: tuple[frozenset[str], frozenset[str]]
    told: tuple[Settled, ...]


def places(old: Side, mine: Side, other: Side, data: Callable[[Entry | None], bytes | None]) -> Iterator[Place]:
    """Every bead that both sides changed and that lies at several paths; the same whichever side is mine.

    Where one side moved it, it lies there; a copy gives way to what was copied; of two moves the least path counts.
    A bead is left alone if one of its versions cannot be read, or another one has its place.
    """
    by_id: dict[str, set[str]] = {}
    for path in (*mine, *other):
        bead_id = layout.bead_of_path(path)
        if bead_id:
            by_id.setdefault(bead_id, set()).add(path)
    for _, paths in sorted(by_id.items()):
        if len(paths) < 2 or paths.isdisjoint(mine) or paths.isdisjoint(other):
            continue
        spots = _read(sorted(paths), old, mine, other, data)
        for one in sorted({identity(doc) for side in spots or () for _, doc in side.values()}):
            found = _place(one, spots or (), mine, other)
            if found is not None:
                yield found


def joined(path: str, base: bytes | None, versions: Mapping[str, bytes]) -> tuple[bytes, tuple[Settled, ...]]:
    """Copies of one bead (by path) as one file at `path`, and what was decided; alike in every clone."""
    (_, merged), *rest = sorted(versions.items())
    settled: list[Settled] = []
    for _, version in rest:
        # Who said what when is not known; a time that every clone gives alike is.
        when = filemerge.Meta(epoch=born(filemerge.load(path, merged)))
        done = filemerge.merge_file(path, base, merged, version, mine=when, other=when)
        merged = done.data
        settled += done.settled
    return merged, tuple(settled)


def _read(
    paths: list[str], old: Side, mine: Side, other: Side, data: Callable[[Entry | None], bytes | None]
) -> tuple[_Spots, ...] | None:
    """What lies at the paths before and on both sides; None if one of them cannot be read."""
    found: list[_Spots] = []
    for side in (old, mine, other):
        spots: _Spots = {}
        for path in paths:
            content = data(side[path] if path in side else old.get(path))
            if content is not None:
                try:
                    spots[path] = content, filemerge.load(path, content)
                except InvalidFile:
                    return None
        found.append(spots)
    return tuple(found)


def _place(who: tuple[str, str], spots: tuple[_Spots, ...], mine: Side, other: Side) -> Place | None:
    own = [{path: data for path, (data, doc) in side.items() if identity(doc) == who} for side in spots]
    paths = set().union(*own)
    if len(paths) < 2 or paths.isdisjoint(mine) or paths.isdisjoint(other) or not (own[1] or own[2]):
        return None
    was = min(own[0], default="")
    here, there = (was if was in side else min(side, default="") for side in own[1:])
    at = _choose(was, here, there)
    if any(at in side and at not in one for side, one in zip(spots, own, strict=True)):
        return None
    base = own[0].get(was)
    sides = [joined(at, base, side) if side else (None, ()) for side in own[1:]]
    beaten = {path for side in own[1:] for path in side if len(side) > 1 or was not in side} - {at}
    told = [Settled("place", at, path) for path in sorted(beaten)] + [one for _, settled in sides for one in settled]
    left = [frozenset(path for path in paths if path in one or path not in side)
            for side, one in zip(spots[1:], own[1:], strict=True)]  # fmt: skip
    return Place(at, tuple(sorted(paths)), base, (sides[0][0], sides[1][0]), (left[0], left[1]), tuple(told))


def _choose(was: str, here: str, there: str) -> str:
    """Where it lies after both sides; "" stands for a side that has it no more, or a time before it was made."""
    if not here or not there or here == there:
        return here or there
    if was in (here, there):
        return there if here == was else here
    return min(here, there)
