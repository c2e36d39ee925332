"""The commits of agents in a rig, as events: those its clone here holds, and those the town knows to have landed.

What landed is told by the beads that were closed as merged, not by this clone alone: on a machine that does not run
the rig's refinery its branches may be old.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gastown.model import times
from gastown.model.errors import GtError
from gastown.model.rig import Rig
from gastown.model.row import Row
from gastown.runtime import git
from gastown.services.landing import landing
from gastown.store import layout
from gastown.store.town import Town
from gastown.store.view import View

Event = dict[str, Any]
_FIELD, _RECORD = "%x00", "%x01"
# So many of the newest landings are looked up for each commit that is to be listed.
_REACH = 4


@dataclass
class _Merged:
    """What the town knows to have landed: work bead -> the commits that were handed in and what they became."""

    rows: dict[str, Row] = field(default_factory=dict)
    commits: dict[str, list[str]] = field(default_factory=dict)


def of_rig(town: Town, view: View, rig: Rig, limit: int, until: list[str]) -> list[Event]:
    """The newest `limit` of them and more; `until` are options of git log.

    `landed` in an event's data is None where the town says that the work is merged and this clone cannot tell whether
    by this commit.
    """
    merged = _merged(view, rig, limit * _REACH)
    if not os.path.isdir(layout.bare(town.root, rig.name)):
        return [_recorded(row) for row in merged.rows.values()]
    found = _in_clone(town, rig, merged, limit, until)
    there = _existing(layout.bare(town.root, rig.name), (str(row.closed_commit) for row in merged.rows.values()))
    told = {one["bead"] for one in found if "bead" in one and one["data"]["landed"]}
    missing = [row for row in merged.rows.values() if row.closed_commit not in there and row.id not in told]
    return found + [_recorded(row) for row in missing]


def _merged(view: View, rig: Rig, most: int) -> _Merged:
    rows = [row for row in view.index().rows if row.rig == rig.name and row.closed_reason == "merged"]
    works = [row for row in rows if row.type != "merge" and row.closed_commit]
    works.sort(key=lambda row: str(row.closed_at), reverse=True)
    merged = _Merged({row.id: row for row in works[:most]})
    for row in works[:most]:
        merged.commits[row.id] = [str(row.closed_commit)]
    for row in rows:
        if row.type == "merge" and row.source in merged.commits:
            merged.commits[row.source] += [one for one in (row.commit, row.closed_commit) if one]
    return merged


def _existing(bare: str, commits: Iterable[str]) -> set[str]:
    """Those of `commits` that a clone holds."""
    asked = "".join(f"{one}\n" for one in commits).encode()
    args = ["rev-list", "--no-walk=unsorted", "--ignore-missing", "--stdin"]
    return set(git.run(args, git_dir=bare, input=asked).text.split()) if asked else set()


def _in_clone(town: Town, rig: Rig, merged: _Merged, limit: int, until: list[str]) -> list[Event]:
    bare = layout.bare(town.root, rig.name)
    form = _FIELD.join(
        ("%H", "%at", "%an", "%s", "%(trailers:key=Bead,valueonly,separator=%x2C)",
         "%(trailers:key=Agent,valueonly,separator=%x2C)")
    ) + _RECORD  # fmt: skip
    base = ["log", f"--max-count={limit}", "--grep=^Agent: ", *until]
    said = git.run([*base, f"--format={form}", "--exclude=refs/gt/*", "--all", "--"], git_dir=bare).text
    there = _existing(bare, {one for commits in merged.commits.values() for one in commits})
    tips = sorted(there)
    with contextlib.suppress(GtError):  # no such branch (yet): nothing landed on it
        tips.append(landing.target_now(town, rig, rig.branch))
    asked = "".join(f"{one}\n" for one in tips).encode()
    landed = set(git.run([*base, "--format=%H", "--stdin"], git_dir=bare, input=asked).text.split()) if tips else set()
    found = []
    for record in said.split("\x01"):
        fields = record.strip("\n").split("\x00")
        if len(fields) != 6:
            continue
        sha, stamp, author, subject, bead, agent = fields
        item: Event = {"ts": times.millis(float(stamp)), "id": sha, "type": "commit", "actor": agent or author}
        if bead:
            item["bead"] = bead
        known = sha in landed or there.issuperset(merged.commits.get(bead, ())[:1])
        data = {"commit": sha, "landed": (sha in landed) if known else None}
        item |= {"rig": rig.name, "data": data, "text": subject}
        found.append(item)
    return found


def _recorded(row: Row) -> Event:
    """A landing as its bead tells it: the commit itself is not in this clone."""
    return {
        "ts": str(row.closed_at), "id": str(row.closed_commit), "type": "commit",
        "actor": row.assignee or row.created_by, "bead": row.id, "rig": row.rig,
        "data": {"commit": row.closed_commit, "landed": True}, "text": row.title,
    }  # fmt: skip
