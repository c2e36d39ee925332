"""Beads for people: the list, one bead in full, the tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter

from gastown.model import times
from gastown.model.bead import Bead
from gastown.model.errors import UsageError
from gastown.model.row import Row
from gastown.model.text import safe, safe_block
from gastown.services.beads.queries import Node
from gastown.store.layout import rig_of_path
from gastown.ui import style
from gastown.ui.tables import columns, plain

HEAD = ("ID", "PRI", "STATUS", "TYPE", "ASSIGNEE", "TITLE")
# The columns of HEAD, taken from all rows at once.
_FIELDS = ("id", "priority", "status", "type", "assignee", "title")
_SHOWN = tuple(itemgetter(Row._fields.index(name)) for name in _FIELDS)
_URGENT = {number: f"P{number}" for number in range(5)}
_STYLES = {1: {"P0": "red", "P1": "yellow"}, 2: style.STATUS_STYLE}


def table(rows: Sequence[Row], *, colour: bool) -> list[str]:
    """Rows as columns: id, priority, status, type, assignee, title."""
    if not colour:
        shown = [list(map(field, rows)) for field in _SHOWN]
        shown[1] = list(map(_URGENT.__getitem__, shown[1]))
        return plain(shown)
    cells = [(row.id, f"P{row.priority}", row.status, row.type, row.assignee, row.title) for row in rows]
    return columns(cells, head=HEAD, styles=_STYLES, colour=colour, width=style.width())


def blocked_table(rows: Sequence[tuple[Row, list[str]]], *, colour: bool) -> list[str]:
    """Waiting rows: id, priority, the blockers (comma separated, no blanks), title."""
    cells = [(row.id, f"P{row.priority}", ",".join(waits), row.title) for row, waits in rows]
    return columns(
        cells, head=("ID", "PRI", "WAITS FOR", "TITLE"), styles={1: _STYLES[1]}, colour=colour,
        width=style.width() if colour else None,
    )  # fmt: skip


def full(
    bead: Bead, by_id: Mapping[str, Row], blocked_by: Sequence[str], *, now: float, colour: bool, session: str = ""
) -> list[str]:
    """One bead in full, as lines. `session`: how the last session stands, where the bead itself does not say."""
    lines = [style.paint(bead.id, "bold", colour) + "  " + style.paint(safe(bead.title), "bold", colour)]
    lines += [f"  {name:<11}{safe(value)}" for name, value in _facts(bead, by_id, blocked_by, now, session) if value]
    for name, text in (("description", bead.description), ("acceptance", bead.acceptance)):
        if text.strip():
            lines += ["", f"{name}:", *_indented(text)]
    lines += _versions(bead)
    if bead.notes:
        lines += ["", "notes:"]
        for note in bead.notes:
            lines.append(f"  {safe(note.get('at', '?'))}  {safe(note.get('by', '?'))}")
            lines += _indented(note.get("text", ""), 4)
    return lines


def _versions(bead: Bead) -> list[str]:
    """The versions of texts that somebody has to choose from."""
    there = bead.doc.get("conflicts")
    items = [item for item in there if isinstance(item, dict)] if isinstance(there, list) else []
    lines = ["", f"conflicts: (gt bead resolve {bead.id} N keeps version N)"] if items else []
    for number, item in enumerate(items, start=1):
        lines.append("  " + safe(f"{number}  {item.get('key')}  {item.get('at', '?')}  {item.get('by', '?')}"))
        lines += _indented(item.get("text", ""), 4)
    return lines


def _facts(
    bead: Bead, by_id: Mapping[str, Row], blocked_by: Sequence[str], now: float, session: str
) -> list[tuple[str, str]]:
    held = f"{bead.assignee or ''}" + (f" on {bead.machine}" if bead.assignee and bead.machine else "")
    waits = f"  (waits for {', '.join(blocked_by)})" if blocked_by else ""
    facts = [
        ("status", bead.status + waits),
        ("type", f"{bead.type}, priority {bead.priority}"),
        ("rig", rig_of_path(bead.path) or ""),
        ("assignee", held),
        ("queued", _queued(bead)),
        ("labels", ", ".join(bead.labels)),
        ("parent", _named(bead.parent, by_id) if bead.parent else ""),
    ]
    facts += [("needs", _named(need, by_id)) for need in bead.needs]
    facts += [
        ("branch", f"{bead.branch or ''}" + (f" -> {bead.target}" if bead.branch and bead.target else "")),
        ("source", _named(bead.source, by_id) if bead.source else ""),
        ("commit", bead.commit or ""),
        ("agent", bead.agent or ""),
    ]
    facts += [("session", _session(one, session)) for one in bead.sessions]
    facts.append(("created", f"{bead.created_at} by {bead.created_by}{_age(bead.created_at, now)}"))
    if bead.closed:
        closed = bead.closed
        commit = f" as {str(closed['commit'])[:10]}" if closed.get("commit") else ""
        facts.append(("closed", f"{closed.get('at')} by {closed.get('by')}: {closed.get('reason')}{commit}"))
    return [*facts, ("file", bead.path), ("history", f"gt log {bead.id}")]


def _queued(bead: Bead) -> str:
    """For whom it waits, and where."""
    if not bead.dispatch:
        return ""
    where = f" on machine {bead.machine}" if bead.machine else ""
    forced = ", forced" if bead.dispatch.get("force") else ""
    return f"for {bead.dispatch.get('to')}{where}, by {bead.dispatch.get('by')} at {bead.dispatch.get('at')}{forced}"


def _named(bead_id: str | None, by_id: Mapping[str, Row]) -> str:
    row = by_id.get(bead_id or "")
    return f"{bead_id} ({row.status}) {row.title}" if row else f"{bead_id} (unknown)"


def _session(one: Mapping[str, object], otherwise: str) -> str:
    words = [str(one.get("id", "?")), str(one.get("by", "")), str(one.get("agent", "")), str(one.get("started", ""))]
    return " ".join(word for word in words if word) + f" {one.get('outcome') or otherwise or 'running'}"


def _age(stamp: str, now: float) -> str:
    try:
        return f" ({times.ago(now - times.parse(stamp))} ago)"
    except UsageError:
        return ""


def _indented(text: object, by: int = 2) -> list[str]:
    pad = " " * by
    return [(pad + line).rstrip() for line in safe_block(str(text).rstrip("\n")).split("\n")]


def tree_lines(node: Node, *, colour: bool) -> list[str]:
    """A tree of beads with lines to show what belongs where."""
    return [_node(node, colour), *_children(node, "", colour)]


def _children(node: Node, indent: str, colour: bool) -> list[str]:
    lines = []
    for child in node.children:
        last = child is node.children[-1]
        lines.append(f"{indent}{'└─ ' if last else '├─ '}{_node(child, colour)}")
        lines += _children(child, indent + ("   " if last else "│  "), colour)
    return lines


def _node(node: Node, colour: bool) -> str:
    row = node.row
    waits = f"  (waits for {', '.join(node.blocked_by)})" if node.blocked_by else ""
    status = style.paint(row.status, style.STATUS_STYLE.get(row.status), colour)
    return f"{row.id}  P{row.priority}  {status}  {safe(row.title)}{safe(waits)}"
