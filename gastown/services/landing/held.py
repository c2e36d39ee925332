"""Why entries of a merge queue do not move: said once in the feed, remembered on this machine.

A hint under `.gt/run/`: deleting it costs one more try and one more event.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Any

from gastown.model.queue import Entry
from gastown.model.rig import Rig
from gastown.services.landing.gates import COULD_NOT_RUN, GatesRun, digest
from gastown.store import layout, runstate
from gastown.store.change import Change
from gastown.store.town import Town

# What is held is tried again after this long even if nothing here has changed: its cause may lie outside.
# Slow gates rest for longer, so that most of the machine's time is not spent on what cannot land.
HELD_FOR = 60.0
PATIENCE = 10


def _path(town: Town, rig: str) -> str:
    return layout.run(town.root, "refinery", f"{rig}-held.json")


def known(town: Town, rig: str) -> dict[str, dict[str, Any]]:
    """What is held, by merge bead: {"reason", "at", "for", "gates", "could_not_run"}."""
    doc = runstate.read_json(_path(town, rig))
    return {k: v for k, v in doc.items() if isinstance(v, dict)} if isinstance(doc, dict) else {}


def resting(town: Town, rig: Rig, note: dict[str, Any]) -> bool:
    """True while nothing is gained by trying a held entry again: it was tried just now, with these gates."""
    return note.get("gates") == digest(rig) and town.clock() - float(note.get("at", 0)) < float(note.get("for", 0))


def keep_only(town: Town, rig: Rig, ids: set[str]) -> None:
    """Forget entries that are no longer in the queue."""
    notes = known(town, rig.name)
    if not ids.issuperset(notes):
        kept = {bead_id: note for bead_id, note in notes.items() if bead_id in ids}
        runstate.write_json(_path(town, rig.name), kept, durable=False)


def forget(town: Town, rig: str) -> None:
    """Try everything again at the next occasion."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(town, rig))


def tell(town: Town, rig: Rig, entries: Iterable[Entry], reason: str, *, run: GatesRun | None = None) -> None:
    """Remember that `entries` are held for `reason`; a new reason is kept on the merge beads and said in the feed."""
    notes = known(town, rig.name)
    fresh = [entry for entry in entries if notes.get(entry.id, {}).get("reason") != reason]
    if fresh:
        town.transact("merge_failed", lambda change: _tell(change, rig, fresh, reason, run), f"{rig.name}/refinery")
    could_not_run = run is not None and run.verdict == COULD_NOT_RUN
    spent = sum(one.seconds for one in run.results) if run else 0.0
    for entry in entries:
        notes[entry.id] = {
            "reason": reason, "at": town.clock(), "for": max(HELD_FOR, PATIENCE * spent),
            "gates": digest(rig), "could_not_run": could_not_run,
        }  # fmt: skip
    runstate.write_json(_path(town, rig.name), notes, durable=False)


def _tell(change: Change, rig: Rig, entries: list[Entry], reason: str, run: GatesRun | None) -> None:
    for entry in entries:
        merge = change.bead(entry.id)
        if run is not None and run.results:
            merge.set("gates", run.as_docs(change.at))
            change.save(merge)
        what = entry.source or entry.branch or entry.id
        first = reason.splitlines()[0]
        change.emit("merge_failed", f"{what} waits: {first}", bead=what if entry.source else entry.id, rig=rig.name,
                    merge=entry.id, reason="held", text_full=reason)  # fmt: skip
