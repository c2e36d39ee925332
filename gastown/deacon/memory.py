"""What was told and what died, as the feed remembers it: the deacon's only memory, read again after a restart."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from typing import Any

from gastown.model import event, times
from gastown.model.errors import UsageError
from gastown.store import layout

# How far back a restart reads; what was told longer ago may be told again.
REACH = 2 * 86_400.0


@dataclass(frozen=True)
class Wish:
    """Work that a person gave to somebody by editing its `assignee:`; `at` in epoch seconds."""

    bead: str
    to: str
    at: float


class Memory:
    """Follows the feed by its growth: each line is read once."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._read: dict[str, int] = {}
        self.told: dict[str, list[float]] = {}
        # By machine: the feed is that of all of them, and what fails on one says nothing of another.
        self.deaths: dict[str, deque[tuple[float, str]]] = {}
        self.mass_at: dict[str, float] = {}
        self.wishes: dict[str, Wish] = {}
        # Beads whose file had moved and was not committed yet when it was looked at: what it says is not news yet.
        self.unsettled: set[str] = set()
        # Why work could not be given to somebody, as told last: by (bead, to).
        self.refusals: dict[tuple[str, str], str] = {}

    def update(self, now: float) -> None:
        """Read what was appended since the last time."""
        first = times.day(now - REACH)
        home = os.path.join(self._root, layout.FEED)
        fresh: list[dict[str, Any]] = []
        for day in sorted(os.listdir(home)) if os.path.isdir(home) else ():
            if day < first:
                continue
            with os.scandir(os.path.join(home, day)) as found:
                for entry in found:
                    if entry.name.endswith(".jsonl"):
                        fresh += self._new_lines(entry.path, entry.stat().st_size)
        fresh.sort(key=lambda one: (str(one["ts"]), str(one.get("id", ""))))
        for one in fresh:
            self._take(one)

    def _new_lines(self, path: str, size: int) -> list[dict[str, Any]]:
        done = self._read.get(path, 0)
        if size <= done:
            self._read[path] = size  # an append that failed was taken back
            return []
        with open(path, "rb") as file:
            file.seek(done)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read[path] = done + len(whole)
        return [found for line in whole.splitlines() if (found := event.decode(line))]

    def _take(self, one: dict[str, Any]) -> None:
        try:
            at = times.parse(str(one["ts"]))
        except UsageError:
            return
        data = one.get("data") if isinstance(one.get("data"), dict) else {}
        assert isinstance(data, dict)
        kind, bead = str(one["type"]), str(one.get("bead") or "")
        key = data.get("key")
        if isinstance(key, str):
            self.told.setdefault(key, []).append(at)
            if key.startswith("tried:"):
                self.refusals[bead, str(data.get("worker"))] = str(data.get("why") or one.get("text", ""))
        if kind == "session_death":
            self.deaths.setdefault(_writer(one), deque(maxlen=1000)).append((at, bead))
        elif kind == "mass_death":
            self.mass_at[str(data.get("machine") or _writer(one))] = at
        elif kind == "hand_edit" and isinstance(data.get("assign"), dict):
            for work, to in data["assign"].items():
                self.wishes[str(work)] = Wish(str(work), str(to), at)
        elif kind in ("sling", "queue", "close", "merged", "release") and bead in self.wishes:
            del self.wishes[bead]

    def when(self, key: str) -> float | None:
        """When something was told last (epoch seconds); None if it was not."""
        found = self.told.get(key)
        return found[-1] if found else None

    def times_told(self, key: str) -> int:
        """How often something was told."""
        return len(self.told.get(key, ()))


def _writer(one: dict[str, Any]) -> str:
    """The machine that wrote an event, by its id: MACHINE-SEGMENT-LINE."""
    return str(one.get("id") or "").rsplit("-", 2)[0]
