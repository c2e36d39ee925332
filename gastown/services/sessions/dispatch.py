"""Slots and names: how many agents this machine may run, who is idle, and what waits in the queue for a slot."""

from __future__ import annotations

import os
from dataclasses import dataclass

from gastown.model.address import name_of, rig_of
from gastown.model.bead import HELD, Bead
from gastown.model.errors import GtError, Refused
from gastown.model.names import next_free
from gastown.model.rig import Rig
from gastown.model.row import Row
from gastown.services.sessions import attempts
from gastown.store import layout
from gastown.store.change import Change
from gastown.store.index import Index
from gastown.store.town import Town

QUEUED = "queued"
MAX_POLECATS = 8


@dataclass(frozen=True)
class Slots:
    """How many agents run on this machine and in the rig, and how many may; None: no limit of the rig's own."""

    used: int
    most: int
    rig_used: int
    rig_most: int | None

    @property
    def full(self) -> str:
        """Why nothing more may start; "" if something may."""
        if self.used >= self.most:
            return f"{self.used} of {self.most} polecats of this machine are at work"
        if self.rig_most is not None and self.rig_used >= self.rig_most:
            return f"{self.rig_used} of {self.rig_most} polecats of the rig are at work"
        return ""


def check_settings(town: Town) -> None:
    """Raise InvalidFile for a number of slots that cannot be used."""
    town.whole("max_polecats", MAX_POLECATS)


def slots(town: Town, rig: Rig, index: Index, *, without: str = "") -> Slots:
    """What is taken by beads whose session is not over (`without` this one). A bead that cannot be read counts."""
    used = rig_used = 0
    for row in index.live:
        if row.status not in HELD or row.id == without or (row.machine or town.machine) != town.machine:
            continue
        if _session_over(town, row):
            continue
        used += 1
        rig_used += rig_of(row.assignee or "") == rig.name
    return Slots(used, town.whole("max_polecats", MAX_POLECATS), rig_used, rig.max_polecats)


def _session_over(town: Town, row: Row) -> bool:
    try:
        session = town.bead(row.id).last_session
    except GtError:
        return False
    return session is None or bool(session.get("ended"))


def choose_name(change: Change, rig: Rig, wanted: str | None, bead: Bead) -> tuple[str, bool]:
    """The polecat that gets `bead`, and whether it is new. Under the town lock, so two slings never take the same.

    Idle ones of this machine first, those with nothing waiting to be merged before the others; then the pool's next
    name. Raises Refused if the wanted one is at other work, or lives on another machine.
    """
    town, index = change.town, change.index()
    docs, problems = town.workers(rig.name)
    polecats = [str(doc["name"]) for doc in docs if doc["kind"] == "polecats"]
    away = {str(doc["name"]): str(doc["machine"]) for doc in docs if doc.get("machine") not in (None, town.machine)}
    live, unknown = attempts.live_sessions(town)
    busy = at_work(index, without=bead.id)
    if wanted is not None:
        address = f"{rig.name}/{wanted}"
        if address in busy:
            row = busy[address]
            what = f"{address} works on {row.id}: {row.title}"
            raise Refused(what, f"sling to the rig: gt sling {bead.id} {rig.name}")
        if address in live and live[address].bead != bead.id:
            raise Refused(f"a session of {address} still runs", f"gt session stop {live[address].id}")
        if wanted in away:
            where = f"{address} lives on machine {away[wanted]}"
            raise Refused(where, f"gt sling {bead.id} {address} --machine {away[wanted]}, or sling to the rig")
        return wanted, wanted not in polecats
    if not unknown:
        merging = {row.assignee for row in index.live if row.status == "merging"}
        free = [name for name in polecats if name not in away]
        idle = [name for name in free if f"{rig.name}/{name}" not in busy and f"{rig.name}/{name}" not in live]
        for name in sorted(idle, key=lambda name: (f"{rig.name}/{name}" in merging, _place(rig, name), name)):
            return name, False
    used = {str(doc["name"]) for doc in docs} | {name_of(problem.path).removesuffix(".yaml") for problem in problems}
    used |= {name_of(one) for one in (*busy, *live) if one and rig_of(one) == rig.name} | set(_folders(town, rig))
    share, of = _share(town)
    return next_free(rig.names, used, share=share, of=of), True


def at_work(index: Index, *, without: str = "") -> dict[str, Row]:
    """What each worker has on its hook, by address; work that is `without` aside."""
    return {row.assignee: row for row in index.live if row.status in HELD and row.assignee and row.id != without}


def _share(town: Town) -> tuple[int, int]:
    """Which names of the pool are this machine's to give: (its place, how many machines there are)."""
    machines = sorted(name.removesuffix(".yaml") for name in town.names(layout.MACHINES) if name.endswith(".yaml"))
    here = town.machine
    return (machines.index(here), len(machines)) if here in machines else (0, 1)


def _place(rig: Rig, name: str) -> int:
    return rig.names.index(name) if name in rig.names else len(rig.names)


def _folders(town: Town, rig: Rig) -> list[str]:
    home = layout.work(town.root, rig.name)
    return os.listdir(home) if os.path.isdir(home) else []


def enqueue(
    change: Change, bead: Bead, to: str, why: str, *, machine: str | None = None, force: bool = False
) -> None:
    """Label an open bead as waiting for a slot (or for its needs) on `machine` (None: on this one).

    `force`: what a person slung it past stands in its way no more when it starts. Waiting so already: nothing changes.
    """
    where = machine or (change.town.machine if change.town.repo.remote() else None)
    same = bead.dispatch.get("to") == to and is_forced(bead) == force
    if QUEUED in bead.labels and same and bead.machine == where:
        return
    bead.set("labels", [*(label for label in bead.labels if label != QUEUED), QUEUED])
    bead.set("dispatch", {"to": to, "by": change.actor, "at": change.at, **({"force": True} if force else {})})
    bead.set("machine", where)
    change.save(bead)
    change.emit("queue", f"queued {bead.id} for {to}: {why}", bead=bead.id, rig=rig_of(to) or to)


def wanted(bead: Bead, row: Row) -> str:
    """The rig or the worker that queued work waits for."""
    return str(bead.dispatch.get("to") or row.rig)


def is_forced(bead: Bead) -> bool:
    """True if queued work was slung with --force."""
    return bool(bead.dispatch.get("force"))


def dequeue(bead: Bead) -> None:
    """Take the marks of waiting off a bead that is being started, or is no longer wanted."""
    bead.set("labels", [label for label in bead.labels if label != QUEUED])
    bead.set("dispatch", None)
    if bead.status == "open":
        bead.set("machine", None)


def waiting(index: Index, here: str, rig: str | None = None) -> list[Row]:
    """Open beads that wait for a slot on the machine `here`, in the order they will get one: priority, then age."""
    rows = [
        row
        for row in index.live
        if QUEUED in row.labels and row.status == "open" and rig in (None, row.rig) and row.machine in (None, here)
    ]
    return sorted(rows, key=lambda row: (row.priority, row.created, row.id))
