"""Telling a person's edit from a change of gt's own, and from a git command of theirs that is under way."""

from __future__ import annotations

import os
import time

from gastown.store import committing
from gastown.store.gitrepo import Repo

# How long a git that shows no more than that it began is left alone, in seconds.
PATIENCE = 600.0
_UNDER_WAY = (
    "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply", "BISECT_LOG",
)  # fmt: skip


def git_at_work(repo: Repo) -> str:
    """The sign that a git command of the person is under way in the town; "" if there is none."""
    found = at_work(repo)
    return found.text if found is not None else ""


def at_work(repo: Repo) -> committing.Sign | None:
    """The sign of a git that is under way in the town, and since when; None if there is none.

    While it is, files differ from HEAD without being edits, or are being committed by the person: nothing is adopted
    then. A commit, or a lock on the index, counts for `PATIENCE` at most: a killed git leaves its lock for ever, and
    an editor may stay open over night.
    """
    for name in _UNDER_WAY:
        path = os.path.join(repo.git_dir, name)
        if os.path.exists(path):
            return committing.Sign(name, 0.0)
    found = committing.sign(repo.root, repo.git_dir)
    return found if found is not None and time.time() - found.since < PATIENCE else None
