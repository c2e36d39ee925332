"""How old the news is: when the town's remote was met last, and how many commits wait to be sent. A few file reads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gastown.model import times
from gastown.model.errors import GtError
from gastown.store import files, layout, runstate
from gastown.store.refs import Refs

if TYPE_CHECKING:
    from gastown.store.gitrepo import Repo
    from gastown.store.town import Town

# Beyond this it is "many": a walk through a long history has no place in `gt status`.
MOST = 100


@dataclass(frozen=True)
class News:
    """`met` is when the remote answered last (epoch seconds; None: never), `unsent` counts commits up to MOST."""

    met: float | None
    unsent: int

    def as_json(self) -> dict[str, Any]:
        """For `gt status --json`."""
        return {"met": times.text(self.met) if self.met is not None else None, "unsent": self.unsent}

    def said(self, now: float) -> str:
        """In words: `last met 3m ago, 2 commits to send`."""
        met = "never met" if self.met is None else f"last met {times.ago(now - self.met)} ago"
        if not self.unsent:
            return met
        many = "+" if self.unsent >= MOST else ""
        return f"{met}, {self.unsent}{many} commit{'' if self.unsent == 1 else 's'} to send"


@dataclass(frozen=True)
class Trouble:
    """The town could not be synced `since` then (epoch seconds), and why, in one line."""

    since: float
    text: str


def news(town: Town) -> News | None:
    """How this clone and the remote stand, as last seen; None without a remote of its own."""
    refs = Refs(town.root)
    remote = refs.remote()
    if remote is None:
        return None
    ref, head = refs.head()
    there = refs.ref(f"refs/remotes/{remote}/{ref.removeprefix('refs/heads/')}")
    return News(met(town.root), _count(town.repo, head, there) if head and head != there else 0)


def note_met(root: str, when: float) -> None:
    """The remote answered at `when` (epoch seconds). A hint: losing it means not knowing how old the news is."""
    path = layout.run(root, "met")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.write(path, f"{when:.3f}".encode(), temp=f"{path}.{os.getpid()}{layout.TEMP_SUFFIX}", durable=False)


def met(root: str) -> float | None:
    """When the remote was fetched from last; None if it never was, or nothing is known of it."""
    try:
        return float(files.read_or_none(layout.run(root, "met")) or "")
    except ValueError:
        return None


def note_trouble(root: str, error: GtError | None, now: float) -> None:
    """A meeting with the remote failed with `error`, or went well (None): `gt status` says so until one goes well."""
    path = layout.run(root, "sync-trouble.json")
    if error is None:
        files.remove(path)
        return
    lines = [line.strip() for line in error.message.splitlines()]
    text = " ".join(lines[:2] if lines[0].endswith(":") else lines[:1])
    before = trouble(root)
    since = before.since if before is not None and before.text == text else now
    runstate.write_json(path, {"since": since, "text": text}, durable=False)


def trouble(root: str) -> Trouble | None:
    """Why the last meeting with the remote failed; None if it went well, or there was none."""
    note = runstate.read_json(layout.run(root, "sync-trouble.json"))
    if not isinstance(note, dict):
        return None
    return Trouble(float(note.get("since", 0.0)), str(note.get("text", "")))


def _count(repo: Repo, head: bytes, there: bytes | None) -> int:
    """How many commits `head` has that `there` has not, at most MOST; a walk from the newest to the oldest."""
    import heapq

    sent = {there} if there else set()
    todo = [(-repo.commit(sha).commit_time, sha) for sha in {head, *sent}]
    heapq.heapify(todo)
    seen: set[bytes] = set()
    while any(sha not in sent for _, sha in todo) and len(seen) < MOST + len(sent):
        _, sha = heapq.heappop(todo)
        seen.add(sha)
        for parent in repo.commit(sha).parents:
            # Commits of one second come in any order: what was passed before it was known as sent is passed again.
            new = parent not in seen or (sha in sent and parent not in sent)
            if sha in sent:
                sent.add(parent)
            if new:
                heapq.heappush(todo, (-repo.commit(parent).commit_time, parent))
    return min(len(seen - sent), MOST)
