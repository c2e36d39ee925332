"""Queued work and free slots: what nothing blocks (any more) is started, by priority, then age."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gastown.deacon import telling
from gastown.deacon.action import Action, Later
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model import graph
from gastown.model.row import Row
from gastown.model.text import counted
from gastown.services.agents import launch
from gastown.services.sessions import dispatch
from gastown.services.settings import trust
from gastown.services.sling import sling
from gastown.store.town import Town


@dataclass(frozen=True)
class Room:
    """One rig: the queued beads that nothing blocks, first to start first, and how many may start.

    `engaged` are those that wait for one worker who is at other work.
    """

    rig: str
    ready: tuple[str, ...]
    free: int
    parked: bool = False
    engaged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Untrusted:
    """Queued work with a command that nobody here agreed to, and when that was said (None: not yet)."""

    bead: str
    shown: str
    told: float | None = None


@dataclass(frozen=True)
class Evidence:
    """The rigs with queued work, why nothing may start ("" if it may), and what waits for a person's agreement."""

    rooms: tuple[Room, ...] = ()
    holds: str = ""
    machine_free: int = 0
    untrusted: tuple[Untrusted, ...] = ()


@dataclass(frozen=True)
class Dispatch(Action):
    """Start a rig's queued work while there are slots."""

    ready: tuple[str, ...] = ()
    slow = True

    def apply(self, town: Town) -> None:
        """Every claim is checked again under the town lock."""
        sling.dispatch_queued(town, self.subject)


@dataclass(frozen=True)
class TellUntrusted(Action):
    """Say that a command which came from elsewhere waits to be read. It does nothing until then."""

    shown: str = ""

    def apply(self, town: Town) -> None:
        """Mail to the overseer, one feed event that remembers it."""
        text = f"{self.subject} waits: nobody on {town.machine} has agreed to its command"
        body = f"{text}:\n\n    {self.shown}\n\nRead it, then: gt trust list; gt trust add ID\n"
        telling.tell(town, "untrusted_command", key_of(town, self.subject), text, body=body, bead=self.subject)


def key_of(town: Town, bead: str) -> str:
    """Under which it is remembered that this machine said so."""
    return f"untrusted:{town.machine}:{bead}"


def gather(world: World) -> Evidence:
    """Queued beads whose needs are closed, and the slots of their rigs."""
    waiting = dispatch.waiting(world.index, world.town.machine)
    if not waiting:
        return Evidence()
    untrusted = tuple(_untrusted(world, waiting))
    waiting = [row for row in waiting if row.id not in {one.bead for one in untrusted}]
    by_id = world.index.by_id
    at_work = dispatch.at_work(world.index)
    rooms, machine_free = [], 0
    for rig in world.town.rigs()[0]:
        unblocked = [row for row in waiting if row.rig == rig.name and not graph.blockers(row, by_id)]
        if not unblocked:
            continue
        engaged = dict.fromkeys(row.id for row in unblocked if _wanted(world, row) in at_work)
        ready = tuple(row.id for row in unblocked if row.id not in engaged)
        slots = dispatch.slots(world.town, rig, world.index)
        machine_free = slots.most - slots.used
        own = machine_free if slots.rig_most is None else min(machine_free, slots.rig_most - slots.rig_used)
        rooms.append(Room(rig.name, ready, max(0, own), rig.parked, tuple(engaged)))
    return Evidence(tuple(rooms), "; ".join(world.holds), machine_free, untrusted)


def _wanted(world: World, row: Row) -> str | None:
    bead = world.bead(row)
    return dispatch.wanted(bead, row) if bead is not None else None


def _untrusted(world: World, waiting: list[Row]) -> Iterator[Untrusted]:
    for row in waiting:
        bead = world.bead(row) if row.agent in (None, launch.EXEC) else None
        if bead is not None and bead.command and not trust.is_trusted(world.town, "command", bead.id, bead.command):
            told = world.memory.when(key_of(world.town, bead.id))
            yield Untrusted(bead.id, trust.shown(bead.command), told)


def decide(evidence: Evidence, settings: Settings, now: float) -> list[Action]:
    """One dispatch for each rig that has both work and room; what waits is looked at again, and why is said."""
    again = now + settings.rescan
    found: list[Action] = []
    for one in evidence.untrusted:
        if one.told is None:
            found.append(TellUntrusted(one.bead, "its command is not trusted here", shown=one.shown))
        else:
            found.append(Later(one.bead, "nobody here has agreed to its command (gt trust list)", at=again))
    for room in evidence.rooms:
        why = evidence.holds or _why_not(room)
        if why:
            found.append(Later(room.rig, f"{len(room.ready) + len(room.engaged)} queued: {why}", at=again))
        else:
            slots = counted(room.free, "slot")
            found.append(Dispatch(room.rig, f"{len(room.ready)} queued, {slots} free", ready=room.ready))
    return found


def _why_not(room: Room) -> str:
    if room.parked:
        return "the rig is parked"
    if not room.free:
        return "no slot is free"
    return "" if room.ready else "who it is for is at other work"
