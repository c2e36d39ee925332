"""The foreground loop behind `gt sling --wait` and `gt demo`: carries beads to their end, alone if need be.

It does what the deacon would do, for these beads and what they need: recovers dead sessions, starts what is
queued, runs the refinery, meets the remote while another machine has one of them. Safe beside a deacon, because
every step it takes is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gastown.model import graph
from gastown.model.bead import HELD, Bead
from gastown.model.errors import GtError, RaceLost
from gastown.model.queue import SET_ASIDE
from gastown.model.row import Row
from gastown.runtime import sessions
from gastown.services.health import silence
from gastown.services.landing import held
from gastown.services.machines import exchange
from gastown.services.refinery import refinery
from gastown.services.refinery.refinery import Step
from gastown.services.sessions import attempts, holds
from gastown.services.sling import sling
from gastown.services.work import recover, resume
from gastown.store import layout, lock
from gastown.store.index import Index
from gastown.store.town import Town

MAX_RECOVERIES = 3
# Between two looks at a few files; and the longest time without a full look, for runners that die without a word.
POLL = 0.08
LOOK_ANYWAY = 1.0
QUEUED = "queued"
# How often the remote is met for work that goes on on another machine; seconds.
MEET = 5.0
# How long a second look waits for who writes the town; seconds.
LOCKED = 30.0


@dataclass(frozen=True)
class End:
    """How one bead ended: merged, closed, set_aside, escalated, deferred, stalled, blocked, waiting or open.

    `why` is one phrase; "" where the end says it all.
    """

    bead: str
    end: str
    why: str = ""


@dataclass(frozen=True)
class DriveReport:
    """The ends, in the order asked for; `timed_out` if `until` came first."""

    ends: tuple[End, ...]
    timed_out: bool = False

    @property
    def merged(self) -> bool:
        """True if every bead was merged: the one case in which `gt sling --wait` exits 0."""
        return all(one.end == "merged" for one in self.ends)


def drive(
    town: Town, bead_ids: Sequence[str], *, until: float | None = None, on_step: Callable[[Step], None] | None = None
) -> DriveReport:
    """Follow `bead_ids` until each has ended, or none can move any more; `on_step` is told what happens.

    `until` is an epoch time at which to stop following. Sessions go on when this returns or is interrupted.
    """
    return _Loop(town, tuple(bead_ids), on_step or (lambda step: None)).run(until)


class _Loop:
    def __init__(self, town: Town, ids: tuple[str, ...], say: Callable[[Step], None]) -> None:
        self.town = town
        self.ids = ids
        self.say = say
        self.recoveries: dict[str, int] = {}
        self.told: dict[str, str] = {}
        self.run_dir = attempts.run_dir(town)
        self.met = 0.0

    def run(self, until: float | None) -> DriveReport:
        while True:
            seen = self._signature()
            acted = self._act()
            index = self.town.index()
            ends = [self._end(index, bead_id) for bead_id in self.ids]
            self._tell(ends)
            if all(self._final(one) for one in ends):
                return DriveReport(tuple(ends))
            if acted:
                continue
            # What a runner's own last words changed while we looked is looked at again first.
            if not self._may_move(index) and self._signature() == seen:
                return DriveReport(tuple(ends))
            if until is not None and self.town.clock() >= until:
                return DriveReport(tuple(ends), timed_out=True)
            self._wait(seen)

    # -- acting ------------------------------------------------------------------------------------
    def _act(self) -> bool:
        self._meet()
        index = self.town.index()
        mine = [row for row in self._relevant(index) if row.status in HELD and self._here(row)]
        acted = False
        if any(attempts.look(self.town, bead).state in attempts.OVER for bead in self._beads(mine)):
            acted = any([one.what in ("done", "stalled") for one in recover.sweep(self.town)])
            acted = any([self._recover(row.id) for row in mine]) or acted
        if any(QUEUED in row.labels and row.status == "open" for row in index.live):
            started = sling.dispatch_queued(self.town)
            for one in started:
                self.say(Step("dispatched", f"{one.bead} -> {one.to}", bead=one.bead))
            acted = bool(started) or acted
        waiting = {row.rig for row in self.town.index().live if row.type == "merge" and row.rig}
        return any([self._refine(rig) for rig in sorted(waiting)]) or acted

    def _meet(self) -> None:
        """Hear of what goes on elsewhere, and let it be known what was given there."""
        now = time.monotonic()
        if now - self.met < MEET or not self._elsewhere(self.town.index()):
            return
        self.met = now
        try:
            exchange.exchange(self.town)
        except GtError as error:
            self.say(Step("note", f"the remote cannot be met: {error.message.splitlines()[0]}"))

    def _elsewhere(self, index: Index) -> bool:
        return any(row.status != "closed" and not self._here(row) for row in self._relevant(index))

    def _refine(self, rig: str) -> bool:
        if not refinery.due(self.town, rig):
            return False
        try:
            report = refinery.run_once(self.town, rig, on_step=self.say)
        except RaceLost:
            return False  # another process lands for us
        return bool(report.landed or report.sent_back)

    def _recover(self, bead_id: str) -> bool:
        """Start a dead session again, at most three times. A command that ended by itself would only end so again."""
        bead = self.town.bead(bead_id)
        session = bead.last_session
        if not bead.held or session is None or session.get("outcome") in ("escalated", "deferred", "done"):
            return False
        if self.recoveries.get(bead_id, 0) >= MAX_RECOVERIES or not self._died(bead, str(session["id"])):
            return False
        if not attempts.is_over(self.town, bead) or holds.stops(self.town.root):
            return False
        self.recoveries[bead_id] = self.recoveries.get(bead_id, 0) + 1
        try:
            done = resume.resume(self.town, bead)
        except GtError as error:
            self.say(Step("note", f"{bead_id} could not be resumed: {error.message}", bead=bead_id))
            return False
        said = f"is merged already, at {done.landed[:12]}" if done.landed else f"goes on in session {done.session}"
        self.say(Step("recovered", f"{bead_id} {said}", bead=bead_id))
        return not done.unchanged

    def _died(self, bead: Bead, sid: str) -> bool:
        try:
            record = sessions.load(self.run_dir, sid)
        except GtError:
            return False
        ended_itself = record.ended is not None and not record.exit_signal and not record.error
        return not (ended_itself and (bead.command or record.exit_code == 0))

    # -- looking -----------------------------------------------------------------------------------
    def _relevant(self, index: Index) -> list[Row]:
        """The rows of the beads followed and of all they need."""
        found: dict[str, Row] = {}
        todo = list(self.ids)
        while todo:
            row = index.by_id.get(todo.pop())
            if row is not None and row.id not in found:
                found[row.id] = row
                todo += row.needs
        return list(found.values())

    def _here(self, row: Row) -> bool:
        return (row.machine or self.town.machine) == self.town.machine

    def _beads(self, rows: Iterable[Row]) -> list[Bead]:
        return [self.town.bead(row.id) for row in rows]

    def _may_move(self, index: Index) -> bool:
        """True while something runs that can bring one of the beads further."""
        if self._elsewhere(index):
            return True
        rows = self._relevant(index)
        live, _ = attempts.live_sessions(self.town)
        wanted = {row.id for row in rows}
        if any(record.bead in wanted for record in live.values()):
            return True
        if live and any(QUEUED in row.labels and row.status == "open" for row in rows):
            return any(record.bead for record in live.values())
        rigs = {row.rig for row in rows if row.status == "merging" and row.rig}
        return any(refinery.running(self.town, rig) for rig in rigs)

    def _wait(self, seen: object) -> None:
        deadline = time.monotonic() + LOOK_ANYWAY
        while time.monotonic() < deadline and self._signature() == seen:
            time.sleep(POLL)

    def _signature(self) -> object:
        """Changes when the town's feed grows or a session of ours ends; a few stats."""
        feed = os.path.join(self.town.root, layout.FEED)
        day = max(os.listdir(feed), default="") if os.path.isdir(feed) else ""
        with os.scandir(os.path.join(feed, day) if day else self.run_dir) as entries:
            sizes = sorted((one.name, one.stat().st_size) for one in entries if one.name.endswith(".jsonl"))
        home = os.path.join(self.run_dir, "sessions")
        names = os.listdir(home) if os.path.isdir(home) else []
        ended = sum(os.path.exists(os.path.join(home, name, "exit.json")) for name in names)
        return day, sizes, ended

    # -- ends --------------------------------------------------------------------------------------
    def _final(self, end: End) -> bool:
        return end.end in ("merged", "closed", "set_aside", "escalated", "deferred", "unknown")

    def _tell(self, ends: Iterable[End]) -> None:
        for one in ends:
            if self.told.get(one.bead) != one.end:
                self.told[one.bead] = one.end
                why = f": {one.why}" if one.why and one.why != one.end else ""
                self.say(Step("bead", f"{one.bead} is {one.end}{why}", bead=one.bead))

    def _end(self, index: Index, bead_id: str, *, sure: bool = False) -> End:
        row = index.by_id.get(bead_id)
        if row is None:
            return End(bead_id, "unknown", "its file cannot be read")
        if row.status == "closed":
            return End(bead_id, "merged" if row.closed_reason == "merged" else "closed", row.closed_reason or "")
        if row.status == "merging":
            return self._merging(index, row, sure=sure)
        if row.status in HELD:
            return self._held(row)
        blockers = graph.blockers(row, index.by_id)
        if blockers:
            return End(bead_id, "blocked", "it needs " + ", ".join(blockers))
        if QUEUED in row.labels:
            if not self._here(row):
                return End(bead_id, "waiting", f"on machine {row.machine}, whose deacon starts it")
            kept = [one.why for one in holds.every(self.town.root)]
            return End(bead_id, "waiting", kept[0] if kept else "it waits for a free slot")
        return End(bead_id, "deferred" if row.status == "deferred" else "open", "nobody works on it")

    def _merging(self, index: Index, row: Row, *, sure: bool) -> End:
        merges = [one for one in index.live if one.type == "merge" and one.source == row.id]
        if not merges and not sure:
            return self._end_between_changes(row.id)
        if not merges:
            return End(row.id, "stalled", "it is merging, but nothing of it is in the merge queue")
        if any(SET_ASIDE in one.labels for one in merges):
            return End(row.id, "set_aside", f"it was sent back three times: gt mq retry {merges[0].id}")
        notes = held.known(self.town, str(row.rig))
        reason = str(notes.get(merges[0].id, {}).get("reason", ""))
        reason = reason or silence.why_waiting(self.town, self.town.rig(str(row.rig))) or "it is in the merge queue"
        return End(row.id, "waiting", reason.splitlines()[0])

    def _end_between_changes(self, bead_id: str) -> End:
        """As `_end`, from a second look while nobody writes.

        Handing in and landing change two beads: an index read meanwhile may have the one as it is and the other as
        it was.
        """
        try:
            with lock.town_lock(self.town.root, "look", timeout=LOCKED):
                index = self.town.index()
        except RaceLost as busy:
            return End(bead_id, "waiting", busy.message)
        return self._end(index, bead_id, sure=True)

    def _held(self, row: Row) -> End:
        bead = self.town.bead(row.id)
        life = attempts.look(self.town, bead)
        if life.live:
            return End(row.id, "working", f"{row.assignee} works on it")
        outcome = str((bead.last_session or {}).get("outcome", ""))
        if outcome in ("escalated", "deferred"):
            return End(row.id, outcome, f"{row.assignee} said so: gt show {row.id}")
        if life.state in ("elsewhere", "unknown"):
            return End(row.id, "waiting", life.why)
        return End(row.id, "stalled", f"its session is over: gt show {row.id}, gt resume {row.id}")
