"""Telling a person's edit from a change of gt's own, and from a git command of theirs that is under way."""

from __future__ import annotations

import os

from gastown.store.gitrepo import Repo, new_blob

_UNDER_WAY = (
    "index.lock", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply", "BISECT_LOG",
)  # fmt: skip


def git_at_work(git_dir: str) -> str:
    """The sign that a git command of the person is under way in the town; "" if there is none.

    While it is, files differ from HEAD without being edits: nothing is adopted then.
    """
    for name in _UNDER_WAY:
        path = os.path.join(git_dir, name)
        if os.path.exists(path):
            return name
    return ""


def differs(repo: Repo, tree: bytes | None, path: str, data: bytes | None) -> bool:
    """True if a file's content (None: it is gone) is not what the tree holds."""
    entry = repo.find(tree, path)
    if entry is None or data is None:
        return (entry is None) != (data is None)
    return entry[1] != new_blob(data).id


def head_tree(repo: Repo) -> bytes | None:
    """The tree of HEAD; None before the first commit."""
    _, head = repo.head()
    return bytes(repo.commit(head).tree) if head else None
