"""Sessions whose work is closed or somebody else's: the agent is told, and ended a minute later."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.deacon import contact, telling
from gastown.deacon.action import Action, Later
from gastown.deacon.patrols.sessions import Seen, seen
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.services.sling import release
from gastown.store.town import Town


@dataclass(frozen=True)
class Lost:
    """A session that goes on without its work, and when it was told (None: not yet)."""

    one: Seen
    told: float | None


@dataclass(frozen=True)
class TellLost(Action):
    """Tell an agent to stop."""

    address: str = ""
    bead: str = ""

    def apply(self, town: Town) -> None:
        """A nudge, remembered in the feed."""
        telling.note(town, "nudge", key_of(self.subject), f"{self.address} is told to stop: {self.why}", bead=self.bead)
        contact.nudge(town, self.address, f"{self.why}. Stop: this session is ended in a minute.", urgent=True)


@dataclass(frozen=True)
class End(Action):
    """End a session; what is uncommitted in its worktree is saved."""

    slow = True

    def apply(self, town: Town) -> None:
        """As `gt session stop`."""
        release.stop_session(town, self.subject)


def key_of(session: str) -> str:
    """Under which it is remembered that a session was told."""
    return f"lost:{session}"


def gather(world: World) -> list[Lost]:
    """Live sessions whose bead is closed, removed, or on no or another hook though they never handed it in."""
    if not world.pulse.live:
        return []
    return [Lost(one, world.memory.when(key_of(one.session))) for one in seen(world) if _has_lost(one)]


def _has_lost(one: Seen) -> bool:
    # One that handed in by itself knows it: it is idle, and no more.
    return bool(one.bead) and not one.mine and not one.handed_in


def decide(evidence: list[Lost], settings: Settings, now: float) -> list[Action]:
    """First the word, then the end."""
    actions: list[Action] = []
    for item in evidence:
        one = item.one
        why = one.removed or f"{one.bead} is no longer yours ({one.status})"
        why = f"{one.bead} is closed" if one.status == "closed" else why
        if item.told is None:
            actions.append(TellLost(one.session, why, address=one.address, bead=one.bead))
            actions.append(Later(one.session, why, at=now + settings.closing))
        elif now - item.told >= settings.closing:
            actions.append(End(one.session, why))
        else:
            actions.append(Later(one.session, why, at=item.told + settings.closing))
    return actions
