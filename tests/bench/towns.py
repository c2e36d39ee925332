"""Towns of a given number of beads, a hundred a day, written as `gt` would have written them."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from gastown.model import times
from gastown.model.bead import KEYS
from gastown.store import layout, yaml
from gastown.store.town import Town
from tests.store.towns import git, small_town

PER_DAY = 100
HELD = "gp-00003"


def town_of(root: Path, count: int) -> Town:
    """A committed town with `count` beads in rig greenplace; `HELD` is on the hook of greenplace/toast."""
    shutil.rmtree(root, ignore_errors=True)
    town = small_town(root, clock=time.time)
    now = time.time()
    for number in range(count):
        day = times.day(now - 86_400 * (number // PER_DAY))
        path = root / layout.bead_path("greenplace", day, f"gp-{number:05d}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(yaml.dump(_bead(number, day), KEYS))
    worker = root / layout.worker_file("greenplace", "polecats", "toast")
    worker.parent.mkdir(parents=True, exist_ok=True)
    worker.write_text("name: toast\n\nkind: polecat\n\nrig: greenplace\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "beads")
    git(root, "gc", "-q")
    return town


def _bead(number: int, day: str) -> dict[str, object]:
    doc: dict[str, object] = {
        "id": f"gp-{number:05d}",
        "title": f"Bead number {number} of a town that is measured",
        "type": "task",
        "status": "open",
        "priority": number % 5,
        "created": {"at": f"{day}T08:00:00Z", "by": "overseer"},
        "labels": ["auth", "bench"],
        "description": "What is wanted,\nin a few lines,\nas people write it.\n",
    }
    if f"gp-{number:05d}" == HELD:
        doc |= {"status": "in_progress", "assignee": "greenplace/toast", "branch": f"polecat/toast/{HELD}.a1"}
    elif number % 2:
        doc |= {"status": "closed", "closed": {"at": f"{day}T09:00:00Z", "by": "overseer", "reason": "done"}}
    elif number % 7 == 0 and number:
        doc["needs"] = [f"gp-{number - 1:05d}"]
    return doc
