"""Live sessions and what they should be doing: evidence that several patrols share."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.deacon.world import World
from gastown.model import times
from gastown.model.bead import HELD
from gastown.services.agents import orphaned
from gastown.services.sessions import heartbeat

# Outcomes with which an agent ends its work itself.
_BY_ITSELF = ("done", "escalated", "deferred", "handoff")


@dataclass(frozen=True)
class Seen:
    """One live session of this machine. Times are epoch seconds.

    `status` is its bead's, "" if it has none; `mine`: the bead is on this session's hook; `handed_in` is when it did,
    0 if it did not; `beat` is the last sign of life, `began` true once it called gt from inside. `removed` says so of
    a bead that is no more, and where the work is.
    """

    session: str
    address: str
    bead: str
    status: str
    mine: bool
    runtime: str
    started: float
    beat: float
    handed_in: float = 0.0
    began: bool = True
    removed: str = ""


def seen(world: World) -> list[Seen]:
    """Every live session with what its bead says."""
    found = []
    for record in world.pulse.live.values():
        row = world.index.by_id.get(record.bead or "")
        bead = world.bead(row) if row is not None else None
        removed = orphaned.why(world.town, record) if row is None else ""
        if record.bead and (row is None or bead is None) and not removed:
            continue  # its bead cannot be read: nothing is concluded from that
        age = heartbeat.age(world.town.root, record.address, world.now)
        beat = max(record.started, world.now - age) if age is not None else record.started
        item = next((one for one in (bead.sessions if bead else ()) if one.get("id") == record.id), None)
        last = (bead.last_session or {}).get("id") if bead else None
        mine = bead is not None and bead.status in HELD and bead.assignee == record.address and last == record.id
        ended = times.parse(str(item["ended"])) if item is not None and item.get("ended") else 0.0
        handed_in = ended if item is not None and item.get("outcome") in _BY_ITSELF else 0.0
        found.append(
            Seen(
                record.id, record.address, record.bead or "", bead.status if bead else "", mine and not ended,
                record.runtime, record.started, beat, handed_in, bead is None or bead.status != "hooked", removed,
            )
        )  # fmt: skip
    return found
