"""Sessions that handed in their work, or never had any, and go on: ended after a while."""

from __future__ import annotations

from gastown.deacon.action import Action
from gastown.deacon.patrols.lost import End
from gastown.deacon.patrols.sessions import Seen, seen
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model import times
from gastown.model.address import is_worker


def gather(world: World) -> list[Seen]:
    """Live sessions of workers without work on their hook."""
    if not world.pulse.live:
        return []
    return [one for one in seen(world) if is_worker(one.address) and not one.mine and (one.handed_in or not one.bead)]


def decide(evidence: list[Seen], settings: Settings, now: float) -> list[Action]:
    """Idle since it handed in, or was last heard of."""
    found: list[Action] = []
    for one in evidence:
        since = max(one.handed_in, one.beat)
        if now - since > settings.idle:
            found.append(End(one.session, f"{one.address} has had no work for {times.ago(now - since)}"))
    return found
