"""Work whose `assignee:` was set by hand: it is slung to them, or the person is told why it cannot be."""

from __future__ import annotations

import os
from dataclasses import dataclass

from gastown.deacon import telling
from gastown.deacon.action import Action, Later
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model.bead import Bead
from gastown.model.errors import GtError
from gastown.model.row import Row
from gastown.services.agents import given
from gastown.services.claims import claims, ownclaims
from gastown.services.claims.claims import Offline
from gastown.services.files import handedits
from gastown.services.sessions import dispatch
from gastown.services.sling import sling
from gastown.services.sling.starts import refusal
from gastown.store import files, layout
from gastown.store.change import Change
from gastown.store.town import Town

_AGAIN = 600.0
# For so many seconds a file that was written may be on its way into a person's own commit.
_COMMITTING = 30.0


@dataclass(frozen=True)
class Given:
    """A bead that somebody was given by hand. `problem` says why it cannot be slung; `quiet`: and nobody is told.

    `told` is when its person was told last, `holds` is why nothing may start at all now. `tried` is when it was
    tried as all it hangs on is now, `why` what the last try said. `left`: its session is not over in its file: it was
    held, and a commit has set it open, which lets it go. `written` is when the file was, where it is not committed.
    """

    bead: str
    to: str
    problem: str = ""
    told: float | None = None
    tried: float | None = None
    holds: str = ""
    why: str = ""
    left: bool = False
    written: float | None = None


@dataclass(frozen=True)
class LetGo(Action):
    """Held work was set open in a commit of a person's own: as if they had edited the file."""

    def apply(self, town: Town) -> None:
        """Its session is over, and it is nobody's."""

        def body(change: Change) -> None:
            if _is_left(change.bead(self.subject)):
                handedits.let_go(change, self.subject)
                change.emit("release", f"{self.subject} was let go: {self.why}", bead=self.subject)

        town.transact("release", body, actor="overseer")


@dataclass(frozen=True)
class Sling(Action):
    """Give a bead to the one who was written into it. `told` is what the last try said."""

    to: str = ""
    told: str = ""
    slow = True

    def apply(self, town: Town) -> None:
        """As `gt sling BEAD ADDRESS`; blocked or over capacity it waits in the queue.

        A refusal is told by mail, once.
        """
        _unhook(town, self.subject)
        row = town.index().by_id.get(self.subject)
        # As things are before the try: whoever mends them meanwhile need not wait.
        key = given.tried_key(town, row, self.to) if row else ""
        try:
            report = sling.sling(town, [self.subject], self.to, queue_blocked=True)
        except GtError as error:
            found = [refusal(self.subject, error)]
        else:
            found = list(report.refused)
        if any(one.code == Offline.code for one in found):
            raise GtError(found[0].message, found[0].hint)  # nobody is bothered: it is tried again by itself
        if found and _has_it(town, self.subject, self.to):
            return  # another machine was asked the same, and was first: it goes on there as it was wanted
        refused = [f"{one.message}\n{one.hint}".strip() for one in found]
        if refused:
            why = refused[0].splitlines()[0]
            text = f"{self.subject} cannot be given to {self.to}: {why}"
            if why == self.told:
                telling.note(town, "note", key, text, bead=self.subject, why=why, worker=self.to)
                return
            now = "it stays as it is, and is tried again when that is mended."
            if town.bead(self.subject).assignee != self.to:  # its start had begun
                now = f"it is open and nobody's now: gt sling {self.subject}"
            body = f"{refused[0]}\n\nIt was given to {self.to} by editing its file; {now}\n"
            telling.tell(town, "note", key, text, body=body, bead=self.subject, why=why, worker=self.to)


@dataclass(frozen=True)
class Tell(Action):
    """Say why work that was given by hand does not start. Nothing is changed."""

    to: str = ""

    @property
    def key(self) -> str:
        return key_of(self.subject, self.to, self.why)

    def apply(self, town: Town) -> None:
        """Mail to the overseer, remembered in the feed."""
        text = f"{self.subject} was given to {self.to}, but does not start: {self.why}"
        body = f"{text}.\n\nNothing was changed. Edit `assignee:` again, or: gt sling {self.subject}\n"
        telling.tell(town, "note", self.key, text, body=body, bead=self.subject)


def _has_it(town: Town, bead_id: str, to: str) -> bool:
    """True if the one who was asked for has the work on another machine, by its claim or by what came from there."""
    one = claims.known(town, bead_id) if claims.needed(town) else None
    if one is not None and not ownclaims.is_ours(town, one):
        return one.claimant == to or one.claimant.startswith(f"{to}/")
    row = town.index().by_id.get(bead_id)
    elsewhere = row is not None and row.machine not in (None, town.machine)
    return row is not None and elsewhere and row.status != "open" and row.assignee == to


def key_of(bead: str, to: str, problem: str) -> str:
    """Under which it is remembered that this was told."""
    return f"given:{bead}:{to}:{problem}"


def gather(world: World) -> list[Given]:
    """What the feed remembers as given by hand, and beads that moved and stand open with an assignee."""
    wishes = {wish.bead: wish.to for wish in world.memory.wishes.values()}
    unsettled = world.memory.unsettled
    moved = {bead for path in world.paths or () if (bead := layout.bead_of_path(path))} | unsettled
    if not wishes and not moved:
        return []
    found = []
    for bead_id in {**wishes, **dict.fromkeys(moved)}:
        row = world.index.by_id.get(bead_id)
        unsettled.discard(bead_id)
        if row is None or not _waits(world, row):
            continue
        if _is_uncommitted(world.town, row.path):
            if bead_id in moved:
                unsettled.add(bead_id)
                found.append(Given(bead_id, str(row.assignee), written=_written(world.town, row.path)))
            continue
        to = str(row.assignee)
        held = world.bead(row) if bead_id in moved and row.machine in (None, world.town.machine) else None
        if held is not None and _is_left(held):
            found.append(Given(bead_id, to, left=True))
            continue
        problem = given.why_not(world.town, row, to)
        if problem is None or (problem and bead_id not in wishes):
            continue
        told = world.memory.when(key_of(bead_id, to, problem)) if problem else None
        tried = world.memory.when(given.tried_key(world.town, row, to)) if not problem else None
        why = world.memory.refusals.get((bead_id, to), "")
        found.append(Given(bead_id, to, problem, told, tried, "; ".join(world.holds), why))
    return found


def _is_uncommitted(town: Town, path: str) -> bool:
    """True while an edit is not committed: it is still being written, is being committed, or it was refused."""
    data = files.read_or_none(layout.absolute(town.root, path))
    return town.repo.differs(town.repo.head_tree(), path, data)


def _written(town: Town, path: str) -> float:
    try:
        return os.stat(layout.absolute(town.root, path)).st_mtime
    except FileNotFoundError:
        return 0.0


def _is_left(bead: Bead) -> bool:
    """True for an open bead whose last session is its assignee's and not over: nothing of gt's leaves one so."""
    last = bead.last_session
    return bead.status == "open" and last is not None and not last.get("ended") and last.get("by") == bead.assignee


def _waits(world: World, row: Row) -> bool:
    """True for an open bead with an assignee, or one set to hooked by hand that no session was ever started for."""
    if not row.assignee or dispatch.QUEUED in row.labels:
        return False
    if row.status == "hooked":
        bead = world.bead(row)
        return bead is not None and (not bead.branch or not bead.sessions or not bead.machine)
    return row.status == "open"


def decide(evidence: list[Given], settings: Settings, now: float) -> list[Action]:
    """Sling what can be slung, tell the rest once; what was refused is tried again after ten minutes.

    Once anything changed that it hangs on, it counts as not tried yet.
    """
    actions: list[Action] = []
    for one in evidence:
        if one.written is not None:
            # One that stays uncommitted, because it was refused, is looked at with everything else from then on.
            if now - one.written < _COMMITTING:
                wait = 0.25 if now - one.written < 3.0 else 1.0
                actions.append(Later(one.bead, "its file is not committed yet", at=now + wait))
        elif one.left:
            actions.append(LetGo(one.bead, f"it was set open while {one.to} held it"))
        elif one.problem:
            if one.told is None:
                actions.append(Tell(one.bead, one.problem, to=one.to))
        elif one.holds:
            actions.append(Later(one.bead, one.holds, at=now + settings.rescan))
        elif one.tried is not None and now - one.tried < _AGAIN:
            actions.append(Later(one.bead, f"{one.to} could not take it: {one.why}", at=one.tried + _AGAIN))
        else:
            actions.append(Sling(one.bead, f"its assignee was set to {one.to} by hand", to=one.to, told=one.why))
    return actions


def _unhook(town: Town, bead_id: str) -> None:
    """A bead that was set to hooked by hand has no session: it is open work that somebody is to get."""
    bead = town.bead(bead_id)
    if bead.status != "hooked" or (bead.branch and bead.sessions and bead.machine):
        return

    def body(change: Change) -> None:
        now = change.bead(bead_id)
        if now.status == "hooked" and not (now.branch and now.sessions and now.machine):
            now.move("open")
            change.save(now)
            change.emit("edit", f"{bead_id} is to be slung to {now.assignee}", bead=bead_id,
                        rig=layout.rig_of_path(now.path), keys=["status"])  # fmt: skip

    town.transact("hand_edit", body, actor="overseer")
