"""Merging two versions of a bead: the generic rules, and the life cycle, which moves as one piece."""

from __future__ import annotations

from collections.abc import Callable

from gastown.model.bead import HELD
from gastown.model.errors import UsageError
from gastown.model.merge import Doc, History, Record, same, text_of
from gastown.model.merge_doc import DocMerge, add_conflicts, union
from gastown.model.times import parse
from gastown.model.times import text as time_text

# What the attempt of whoever has it was begun with: it goes with the hands, where two have taken the bead.
_RUN = ("agent", "command")
GROUP = ("status", "assignee", "machine", "branch", "fence", "closed")
_RANK = {"closed": 4, "merging": 3, "in_progress": 2, "hooked": 1, "deferred": 0, "open": -1}
_MERGED = 5
# What the notes on two beads that had one id say in between; no other note is likely to.
_MADE = "two beads were made as "
RENUMBERED = " in different places; the later one is now"
Confirmed = Callable[[Doc], bool]


def merge_bead(
    base: Doc | None, ours: Doc, theirs: Doc, mine: History, other: History, confirmed: Confirmed | None = None
) -> tuple[Doc, Record]:
    """The merged document and what was decided. `base` is None if both sides made it.

    `confirmed` says whether a state is the one its claim ref at the remote names.
    """
    work = DocMerge(mine, other)
    old = base or {}
    group = _group(work, old, ours, theirs, confirmed)
    ours, theirs = _with_run(group, ours, theirs)
    merged = work.merge(_without_group(old), _without_group(ours), _without_group(theirs))
    merged |= group
    if work.record.notes:
        merged["notes"] = union(merged.get("notes") or [], _fresh(work.record.notes))
    add_conflicts(merged, work.texts)
    return merged, work.record


def _fresh(notes: list[Doc]) -> list[Doc]:
    unique = {text_of(note): note for note in notes}
    return list(unique.values())


def _without_group(doc: Doc) -> Doc:
    return {key: value for key, value in doc.items() if key not in GROUP}


def group_of(doc: Doc) -> Doc:
    """The status and what moves with it."""
    return {key: doc[key] for key in GROUP if doc.get(key) is not None}


def _with_run(group: Doc, ours: Doc, theirs: Doc) -> tuple[Doc, Doc]:
    """Both sides with the run of those who keep the bead, if two have it; else as they are."""
    mine, other, kept = (_taken_by(doc) for doc in (ours, theirs, group))
    if not mine or not other or mine == other or kept not in (mine, other):
        return ours, theirs
    keeper = ours if kept == mine else theirs
    run = {key: keeper[key] for key in _RUN if key in keeper}
    bare = [{key: value for key, value in side.items() if key not in _RUN} for side in (ours, theirs)]
    return bare[0] | run, bare[1] | run


def _rank(group: Doc) -> int:
    closed = group.get("closed")
    if group.get("status") == "closed" and isinstance(closed, dict) and closed.get("commit"):
        return _MERGED
    return _RANK.get(str(group.get("status", "open")), -1)


def _group(work: DocMerge, base: Doc, ours: Doc, theirs: Doc, confirmed: Confirmed | None) -> Doc:
    old, mine, other = group_of(base), group_of(ours), group_of(theirs)
    if same(mine, other) or (base and same(other, old)):
        return mine
    if base and same(mine, old):
        return other
    my_time, other_time = _moved(work.ours, mine), _moved(work.theirs, other)
    keys = [
        (_rank(group), _holds(group, doc, confirmed), time[0], text_of(group))
        for group, doc, time in ((mine, ours, my_time), (other, theirs, other_time))
    ]
    if _went_on(work.ours, mine, my_time[0], other, other_time[0]):
        first = True
    elif _went_on(work.theirs, other, other_time[0], mine, my_time[0]):
        first = False
    elif confirmed and all(group.get("status") in ("hooked", "in_progress", "merging") for group in (mine, other)):
        # Both hold it: what the remote decided comes before how far they got.
        first = (keys[0][1], *keys[0]) > (keys[1][1], *keys[1])
    else:
        first = keys[0] > keys[1]
    winner, loser, lost = (mine, other, other_time) if first else (other, mine, my_time)
    if not _same_work(winner, loser):
        work.lose("status", _words(winner), _words(loser), *lost)
    return winner


def _moved(side: History, group: Doc) -> tuple[float, str]:
    """When and by whom the group came to be as it is."""
    mark = text_of(group)
    moves = [(one, text_of(group_of(one.before)), text_of(group_of(one.after))) for one in side.steps]
    found = [(one.epoch, one.by) for one, before, after in moves if after == mark != before]
    found = found or [(one.epoch, one.by) for one, before, after in moves if after != before]
    return max(found, default=(side.epoch, side.by))


def _went_on(side: History, now: Doc, since: float, other: Doc, other_since: float) -> bool:
    """A later reopen or release: this side was in the other's very state, and left it again.

    What the same hands went on with meanwhile, not knowing of the release, does not bring the work back to them.
    """
    if now.get("status", "open") != "open":
        return False
    if other.get("status") in HELD:
        return side.passed(_hands, _hands(other)) is not None
    left = side.passed(lambda doc: text_of(group_of(doc)), text_of(other))
    return since >= other_since and left is not None and left >= other_since


def _hands(doc: Doc) -> str:
    """Who has it at which attempt; "" for nobody."""
    return _taken_by(doc) if doc.get("status") in HELD else ""


def _taken_by(doc: Doc) -> str:
    """Who has it or has handed it in, at which attempt; "" for nobody."""
    if doc.get("status") not in (*HELD, "merging"):
        return ""
    return text_of({key: doc.get(key) for key in ("assignee", "machine", "branch")})


def _holds(group: Doc, doc: Doc, confirmed: Confirmed | None) -> bool:
    return bool(confirmed and group.get("assignee") and confirmed(doc))


def _same_work(one: Doc, other: Doc) -> bool:
    """The same hands at the same attempt, one state further: nothing was lost."""
    return all(same(one.get(key), other.get(key)) for key in ("assignee", "machine", "branch")) and not (
        one.get("closed") and other.get("closed")
    )


def _words(group: Doc) -> str:
    closed = group.get("closed")
    words = [str(group.get("status", "open"))]
    words += [f"{key} {group[key]}" for key in ("assignee", "machine", "branch") if group.get(key)]
    if isinstance(closed, dict):
        words += [f"{key} {closed[key]}" for key in ("reason", "commit", "by", "at") if closed.get(key)]
    return ", ".join(words)


def collision_loses(ours: Doc, theirs: Doc) -> bool:
    """Of two different beads with one id: True if ours was created later and is to be renumbered."""
    return _seniority(ours) > _seniority(theirs)


def same_bead(ours: Doc, theirs: Doc) -> bool:
    """True if both are one bead, whatever its ids are now: the same `created`, under the same id.

    One hand makes several beads in a second, so the time alone tells nothing.
    """
    return same(ours.get("created"), theirs.get("created")) and first_id(ours) == first_id(theirs)


def identity(doc: Doc) -> tuple[str, str]:
    """What tells a bead from every other (`same_bead`), in words that can be kept, sorted and compared."""
    return first_id(doc), text_of(doc.get("created"))


def _seniority(doc: Doc) -> tuple[str, str, str, str]:
    """Equal times are decided by who made it and as what, which never changes, so that every clone decides alike."""
    created = doc.get("created")
    at = str(created.get("at", "")) if isinstance(created, dict) else ""
    return at, text_of(created), first_id(doc), text_of(doc)


def born(doc: Doc) -> float:
    """When a bead was created, epoch seconds; 0 if it does not say."""
    created = doc.get("created")
    try:
        return parse(str(created.get("at"))) if isinstance(created, dict) else 0.0
    except UsageError:
        return 0.0


def renumber(doc: Doc, new_ids: dict[str, str], *, moved: bool = True) -> Doc:
    """The document with every structured reference to the old ids following the new ones.

    `moved`: its own id too; a bead that keeps an id may speak of another one that gave it up.
    """
    fresh = dict(doc)
    for key in ("id", "parent", "source") if moved else ("parent", "source"):
        if isinstance(fresh.get(key), str):
            fresh[key] = new_ids.get(fresh[key], fresh[key])
    for key in ("needs", "tracks"):
        if isinstance(fresh.get(key), list):
            fresh[key] = sorted({new_ids.get(one, one) if isinstance(one, str) else one for one in fresh[key]})
    return fresh


def note_renumbered(doc: Doc, old: str, new: str, epoch: float) -> None:
    """Say on both beads that two were made with one id."""
    note = {"at": time_text(epoch), "by": "deacon", "text": f"{_MADE}{old}{RENUMBERED} {new}\n"}
    doc["notes"] = union(doc.get("notes") or [], [note])


def _told(doc: Doc) -> list[tuple[str, str]]:
    """(old id, new id) of every renumbering a bead's notes tell of."""
    found = []
    for note in doc.get("notes") or []:
        text = str(note.get("text", "")) if isinstance(note, dict) else ""
        head, mark, new = text.partition(RENUMBERED)
        if mark and head.startswith(_MADE):
            found.append((head.removeprefix(_MADE), new.strip()))
    return found


def former_ids(doc: Doc) -> list[str]:
    """The ids a bead had before it was renumbered, the newest of them first."""
    moves, names = _told(doc), [str(doc.get("id"))]
    for name in names:  # grows: an id may have been given up more than once
        names += [old for old, new in moves if new == name and old not in names]
    return names[1:]


def first_id(doc: Doc) -> str:
    """The id a bead was made with: the one of all it had that it did not get by being renumbered."""
    given = {new for _, new in _told(doc)}
    had = [str(doc.get("id")), *former_ids(doc)]
    return min([one for one in had if one not in given] or had, key=lambda one: (len(one), one))


def was_renumbered(doc: Doc, bead_id: str) -> bool:
    """True if a bead knows of another one that had `bead_id` once."""
    return any(old == bead_id != new for old, new in _told(doc))
