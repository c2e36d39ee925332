"""Two beads with one id that plain git brought into the files: the later one gets another id, as in a sync."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gastown.model import ids
from gastown.model.errors import InvalidFile
from gastown.model.merge import Doc, text_of
from gastown.model.merge_bead import (
    born,
    first_id,
    note_renumbered,
    renumber,
    same_bead,
)
from gastown.services.sync import references
from gastown.store import collisions, filemerge, git, layout, moves, orders, treemerge
from gastown.store import yaml as yaml_store
from gastown.store.change import Change


@dataclass(frozen=True)
class Lost:
    """A bead that another one took the id of. `path` is its place, `data` what it holds, `base` what that began from.

    `lost`, `kept`: the newest commits of its side and of the other, "" if unknown. `keeper`: where the bead that
    keeps the id lies; at `path`, unless both lie in the files. `home`: where it lies under another id already;
    `there`: nothing of it is missing at home.
    """

    path: str
    data: bytes
    base: bytes | None = None
    lost: str = ""
    kept: str = ""
    keeper: str = ""
    home: str = ""
    there: bool = False

    @property
    def id(self) -> str:
        """The id it loses."""
        return str(layout.bead_of_path(self.path))

    @property
    def doc(self) -> Doc:
        """Its document."""
        return filemerge.load(self.path, self.data)


def settle(change: Change, losts: Iterable[Lost]) -> dict[str, str]:
    """Give each its new id, and let what its own side made of it follow; returns old id -> new id."""
    losts = [one for one in losts if not _undone(change, one)]
    work = _Renumbering(change, sorted(losts, key=lambda one: (ids.order(one.id), _born(one), one.path)))
    if losts:
        work.choose()
        work.place()
        work.follow()
    return work.told


def _undone(change: Change, one: Lost) -> bool:
    """True if nothing was lost: the merge was given up, and the bead has its id."""
    data = change.read(one.path) if not one.keeper else None
    if data is None:
        return False
    try:
        return same_bead(filemerge.load(one.path, data), one.doc)
    except InvalidFile:
        return False


def _born(one: Lost) -> str:
    return text_of(one.doc.get("created"))


class _Move:
    """One bead on its way. `new`: its id; `home`: where it lies already, "" if it gets a place now.

    `below`: it only goes along with the one above it.
    """

    def __init__(self, lost: Lost, new: str, home: str = "", *, below: bool = False) -> None:
        self.lost, self.new, self.home, self.below = lost, new, home, below
        self.place = home or moves.beside(lost.path, new)


class _Renumbering:
    def __init__(self, change: Change, losts: list[Lost]) -> None:
        self.change = change
        self.repo = change.town.repo
        self.losts = losts
        self.moves: list[_Move] = []
        self.told: dict[str, str] = {}

    # -- which ids -----------------------------------------------------------
    def choose(self) -> None:
        """An id for each: the one it has already, one below its parent's, or a fresh one, alike on every machine."""
        taken = set(self.change.town.bead_ids())
        for one in self.losts:
            moving = next((move for move in self.moves if same_bead(move.lost.doc, one.doc)), None)
            home = one.home or (moving.place if moving else self._home_of(one))
            if home is not None:
                there = one.there or self._knew(one, home)
                base, new = one.base or (moving.lost.base if moving else None), str(layout.bead_of_path(home))
                base = base if base or there else self._began(one, home)
                self.moves.append(_Move(replace(one, base=base, there=there), new, home))
            else:
                above = self._above(one)
                new = above if above and above not in taken else collisions.fresh_id(one.id, one.doc, taken)
                self._add(_Move(one, new), taken)
            for child in self._children(one):
                if new + child.id[len(one.id) :] not in taken:
                    self._add(_Move(child, new + child.id[len(one.id) :], below=True), taken)

    def _add(self, move: _Move, taken: set[str]) -> _Move:
        self.moves.append(move)
        self.told[move.lost.id] = move.new
        taken.add(move.new)
        return move

    def _above(self, one: Lost) -> str | None:
        """The id below that of a bead above it which its side gave up too."""
        for move in self.moves:
            if one.id.startswith(move.lost.id + ".") and one.lost == move.lost.lost:
                return move.new + one.id[len(move.lost.id) :]
        return None

    def _home_of(self, one: Lost) -> str | None:
        """Where the bead lies if it was renumbered before: by another machine, or by a process that was killed."""
        made = one.doc.get("created") or {}
        said = str(made.get("at", "")), str(made.get("by", ""))
        leaving = {other.path for other in self.losts if other.keeper}
        for row in self.change.index().rows:
            if row.id != one.id and (row.created, row.created_by) == said and row.path not in leaving:
                doc = filemerge.bead(row.path, self.change.read(row.path))
                if doc is not None and same_bead(doc, one.doc):
                    return row.path
        return None

    def _knew(self, one: Lost, home: str) -> bool:
        """True if its own side moved it there: all that side said of it went along."""
        there = self.repo.blob(self.repo.commit(one.lost.encode()).tree, home) if one.lost else None
        return there is not None and self._same(home, there, one.data)

    def _began(self, one: Lost, home: str) -> bytes | None:
        """What the bead was when its two places parted; None if nobody knows.

        A rebase leaves out merges: if what one brought home is not there now, only what was made first is sure.
        """
        if one.lost and one.kept:
            tips = one.kept.encode(), self.repo.head()[1] or b""
            brought, now = (self.repo.blob(self.repo.commit(tip).tree, home) for tip in tips)
            bases = treemerge.bases(self.repo, one.lost.encode(), tips[0]) if brought and brought == now else []
            parted = self.repo.blob(self.repo.commit(bases[0]).tree, one.path) if bases else None
            if parted and self._same(one.path, parted, one.data):
                return parted
        return self._made(one)

    def _made(self, one: Lost) -> bytes | None:
        """The bead as it was made."""
        path = moves.beside(one.path, first_id(one.doc))
        args = ["log", "--full-history", "--topo-order", "--reverse", "--diff-filter=A", "--format=%H"]
        _, out = git.run([*args, *filter(None, (one.lost, "HEAD")), "--", path], cwd=self.repo.root)
        found = (self.repo.blob(self.repo.commit(commit).tree, path) for commit in out.split())
        return next((data for data in found if data and self._same(path, data, one.data)), None)

    def _children(self, one: Lost) -> list[Lost]:
        """The beads below it that its own side made and that lie in the files now."""
        clashing = {other.id for other in self.losts if other.lost == one.lost}
        found = []
        for path, data in sorted(references.said(self.repo, one.lost, one.kept).items()):
            bead = str(layout.bead_of_path(path))
            now = self.change.read(path) if bead.startswith(one.id + ".") and bead not in clashing else None
            if now is not None and self._same(path, now, data) and not self._in(one.kept, path, now):
                found.append(Lost(path, now, None, one.lost, one.kept))
        return found

    def _in(self, tip: str, path: str, data: bytes) -> bool:
        there = self.repo.blob(self.repo.commit(tip.encode()).tree, path)
        return there is not None and self._same(path, there, data)

    def _same(self, path: str, one: bytes, other: bytes) -> bool:
        docs = filemerge.bead(path, one), filemerge.bead(path, other)
        return docs[0] is not None and docs[1] is not None and same_bead(docs[0], docs[1])

    # -- files -----------------------------------------------------------------
    def place(self) -> None:
        """Write each where it belongs, with a note on it and on the bead that keeps the id."""
        for move in sorted(self.moves, key=lambda move: bool(move.home)):
            one, own = move.lost, self._meant(move.lost) | {move.lost.id: move.new}
            if move.home:
                if not one.there:
                    self._join(one, move.home, own)
            else:
                fresh = renumber(one.doc, own)
                note_renumbered(fresh, one.id, move.new, born(one.doc))
                self._put(move.place, one.data, fresh)
            if one.keeper or move.below:
                self.change.remove(one.path)
            if not one.home and not move.below:
                self._note(one.keeper or one.path, one.id, move.new, born(one.doc))

    def _meant(self, one: Lost) -> dict[str, str]:
        """Old id -> new id, as its own side means them; by the same id the other side means its own bead."""
        sides = {one.lost, ""} if one.lost else {move.lost.lost for move in self.moves}
        return {move.lost.id: move.new for move in self.moves if move.lost.lost in sides}

    def _join(self, one: Lost, where: str, ids: dict[str, str]) -> None:
        """It has another id already: what was said of it under this one goes there."""
        now = self.change.read(where)
        assert now is not None
        order = orders.for_path(where)
        base = None
        if one.base is not None:
            base = yaml_store.rewrite(one.base, renumber(yaml_store.load(one.base, where), ids), order, where)
        fresh = renumber(one.doc, ids)
        note_renumbered(fresh, one.id, str(layout.bead_of_path(where)), born(one.doc))
        said = yaml_store.rewrite(one.data, fresh, order, where)
        # Who said what when is not known; a time that every clone gives alike is.
        when = filemerge.Meta(epoch=born(one.doc))
        self.change.write(where, filemerge.merge_file(where, base, now, said, mine=when, other=when).data)

    def _note(self, path: str, old: str, new: str, epoch: float) -> None:
        data = self.change.read(path)
        if data is None:
            return
        doc = yaml_store.load(data, path)
        note_renumbered(doc, old, new, epoch)
        self._put(path, data, doc)

    def _put(self, path: str, old: bytes | None, doc: Doc) -> None:
        self.change.write(path, yaml_store.rewrite(old, doc, orders.for_path(path), path))

    def follow(self) -> None:
        """Every bead that the losing side let speak of its own beads goes on speaking of them."""
        for tips in sorted({(move.lost.lost, move.lost.kept) for move in self.moves}):
            ids = {move.lost.id: move.new for move in self.moves if (move.lost.lost, move.lost.kept) == tips}
            places = {move.lost.path: move.place for move in reversed(self.moves) if move.new in ids.values()}
            references.follow(self.change, tips, ids, places)
        references.replace(self.change, {move.lost.id: move.new for move in self.moves if move.lost.home})
