"""Every patrol of the deacon, and what makes it look: paths of the town that moved, sessions, time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gastown.deacon.action import Action
from gastown.deacon.patrols import (
    assigned,
    deaths,
    disk,
    escalations,
    hand_edits,
    idle,
    lost,
    mail,
    merging,
    packing,
    queue,
    quiet,
    recovery,
    snapshots,
    syncing,
    unbegun,
)
from gastown.deacon.settings import Settings
from gastown.deacon.world import World

# Pseudo-paths: a session of this machine began or ended; an errand ended; a marker of this machine moved.
SESSIONS, ERRANDS, MARKERS = ".gt/sessions", ".gt/errands", ".gt/markers"
BEADS = ("beads/", "rigs/")
ALL = ("town.yaml", "agents/", "rigs/", "beads/", "mail/", "machines/", "roles/", "formulas/")


@dataclass(frozen=True)
class Patrol:
    """One row: it looks when a path that begins with one of `wakes` moved, and at every full look.

    `when` says in words what it is about (`gt deacon plan`).
    """

    name: str
    when: str
    wakes: tuple[str, ...]
    gather: Callable[[World], Any]
    decide: Callable[[Any, Settings, float], list[Action]]

    def is_woken(self, paths: frozenset[str] | None) -> bool:
        """True if it has to look after these paths moved (None: everything)."""
        return paths is None or any(path.startswith(self.wakes) for path in paths)


def _row(name: str, when: str, wakes: tuple[str, ...], module: Any) -> Patrol:
    return Patrol(name, when, wakes, module.gather, module.decide)


PATROLS: tuple[Patrol, ...] = (
    _row("hand edits", "a file was changed by hand", ALL, hand_edits),
    _row("assigned", "`assignee:` was set by hand", (*BEADS, "town.yaml", "agents/", "machines/", MARKERS), assigned),
    _row("mail", "a message arrives in new/", ("mail/", SESSIONS), mail),
    _row("deaths", "a session's process is gone", (SESSIONS,), deaths),
    _row("recovery", "held work has no live session", (*BEADS, SESSIONS, ERRANDS, MARKERS), recovery),
    _row("queue", "queued work and a free slot", (*BEADS, "town.yaml", SESSIONS, ERRANDS, MARKERS), queue),
    _row("merge queue", "merge beads are queued", (*BEADS, ERRANDS, MARKERS), merging),
    _row("lost", "a bead is closed or given away while its session runs", (*BEADS, SESSIONS), lost),
    _row("unbegun", "hooked and not begun", (SESSIONS,), unbegun),
    _row("quiet", "a live session is not heard of", (SESSIONS,), quiet),
    _row("idle", "a session has no work", (SESSIONS,), idle),
    _row("escalations", "an escalation is not acknowledged", ("beads/",), escalations),
    _row("disk", "little disk is free", (), disk),
    _row("syncing", "the remote may have news, or waits for ours", (), syncing),
    _row("snapshots", "worktrees hold uncommitted work", (), snapshots),
    _row("packing", "objects lie loose, or logs of gates are old", (), packing),
)
