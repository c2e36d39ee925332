"""The town's remote: met every `sync.interval`; claims of this machine are renewed when their lease runs low."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.deacon import stamps
from gastown.deacon.action import Action, Later
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.services.health import status
from gastown.store.town import Town

STAMP = "sync"


@dataclass(frozen=True)
class Evidence:
    """The remote (None: the town has none), and when it was met last."""

    remote: str | None
    last: float


@dataclass(frozen=True)
class Sync(Action):
    """Bring this clone and the remote together. `due` tells one meeting from the next."""

    due: float = 0.0
    slow = True
    routine = True

    def apply(self, town: Town) -> None:
        """As `gt sync`. A remote that does not answer is tried again later; raises the first trouble there was."""
        from gastown.services.machines.exchange import exchange

        stamps.set_stamp(town.root, STAMP, town.clock())
        trouble = exchange(town, watched=True).tenure.trouble  # hand edits are a patrol of their own
        if trouble:
            raise trouble[0]


def gather(world: World) -> Evidence:
    """A look at git's configuration, and a time."""
    return Evidence(status.remote_url(world.town.root), stamps.stamp(world.town.root, STAMP, world.now))


def decide(evidence: Evidence, settings: Settings, now: float) -> list[Action]:
    """Nothing without a remote."""
    if evidence.remote is None:
        return []
    due = evidence.last + settings.sync
    if now < due:
        return [Later("town", f"{evidence.remote} was met a moment ago", at=due)]
    meet = Sync("town", f"it is time to meet {evidence.remote}", due=due)
    return [meet, Later("town", f"{evidence.remote} is met now", at=now + settings.sync)]
