"""Beads that one side renumbered since the two parted: what the other did to them meanwhile follows to the new id.

Without this an edit of a bead would land on the one that kept the id (sync.md, Both sides created the same id).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from gastown.model.merge import Doc, text_of
from gastown.model.merge_bead import RENUMBERED, born, former_ids, note_renumbered, renumber, same_bead
from gastown.store import filemerge, layout, orders
from gastown.store import yaml as yaml_store

Files = dict[str, bytes | None]
Base = Callable[[str], bytes | None]
_MARK = RENUMBERED.encode()


@dataclass
class Followed:
    """What one side's changes become: `files` anew, `dropped` paths it says nothing of, `base` they started from."""

    files: Files = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    base: Files = field(default_factory=dict)


def speaks_of_one(data: bytes) -> bool:
    """True if a file may be a bead that was renumbered; cheap, for looking through many."""
    return _MARK in data


def found(side: Mapping[str, bytes | None], base: Callable[[], Iterable[tuple[str, bytes | None]]]) -> dict[str, str]:
    """Old path to new path of every bead of the base that a side renumbered.

    `side`: the files it added; `base`: path and content of what it changed or removed, asked for only if needed.
    """
    added = [(path, doc) for path, data in sorted(side.items()) if data and (doc := _told(path, data))]
    if not added:
        return {}
    known: dict[str, list[tuple[str, Doc]]] = {}
    for path, data in base():
        doc = filemerge.bead(path, data)
        if doc is not None:
            known.setdefault(text_of(doc.get("created")), []).append((path, doc))
    moved: dict[str, str] = {}
    for path, doc in added:
        for where, before in known.get(text_of(doc.get("created")), ()):
            if where not in moved and same_bead(before, doc) and _id(where) != _id(path):
                moved[where] = path
    return moved


def _told(path: str, data: bytes) -> Doc | None:
    """A bead that knows of having had another id."""
    doc = filemerge.bead(path, data) if speaks_of_one(data) else None
    return doc if doc is not None and former_ids(doc) else None


def beside(path: str, bead_id: str) -> str:
    """The path of another id in the same folder: a bead stays in the folder of the day it was made."""
    return f"{path.rpartition('/')[0]}/{bead_id}.yaml"


def follow(
    moved: Mapping[str, str], own: Mapping[str, str], side: Files, base: Base, taken: Callable[[str], bool]
) -> Followed:
    """What a side's changes become when the beads at `moved` (old path to new path) lie elsewhere now.

    `own`: those it moved itself: that they are not where they were is no removal. `taken` tells whether an id is
    in use on either side: a bead below one that moved keeps its id then.
    """
    done = Followed()
    ids = {_id(old): _id(new) for old, new in moved.items()}
    for old, new in moved.items():
        before = filemerge.bead(old, base(old))
        if before is None or not _free(new, side, before):
            continue
        done.base[new] = _bytes(new, None, _moved(before, ids, old, new))
        if old in side:
            # Whatever lies there now on either side did not come from that bead.
            done.base[old] = None
            if old not in own and _is(old, side[old], before):
                _take(done, old, new, side[old], ids)
    for path, data in side.items():
        below = _below(_id(path), ids) if data is not None and base(path) is None else None
        if below and path not in done.dropped and not taken(below):
            ids[_id(path)] = below
            _take(done, path, beside(path, below), data, ids)
    for path, data in side.items():
        doc = filemerge.bead(path, data) if path not in done.dropped else None
        fresh = renumber(doc, ids, moved=False) if doc else None
        if doc is not None and fresh is not None and fresh != doc:
            done.files[path] = _bytes(path, data, fresh)
    return done


def agree(
    mine: dict[str, str], other: dict[str, str], ours: Files, theirs: Files, new_id: Callable[[str, Doc], str]
) -> tuple[Followed, Followed]:
    """Both sides renumbered one bead, to different ids: which of them moves it again. Same whichever is ours.

    `new_id` gives a third id, where each of the two is another bead's on the other side.
    """
    left, right = Followed(), Followed()
    for old in sorted(mine.keys() & other.keys()):
        one, two = mine[old], other[old]
        if one == two:
            continue
        free = sorted(path for path, side in ((one, theirs), (two, ours)) if side.get(path) is None)
        if not free:
            first = min(one, two)
            doc = filemerge.bead(first, (ours if first == one else theirs)[first]) or {}
            mine[old] = other[old] = target = beside(old, new_id(_id(first), doc))
            _again(left, one, target, ours)
            _again(right, two, target, theirs)
        elif free[0] == one:
            _again(right, two, one, theirs)
            other[old] = one
        else:
            _again(left, one, two, ours)
            mine[old] = two
    return left, right


def _again(done: Followed, path: str, target: str, side: Files) -> None:
    ids = {_id(path): _id(target)}
    _take(done, path, target, side.get(path), ids)
    for place, data in side.items():
        doc = filemerge.bead(place, data) if place != path else None
        fresh = renumber(doc, ids, moved=False) if doc else None
        if doc is not None and fresh is not None and fresh != doc:
            done.files[place] = _bytes(place, data, fresh)


def _take(done: Followed, path: str, target: str, data: bytes | None, ids: dict[str, str]) -> None:
    done.dropped.add(path)
    doc = filemerge.bead(path, data)
    done.files[target] = None if doc is None else _bytes(target, data, _moved(doc, ids, path, target))


def _moved(doc: Doc, ids: dict[str, str], path: str, target: str) -> Doc:
    """The bead under its new id, which it says."""
    fresh = renumber(doc, ids)
    note_renumbered(fresh, _id(path), _id(target), born(doc))
    return fresh


def _is(path: str, data: bytes | None, before: Doc) -> bool:
    """True if a side still has that very bead there, changed or removed; not another one."""
    if data is None:
        return True
    doc = filemerge.bead(path, data)
    return doc is not None and same_bead(doc, before)


def _free(path: str, side: Files, bead: Doc) -> bool:
    """True if no other bead lies there on a side."""
    doc = filemerge.bead(path, side.get(path))
    return doc is None or same_bead(doc, bead)


def _below(bead_id: str, ids: Mapping[str, str]) -> str | None:
    """The new id of a bead below one that was renumbered."""
    above = bead_id
    while "." in above and bead_id not in ids:
        above = above.rpartition(".")[0]
        if above in ids:
            return ids[above] + bead_id[len(above) :]
    return None


def _id(path: str) -> str:
    return layout.bead_of_path(path) or ""


def _bytes(path: str, old: bytes | None, doc: Doc) -> bytes:
    return yaml_store.rewrite(old, doc, orders.for_path(path), path)
