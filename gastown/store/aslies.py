"""Committing what other programs left in the files as it lies: nothing on disk is touched.

A mail program renames messages while we look; rewriting a file to commit it could bring one back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from gastown.model.errors import GtError, RaceLost, Stale
from gastown.store import gitindex, journal
from gastown.store.gitrepo import FILE_MODE, Change, Repo, ident, new_blob, new_commit
from gastown.store.journal import FileOp, Plan

_TRIES = 5


def commit(
    repo: Repo, found: Mapping[str, bytes | None], *, message: str, who: tuple[str, str], epoch: float
) -> bytes | None:
    """Commit `found` (path to content, None: it is gone) as `who`'s; the commit, or None if HEAD says the same.

    Under the town lock. Killed at any point, the next change finishes it. Raises RaceLost, and Stale where somebody
    committed another version of a file first: committing what was found would take theirs back.
    """
    ops = tuple(FileOp(path, data, data) for path, data in found.items())
    first: list[bytes | None] = []
    for _ in range(_TRIES):
        ref, head = repo.head()
        tree = repo.commit(head).tree if head else None
        first = first or [tree]
        for path, data in found.items():
            if repo.find(tree, path) != repo.find(first[0], path) and repo.differs(tree, path, data):
                raise Stale(f"{path} was committed by somebody else meanwhile", "run it again")
        blobs = {path: new_blob(data) for path, data in found.items() if data is not None}
        wanted: dict[str, Change] = {path: (FILE_MODE, blobs[path].id) if path in blobs else None for path in found}
        new_tree, trees = repo.graft(tree, wanted)
        if new_tree is None or new_tree == tree:
            return None
        made = new_commit(new_tree, [head] if head else [], author=who, epoch=epoch, message=message)
        repo.put([*blobs.values(), *trees, made])
        journal.record(repo.root, Plan("hand_edit", message, who, epoch, ops, ref, head, made.id))
        if repo.lock_ref(ref, made.id, head):
            stamp = ident(who) + b" %d +0000" % int(epoch)
            repo.finish_ref(ref, made.id, head, who=stamp, message=f"gt {message}")
            with contextlib.suppress(OSError, GtError):  # the commit stands; the next writer makes up for it
                gitindex.update(repo, found)
                journal.clear(repo.root)
            return made.id
        journal.clear(repo.root)
    raise RaceLost("the branch of the town kept moving while it was written", "try again")
