"""Live sessions that were not heard of for long: nudged once, never killed unless the town says so."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.deacon import contact, telling
from gastown.deacon.action import Action
from gastown.deacon.patrols.sessions import Seen, seen
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model import times
from gastown.services.sessions import attempts
from gastown.store.town import Town

_WORDS = "You were not heard of for a while. If you are stuck, say so: gt done --status escalated -m WHY; else go on."


@dataclass(frozen=True)
class Quiet:
    """A session at work, its last sign of life, and whether it was nudged since."""

    one: Seen
    nudged: bool


@dataclass(frozen=True)
class NudgeQuiet(Action):
    """Ask a quiet agent, once."""

    address: str = ""
    bead: str = ""

    def apply(self, town: Town) -> None:
        """A nudge, and the event that is shown under problems."""
        text = f"{self.address} is quiet: {self.why}"
        telling.note(town, "heartbeat_stale", key_of(self.subject), text, bead=self.bead)
        contact.nudge(town, self.address, _WORDS)


@dataclass(frozen=True)
class EndQuiet(Action):
    """End a quiet session, because town.yaml says `deacon.kill_quiet_after`; recovery takes it from there."""

    address: str = ""
    bead: str = ""
    slow = True

    def apply(self, town: Town) -> None:
        """Its runner records the end as a death."""
        words = f"session {self.subject} of {self.address} is ended: {self.why}"
        telling.note(town, "heartbeat_stale", f"kill:{self.subject}", words, bead=self.bead)
        attempts.stop(town, self.subject)


def key_of(session: str) -> str:
    """Under which it is remembered that a session was nudged for being quiet."""
    return f"quiet:{session}"


def gather(world: World) -> list[Quiet]:
    """Sessions with work."""
    if not world.pulse.live:
        return []
    return [Quiet(one, world.memory.when(key_of(one.session)) is not None) for one in seen(world) if one.mine]


def decide(evidence: list[Quiet], settings: Settings, now: float) -> list[Action]:
    """Silence is not death: only `kill_quiet_after` ends anything."""
    actions: list[Action] = []
    for item in evidence:
        one, silent = item.one, now - item.one.beat
        why = f"no sign of life for {times.ago(silent)}"
        if settings.kill_quiet_after is not None and silent > settings.kill_quiet_after:
            actions.append(EndQuiet(one.session, why, address=one.address, bead=one.bead))
        elif silent > settings.quiet and not item.nudged:
            actions.append(NudgeQuiet(one.session, why, address=one.address, bead=one.bead))
    return actions
