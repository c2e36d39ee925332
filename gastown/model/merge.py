"""What merging two versions of a file needs and gives: who said what when, and what was settled.

The rules stand in merge_doc, merge_bead, merge_text, merge_maildir and merge_feed; all of them are
pure and give the same whichever side is called ours (sync.md, One merge function per kind of file).
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, NamedTuple

Doc = dict[str, "Any"]


class _Missing:
    def __repr__(self) -> str:
        return "(removed)"


MISSING: Final = _Missing()

# git starts a merge driver once a file: what it imports is bare Python, so no dataclasses here.
if TYPE_CHECKING:

    class Step(NamedTuple):
        """One commit that changed the file: when (epoch seconds), by whom, and the document before and after."""

        epoch: float
        by: str
        before: Doc
        after: Doc

    class Settled(NamedTuple):
        """One conflict that was decided. `kept` and `lost` are the two values as text."""

        key: str
        kept: str
        lost: str
else:
    Step = namedtuple("Step", "epoch by before after")
    Settled = namedtuple("Settled", "key kept lost")


class History:
    """What one side did to a file since the base; its steps are asked for only where something must be decided.

    `epoch` and `by` are those of the side's newest commit, for values that no single step explains.
    """

    def __init__(self, epoch: float = 0.0, by: str = "overseer", steps: Callable[[], Sequence[Step]] = tuple) -> None:
        self.epoch = epoch
        self.by = by
        self._load = steps
        self._steps: Sequence[Step] | None = None

    @property
    def steps(self) -> Sequence[Step]:
        """The commits that changed the file, in no particular order."""
        if self._steps is None:
            self._steps = self._load()
        return self._steps

    def said(self, where: tuple[str, ...], value: object) -> tuple[float, str]:
        """When and by whom `value` was last written at the key path `where`."""
        mark = text_of(value)
        moves = [(one, text_of(at(one.before, where)), text_of(at(one.after, where))) for one in self.steps]
        found = [(one.epoch, one.by) for one, before, after in moves if after == mark != before]
        found = found or [(one.epoch, one.by) for one, before, after in moves if after != before]
        return max(found, default=(self.epoch, self.by))

    def passed(self, state: Callable[[Doc], object], value: object) -> float | None:
        """When this side last left the state `value` (of `state(document)`); None if it never was in it."""
        left = [one.epoch for one in self.steps if state(one.before) == value and state(one.after) != value]
        return max(left, default=None)


class Record:
    """Collects what a merge decided: `settled` for the feed, `notes` that keep the values that lost."""

    def __init__(self) -> None:
        self.settled: list[Settled] = []
        self.notes: list[Doc] = []


def at(doc: object, where: tuple[str, ...]) -> Any:
    """The value at a key path; MISSING if it is not there."""
    for key in where:
        if not isinstance(doc, dict) or key not in doc:
            return MISSING
        doc = doc[key]
    return doc


def text_of(value: object) -> str:
    """A value as one text: equal for equal values, whatever the order of their keys (1 and true differ)."""
    if value is MISSING:
        return ""
    if isinstance(value, dict):
        items = sorted((str(key), text_of(one)) for key, one in value.items())
        return "{" + ", ".join(f"{text_of(key)}: {text}" for key, text in items) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(text_of, value)) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def same(one: object, other: object) -> bool:
    """True for equal values; true is not 1, and a missing one equals only a missing one."""
    return one is other or text_of(one) == text_of(other)


def shown(value: object) -> str:
    """A value as a person reads it in a note or in the feed."""
    if value is MISSING:
        return "(removed)"
    if isinstance(value, str):
        return value
    import json

    return json.dumps(value, ensure_ascii=False, default=str)
