"""Two different beads that were made with one id in two places: the later one gets another (sync.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gastown.model import ids
from gastown.model.errors import InvalidFile
from gastown.model.merge import Doc
from gastown.model.merge_bead import born, collision_loses, note_renumbered, renumber, same_bead
from gastown.store import filemerge, layout, orders
from gastown.store import yaml as yaml_store

Files = dict[str, bytes | None]


@dataclass
class Renumbered:
    """What one side's files become. `new_ids` is what the side's own ids are now called, `given_up` where they lay."""

    new_ids: dict[str, str] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    files: Files = field(default_factory=dict)


def settle(
    ours: Files, theirs: Files, base: Callable[[str], bool], taken: Callable[[], Iterable[str]]
) -> tuple[Renumbered, Renumbered]:
    """What both sides' changed files become so that no id means two beads.

    `ours` and `theirs` are the bead files each side changed, by path (None: removed); `base` tells whether
    a path was there before; `taken` gives all the ids either side has. The same whichever side is ours.
    """
    mine, other = _new(ours, base), _new(theirs, base)
    clashes = sorted((one for one in mine.keys() & other.keys() if not _one(mine[one], other[one])), key=ids.order)
    left, right = Renumbered(), Renumbered()
    if not clashes:
        return left, right
    used = set(taken())
    for bead_id in clashes:
        lost, kept = mine[bead_id], other[bead_id]
        if collision_loses(lost[1], kept[1]):
            _renumber(bead_id, lost, mine, left, used)
            _tell(bead_id, left.new_ids[bead_id], kept[0], theirs, right, lost[1])
        else:
            _renumber(bead_id, kept, other, right, used)
            _tell(bead_id, right.new_ids[bead_id], lost[0], ours, left, kept[1])
    for side, changed in ((left, ours), (right, theirs)):
        _follow(side, changed)
    return left, right


Found = tuple[str, Doc]


def _new(side: Files, base: Callable[[str], bool]) -> dict[str, Found]:
    """The beads a side made: id to (path, document). Unreadable ones are nobody's business here."""
    found: dict[str, Found] = {}
    for path, data in side.items():
        bead_id = layout.bead_of_path(path)
        if bead_id is None or data is None or base(path):
            continue
        try:
            found[bead_id] = (path, filemerge.load(path, data))
        except InvalidFile:
            continue
    return found


def _one(mine: Found, other: Found) -> bool:
    return mine[0] == other[0] and same_bead(mine[1], other[1])


def _renumber(bead_id: str, lost: Found, own: dict[str, Found], side: Renumbered, used: set[str]) -> None:
    """A free id, the same on every machine; beads below it that its side made move along."""
    if bead_id in side.new_ids:
        return
    new = fresh_id(bead_id, lost[1], used)
    side.new_ids[bead_id] = new
    side.given_up.add(lost[0])
    used.add(new)
    for below in sorted(own, key=ids.order):
        if below.startswith(bead_id + ".") and below not in side.new_ids:
            moved = new + below[len(bead_id) :]
            side.new_ids[below] = moved
            side.given_up.add(own[below][0])
            used.add(moved)


def fresh_id(bead_id: str, doc: Doc, used: set[str]) -> str:
    """Another id for a bead that lost its own: the next child's number, or a sibling made from what the bead says."""
    head, dot, number = bead_id.rpartition(".")
    return ids.child_id(head, used) if dot and number.isdigit() else _sibling(bead_id, doc, used)


def _sibling(bead_id: str, doc: Doc, used: set[str]) -> str:
    import hashlib

    prefix = ids.prefix_of(bead_id)
    width = len(bead_id.partition("-")[2].split(".")[0])
    seed = hashlib.sha256(yaml_store.dump({"was": bead_id, "created": doc.get("created"), "title": doc.get("title")}))
    stream = int.from_bytes(seed.digest(), "big")

    def draw(below: int) -> int:
        nonlocal stream
        stream, digit = divmod(stream, below)
        if not stream:
            stream = int.from_bytes(hashlib.sha256(str(digit).encode()).digest(), "big")
        return digit

    count = {5: 0, 6: 5_000}.get(width, 100_000)
    return ids.new_id(prefix, count, used.__contains__, draw)


def _tell(old: str, new: str, path: str, changed: Files, side: Renumbered, lost: Doc) -> None:
    """The note on the bead that keeps its id."""
    now = side.files.get(path) or changed[path]
    assert now is not None
    fresh = dict(yaml_store.load(now, path))
    note_renumbered(fresh, old, new, born(lost))
    side.files[path] = yaml_store.rewrite(now, fresh, orders.for_path(path), path)


def _follow(side: Renumbered, changed: Files) -> None:
    """Every bead the side changed speaks of its own beads by their new ids."""
    if not side.new_ids:
        return
    for path, data in {**changed, **side.files}.items():
        bead_id = layout.bead_of_path(path)
        if data is None or bead_id is None:
            continue
        try:
            doc = filemerge.load(path, data)
        except InvalidFile:
            continue
        new = side.new_ids.get(bead_id) if path in side.given_up else None
        fresh = renumber(doc, side.new_ids, moved=new is not None)
        if new is None and fresh == doc:
            continue
        if new is None:
            side.files[path] = yaml_store.rewrite(data, fresh, orders.for_path(path), path)
            continue
        note_renumbered(fresh, bead_id, new, born(doc))
        side.files[path] = None
        target = f"{path.rpartition('/')[0]}/{new}.yaml"
        side.files[target] = yaml_store.rewrite(data, fresh, orders.for_path(path), path)
