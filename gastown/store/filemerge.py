"""The one merge of two versions of a file, by its kind (sync.md): sync, git's merge driver and rebase all come here."""

from __future__ import annotations

from collections import namedtuple

from gastown.model.bead import check
from gastown.model.errors import InvalidFile, UsageError
from gastown.model.merge import Doc, History, Settled, Step, same
from gastown.model.merge_bead import Confirmed, merge_bead
from gastown.model.merge_doc import DocMerge, add_conflicts
from gastown.model.merge_text import merge_lines
from gastown.store import layout, orders
from gastown.store import yaml as yaml_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NamedTuple

    class Revision(NamedTuple):
        """One commit that changed the file: its author's time (epoch seconds) and address, and the bytes around it."""

        epoch: float
        by: str
        before: bytes | None
        after: bytes | None

    class Meta(NamedTuple):
        """What is known of a side: its newest commit, and (asked for only when needed) what it did to a file."""

        epoch: float = 0.0
        by: str = "overseer"
        commit: str = ""
        revisions: Callable[[], Sequence[Revision]] = tuple

    class Merged(NamedTuple):
        """`data` is the merged file; `aside` a version that could not be merged in, to be kept beside it."""

        data: bytes
        settled: tuple[Settled, ...] = ()
        aside: bytes | None = None
else:
    # As in model.merge: no dataclasses where git starts us once a file.
    Revision = namedtuple("Revision", "epoch by before after")
    Meta = namedtuple("Meta", "epoch by commit revisions", defaults=(0.0, "overseer", "", tuple))
    Merged = namedtuple("Merged", "data settled aside", defaults=((), None))


def merge_file(
    path: str,
    base: bytes | None,
    ours: bytes,
    theirs: bytes,
    *,
    mine: Meta | None = None,
    other: Meta | None = None,
    confirmed: Confirmed | None = None,
) -> Merged:
    """Merge two versions of the file at a town path. Never fails: what cannot be merged is kept aside.

    Raises nothing but what `mine` and `other` raise when their history is read.
    """
    if ours == theirs or theirs == base:
        return Merged(ours)
    if ours == base:
        return Merged(theirs)
    if path.startswith(layout.FEED + "/"):
        from gastown.model.merge_feed import merge_feed

        return Merged(merge_feed(ours, theirs))
    if path.startswith(layout.MAIL + "/"):
        from gastown.model import merge_maildir as mail

        if mail.parse(path):
            woven = mail.merged_lines(base, ours, theirs)
            # What is beside a message becomes a message of its own (services.mailjoin), and is told then.
            return Merged(woven) if woven is not None else Merged(ours, (), theirs)
    if is_document(path):
        merged = _documents(path, base, ours, theirs, mine or Meta(), other or Meta(), confirmed)
        if merged is not None:
            return merged
    return _plain(base, ours, theirs)


def is_document(path: str) -> bool:
    """True for YAML files that are merged key by key."""
    return path.endswith(".yaml") and not path.rpartition("/")[2].startswith(".")


def _documents(
    path: str, base: bytes | None, ours: bytes, theirs: bytes, mine: Meta, other: Meta, confirmed: Confirmed | None
) -> Merged | None:
    """None if neither version is a valid document: unknown is never merged as if it were known."""
    is_bead = layout.bead_of_path(path) is not None
    first, second = (_load_or(path, side, checked=True) for side in (ours, theirs))
    if first is None or second is None:
        if first is second:
            return None
        good, bad = (ours, theirs) if second is None else (theirs, ours)
        return Merged(good, (Settled("", "the version that can be read", "the other one, kept beside it"),), bad)
    old = _load_or(path, base)
    left, right = _history(path, mine), _history(path, other)
    if is_bead:
        doc, record = merge_bead(old, first, second, left, right, confirmed)
    else:
        work = DocMerge(left, right)
        doc, record = work.merge(old or {}, first, second), work.record
        add_conflicts(doc, work.texts)
    try:
        data = _bytes(path, base, ours, theirs, doc)
        load(path, data)
    except (InvalidFile, UsageError):
        return None
    return Merged(data, tuple(sorted(record.settled, key=lambda one: (one.key, one.lost))))


def load(path: str, data: bytes) -> Doc:
    """The document at a path, checked if it is a bead; raises InvalidFile."""
    doc = yaml_store.load(data, path)
    if layout.bead_of_path(path) is not None:
        check(doc, path)
    return doc


def bead(path: str, data: bytes | None) -> Doc | None:
    """The bead in a file, checked; None if there is none that can be used."""
    return _load_or(path, data, checked=True) if layout.bead_of_path(path) else None


def _load_or(path: str, data: bytes | None, *, checked: bool = False) -> Doc | None:
    """The document, None for none and for what cannot be read."""
    try:
        return None if data is None else load(path, data) if checked else yaml_store.load(data, path)
    except InvalidFile:
        return None


def _history(path: str, meta: Meta) -> History:
    def steps() -> list[Step]:
        return [
            Step(one.epoch, one.by, _load_or(path, one.before) or {}, _load_or(path, one.after) or {})
            for one in meta.revisions()
        ]

    return History(meta.epoch, meta.by, steps)


def _bytes(path: str, base: bytes | None, ours: bytes, theirs: bytes, doc: Doc) -> bytes:
    """Canonical where both are; else a person's comments and order stay as far as lines can be merged."""
    order = orders.for_path(path)
    free = sorted(side for side in (ours, theirs) if not yaml_store.is_canonical(side, order))
    if not free:
        return yaml_store.dump(doc, order)
    woven = _weave(base, ours, theirs)
    there = _load_or(path, woven)
    if woven is not None and there is not None and same(there, doc):
        return woven
    return _with_comments(path, base, ours, theirs, yaml_store.rewrite(free[0], doc, order, path), doc)


def _with_comments(path: str, base: bytes | None, ours: bytes, theirs: bytes, merged: bytes, doc: Doc) -> bytes:
    """The comments of both sides, but for those that one of them took away."""
    from gastown.store import comments  # dear, and only for files that people write in

    mine, other, old = (comments.found(side, path) for side in (ours, theirs, base or b""))
    there = {words for words, _ in comments.found(merged, path)}
    said = [{words for words, _ in side} for side in (mine, other)]
    gone = {words for words, _ in old if words not in said[0] or words not in said[1]}
    missing = sorted({one for one in (*mine, *other) if one[0] not in there | gone})
    if not missing:
        return merged
    full = comments.kept(merged, missing, path)
    now = _load_or(path, full)
    return full if now is not None and same(now, doc) else merged


def _weave(base: bytes | None, ours: bytes, theirs: bytes) -> bytes | None:
    try:
        texts = [side.decode("utf-8") for side in (base or b"", ours, theirs)]
    except UnicodeDecodeError:
        return None
    woven = merge_lines(*texts)
    return None if woven is None else woven.encode()


def _plain(base: bytes | None, ours: bytes, theirs: bytes) -> Merged:
    woven = None if b"\0" in ours[:8000] + theirs[:8000] else _weave(base, ours, theirs)
    if woven is not None:
        return Merged(woven)
    return Merged(ours, (Settled("", "this side's version", "the other side's version, kept beside it"),), theirs)
