"""Queued work and free slots: what nothing blocks (any more) is started, by priority, then age."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.deacon.action import Action
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model import graph
from gastown.services import dispatch, sling
from gastown.store.town import Town


@dataclass(frozen=True)
class Room:
    """One rig: the queued beads that nothing blocks, first to start first, and how many may start."""

    rig: str
    ready: tuple[str, ...]
    free: int
    parked: bool = False


@dataclass(frozen=True)
class Evidence:
    """The rigs with queued work, and why nothing may start ("" if it may)."""

    rooms: tuple[Room, ...] = ()
    holds: str = ""
    machine_free: int = 0


@dataclass(frozen=True)
class Dispatch(Action):
    """Start a rig's queued work while there are slots."""

    ready: tuple[str, ...] = ()
    slow = True

    def apply(self, town: Town) -> None:
        """Every claim is checked again under the town lock."""
        sling.dispatch_queued(town, self.subject)


def gather(world: World) -> Evidence:
    """Queued beads whose needs are closed, and the slots of their rigs."""
    waiting = dispatch.waiting(world.index, world.town.machine)
    if not waiting:
        return Evidence()
    by_id = world.index.by_id
    rooms, machine_free = [], 0
    for rig in world.town.rigs()[0]:
        ready = tuple(row.id for row in waiting if row.rig == rig.name and not graph.blockers(row, by_id))
        if not ready:
            continue
        slots = dispatch.slots(world.town, rig, world.index)
        machine_free = slots.most - slots.used
        own = machine_free if slots.rig_most is None else min(machine_free, slots.rig_most - slots.rig_used)
        rooms.append(Room(rig.name, ready, max(0, own), rig.parked))
    return Evidence(tuple(rooms), "; ".join(world.holds), machine_free)


def decide(evidence: Evidence, settings: Settings, now: float) -> list[Action]:
    """One dispatch for each rig that has both work and room. Nothing while starting is held."""
    if evidence.holds:
        return []
    return [
        Dispatch(room.rig, f"{len(room.ready)} queued, {room.free} slots free", ready=room.ready)
        for room in evidence.rooms
        if room.ready and room.free > 0 and not room.parked
    ]
