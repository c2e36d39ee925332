"""Sessions whose processes are gone: confirmed, handed in or saved, and said. Recovery is the next patrol's."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from gastown.deacon.action import Action
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model.errors import NotFound
from gastown.services.sessions import attempts
from gastown.services.work import recover
from gastown.store.town import Town


@dataclass(frozen=True)
class Ended:
    """A held bead whose session is recorded as running, and how it stands in truth."""

    bead: str
    session: str
    address: str
    state: str
    finishing: bool = False


@dataclass(frozen=True)
class NoteDeath(Action):
    """Record the end of a session: its work is handed in on its behalf, or its tree saved, the bead stalled."""

    session: str = ""
    slow = True

    def apply(self, town: Town) -> None:
        """Only if it is over in two looks."""
        if not attempts.is_over(town, town.bead(self.subject)):
            return
        try:
            recover.session_ended(town, self.session)
        except NotFound:
            # It never got a record: its start was interrupted. The sweep knows what to do with those.
            with contextlib.suppress(NotFound):
                recover.sweep(town)


def gather(world: World) -> list[Ended]:
    """Held beads of this machine whose last session has no recorded end, and is not seen to live."""
    found = []
    for row, bead in world.held_here():
        session = bead.last_session
        if session is None or session.get("ended"):
            continue
        sid = str(session.get("id", ""))
        if sid in world.pulse.live or (session.get("machine") or world.town.machine) != world.town.machine:
            continue
        finishing = sid in world.pulse.finishing
        state = "exited" if finishing else attempts.look(world.town, bead).state
        found.append(Ended(row.id, sid, str(bead.assignee), state, finishing))
    return found


def decide(evidence: list[Ended], settings: Settings, now: float) -> list[Action]:
    """Act on what is provably over. Its own runner comes first; unknown is never dead."""
    return [
        NoteDeath(one.bead, f"session {one.session} of {one.address} is over ({one.state})", session=one.session)
        for one in evidence
        if one.state in ("exited", "dead", "interrupted") and not one.finishing
    ]
