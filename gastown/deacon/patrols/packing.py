"""Loose objects: git packs them in the background, never in a command's way."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.deacon import stamps
from gastown.deacon.action import Action, Later
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.runtime import git
from gastown.store.town import Town

STAMP = "pack"


@dataclass(frozen=True)
class Pack(Action):
    """`git maintenance run --auto` in the town."""

    slow = True

    def apply(self, town: Town) -> None:
        """git decides by itself whether there is enough to do."""
        stamps.set_stamp(town.root, STAMP, town.clock())
        git.run(["maintenance", "run", "--auto", "--quiet"], cwd=town.root)


def gather(world: World) -> float:
    """When it was done last."""
    return stamps.stamp(world.town.root, STAMP)


def decide(evidence: float, settings: Settings, now: float) -> list[Action]:
    """Every hour."""
    due = evidence + settings.pack
    return [Pack("town", "an hour has gone by")] if now >= due else [Later("town", "packed a while ago", at=due)]
