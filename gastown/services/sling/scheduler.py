"""What keeps queued work from being started on this machine, and how much room there is."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from functools import partial
from typing import Any

from gastown.model import times
from gastown.model.address import name_of, rig_of
from gastown.model.row import Row
from gastown.services.agents import worksite
from gastown.services.machines import machine
from gastown.services.sessions import dispatch, holds
from gastown.services.sessions.dispatch import Slots
from gastown.store import layout, runstate
from gastown.store.change import Change
from gastown.store.index import Index
from gastown.store.town import Town


@dataclass(frozen=True)
class Room:
    """One rig's slots on this machine and the work that waits for them, first to start first."""

    rig: str
    parked: bool
    slots: Slots
    waiting: tuple[Row, ...]


@dataclass(frozen=True)
class Schedule:
    """What may start: `holds` says in words why nothing may; empty: room decides."""

    machine: str
    holds: tuple[str, ...]
    rooms: tuple[Room, ...]

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        most = self.rooms[0].slots if self.rooms else None
        return {
            "machine": self.machine,
            "holds": list(self.holds),
            "used": most.used if most else 0,
            "most": most.most if most else None,
            "rigs": [
                {
                    "name": room.rig, "parked": room.parked, "used": room.slots.rig_used, "most": room.slots.rig_most,
                    "waiting": [row.id for row in room.waiting],
                }
                for room in self.rooms
            ],
        }  # fmt: skip


def stops(town: Town) -> list[str]:
    """Every reason for which no session may start on this machine now, not even again."""
    return [why for why in (*(one.why for one in holds.stops(town.root)), machine.why_inactive(town)) if why]


def waits_for(town: Town) -> list[str]:
    """Every reason for which no new work is started on this machine by itself now."""
    return [why for why in (*stops(town), holds.paused(town.root)) if why]


def pause(town: Town, why: str = "") -> bool:
    """Start no queued work on this machine until `resume`; False if it was paused already."""
    if holds.paused(town.root):
        return False
    note = {"at": times.text(town.clock()), "by": town.actor, "reason": why}
    runstate.write_json(holds.pause_path(town.root), note)
    with town.change("scheduler") as change:
        change.emit("config", f"scheduler paused on {town.machine}" + (f": {why}" if why else ""), scheduler="paused")
    return True


def resume(town: Town) -> bool:
    """Start queued work again; False if it was not paused."""
    if not holds.paused(town.root):
        return False
    with contextlib.suppress(FileNotFoundError):
        os.unlink(holds.pause_path(town.root))
    with town.change("scheduler") as change:
        change.emit("config", f"scheduler resumed on {town.machine}", scheduler="resumed")
    return True


def schedule(town: Town, index: Index | None = None) -> Schedule:
    """The room on this machine, rig by rig, and what waits for it."""
    index = index or town.index()
    waiting = partial(dispatch.waiting, index, town.machine)
    rooms = [
        Room(rig.name, rig.parked, dispatch.slots(town, rig, index), tuple(waiting(rig.name)))
        for rig in town.rigs()[0]
    ]
    return Schedule(town.machine, tuple(waits_for(town)), tuple(rooms))


def requeue(town: Town, bead_id: str, why: str) -> bool:
    """Take held work whose session is over from its worker and queue it for that one's rig, in one change.

    Its tree is saved, its commits stay on its branch. False if it is not held any more.
    """
    before = town.bead(bead_id)
    former, rig = before.assignee or "", layout.rig_of_path(before.path) or ""
    to = rig_of(former) or rig
    saved = worksite.save(town, str(rig_of(former)), name_of(former)) if before.held else ""

    def body(change: Change) -> bool:
        bead = change.bead(bead_id)
        if not bead.held or bead.assignee != former or bead.last_session != before.last_session:
            return False
        bead.release(at=change.at)
        change.emit("release", f"released {bead.id} from {former}: {why}", bead=bead.id, rig=rig, former=former,
                    branch=bead.branch)  # fmt: skip
        if saved:
            change.emit("rescue", f"worktree of {former}: {saved}", rig=rig, worker=former)
        # In a rig that is not its own it was forced.
        dispatch.enqueue(change, bead, to, why, force=to != rig)
        return True

    done = town.transact("release", body)
    runstate.set_hook_hint(town.root, former, None)
    return done
