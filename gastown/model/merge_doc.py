"""Merging two versions of a YAML document key by key: sets, append-only lists, texts, maps and single values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from gastown.model.merge import MISSING, Doc, History, Record, Settled, same, shown, text_of
from gastown.model.merge_text import merge_lines
from gastown.model.times import text as time_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SETS = frozenset(("needs", "labels", "tracks", "watchers"))
LOGS = frozenset(("notes", "sessions"))
TEXTS = frozenset(("description", "acceptance"))
COUNTS = frozenset(("attempts",))


class DocMerge:
    """One merge of two documents. `record` holds what was decided afterwards."""

    def __init__(self, ours: History, theirs: History) -> None:
        self.ours = ours
        self.theirs = theirs
        self.record = Record()
        self.texts: list[Doc] = []

    def merge(self, base: Doc, ours: Doc, theirs: Doc, where: tuple[str, ...] = ()) -> Doc:
        """The merged map; keys of the base first, new ones in alphabetical order."""
        keys = list(base) + sorted((ours.keys() | theirs.keys()) - base.keys())
        merged: Doc = {}
        for key in keys:
            value = self.value(
                (*where, key), base.get(key, MISSING), ours.get(key, MISSING), theirs.get(key, MISSING)
            )
            if value is not MISSING:
                merged[key] = value
        return merged

    def value(self, where: tuple[str, ...], base: Any, ours: Any, theirs: Any) -> Any:
        """One key: the side that changed it, or the rule of its kind."""
        if same(ours, theirs) or same(theirs, base):
            return ours
        if same(ours, base):
            return theirs
        key = where[-1] if len(where) == 1 else ""
        present = [one for one in (base, ours, theirs) if one is not MISSING]
        if all(isinstance(one, list) for one in present):
            if key in SETS and all(isinstance(item, str) for one in present for item in one):
                return _sets(*(set(() if one is MISSING else one) for one in (base, ours, theirs)))
            if key == "conflicts":
                return _open_conflicts(*([] if one is MISSING else one for one in (base, ours, theirs)))
            if key in LOGS and all(isinstance(item, dict) for one in present for item in one):
                return self._logs(where, *([] if one is MISSING else one for one in (base, ours, theirs)))
        if isinstance(ours, dict) and isinstance(theirs, dict):
            return self.merge(base if isinstance(base, dict) else {}, ours, theirs, where)
        if key in TEXTS and all(isinstance(one, str) for one in present):
            return self._text(where, base, ours, theirs)
        if key in COUNTS and all(type(one) is int for one in (ours, theirs)):
            return max(ours, theirs)
        return self.later(where, ours, theirs)

    def later(self, where: tuple[str, ...], ours: Any, theirs: Any) -> Any:
        """The value that was written later; the other is kept in a note. Equal times: the greater text."""
        mine = (*self.ours.said(where, ours), text_of(ours))
        other = (*self.theirs.said(where, theirs), text_of(theirs))
        winner, loser, lost = (ours, theirs, other) if _order(mine) > _order(other) else (theirs, ours, mine)
        self.lose(".".join(where), winner, loser, lost[0], lost[1])
        return winner

    def lose(self, key: str, winner: object, loser: object, epoch: float, by: str) -> None:
        """Keep a value that was not chosen. The note tells only of the loser, so that every order writes the same."""
        self.record.settled.append(Settled(key, shown(winner), shown(loser)))
        words = f"{key} was changed in two places; not kept: {shown(loser)}\n"
        self.record.notes.append({"at": time_text(epoch), "by": by, "text": words})

    def _text(self, where: tuple[str, ...], base: Any, ours: Any, theirs: Any) -> Any:
        old, mine, other = (one if one is not MISSING else "" for one in (base, ours, theirs))
        woven = merge_lines(old, mine, other)
        if woven is not None:
            return woven if woven or MISSING not in (ours, theirs) else MISSING
        sides = [(*self.ours.said(where, ours), mine), (*self.theirs.said(where, theirs), other)]
        sides.sort(key=_order)
        self.texts += [
            {"key": where[-1], "at": time_text(epoch), "by": by, "text": text} for epoch, by, text in sides
        ]
        self.record.settled.append(Settled(where[-1], sides[1][2], sides[0][2]))
        return sides[1][2]

    def _logs(self, where: tuple[str, ...], base: list[Doc], ours: list[Doc], theirs: list[Doc]) -> list[Doc]:
        if where[-1] == "notes":
            return union(ours, theirs)
        by_id: dict[str, Doc] = {}
        old = {text_of(item.get("id")): item for item in base}
        mine, other = ({text_of(item.get("id")): item for item in side} for side in (ours, theirs))
        for key in mine.keys() | other.keys():
            if key in mine and key in other:
                by_id[key] = self.merge(old.get(key, {}), mine[key], other[key], (*where, key.strip('"')))
            else:
                by_id[key] = mine.get(key) or other[key]
        return sorted(by_id.values(), key=lambda one: (str(one.get("started", "")), str(one.get("id", ""))))


def _order(said: tuple[float, str, str]) -> tuple[float, str, str]:
    return said[0], said[2], said[1]


def _sets(base: set[str], ours: set[str], theirs: set[str]) -> Any:
    merged = sorted((ours | theirs) - (base - ours) - (base - theirs))
    return merged or MISSING


def union(ours: list[Doc], theirs: list[Doc]) -> list[Doc]:
    """Two append-only lists as one: each item as often as the side that has it oftener, by time, then text."""
    counts = Counter(map(text_of, ours)) | Counter(map(text_of, theirs))
    items = {text_of(item): item for item in [*ours, *theirs]}
    return sorted(
        (items[key] for key in counts.elements()),
        key=lambda one: (str(one.get("at", "")), text_of(one)),
    )


def _open_conflicts(base: list[Any], ours: list[Any], theirs: list[Any]) -> Any:
    items = {text_of(item): item for item in [*ours, *theirs]}
    old, mine, other = ({text_of(item) for item in side} for side in (base, ours, theirs))
    kept = (mine | other) - (old - mine) - (old - other)
    return [items[key] for key in sorted(kept, key=lambda key: _conflict_order(items[key]))] or MISSING


def _conflict_order(item: Any) -> tuple[str, str, str]:
    when: Callable[[str], str] = (lambda key: str(item.get(key, ""))) if isinstance(item, dict) else (lambda key: "")
    return when("key"), when("at"), text_of(item)


def add_conflicts(doc: Doc, new: list[Doc]) -> None:
    """Put versions that nobody has chosen between yet under `conflicts:`, each once."""
    if new:
        there = doc.get("conflicts")
        there = there if isinstance(there, list) else [there] if there else []
        items = {text_of(item): item for item in [*there, *new]}
        doc["conflicts"] = sorted(items.values(), key=_conflict_order)
