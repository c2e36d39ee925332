"""How a person gets what landed in a rig's clone into their own checkout, and how much of it waits there."""

from __future__ import annotations

import os
from shlex import quote

from gastown.model.rig import Rig
from gastown.runtime import clones, git
from gastown.services.rigs import localtarget
from gastown.store import layout
from gastown.store.town import Town


def lands_on(town: Town, rig: Rig) -> str | None:
    """The other machine in whose clone of the rig all work lands; None if it is this one, or if it is pushed."""
    home = rig.refinery_machine
    return home if rig.landing == "local" and home and home != town.machine else None


def command(town: Town, rig: Rig) -> str | None:
    """How a person gets what landed; None where it is pushed to their repository, or lies on another machine.

    Where both have moved it is git's merge, which asks nothing of a person's settings.
    """
    if rig.landing != "local" or lands_on(town, rig):
        return None
    how = " --no-rebase --no-edit" if _parted(town, rig) else ""
    return f"git -C {quote(rig.git)} pull{how} {quote(layout.bare(town.root, rig.name))} {quote(_what(town, rig))}"


def _what(town: Town, rig: Rig) -> str:
    if not os.path.isdir(layout.bare(town.root, rig.name)):
        return rig.branch
    if any(one.target == rig.branch for one in localtarget.astray(town, rig)):
        return f"{localtarget.LANDED}{rig.branch}"
    # A tag of the same name would be pulled in the branch's place.
    tagged = clones.resolve(layout.bare(town.root, rig.name), f"refs/tags/{rig.branch}")
    return f"refs/heads/{rig.branch}" if tagged else rig.branch


def waiting(town: Town, rig: Rig) -> int | None:
    """How many landed commits the person's checkout has not been seen to hold; None where nothing waits ever."""
    repo = layout.bare(town.root, rig.name)
    if rig.landing != "local" or not os.path.isdir(repo) or lands_on(town, rig):
        return None
    ours = localtarget.landed(town, rig, rig.branch)
    if ours is None or _holds(rig, ours):
        return 0
    theirs = _tip(rig)
    if not theirs or clones.resolve(repo, theirs) is None:
        theirs = clones.resolve(repo, f"refs/remotes/origin/{rig.branch}") or ""
    counted = git.run(["rev-list", "--count", ours, *([f"^{theirs}"] if theirs else []), "--"], git_dir=repo)
    return int(counted.text)


def _parted(town: Town, rig: Rig) -> bool:
    """True if what landed and the person's branch each hold commits that the other has not."""
    repo = layout.bare(town.root, rig.name)
    ours, theirs = localtarget.landed(town, rig, rig.branch) if os.path.isdir(repo) else None, _tip(rig)
    if ours is None or not theirs or _holds(rig, ours):
        return False
    return clones.resolve(repo, theirs) is None or not clones.is_ancestor(repo, theirs, ours)


def _tip(rig: Rig) -> str:
    """The commit of the person's branch; "" where it is not on this disk."""
    if not os.path.isdir(rig.git):
        return ""
    said = git.run(["rev-parse", "--verify", "--quiet", f"refs/heads/{rig.branch}"], cwd=rig.git, check=False)
    return said.text if said.code == 0 else ""


def _holds(rig: Rig, commit: str) -> bool:
    """True if the person's branch holds a commit, whether it was fetched from there or not."""
    if not os.path.isdir(rig.git):
        return False
    asked = ["merge-base", "--is-ancestor", commit, f"refs/heads/{rig.branch}"]
    return git.run(asked, cwd=rig.git, check=False).code == 0
