"""Whether work that is to be begun, or taken up again, stands on its target already."""

from __future__ import annotations

from gastown.model import times
from gastown.model.bead import Bead
from gastown.model.queue import Entry
from gastown.model.rig import Rig
from gastown.runtime import clones, git
from gastown.services.agents.worksite import Base
from gastown.services.landing import there
from gastown.store import layout
from gastown.store.town import Town

# A commit for a bead is not older than the bead; clocks of machines may differ by this much.
_CLOCKS = 2 * 86400.0


def landed_commit(town: Town, rig: Rig, bead: Bead, base: Base) -> str | None:
    """The commit of the target that holds this bead's work already, None if none does.

    Where its branch has commits of its own, all of them must be there; else a commit with its `Bead:` trailer says
    so. One that was known when its attempt began, or with which it was closed before, does not count: then more is
    wanted. Nor does anything after a landing that was recorded and followed by a reopening.
    """
    if bead.sessions and _has_landed(town, bead):
        return None
    repo = layout.bare(town.root, rig.name)
    since = times.text(times.parse(bead.created_at) - _CLOCKS) if bead.created_at else "1970-01-01T00:00:00Z"
    tip = clones.resolve(repo, f"refs/heads/{bead.branch}") if bead.branch else None
    if tip is not None and not clones.is_ancestor(repo, tip, base.commit):
        entry = Entry(bead.id, bead.id, bead.title, str(bead.branch), tip, base.target, "", bead.priority,
                      bead.created_at)  # fmt: skip
        found = there.landed_already(repo, base.commit, entry)
    else:
        found = next(iter(there.trailed(repo, base.commit, bead.id, f"--since={since}")), None)
        found = None if found and _known_at_its_start(repo, bead, tip, found) else found
    return None if found and _closed_with(town, bead, found, since) else found


def _has_landed(town: Town, bead: Bead) -> bool:
    rows = town.index().rows
    return any(row.type == "merge" and row.source == bead.id and row.closed_reason == "merged" for row in rows)


def _known_at_its_start(repo: str, bead: Bead, tip: str | None, commit: str) -> bool:
    """True if the attempt began after that commit, and on it."""
    last = bead.last_session or {}
    begun = [str(one.get("started") or "") for one in bead.sessions if one.get("attempt") == last.get("attempt")]
    if not any(begun) or (tip is not None and not clones.is_ancestor(repo, commit, tip)):
        return False
    made = float(git.text(["show", "--no-patch", "--format=%ct", commit], git_dir=repo))
    return made + 1 <= times.parse(min(filter(None, begun)))


def _closed_with(town: Town, bead: Bead, commit: str, since: str) -> bool:
    """True if it was closed as merged with that commit once; the feed knows, however it was opened again."""
    return any(
        event["type"] == "merged" and event.get("bead") == bead.id and (event.get("data") or {}).get("commit") == commit
        for event in town.events(since)
    )
