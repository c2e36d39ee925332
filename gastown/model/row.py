"""One line of the index: what lists and rules need to know of a bead without its text."""

from __future__ import annotations

import sys
from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple

    class Row(NamedTuple):
        """The summary of one bead; `needs` and `labels` are tuples, missing texts are None."""

        id: str
        folder: str
        rig: str | None
        status: str
        priority: int
        type: str
        assignee: str | None
        title: str
        created: str
        created_by: str
        parent: str | None
        needs: tuple[str, ...]
        labels: tuple[str, ...]
        machine: str | None
        agent: str | None
        branch: str | None
        target: str | None
        source: str | None
        worker: str | None
        commit: str | None
        closed_at: str | None
        closed_reason: str | None
        closed_commit: str | None
        since: str | None
        conflicts: tuple[str, ...]

        @property
        def path(self) -> str:
            """Where the bead lies."""
            return f"{self.folder}/{self.id}.yaml"
else:
    _FIELDS = (
        "id folder rig status priority type assignee title created created_by parent needs labels machine agent "
        "branch target source worker commit closed_at closed_reason closed_commit since conflicts"
    )

    class Row(namedtuple("Row", _FIELDS)):
        __slots__ = ()

        @property
        def path(self) -> str:
            """Where the bead lies."""
            return f"{self.folder}/{self.id}.yaml"


def row_of(doc: dict[str, Any], path: str, rig: str | None) -> Row:
    """Summarise a checked document. `since` is when the last session began, `conflicts` the texts to choose from."""
    created, closed = doc.get("created") or {}, doc.get("closed") or {}
    sessions = doc.get("sessions") or ()
    return Row(
        doc["id"],
        sys.intern(path.rpartition("/")[0]),
        rig,
        sys.intern(str(doc.get("status", "open"))),
        doc.get("priority", 2),
        sys.intern(str(doc.get("type", "task"))),
        _shared(doc.get("assignee")),
        doc["title"],
        _text(created.get("at")) or "",
        _shared(created.get("by")) or "",
        doc.get("parent"),
        tuple(doc.get("needs") or ()),
        tuple(map(sys.intern, doc.get("labels") or ())),
        _shared(doc.get("machine")),
        _shared(doc.get("agent")),
        doc.get("branch"),
        _shared(doc.get("target")),
        doc.get("source"),
        _shared(doc.get("worker")),
        doc.get("commit"),
        _text(closed.get("at")),
        _shared(closed.get("reason")),
        _text(closed.get("commit")),
        _text(sessions[-1].get("started")) if sessions else None,
        open_texts(doc) if "conflicts" in doc else (),
    )


def open_texts(doc: dict[str, Any]) -> tuple[str, ...]:
    """The keys under `conflicts:` whose versions nobody has chosen from yet."""
    there = doc.get("conflicts")
    items = there if isinstance(there, list) else ()
    return tuple(sorted({str(item.get("key")) for item in items if isinstance(item, dict)}))


def _shared(value: object) -> str | None:
    # One object for what many beads say: the index is smaller and read faster.
    return None if value is None else sys.intern(str(value))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
