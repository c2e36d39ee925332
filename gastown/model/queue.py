"""The order of a merge queue: priority, then age; convoys gain, failed attempts lose. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MAX_FAILURES = 3
# On a merge bead: three attempts failed, a person has to look (lifecycle.md, Refinery).
SET_ASIDE = "set-aside"
# Reasons with which a merge bead is closed without having landed, and which count as an attempt.
FAILED_REASONS = ("gate_failed", "conflict")


@dataclass(frozen=True)
class Entry:
    """One commit that waits to land: the `merge` bead and what its work bead says.

    `source` is the work bead's id ("" for a branch submitted without one). `created` and
    `convoy_since` are the files' RFC 3339 texts, which sort by time. `failures` counts earlier
    attempts of the same work. `held` says why it may not be tried now; "" if it may. `fence` is the number of the
    claim under which it was made; None if no claim was confirmed.
    """

    id: str
    source: str
    title: str
    branch: str
    commit: str
    target: str
    worker: str
    priority: int
    created: str
    failures: int = 0
    convoy_since: str = ""
    held: str = ""
    set_aside: bool = False
    override: str = ""
    fence: int | None = None


def rank(entry: Entry) -> tuple[int, str, str]:
    """Sort key, first to land first.

    Every failure costs one step of priority, so that work that keeps failing cannot hold up
    work that has not been tried; a convoy's members count as old as the convoy.
    """
    since = min(entry.created, entry.convoy_since) if entry.convoy_since else entry.created
    return entry.priority + entry.failures, since, entry.id


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """The queue, first to land first; the same on every machine."""
    return sorted(entries, key=rank)


def next_batch(entries: Iterable[Entry], size: int) -> list[Entry]:
    """The first `size` entries that may be tried and share the head's target."""
    ready = [entry for entry in in_order(entries) if not entry.held and not entry.set_aside]
    return [entry for entry in ready if entry.target == ready[0].target][:size]
