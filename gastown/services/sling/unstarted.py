"""Queued work that could not be started: it waits on, is tried again, or leaves the queue; and a person hears of it."""

from __future__ import annotations

import itertools

from gastown.model.bead import Bead
from gastown.model.errors import NotFound
from gastown.services.agents.launch import NotInstalled
from gastown.services.mail import escalate as escalations
from gastown.services.sessions import dispatch
from gastown.services.work import done
from gastown.store import layout
from gastown.store.change import Change
from gastown.store.town import Town

# After so many sessions in a row that could not start, queued work is not tried again by itself.
MAX_STARTS = 3


def tell(town: Town, bead_id: str, to: str, why: str, *, force: bool = False) -> None:
    """Back into the queue if it was its session that could not start, a few times; else off it, and a person is asked.

    What stands against it before anything starts would stand there the next time, too.
    """

    def body(change: Change) -> str:
        try:
            bead = change.bead(bead_id)
        except NotFound:
            return ""
        if bead.status != "open":
            return ""
        rig = layout.rig_of_path(bead.path) or ""
        if dispatch.QUEUED not in bead.labels and 0 < _failed_starts(bead) < MAX_STARTS:
            dispatch.enqueue(change, bead, to, f"its session could not start: {why}", force=force)
            return ""
        dispatch.dequeue(bead)
        bead.add_note(change.at, change.actor, f"It was queued, but could not be started: {why}")
        change.save(bead)
        text = f"{bead.id} could not be started: {why.splitlines()[0]}"
        change.emit("release", text, bead=bead.id, rig=rig, reason="queue")
        words = f"It was queued, but could not be started, and is not tried again by itself:\n{why}"
        return done.escalate(change, rig, bead, words, go_on=f"gt sling {bead.id}")

    if raised := town.transact("release", body, actor="deacon"):
        escalations.page(town, raised)


def _failed_starts(bead: Bead) -> int:
    """How many sessions of its end could not start."""
    outcomes = [one.get("outcome") for one in reversed(bead.sessions)]
    return len(list(itertools.takewhile(lambda outcome: outcome == "start_failed", outcomes)))


def tell_missing(town: Town, bead_id: str, error: NotInstalled) -> None:
    """Ask a person for an agent that is not found on this machine: once, for all the work that waits for it."""
    title = f"{error.agent} is not found on {town.machine}, and queued work waits for it"

    def body(change: Change) -> str:
        if any(row.type == "escalation" and row.title == title for row in town.index().live):
            return ""
        bead = change.bead(bead_id)
        words = f"{error.message}.\n{error.hint}\n\nThe deacon has the PATH of the shell that started it: gt deacon "
        words += "stop, then gt deacon start, from one that finds the agent.\n"
        words += f"What waits starts by itself then, such as {bead_id}.\n"
        return done.ask(change, layout.rig_of_path(bead.path) or "", bead_id, title, words)

    if raised := town.transact("escalation", body, actor="deacon"):
        escalations.page(town, raised)
