"""Before two trees are merged: beads that one side renumbered are followed, and no id is left that means two beads."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gastown.model.merge import Settled
from gastown.store import collisions, layout, moves, oneplace
from gastown.store.collisions import Renumbered
from gastown.store.moves import Files, Followed
from gastown.store.treediff import Entry

Side = dict[str, Entry | None]
# One id after another may turn out to be taken; more than this never was seen.
_ROUNDS = 8


class SameIds:
    """Alters what two sides changed (`mine`, `other`) and what they changed it from (`old`), all by path.

    `was` (ours, theirs) is filled with the paths in git of a bead that lies elsewhere now, `dropped` with paths our
    side gave up.
    """

    def __init__(
        self,
        old: Side,
        mine: Side,
        other: Side,
        data: Callable[[Entry | None], bytes | None],
        blob: Callable[[bytes], Entry],
    ) -> None:
        self.old, self.mine, self.other = old, mine, other
        self.data, self.blob = data, blob
        self.was: tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]] = {}, {}
        self.dropped: set[str] = set()
        self.settled: list[tuple[str, Settled]] = []

    def settle(self, ids: Callable[[], Iterable[str]]) -> dict[str, str]:
        """Old id to new id of what was renumbered now. `ids` gives every id of both trees; asked only if needed."""
        new_ids: dict[str, str] = {}
        self._gather()
        for _ in range(_ROUNDS):
            # A new id may be another bead's on the other side, and a bead that follows may meet one there.
            fresh = self._part(lambda: self._taken(ids))
            new_ids |= fresh
            if not self._follow_moves(lambda: self._taken(ids)) and not fresh:
                break
        return new_ids

    def _taken(self, ids: Callable[[], Iterable[str]]) -> set[str]:
        here = (layout.bead_of_path(path) for path in (*self.mine, *self.other))
        return {*ids(), *(bead_id for bead_id in here if bead_id)}

    def _part(self, taken: Callable[[], set[str]]) -> dict[str, str]:
        if not self._added(self.mine) & self._added(self.other):
            return {}
        left, right = collisions.settle(self._beads(self.mine), self._beads(self.other), self._is_old, taken)
        for side, done, was, log in (
            (self.mine, left, self.was[0], "ours"),
            (self.other, right, self.was[1], "theirs"),
        ):
            self._overlay(side, done)
            paths = {layout.bead_of_path(path): path for path in done.files}
            for old, new in done.new_ids.items():
                self._note_way(was, moves.beside(paths[new], old), paths[new])
            for old, new in done.new_ids.items():
                self.settled.append((log, Settled("id", new, old)))
        return left.new_ids | right.new_ids

    def _note_way(self, was: dict[str, tuple[str, ...]], old: str, new: str) -> None:
        was[new] = was.get(old, (old,))

    # -- moved or copied by hand ---------------------------------------------------------------------
    def _gather(self) -> None:
        """A bead that a person put into another folder lies in one place on all sides, before and after."""
        for one in list(oneplace.places(self.old, self.mine, self.other, self.data)):
            for path in one.paths:
                # None of it is left there: what may lie there now on a side did not come from this bead.
                self.old[path] = None
            self.old[one.at] = None if one.old is None else self.blob(one.old)
            for number, side in enumerate((self.mine, self.other)):
                content = one.sides[number]
                for path in one.left[number]:
                    self._drop(side, path)
                side[one.at] = None if content is None else self.blob(content)
                self.was[number][one.at] = one.paths
            self.settled += [(one.at, told) for told in one.told]

    # -- renumbered before ---------------------------------------------------------------------------
    def _follow_moves(self, taken: Callable[[], set[str]]) -> bool:
        """True if something followed."""
        mine, other = self._moved(self.mine), self._moved(self.other)
        if not mine and not other:
            return False
        ours, theirs = self._beads(self.mine), self._beads(self.other)
        changed = False
        agreed = moves.agree(mine, other, ours, theirs, lambda old, doc: collisions.fresh_id(old, doc, taken()))
        for side, done in zip((self.mine, self.other), agreed, strict=True):
            changed |= self._put(side, done)
        base = dict(self.old)
        for number, (side, moved, own) in enumerate(((self.mine, other, mine), (self.other, mine, other))):
            if moved:
                used = taken()
                done = moves.follow(
                    moved, own, self._beads(side), lambda path: self.data(base.get(path)), used.__contains__
                )
                changed |= self._put(side, done)
                for old, new in moved.items():
                    self._note_way(self.was[number], old, new)
        return changed

    def _moved(self, side: Side) -> dict[str, str]:
        """The beads of the base that a side renumbered: old path to new path."""
        added = {path: self.data(side[path]) for path in self._new_beads(side)}
        return moves.found(added, lambda: ((path, self.data(self.old.get(path))) for path in list(side)))

    def _put(self, side: Side, done: Followed) -> bool:
        for path in done.dropped:
            self._drop(side, path)
        for path, data in done.files.items():
            side[path] = None if data is None else self.blob(data)
        parted = [path for path, data in done.base.items() if data is None and self._is_old(path)]
        for path, data in done.base.items():
            self.old[path] = None if data is None else self.blob(data)
        for path in done.files:
            self.old.setdefault(path, None)
        return bool(done.files or done.dropped or parted)

    def _drop(self, side: Side, path: str) -> None:
        side.pop(path, None)
        if side is self.mine:
            self.dropped.add(path)

    # -- two beads with one id -----------------------------------------------------------------------
    def _is_old(self, path: str) -> bool:
        return self.old.get(path) is not None

    def _new_beads(self, side: Side) -> list[str]:
        return [
            path
            for path, entry in side.items()
            if entry is not None and self.old.get(path) is None and layout.bead_of_path(path)
        ]

    def _added(self, side: Side) -> set[str]:
        return {str(layout.bead_of_path(path)) for path in self._new_beads(side)}

    def _beads(self, side: Side) -> Files:
        return {path: self.data(entry) for path, entry in side.items() if layout.bead_of_path(path)}

    def _overlay(self, side: Side, done: Renumbered) -> None:
        for path, data in done.files.items():
            side[path] = None if data is None else self.blob(data)
            self.old.setdefault(path, None)
        for path in [path for path, entry in side.items() if entry is None and self.old.get(path) is None]:
            self._drop(side, path)  # absent before and after: this side has nothing to say of it
