"""The merge queues whose refinery this machine runs: one child process for each rig with something to try."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from gastown.deacon.action import REFINERY, Action, Later
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model.errors import GtError, RaceLost
from gastown.services.health import silence
from gastown.services.machines import machine
from gastown.services.refinery import refinery
from gastown.services.sessions import holds
from gastown.store.town import Town


@dataclass(frozen=True)
class Queue:
    """A rig with merge beads; `due`: a run may achieve something; `runner`: who runs it now, "" if nobody.

    `away`: in words, which other machine is its refinery, or was; `free` is when this one may take it over, if ever.
    """

    rig: str
    due: bool
    entries: tuple[str, ...] = ()
    runner: str = ""
    away: str = ""
    free: float | None = None


@dataclass(frozen=True)
class Evidence:
    """All queues, and why nothing may start."""

    queues: tuple[Queue, ...] = ()
    holds: str = ""


@dataclass(frozen=True)
class Refine(Action):
    """Run a rig's refinery once. `entries` are the merge beads that wait."""

    entries: tuple[str, ...] = ()
    slow = True
    lane = REFINERY

    def apply(self, town: Town) -> None:
        """Somebody else's run is as good."""
        with contextlib.suppress(RaceLost):
            refinery.run_once(town, self.subject)


def gather(world: World) -> Evidence:
    """Rigs with open merge beads."""
    rigs: dict[str, list[str]] = {}
    for row in world.index.live:
        if row.type == "merge" and row.rig:
            rigs.setdefault(row.rig, []).append(row.id)
    queues = []
    for rig, entries in sorted(rigs.items()):
        try:
            due = refinery.due(world.town, rig)
            away = silence.refinery(world.town, world.town.rig(rig))
        except GtError:
            continue  # its rig.yaml cannot be used: that is reported as such
        runner = refinery.running(world.town, rig) if due else ""
        said, free = (away.said(world.now), away.free) if away else ("", None)
        queues.append(Queue(rig, due, tuple(sorted(entries)), runner, said, free))
    # A pause of the scheduler is about new work; what is done may land.
    return Evidence(tuple(queues), holds.stopped(world.town.root) or machine.why_inactive(world.town))


def decide(evidence: Evidence, settings: Settings, now: float) -> list[Action]:
    """One run for each queue that is due and that nobody works on; another machine's is looked at again in time."""
    if evidence.holds:
        return []
    actions: list[Action] = []
    for one in evidence.queues:
        if one.due and not one.runner:
            why = f"work waits to be merged; {one.away}" if one.away else "work waits to be merged"
            actions.append(Refine(one.rig, why, entries=one.entries))
        elif one.away and not one.due and (one.free is None or one.free > now):
            again = now + settings.rescan if one.free is None else one.free + 1
            actions.append(Later(one.rig, one.away, at=again))
    return actions
