"""Reading beads: lists, what is ready, what waits, trees, one bead as JSON. Takes any view, writes nothing."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter

from gastown.model import bead as bead_model
from gastown.model import graph
from gastown.model.bead import Bead
from gastown.model.errors import InvalidFile, NotFound, UsageError
from gastown.model.row import Row, row_of
from gastown.model.text import nearest
from gastown.store import layout
from gastown.store.index import Index, parse
from gastown.store.view import View

SORTS = ("priority", "created", "id", "title", "status", "assignee")


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple

    class Filter(NamedTuple):
        """What `list` is asked for; empty fields do not filter. Closed beads come only when asked for."""

        statuses: tuple[str, ...] = ()
        rig: str | None = None
        assignee: str | None = None
        labels: tuple[str, ...] = ()
        types: tuple[str, ...] = ()
        priorities: tuple[int, ...] = ()
        parent: str | None = None
        all: bool = False
        sort: str = "priority"
        reverse: bool = False

    class Node(NamedTuple):
        """A bead in a tree of work: its children by `parent`, and the needs that still hold it up."""

        row: Row
        blocked_by: tuple[str, ...]
        children: tuple[Node, ...]
else:
    # The same without importing typing: lists are read all day.
    Filter = namedtuple(
        "Filter", "statuses rig assignee labels types priorities parent all sort reverse",
        defaults=((), None, None, (), (), (), None, False, "priority", False),
    )  # fmt: skip
    Node = namedtuple("Node", "row blocked_by children")


def check_filter(view: View, wanted: Filter) -> None:
    """Raise UsageError or NotFound, with what would be right, for a filter that nothing could ever match."""
    for value in wanted.statuses:
        _one_of(value, (*bead_model.STATUSES, "blocked", "ready"), "status")
    for value in wanted.types:
        _one_of(value, bead_model.TYPES, "type")
    for number in wanted.priorities:
        if not 0 <= number <= 4:
            raise UsageError(f"priority {number} is not from 0 to 4")
    _one_of(wanted.sort, SORTS, "order")
    if wanted.rig is not None and wanted.rig != "town":
        view.rig(wanted.rig)


def _one_of(value: str, allowed: Iterable[str], what: str) -> None:
    names = list(allowed)
    if value not in names:
        near = nearest(value, names)
        raise UsageError(
            f"{value!r} is no {what}", f"did you mean {' or '.join(near)}?" if near else "one of: " + " ".join(names)
        )


def select(index: Index, wanted: Filter) -> list[Row]:
    """The rows that match, in the order asked for (ties: priority, then age, then id)."""
    rows = _by_status(index, wanted)
    if wanted.rig is not None:
        rows = [row for row in rows if in_rig(row, wanted.rig)]
    if wanted.assignee is not None or wanted.parent is not None or wanted.labels or wanted.types or wanted.priorities:
        rows = [row for row in rows if _matches(row, wanted)]
    rows = in_work_order(rows)
    if wanted.sort != "priority":
        rows.sort(key=lambda row: str(getattr(row, wanted.sort) or "~"))
    return rows[::-1] if wanted.reverse else rows


# Priority, then age, then id: the order in which work is taken up.
work_order: Callable[[Row], Any] = attrgetter("priority", "created", "id")


def in_work_order(rows: Iterable[Row]) -> list[Row]:
    """The rows in the order in which work is taken up."""
    # Three stable sorts by one key are twice as fast as one by three.
    found = sorted(rows, key=attrgetter("id"))
    found.sort(key=attrgetter("created"))
    found.sort(key=attrgetter("priority"))
    return found


def in_rig(row: Row, rig: str | None) -> bool:
    """True if `row` belongs to the rig asked for ("town": the town's own; None: any)."""
    return rig is None or (row.rig is None if rig == "town" else row.rig == rig)


def _by_status(index: Index, wanted: Filter) -> list[Row]:
    if wanted.statuses:
        by_id = index.by_id
        rows = index.rows if "closed" in wanted.statuses else index.live
        return [row for row in rows if any(_has_status(row, one, by_id) for one in wanted.statuses)]
    return list(index.rows if wanted.all else index.live)


def _matches(row: Row, wanted: Filter) -> bool:
    return (
        (wanted.assignee is None or row.assignee == wanted.assignee)
        and (wanted.parent is None or row.parent == wanted.parent)
        and set(wanted.labels) <= set(row.labels)
        and (not wanted.types or row.type in wanted.types)
        and (not wanted.priorities or row.priority in wanted.priorities)
    )


def _has_status(row: Row, status: str, by_id: Mapping[str, Row]) -> bool:
    if status == "blocked":
        return row.status == "open" and bool(row.needs) and bool(graph.blockers(row, by_id))
    if status == "ready":
        return graph.is_ready(row, by_id)
    return row.status == status


def ready(index: Index, rig: str | None = None) -> list[Row]:
    """Open work that nothing blocks and nobody holds, in the order of work."""
    rows = index.live if rig is None else [row for row in index.live if in_rig(row, rig)]
    return in_work_order(graph.ready(rows, index.by_id))


def blocked(index: Index, rig: str | None = None) -> list[tuple[Row, list[str]]]:
    """Open work that waits, each with the needs that hold it up."""
    by_id = index.by_id
    found = [
        (row, waits)
        for row in index.live
        if row.needs and row.status == "open" and in_rig(row, rig) and (waits := graph.blockers(row, by_id))
    ]
    return sorted(found, key=lambda pair: work_order(pair[0]))


def why_blocked(need: str, by_id: Mapping[str, Row]) -> str:
    """What is known of a blocker, in a word: its status, or that there is no such bead."""
    row = by_id.get(need)
    if row is None:
        return "unknown"
    return f"merged to {row.target}" if row.status == "closed" else row.status


def as_json(bead: Bead, index: Index) -> dict[str, Any]:
    """A bead as cli.md promises it: its YAML, plus path, rig, ready and blocked_by."""
    row = index.by_id.get(bead.id)
    return {
        **bead.doc,
        "path": bead.path,
        "rig": layout.rig_of_path(bead.path),
        "ready": row is not None and graph.is_ready(row, index.by_id),
        "blocked_by": graph.blockers(row, index.by_id) if row is not None and row.status == "open" else [],
    }


def around(view: View, bead: Bead) -> Index:
    """An index of just this bead and those it names: enough to show it, at the cost of a few files.

    A named bead whose file cannot be used is a problem of the index, and blocks like an unknown one.
    """
    rows, problems = [row_of(bead.doc, bead.path, layout.rig_of_path(bead.path))], []
    for named in dict.fromkeys((*bead.needs, *filter(None, (bead.parent, bead.source)))):
        path = view.bead_path(named)
        if path is None or named == bead.id:
            continue
        try:
            rows.append(row_of(parse(view.read(path), path), path, layout.rig_of_path(path)))
        except InvalidFile as problem:
            problems.append(problem)
    return Index(rows, problems)


def load_rows(view: View, rows: Iterable[Row]) -> list[Bead]:
    """The whole beads of these rows. One that vanished or broke since the index was read is left out."""
    found = []
    for row in rows:
        try:
            found.append(Bead(parse(view.read(row.path), row.path), row.path))
        except (NotFound, InvalidFile):
            continue
    return found


def tree(index: Index, root: str) -> Node:
    """The bead and everything below it; raises NotFound. A circle of parents is cut where it closes."""
    if root not in index.by_id:
        raise NotFound(f"no bead {root!r}", near=nearest(root, list(index.by_id)))
    below: dict[str, list[Row]] = {}
    for row in index.rows:
        if row.parent:
            below.setdefault(row.parent, []).append(row)

    def node(row: Row, above: frozenset[str]) -> Node:
        waits = tuple(graph.blockers(row, index.by_id)) if row.status == "open" else ()
        children = sorted((r for r in below.get(row.id, ()) if r.id not in above), key=work_order)
        return Node(row, waits, tuple(node(child, above | {child.id}) for child in children))

    return node(index.by_id[root], frozenset((root,)))
