"""Machines that were not heard of for long, on which something waits: a rig's refinery, or a bead that they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gastown.model import times
from gastown.model.errors import GtError
from gastown.model.rig import Rig
from gastown.model.row import Row
from gastown.services.claims import claims, fences, leases
from gastown.services.claims.claimrefs import Claim
from gastown.services.health.standing import Problem, Worker
from gastown.services.machines import machine
from gastown.services.machines.machine import Machine
from gastown.store import identity, layout
from gastown.store.town import Town

# So long may work wait for the refinery of a machine that is silent, before a person hears of it; seconds.
PATIENCE = 600.0
# So long may a hold that is over wait for the run that takes it over: a deacon looks every minute.
_TAKEN = 180.0


@dataclass(frozen=True)
class Away:
    """The other machine that runs a rig's refinery, or did; epoch seconds.

    `since` and `free`, from when on this one may take it over, are None where rig.yaml names the machine. `heard` is
    when it was heard of last, None if never.
    """

    rig: str
    machine: str
    since: float | None = None
    free: float | None = None
    heard: float | None = None

    def over(self, now: float) -> bool:
        """True if the next run here takes it over."""
        return self.free is not None and self.free < now

    def said(self, now: float) -> str:
        """Who, since when, and how it goes on, in a phrase."""
        if self.free is None or self.since is None:
            return f"{_RUNS.format(self)} (rig.yaml, refinery.machine), {_heard(self.heard, now)}"
        if self.over(now):
            gone = f"the refinery of {self.rig} ran on machine {self.machine}, {_heard(self.heard, now)}"
            return f"{gone}; its hold on it is over, and the next run here takes it over"
        return (
            f"{_RUNS.format(self)} since {times.text(self.since)}, {_heard(self.heard, now)}; a deacon here takes it "
            f"over from {times.text(self.free)} on if it stays silent, `gt mq run {self.rig} --force` at once"
        )


_RUNS = "the refinery of {0.rig} runs on machine {0.machine}"


def _heard(at: float | None, now: float) -> str:
    return "never heard of" if at is None else f"last heard of {times.ago(now - at)} ago"


def heard(town: Town, name: str, one: Claim | None = None) -> float | None:
    """When a machine was heard of last, as far as this clone knows (epoch seconds). `one`: a claim of it, if known.

    What is dated in the future was dated by another clock: then it counts since when the claim stands here as it does.
    """
    now = town.clock()
    renewed = None
    if one is not None:
        renewed = one.written if one.written <= now else leases.watched_since(town, one)
    found = machine.heard_of(town, Machine(name, False, identity.told(town.root, name)))
    known = [at for at in (found, renewed) if at is not None and at <= now]
    return max(known) if known else None if found is None else now


def refinery(town: Town, rig: Rig) -> Away | None:
    """The other machine that runs a rig's refinery, or ran it last; None if it is this one, nobody, or not known."""
    home = rig.refinery_machine
    if home:
        return None if home == town.machine else Away(rig.name, home, heard=heard(town, home))
    one = fences.holder(town, rig)
    if one is None:
        return None
    free = leases.free_from(town, one)
    return Away(rig.name, one.machine, one.since, free, heard(town, one.machine, one))


def why_waiting(town: Town, rig: Rig) -> str:
    """Why what is in a rig's queue is not landed by this machine now, in a phrase; "" if it may be."""
    away = refinery(town, rig)
    return away.said(town.clock()) if away is not None else fences.elsewhere(town, rig)


def queue_problem(town: Town, rig: Rig, waiting: Sequence[Row]) -> Problem | None:
    """That `waiting`, merge beads with nothing wrong, wait for a machine of which nothing is heard."""
    away, now = refinery(town, rig), town.clock()
    if away is None or rig.parked or now - min(_at(row.created, now) for row in waiting) < PATIENCE:
        return None
    if away.over(now):
        if away.free is not None and now - away.free < _TAKEN:
            return None
    elif away.heard is not None and now - away.heard < PATIENCE:
        return None
    command = f"gt mq run {rig.name}" + ("" if away.over(now) else " --force")
    if away.free is None:
        here = rig.landing != "local"  # else it can land nowhere but there
        command = f"$EDITOR {layout.rig_file(rig.name)}" if here else f"gt machine show {away.machine}"
    what = "1 bead waits" if len(waiting) == 1 else f"{len(waiting)} beads wait"
    return Problem("refinery", rig.name, f"{what} to be merged: {away.said(now)}", command)


def _at(text: str, now: float) -> float:
    try:
        return times.parse(text)
    except GtError:
        return now


def bead_problem(town: Town, worker: Worker) -> Problem | None:
    """That work is held on a machine that lives no more, as it seems: who lives renews its claims in that time."""
    bead, name, now = str(worker.bead), str(worker.machine), town.clock()
    one = claims.known(town, bead) if claims.needed(town) else None
    one = one if one is not None and one.machine == name else None
    last = heard(town, name, one)
    if last is not None and now - last < claims.lease_of(town) * leases.SILENT + leases.GRACE:
        return None
    free = leases.free_from(town, one) if one else None
    over = free is not None and free < now
    text = f"{bead} is held by {worker.address} on machine {name}, {_heard(last, now)}"
    if over:
        text += "; its claim has lapsed"
    elif free is not None:
        text += f"; its claim lapses at {times.text(free)}"
    text += f" (all that {name} holds: gt machine retire {name})"
    return Problem("silent", worker.address, text, f"gt sling {bead}" + ("" if over else " --force"))
