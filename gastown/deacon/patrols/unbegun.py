"""Work that was handed over and not begun: the first prompt is sent again, at most twice."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.deacon import contact, telling
from gastown.deacon.action import Action
from gastown.deacon.patrols.sessions import Seen, seen
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model import times
from gastown.store.town import Town

MOST = 2


@dataclass(frozen=True)
class Unbegun:
    """A session whose bead is still hooked; how often its prompt was sent again, and when last."""

    one: Seen
    sent: int
    last: float


@dataclass(frozen=True)
class Resend(Action):
    """Send a session its first prompt again."""

    address: str = ""
    bead: str = ""
    slow = True

    def apply(self, town: Town) -> None:
        """Into its terminal where it has one, else as a nudge."""
        words = f"{self.address} has not begun {self.bead}: its first prompt is sent again"
        telling.note(town, "nudge", key_of(self.subject), words, bead=self.bead)
        contact.prompt_again(town, self.subject)


def key_of(session: str) -> str:
    """Under which the sendings are counted."""
    return f"unbegun:{session}"


def gather(world: World) -> list[Unbegun]:
    """Sessions that have not called gt yet."""
    if not world.pulse.live:
        return []
    told = world.memory
    return [
        Unbegun(one, told.times_told(key_of(one.session)), told.when(key_of(one.session)) or one.started)
        for one in seen(world)
        if one.mine and not one.began
    ]


def decide(evidence: list[Unbegun], settings: Settings, now: float) -> list[Action]:
    """After `begin`, and once more after as long again."""
    return [
        Resend(
            item.one.session, f"not begun for {times.ago(now - item.one.started)}", address=item.one.address,
            bead=item.one.bead,
        )
        for item in evidence
        if item.sent < MOST and now - max(item.last, item.one.started) > settings.begin
    ]  # fmt: skip
