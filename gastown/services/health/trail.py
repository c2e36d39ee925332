"""What happened: the feed, the commits of all rigs, the sessions, and the town's own git history."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gastown.model import event, times
from gastown.model.errors import InvalidFile, UsageError
from gastown.model.text import nearest
from gastown.runtime import git
from gastown.services.beads import queries
from gastown.services.landing import commitlog
from gastown.store import layout
from gastown.store import yaml as yaml_store
from gastown.store.town import Town
from gastown.store.view import View

Event = dict[str, Any]
_WINDOWS = (86_400.0, 7 * 86_400.0, 60 * 86_400.0)
_FIELD, _RECORD = "%x00", "%x01"
_POLL = 0.2
# Long texts and lists say only that they changed.
_SHORT = ("title", "type", "status", "priority", "assignee", "machine", "parent", "branch", "target", "agent")


@dataclass(frozen=True)
class Wanted:
    """Which events; empty fields do not filter. `since` is an RFC 3339 time, `with_bead`: only those about a bead."""

    since: str = ""
    types: tuple[str, ...] = ()
    actor: str | None = None
    rig: str | None = None
    bead: str | None = None
    with_bead: bool = False

    def takes(self, one: Event) -> bool:
        """True if an event is wanted."""
        return (
            (not self.types or one.get("type") in self.types)
            and (self.actor is None or one.get("actor") == self.actor)
            and (self.rig is None or one.get("rig") == self.rig)
            and (self.bead is None or one.get("bead") == self.bead)
            and (not self.with_bead or bool(one.get("bead")))
            and str(one.get("ts", "")) >= self.since
        )


def check_types(types: Sequence[str]) -> None:
    """Raise UsageError with the nearest for a type of event that does not exist."""
    for one in types:
        if one not in event.TYPES:
            near = nearest(one, sorted(event.TYPES))
            raise UsageError(
                f"{one!r} is no type of event",
                f"did you mean {' or '.join(near)}?" if near else "one of: " + " ".join(sorted(event.TYPES)),
            )


def events(view: View, wanted: Wanted, *, limit: int | None, now: float) -> list[Event]:
    """The last `limit` events wanted (None: all), oldest first. `now` in epoch seconds."""
    if limit is None or wanted.since:
        found = [one for one in view.events(wanted.since) if wanted.takes(one)]
        return found[-limit:] if limit else found
    # Most people want the newest few: look back no further than it takes to find them.
    for window in _WINDOWS:
        found = [one for one in view.events(times.text(now - window)) if wanted.takes(one)]
        if len(found) >= limit:
            return found[-limit:]
    found = [one for one in view.events() if wanted.takes(one)]
    return found[-limit:]


def follow(
    town: Town, wanted: Wanted, *, sleep: Callable[[float], None] = time.sleep, rounds: int | None = None
) -> Iterator[Event]:
    """Events as they are written from now on, for ever (or `rounds` looks). A torn last line waits for its end."""
    seen = {path: len(town.read(path)) for path in _segments(town)}
    while rounds is None or rounds > 0:
        fresh: list[Event] = []
        for path in _segments(town):
            begin = seen.get(path, 0)
            if os.path.getsize(layout.absolute(town.root, path)) <= begin:
                continue
            data = town.read(path)[begin:]
            whole = data[: data.rfind(b"\n") + 1]
            seen[path] = begin + len(whole)
            fresh += [one for line in whole.splitlines() if (one := event.decode(line)) and wanted.takes(one)]
        yield from sorted(fresh, key=lambda one: (str(one["ts"]), str(one.get("id", ""))))
        if rounds is not None:
            rounds -= 1
        sleep(_POLL)


def _segments(town: Town) -> list[str]:
    days = sorted(town.names(layout.FEED))[-2:]
    return [
        f"{layout.FEED}/{day}/{name}"
        for day in days
        for name in sorted(town.names(f"{layout.FEED}/{day}"))
        if name.endswith(".jsonl")
    ]


def commits(town: Town, view: View, *, rig: str | None = None, limit: int = 50) -> list[Event]:
    """Commits of agents as events, newest first: those in the rigs' clones here, and what else is known to have landed.

    For the past: those that were committed by then, as far as a branch still holds them.
    """
    found: list[Event] = []
    until = [] if view.revision is None else [f"--before={_committed(town, view.revision)}"]
    for one in view.rigs()[0]:
        if rig in (None, one.name):
            found += commitlog.of_rig(town, view, one, limit, until)
    return sorted(found, key=lambda item: str(item["ts"]), reverse=True)[:limit]


def _committed(town: Town, revision: str) -> str:
    return git.text(["show", "--no-patch", "--format=%cI", revision, "--"], cwd=town.root)


def sessions(view: View, *, rig: str | None = None, limit: int = 50) -> list[Event]:
    """Every time an agent sat down to a bead, as events, newest first."""
    rows = [row for row in view.index().rows if row.since and queries.in_rig(row, rig)]
    rows.sort(key=lambda row: str(row.since), reverse=True)
    found: list[Event] = []
    for bead in queries.load_rows(view, rows[:limit]):
        for one in bead.sessions:
            state = one.get("outcome") or ("ended" if one.get("ended") else "running")
            found.append(
                {
                    "ts": str(one.get("started", bead.created_at)),
                    "id": str(one.get("id", "")),
                    "type": "session",
                    "actor": str(one.get("by", "?")),
                    "bead": bead.id,
                    "rig": layout.rig_of_path(bead.path),
                    "data": dict(one),
                    "text": f"{state}: {bead.title}",
                }
            )
    return sorted(found, key=lambda item: str(item["ts"]), reverse=True)[:limit]


def bead_events(view: View, *, rig: str | None, limit: int, now: float) -> list[Event]:
    """What was done on beads, newest first."""
    return events(view, Wanted(rig=rig, with_bead=True), limit=limit, now=now)[::-1]


def everything(town: Town, view: View, *, rig: str | None, limit: int, now: float) -> list[Event]:
    """What was done on beads and the commits made for them, newest first."""
    made = commits(town, view, rig=rig, limit=limit)
    done = bead_events(view, rig=rig, limit=limit, now=now)
    return sorted([*done, *made], key=lambda item: str(item["ts"]), reverse=True)[:limit]


@dataclass(frozen=True)
class Chapter:
    """One commit of the town. `changes` says, for one bead, what it altered."""

    commit: str
    at: float
    author: str
    subject: str
    changes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return {
            "commit": self.commit, "at": times.text(self.at), "author": self.author, "subject": self.subject,
            "changes": list(self.changes),
        }  # fmt: skip


def story(town: Town, *, path: str | None = None, revision: str | None = None, limit: int = 50) -> list[Chapter]:
    """The town's commits, or those that touched one file with what they changed in it, newest first."""
    form = _FIELD.join(("%H", "%at", "%an", "%s")) + _RECORD
    where = [revision or "HEAD", "--", *([path] if path else [])]
    said = git.run(["log", f"--max-count={limit}", f"--format={form}", *where], cwd=town.root).text
    chapters = []
    for record in said.split("\x01"):
        fields = record.strip("\n").split("\x00")
        if len(fields) == 4:
            changes = _changes(town, fields[0], path) if path else ()
            chapters.append(Chapter(fields[0], float(fields[1]), fields[2], fields[3], changes))
    return chapters


def _changes(town: Town, commit: str, path: str) -> tuple[str, ...]:
    made = town.repo.commit(commit.encode())
    after = _doc(town, made.tree, path)
    before = _doc(town, town.repo.commit(made.parents[0]).tree, path) if made.parents else {}
    if before is None or after is None:
        return ("the file was not readable",)
    if not before:
        return ("made",)
    if not after:
        return ("removed",)
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return tuple(_change(key, before.get(key), after.get(key)) for key in keys)


def _doc(town: Town, tree: bytes, path: str) -> dict[str, Any] | None:
    """The document at `path` in a tree: {} if absent, None if it cannot be read."""
    data = town.repo.blob(tree, path)
    if data is None:
        return {}
    try:
        return dict(yaml_store.load(data, path))
    except InvalidFile:
        return None


def _change(key: str, before: Any, after: Any) -> str:
    if key in _SHORT:
        return f"{key}: {'-' if before is None else before} -> {'-' if after is None else after}"
    if isinstance(before or after, list) and key not in ("notes", "sessions"):
        old, new = [str(one) for one in before or ()], [str(one) for one in after or ()]
        signs = [f"+{one}" for one in new if one not in old] + [f"-{one}" for one in old if one not in new]
        return f"{key}: {' '.join(signs)}"
    if key == "notes" and after:
        return f"note: {str(after[-1].get('text', '')).strip()}"
    if key == "closed" and isinstance(after, dict):
        return f"closed: {after.get('reason')}"
    return f"{key} {'added' if before is None else 'removed' if after is None else 'changed'}"
