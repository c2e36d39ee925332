"""What a patrol may look at in one round: the town, its index, its sessions, what the feed remembers, what moved."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gastown.model.bead import HELD, Bead
from gastown.model.errors import InvalidFile, NotFound
from gastown.model.row import Row
from gastown.services.sling import scheduler
from gastown.store import index as indexes
from gastown.store.town import Town

if TYPE_CHECKING:
    from gastown.deacon.memory import Memory
    from gastown.deacon.pulse import Pulse
    from gastown.store.index import Index


class World:
    """One look at a town. `paths` are the town paths that moved; None: look at everything.

    `since` is the time (epoch seconds) from which on news is news: older mail is not announced. What `moved` is news
    too, in a look at everything.
    """

    def __init__(
        self, town: Town, memory: Memory, pulse: Pulse, *, paths: Iterable[str] | None = None, since: float = 0.0,
        moved: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self.town = town
        self.memory = memory
        self.pulse = pulse
        self.paths = None if paths is None else frozenset(paths)
        self.since = since
        self.moved = frozenset(moved) if self.paths is None else self.paths
        self.now = town.clock()
        self._index: Index | None = None
        self._beads: dict[str, Bead | None] = {}
        self._holds: list[str] | None = None
        self._stops: list[str] | None = None

    @property
    def index(self) -> Index:
        """The summary of every bead, read once a round."""
        if self._index is None:
            self._index = self.town.index()
        return self._index

    @property
    def holds(self) -> list[str]:
        """Why no new work may start on this machine now; empty: it may."""
        if self._holds is None:
            self._holds = scheduler.waits_for(self.town)
        return self._holds

    @property
    def stops(self) -> list[str]:
        """Why no session may start now, not even again."""
        if self._stops is None:
            self._stops = scheduler.stops(self.town)
        return self._stops

    def bead(self, row: Row) -> Bead | None:
        """The whole bead behind a row; None if its file moved or broke since."""
        if row.id not in self._beads:
            try:
                self._beads[row.id] = Bead(indexes.parse(self.town.read(row.path), row.path), row.path)
            except (NotFound, InvalidFile):
                self._beads[row.id] = None
        return self._beads[row.id]

    def is_here(self, row: Row) -> bool:
        """True if a held bead is worked on by this machine."""
        return (row.machine or self.town.machine) == self.town.machine

    def held_here(self) -> list[tuple[Row, Bead]]:
        """Every bead on a hook of this machine."""
        rows = [row for row in self.index.live if row.status in HELD and self.is_here(row)]
        return [(row, bead) for row in rows if (bead := self.bead(row)) is not None]

    def stale(self) -> None:
        """Something was changed: read again what is asked for next."""
        self._index, self._holds, self._stops = None, None, None
        self._beads = {}
        self.town.refresh()
        self.memory.update(time.time())
