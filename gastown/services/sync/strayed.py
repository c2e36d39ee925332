"""What was written while a person's git had led the town off every branch: it comes to the branch again."""

from __future__ import annotations

from gastown.model.errors import RaceLost
from gastown.runtime import git
from gastown.services.files import footing
from gastown.services.sync import settle, treejoin
from gastown.store import mergewrite
from gastown.store.town import Town

_TRIES = 10


def bring_back(town: Town) -> int:
    """Merge each of them into the branch, as a sync would; how many there were to merge. Nothing while git is busy.

    A rebase or a person's own merge may have brought them already. Raises RaceLost if the town keeps changing.
    """
    refs = footing.left_behind(town.repo)
    if not refs or footing.astray(town.repo) is not None:
        return 0
    town.settle()
    merged = sum(_bring(town, ref) for ref in refs)
    if merged:
        settle.after(town)
    return merged


def _bring(town: Town, ref: str) -> bool:
    for _ in range(_TRIES):
        there = town.repo.ref(ref)
        if there is None:
            return False
        _, head = mergewrite.require_branch(town.repo)
        known = git.succeeds(["merge-base", "--is-ancestor", there.decode(), head.decode()], cwd=town.root)
        if known or treejoin.join(town, head, there, "what was written on no branch") is not None:
            git.run(["update-ref", "-d", ref, there.decode()], cwd=town.root)
            return not known
    raise RaceLost("the town kept changing while it was merged", "try again")
