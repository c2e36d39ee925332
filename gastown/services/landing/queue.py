"""The merge queue of a rig, derived from its open `merge` beads and their work beads."""

from __future__ import annotations

from typing import Any

from gastown.model import graph
from gastown.model.bead import Bead
from gastown.model.queue import FAILED_REASONS, SET_ASIDE, Entry, in_order
from gastown.model.row import Row
from gastown.store.change import Change
from gastown.store.index import Index
from gastown.store.view import View


def entries(view: View, rig: str) -> list[Entry]:
    """Everything that waits to land in `rig`, first to land first, with why one is held."""
    index = view.index()
    default = view.rig(rig).branch
    convoys = _convoys(view, index)
    waiting = [row for row in index.live if row.rig == rig and row.type == "merge"]
    return in_order(_entry(view.bead(row.id), row, index, default, convoys) for row in waiting)


def failures(index: Index, source: str) -> int:
    """How often work on `source` was sent back: derived from its closed merge beads, never stored."""
    return sum(
        1 for row in index.rows if row.type == "merge" and row.source == source and row.closed_reason in FAILED_REASONS
    )


def outdated(view: View, rig: str) -> list[tuple[str, str]]:
    """Open merge beads that nothing waits for any more, and why: (id, reason)."""
    index = view.index()
    found = []
    for row in index.live:
        if row.rig != rig or row.type != "merge" or not row.source:
            continue
        work = index.by_id.get(row.source)
        if work is not None and work.status == "closed":
            found.append((row.id, f"{work.id} was closed: {work.closed_reason}"))
        elif work is not None and work.branch and work.branch != row.branch:
            found.append((row.id, f"{work.id} is now worked on at {work.branch}"))
    return found


def submit(
    change: Change, rig: str, work: Bead, *, branch: str, commit: str, target: str, worker: str
) -> tuple[Bead, bool]:
    """The merge bead for (branch, commit), made if there is none yet: (bead, whether it is new).

    Older open ones of the same work are closed as superseded. The caller moves the work bead.
    """
    index = change.index()
    mine = [row for row in index.live if row.type == "merge" and row.source == work.id]
    for row in mine:
        if (row.branch, row.commit) == (branch, commit):
            return change.bead(row.id), False
    for row in mine:
        old = change.bead(row.id)
        old.close(at=change.at, by=change.actor, reason="superseded")
        change.save(old)
    fields: dict[str, Any] = {
        "priority": work.priority, "branch": branch, "commit": commit, "target": target, "source": work.id,
        "worker": worker, "fence": work.fence,
    }  # fmt: skip
    return change.create(rig, title=work.title, type="merge", **fields), True


def _entry(bead: Bead, row: Row, index: Index, default: str, convoys: dict[str, str]) -> Entry:
    work = index.by_id.get(bead.source) if bead.source else None
    override = bead.doc.get("override")
    override = override if isinstance(override, dict) and override.get("commit") == bead.commit else {}
    return Entry(
        id=bead.id,
        source=bead.source or "",
        title=work.title if work else bead.title,
        branch=bead.branch or "",
        commit=bead.commit or "",
        target=bead.target or default,
        worker=bead.worker or "",
        priority=min(bead.priority, work.priority) if work else bead.priority,
        created=bead.created_at,
        failures=max(failures(index, bead.source) if bead.source else 0, bead.attempts),
        convoy_since=convoys.get(bead.source or "", ""),
        held=_held(bead, row, work, index),
        set_aside=SET_ASIDE in bead.labels,
        override=str(override.get("on") or ""),
        fence=bead.fence,
    )


def _held(bead: Bead, row: Row, work: Row | None, index: Index) -> str:
    if not bead.branch or not bead.commit:
        return "it names no branch and commit"
    if bead.status != "open":
        return f"it is {bead.status}"
    if bead.source and work is None:
        return f"its work bead {bead.source} cannot be read"
    if work is not None and work.status != "merging":
        return f"{work.id} is {work.status}, not merging"
    waits = graph.blockers(row, index.by_id)
    return "it waits for " + ", ".join(waits) if waits else ""


def _convoys(view: View, index: Index) -> dict[str, str]:
    """Since when the oldest open convoy tracks a bead, by bead id."""
    since: dict[str, str] = {}
    for row in index.live:
        if row.type == "convoy":
            for tracked in view.bead(row.id).doc.get("tracks") or ():
                since[tracked] = min(since.get(tracked, row.created), row.created)
    return since
