"""Escalations that nobody acknowledged: a step more severe every four hours, at most twice, and told again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gastown.deacon.action import Action
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model import times
from gastown.model.bead import Bead
from gastown.model.errors import UsageError
from gastown.services.machines import machine
from gastown.services.mail import escalate
from gastown.store.town import Town

MOST = 2
# So much longer waits each machine than the one whose turn is before it; by then it has the news of that one's raise.
TURN = 3600.0


@dataclass(frozen=True)
class Waiting:
    """An escalation without an answer: since when it waits at this severity, and how often it was raised.

    `turn`: how many machines are to raise it before this one does.
    """

    bead: str
    since: float
    raised: int
    turn: int = 0


@dataclass(frozen=True)
class Raise(Action):
    """Make an escalation one step more severe, tell of it again and run its command."""

    raised: int = 0
    slow = True  # for the command

    def apply(self, town: Town) -> None:
        """Not if it was answered or raised meanwhile."""
        escalate.raise_severity(town, self.subject, why=self.why, raised=self.raised)


def gather(world: World) -> list[Waiting]:
    """Open escalations without `acked`."""
    found = []
    active: list[str] | None = None
    for row in world.index.live:
        bead = world.bead(row) if row.type == "escalation" else None
        if bead is None or bead.status == "closed" or bead.doc.get("acked"):
            continue
        if active is None:
            known, _ = machine.machines(world.town, world.town.machine)
            active = [one.name for one in known if one.state == "active"]
        since = max(_created(bead, world.now), world.memory.when(f"raise:{row.id}") or 0.0)
        turn = turn_of(world.town.machine, (bead.doc.get("created") or {}).get("machine"), active)
        found.append(Waiting(row.id, since, escalate.raises(bead), turn))
    return found


def _created(bead: Bead, now: float) -> float:
    try:
        return times.parse(bead.created_at)
    except UsageError:
        return now  # no such day: it is for lint to say


def turn_of(here: str, home: str | None, active: Sequence[str]) -> int:
    """How many machines come before this one: first the escalation's own, then the others that take part, by name."""
    order = sorted(active, key=lambda name: (name != home, name))
    return order.index(here) if here in order else len(order)


def decide(evidence: list[Waiting], settings: Settings, now: float) -> list[Action]:
    """Twice at most; what is critical stays critical and is told again."""
    return [
        Raise(one.bead, f"nobody answered for {times.ago(now - one.since)}", raised=one.raised)
        for one in evidence
        if one.raised < MOST and now - one.since >= settings.raise_after + one.turn * TURN
    ]
