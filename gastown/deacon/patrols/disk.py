"""Little free disk: nothing new is started (see `World.holds`), and the overseer is told once."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.deacon import telling
from gastown.deacon.action import Action
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.services.sessions import holds
from gastown.store.town import Town

# Said again when it still is so after this long.
_AGAIN = 86_400.0


@dataclass(frozen=True)
class Disk:
    """Why the disk forbids new work ("" if it does not), and when that was told last."""

    low: str
    told: float | None


@dataclass(frozen=True)
class TellDisk(Action):
    """Say that nothing new is started on this machine."""

    def apply(self, town: Town) -> None:
        """Mail to the overseer."""
        text = f"nothing new is started on {town.machine}: {self.why}"
        body = f"{text}\n\nWhat runs goes on. Free some space: `du -sh {town.root}/work/*` shows where it is.\n"
        telling.tell(town, "note", key(town), text, body=body, priority="high")


def key(town: Town) -> str:
    """What was told is told of one machine: the others have disks of their own."""
    return f"disk:{town.machine}"


def gather(world: World) -> Disk:
    """One look at the disk."""
    return Disk(holds.low_disk(world.town.root), world.memory.when(key(world.town)))


def decide(evidence: Disk, settings: Settings, now: float) -> list[Action]:
    """Once a day at most."""
    if evidence.low and (evidence.told is None or now - evidence.told > _AGAIN):
        return [TellDisk("disk", evidence.low)]
    return []
