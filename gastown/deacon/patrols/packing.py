"""What piles up: loose objects, old logs of gates, branches that landed elsewhere; never in a command's way."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.deacon import stamps
from gastown.deacon.action import Action, Later
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model.errors import GtError
from gastown.runtime import git
from gastown.services.landing import gatelogs, landed
from gastown.store.town import Town

STAMP = "pack"


@dataclass(frozen=True)
class Pack(Action):
    """`git maintenance run --auto`; what gates printed long ago goes, and work branches that another machine landed."""

    slow = True

    def apply(self, town: Town) -> None:
        """git decides by itself whether there is enough to do. Raises the first trouble with a rig's remote."""
        stamps.set_stamp(town.root, STAMP, town.clock())
        gatelogs.prune(town)
        git.run(["maintenance", "run", "--auto", "--quiet"], cwd=town.root)
        trouble: list[GtError] = []
        for rig in town.rigs()[0]:
            try:
                landed.tidy(town, rig)
            except GtError as error:
                trouble.append(error)
        if trouble:
            raise trouble[0]


def gather(world: World) -> float:
    """When it was done last."""
    return stamps.stamp(world.town.root, STAMP, world.now)


def decide(evidence: float, settings: Settings, now: float) -> list[Action]:
    """Every hour."""
    due = evidence + settings.pack
    return [Pack("town", "an hour has gone by")] if now >= due else [Later("town", "packed a while ago", at=due)]
