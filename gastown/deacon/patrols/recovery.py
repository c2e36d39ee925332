"""Held work without a live session: resumed, then released to somebody else, then a person is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gastown.deacon import telling
from gastown.deacon.action import Action, Later
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model import times
from gastown.model.bead import Bead
from gastown.model.queue import FAILED_REASONS
from gastown.services.mail import escalate as escalations
from gastown.services.sessions import attempts
from gastown.services.sling import scheduler, sling
from gastown.services.work import done, resume
from gastown.services.work.shutdown import DOWN
from gastown.store import layout
from gastown.store.change import Change
from gastown.store.town import Town

# How sessions end that nobody ended on purpose.
FAILURES = ("died", "failed", "exited", "interrupted", "start_failed")
# A session that lived so long was no crash loop: what failed before it does not count.
LIVED = 1800.0
_MASS = "mass_death"


@dataclass(frozen=True)
class Stalled:
    """A held bead whose session is over.

    `failures` counts the sessions that failed since a person was asked last; `ended` is when the last one did.
    `sent_back`: the refinery returned it and no new attempt began. `asked`: a person was asked, and has not answered.
    """

    bead: str
    address: str
    session: str
    outcome: str
    ended: float
    failures: int = 0
    sent_back: bool = False
    asked: bool = False


@dataclass(frozen=True)
class Evidence:
    """All stalled beads of this machine, its deaths of late as (time, bead), its last mass death, what stops it."""

    stalled: tuple[Stalled, ...] = ()
    deaths: tuple[tuple[float, str], ...] = ()
    mass_at: float = 0.0
    holds: str = ""


@dataclass(frozen=True)
class Resume(Action):
    """A new session for the same attempt, in the same worktree. `after` is the session that ended."""

    after: str = ""
    slow = True

    def apply(self, town: Town) -> None:
        """Refused by the service if somebody took it up meanwhile."""
        bead = town.bead(self.subject)
        if bead.held and attempts.is_over(town, bead):
            resume.resume(town, bead)


@dataclass(frozen=True)
class Release(Action):
    """Give the work to whoever is free: what was done stays on its branch, what was uncommitted is saved."""

    after: str = ""
    slow = True

    def apply(self, town: Town) -> None:
        """Open and queued in one change, then started if there is room."""
        bead = town.bead(self.subject)
        if bead.held and attempts.is_over(town, bead) and scheduler.requeue(town, self.subject, self.why):
            sling.dispatch_queued(town, layout.rig_of_path(bead.path))


@dataclass(frozen=True)
class Restart(Action):
    """A new attempt for work that the refinery sent back and that did not begin again."""

    after: str = ""
    slow = True

    def apply(self, town: Town) -> None:
        """With the refinery's last note as context."""
        bead = town.bead(self.subject)
        if bead.status == "in_progress" and attempts.is_over(town, bead):
            text = str(bead.notes[-1].get("text", "")) if bead.notes else ""
            sling.restart(town, self.subject, reason="sent back", context=text)


@dataclass(frozen=True)
class Escalate(Action):
    """Ask a person: this work fails again and again."""

    address: str = ""
    failures: int = 0
    slow = True  # for the town's command

    def apply(self, town: Town) -> None:
        """One escalation bead, mail to the overseer and the mayor, the command. The work stays where it is."""
        words = (
            f"{self.failures} sessions of {self.address} on {self.subject} failed; it is not tried again by itself.\n"
            f"What they said: gt show {self.subject}\n"
            f"Give it up: gt release {self.subject}\n"
            "When this escalation is closed, it is tried again."
        )

        def raise_it(change: Change) -> str:
            bead = change.bead(self.subject)
            if not bead.held or any(_is_about(row, bead.id) for row in change.index().live):
                return ""
            return done.escalate(change, layout.rig_of_path(bead.path) or "", bead, words)

        if raised := town.transact("escalation", raise_it):
            escalations.page(town, raised)


@dataclass(frozen=True)
class MassDeath(Action):
    """Say that many died at once, and that recovery waits."""

    count: int = 0
    until: float = 0.0

    def apply(self, town: Town) -> None:
        """Mail to the overseer, one feed event."""
        body = f"{self.why}.\n\nLook at memory, disk, accounts: gt feed --type session_death --since 10m\n"
        telling.tell(town, _MASS, _MASS, self.why, body=body, priority="urgent", count=self.count,
                     until=times.text(self.until), machine=town.machine)  # fmt: skip


def _is_about(row: Any, bead: str) -> bool:
    return bool(row.type == "escalation" and row.source == bead)


def gather(world: World) -> Evidence:
    """Held beads of this machine whose last session has a recorded end, and what the feed says of deaths."""
    found = []
    for row, bead in world.held_here():
        session = bead.last_session
        if session is None or not session.get("ended") or world.pulse.of(str(bead.assignee)) is not None:
            continue
        asked = [one for one in world.index.rows if one.type == "escalation" and one.source == row.id]
        found.append(
            Stalled(
                row.id, str(bead.assignee), str(session.get("id") or ""), str(session.get("outcome") or ""),
                _epoch(session.get("ended")),
                failures(bead.sessions, since=max((one.created for one in asked), default="")),
                _sent_back(world, bead), any(one.status != "closed" for one in asked),
            )
        )  # fmt: skip
    memory, here = world.memory, world.town.machine
    deaths = tuple(memory.deaths.get(here, ()))
    return Evidence(tuple(found), deaths, memory.mass_at.get(here, 0.0), "; ".join(world.stops))


def _epoch(text: object) -> float:
    return times.parse(str(text)) if text else 0.0


def failures(sessions: Sequence[Mapping[str, Any]], *, since: str = "") -> int:
    """How many sessions in a row failed up to now; one that lived for half an hour begins the count anew.

    `since`: those that started before (RFC 3339) do not count: a person was asked about them.
    """
    count = 0
    for session in reversed(sessions):
        outcome, started = str(session.get("outcome") or ""), str(session.get("started") or "")
        if outcome == DOWN:
            continue
        if outcome not in FAILURES or (since and started < since):
            break
        count += 1
        if _epoch(session.get("ended")) - _epoch(started) >= LIVED:
            break
    return count


def _sent_back(world: World, bead: Bead) -> bool:
    """True if the newest thing the refinery said of it is that it failed."""
    if bead.status != "in_progress" or (bead.last_session or {}).get("outcome") not in ("done", "sent_back"):
        return False
    mine = [row for row in world.index.rows if row.type == "merge" and row.source == bead.id]
    last = max(mine, key=lambda row: (row.created, row.id), default=None)
    return last is not None and last.closed_reason in FAILED_REASONS


# -- deciding -------------------------------------------------------------------------------------
def decide(evidence: Evidence, settings: Settings, now: float) -> list[Action]:
    """First failure: resume at once. Then with growing pauses: resume, release, and at last a person.

    Many deaths at once pause it all: the cause is rarely in the work.
    """
    if evidence.holds:
        return []
    actions: list[Action] = []
    until = evidence.mass_at + settings.mass_pause
    late = {bead for at, bead in evidence.deaths if max(now - settings.mass_window, evidence.mass_at) < at <= now + 5}
    if len(late) >= settings.mass_deaths and now >= until:
        until = now + settings.mass_pause
        text = f"{len(late)} sessions died within {times.ago(settings.mass_window)}"
        text += f": recovery waits {times.ago(settings.mass_pause)}"
        actions.append(MassDeath("recovery", text, count=len(late), until=until))
    if now < until:
        waiting = any(_wanted(one) for one in evidence.stalled)
        return [*actions, Later("recovery", "many died at once", at=until)] if waiting else actions
    return actions + [action for one in evidence.stalled if (action := _one(one, settings, now))]


def _wanted(one: Stalled) -> bool:
    return one.sent_back or one.outcome == DOWN or one.outcome in FAILURES


def _one(one: Stalled, settings: Settings, now: float) -> Action | None:
    if one.sent_back:
        return Restart(one.bead, "it was sent back and did not begin again", after=one.session)
    if one.outcome == DOWN:
        return Resume(one.bead, "gt down ended its session", after=one.session)
    if one.outcome not in FAILURES or one.asked:
        return None
    if one.failures > settings.recoveries:
        return Escalate(one.bead, f"{one.failures} sessions failed", address=one.address, failures=one.failures)
    due = one.ended + pause(one.failures, settings)
    if now < due:
        return Later(one.bead, f"{one.failures} sessions failed", at=due)
    if one.failures >= settings.recoveries:
        return Release(one.bead, f"{one.failures} sessions of {one.address} failed", after=one.session)
    return Resume(one.bead, f"its session {_WORDS.get(one.outcome, 'ended')}", after=one.session)


_WORDS = {"died": "died", "failed": "failed", "exited": "ended without a result", "interrupted": "was interrupted",
          "start_failed": "could not start"}  # fmt: skip


def pause(failures: int, settings: Settings) -> float:
    """Seconds to wait after so many failures: none after the first, then 30 s, doubled up to 10 m."""
    if failures <= 1:
        return 0.0
    return float(min(settings.backoff * 2 ** (failures - 2), settings.backoff_most))
