"""Escalations that nobody acknowledged: a step more severe every four hours, at most twice, and told again."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.deacon import telling
from gastown.deacon.action import Action
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model import times
from gastown.store.change import Change
from gastown.store.town import Town

SEVERITIES = ("low", "medium", "high", "critical")
MOST = 2


@dataclass(frozen=True)
class Waiting:
    """An escalation without an answer: since when it waits at this severity, and how often it was raised."""

    bead: str
    severity: str
    since: float
    raised: int


@dataclass(frozen=True)
class Raise(Action):
    """Make an escalation one step more severe and tell everybody again."""

    severity: str = ""
    raised: int = 0

    def apply(self, town: Town) -> None:
        """Not if it was answered meanwhile."""

        def body(change: Change) -> None:
            bead = change.bead(self.subject)
            if bead.status == "closed" or bead.doc.get("acked") or int(bead.doc.get("raised") or 0) != self.raised:
                return
            bead.set("severity", self.severity)
            bead.set("raised", self.raised + 1)
            change.save(bead)
            text = f"{self.severity}: {bead.title}"
            words = f"{self.why}.\n\n{bead.description}\nAnswer it: gt escalate ack {bead.id}\n"
            for who in ("overseer", "mayor"):
                priority = "urgent" if self.severity == "critical" else "high"
                change.deliver(who, telling.header(text), words, kind="escalation", priority=priority, bead=bead.id)
            change.emit("escalation_raise", f"{bead.id} is {self.severity} now: {self.why}", bead=bead.id,
                        severity=self.severity, key=f"raise:{bead.id}")  # fmt: skip

        town.transact("escalation_raise", body)


def gather(world: World) -> list[Waiting]:
    """Open escalations without `acked`."""
    found = []
    for row in world.index.rows:
        if row.type != "escalation" or row.status == "closed":
            continue
        bead = world.bead(row)
        if bead is None or bead.doc.get("acked") or not bead.created_at:
            continue
        since = max(times.parse(bead.created_at), world.memory.when(f"raise:{row.id}") or 0.0)
        severity = str(bead.doc.get("severity") or "medium")
        found.append(Waiting(row.id, severity, since, int(bead.doc.get("raised") or 0)))
    return found


def decide(evidence: list[Waiting], settings: Settings, now: float) -> list[Action]:
    """Twice at most; what is critical stays critical and is told again."""
    found: list[Action] = []
    for one in evidence:
        if one.raised >= MOST or now - one.since < settings.raise_after:
            continue
        place = SEVERITIES.index(one.severity) if one.severity in SEVERITIES else 1
        severity = SEVERITIES[min(place + 1, len(SEVERITIES) - 1)]
        why = f"nobody answered for {times.ago(now - one.since)}"
        found.append(Raise(one.bead, why, severity=severity, raised=one.raised))
    return found
