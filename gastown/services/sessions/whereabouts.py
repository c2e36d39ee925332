"""Where an agent works: what can be looked at, attached to or stopped only on another machine is said to be there."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.model import address
from gastown.model.bead import HELD
from gastown.model.errors import GtError, NotFound, UsageError
from gastown.model.row import Row
from gastown.model.text import clip
from gastown.store.town import Town


@dataclass(frozen=True)
class Away:
    """An agent whose work lies on another machine."""

    address: str
    machine: str
    bead: str
    title: str


class Elsewhere(NotFound):
    """It is on another machine, so nothing of it is here."""

    code = "elsewhere"


def away(town: Town, word: str) -> Away | None:
    """Who is meant by an address or a session id, if it works on another machine; None if not, or nobody knows."""
    rows = [row for row in town.index().live if row.status in HELD and (row.machine or town.machine) != town.machine]
    if not rows:
        return None
    if "/" not in word:
        found = next((row for row in rows if _session(town, row) == word), None)
    else:
        try:
            who = address.parse(word)
        except UsageError:
            return None
        found = next((row for row in rows if row.assignee == who), None)
    return Away(str(found.assignee), str(found.machine), found.id, found.title) if found else None


def _session(town: Town, row: Row) -> str | None:
    try:
        session = town.bead(row.id).last_session or {}
    except GtError:
        return None
    return None if session.get("ended") else str(session.get("id"))


def require_here(town: Town, word: str) -> None:
    """Raise Elsewhere if the one meant works on another machine: where, on what, and what can be done from here."""
    there = away(town, word)
    if there is not None:
        who, where, bead = there.address, there.machine, there.bead
        raise Elsewhere(
            f"{who} works on machine {where} (on {bead}: {clip(there.title, 60)})",
            f'look there; from here: gt show {bead}, gt nudge {who} "…" (it goes with the next sync), '
            f"gt release {bead} --force; if {where} will not come back: gt machine retire {where}",
        )
