"""What an edit does to a bead: whether its life cycle allows that, whom it gives the bead to, whether it lets it go.

One set of rules, whoever meets the edit first: the deacon, a sync, or the hook of a person's own commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gastown.model.bead import HELD, TRANSITIONS
from gastown.model.errors import InvalidFile
from gastown.runtime import git
from gastown.services.files import lint
from gastown.store import layout
from gastown.store.gitrepo import Repo

# What a new bead may be: `hooked` with an assignee is a sling by hand (lifecycle.md).
FRESH = ("open", "deferred", "hooked", "closed")
Doc = Mapping[str, Any]


def came_from(gone: Iterable[str]) -> dict[str, str]:
    """Of removed files those of beads, by id: a new file of the same bead goes on from there, it was moved."""
    return {bead: path for path in gone if (bead := layout.bead_of_path(path))}


def before(repo: Repo, tree: bytes | None, path: str, new: Doc, moved: Mapping[str, str]) -> Doc | None:
    """The version of a bead that an edit of its file goes on from; None if it is new.

    It is what `tree` has there, where it was moved from (`came_from`) or where it was copied from, or of a file brought
    back what git had of it when it was removed. A version that cannot be used counts as the edit itself: mending it is
    always welcome.
    """
    data = repo.blob(tree, path)
    if data is None and (was := moved.get(layout.bead_of_path(path) or "")):
        data = repo.blob(tree, was)
    if data is None and _status(new) not in FRESH:
        data = _copied(repo, tree, path) or _removed(repo.root, path)
    try:
        return lint.parse(path, data) if data is not None else None
    except InvalidFile:
        return new


def breach(path: str, old: Doc | None, new: Doc) -> InvalidFile | None:
    """How an edit breaks the life cycle of a bead; None if it does not, or the file is no bead's."""
    bead = layout.bead_of_path(path)
    if bead is None:
        return None
    now = _status(new)
    if old is None:
        if now in FRESH:
            return None
        return InvalidFile(path, f"a new bead cannot be {now}; it may be: {', '.join(FRESH)}", key="status")
    was = _status(old)
    if now != was and now not in TRANSITIONS[was]:
        allowed = ", ".join(TRANSITIONS[was])
        return InvalidFile(path, f"{bead} was {was} and cannot become {now}; it may become: {allowed}", key="status")
    if was not in HELD or now not in HELD:
        return None
    holder, to = old.get("assignee"), new.get("assignee")
    if to != holder:
        how = f"gt sling {bead} {to} --force takes it over" if to else f"gt release {bead} lets it go"
        return InvalidFile(path, f"{bead} is held by {holder}; {how}", key="assignee")
    if new.get("branch") != old.get("branch"):
        return InvalidFile(path, f"{bead} is being worked on at {old.get('branch')}", key="branch")
    return None


def given_to(old: Doc | None, new: Doc) -> str:
    """Whom an edit gives its bead to (`assignee:` set by hand is a sling); "" if it does not."""
    before = old or {}
    to = str(new.get("assignee") or "")
    if _status(new) == "hooked" and _status(before) != "hooked":
        return to
    return to if _status(new) == "open" and to != str(before.get("assignee") or "") else ""


def lets_go(old: Doc | None, new: Doc) -> bool:
    """True if an edit sets a held bead open: its holder has it no more."""
    return old is not None and _status(old) in HELD and _status(new) == "open"


def _status(doc: Doc) -> str:
    return str(doc.get("status", "open"))


def _copied(repo: Repo, tree: bytes | None, path: str) -> bytes | None:
    """What a tree has of the same bead in another place: that it lies in two is put right by the sync."""
    name = path.rpartition("/")[2]
    homes = [layout.beads_dir(None), *(f"{layout.RIGS}/{rig}/beads" for rig in repo.names(tree, layout.RIGS))]
    places = (f"{home}/{day}/{name}" for home in homes for day in repo.names(tree, home))
    return next((data for place in places if (data := repo.blob(tree, place)) is not None), None)


def _removed(root: str, path: str) -> bytes | None:
    """What git had of a file before it was removed; None if it had none."""
    gone = git.run(["log", "-1", "--format=%H", "--diff-filter=D", "--", path], cwd=root, check=False).text
    if not gone:
        return None
    found = git.run(["show", f"{gone}^:{path}"], cwd=root, check=False)
    return found.out if found.code == 0 else None
