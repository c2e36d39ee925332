"""Bringing the index up to date for exactly the paths of a commit, so that `git status` is clean.

A person's staged changes elsewhere stay as they are. The work is done by git on a copy; the
lock in between holds our token from its first moment, so a leftover of a killed process is
recognised by whoever next holds the town lock, and nobody else's lock is ever removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Mapping

from gastown.store import files, git, layout, runstate
from gastown.store.gitrepo import Repo

TOKEN = b"gt holds this lock while it updates the index\n"
WAIT = 2.0
_PENDING = "index-pending.json"


def update(repo: Repo, entries: Mapping[str, tuple[int, bytes] | None]) -> None:
    """Set these entries (None removes) and those an earlier change could not set.

    If somebody's git holds the index for more than 2 s, the paths are noted for the next change:
    the commit itself does not need the index.
    """
    wanted = {path: repo.find(_tree(repo), path) for path in pending(repo.root)} | dict(entries)
    if not wanted:
        return
    if not _lock(repo):
        _note(repo.root, wanted)
        return
    copy = os.path.join(repo.git_dir, f"index.{os.getpid()}{layout.TEMP_SUFFIX}")
    try:
        _set_entries(repo, copy, wanted)
    finally:
        files.remove(_lock_path(repo))
    files.remove(layout.run(repo.root, _PENDING))


def _set_entries(repo: Repo, copy: str, wanted: Mapping[str, tuple[int, bytes] | None]) -> None:
    index = os.path.join(repo.git_dir, "index")
    lines = []
    for path, entry in wanted.items():
        mode, sha = entry or (0, b"0" * 40)
        lines.append(b"%o %s\t%s\0" % (mode, sha, path.encode()))
    try:
        # git never writes an index in place: another name for it is a copy that costs nothing.
        with contextlib.suppress(FileNotFoundError):
            files.link(index, copy)
        git.run(
            ["--git-dir", repo.git_dir, "--work-tree", repo.root, "update-index", "-z", "--index-info"],
            cwd=repo.root,
            env={"GIT_INDEX_FILE": copy},
            data=b"".join(lines),
        )
        files.rename(copy, index)
    finally:
        files.remove(copy)


def clear_own_lock(repo: Repo) -> None:
    """Under the town lock: remove an index lock and copies that a killed process of ours left."""
    if files.read_or_none(_lock_path(repo)) == TOKEN:
        files.remove(_lock_path(repo))
    for name in os.listdir(repo.git_dir):
        if name.startswith("index.") and layout.TEMP_SUFFIX in name:
            files.remove(os.path.join(repo.git_dir, name))


def pending(root: str) -> list[str]:
    """Paths whose index entries an earlier change could not set."""
    noted = runstate.read_json(layout.run(root, _PENDING))
    return [path for path in noted if isinstance(path, str)] if isinstance(noted, list) else []


def _note(root: str, paths: Iterable[str]) -> None:
    path = layout.run(root, _PENDING)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.write(path, json.dumps(sorted(set(paths))).encode())


def _lock_path(repo: Repo) -> str:
    return os.path.join(repo.git_dir, "index.lock")


def _lock(repo: Repo) -> bool:
    deadline = time.monotonic() + WAIT
    spare = os.path.join(repo.git_dir, f"index.lock{layout.TEMP_SUFFIX}")
    while not files.link_exclusive(_lock_path(repo), TOKEN, spare=spare):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _tree(repo: Repo) -> bytes | None:
    _, head = repo.head()
    return repo.commit(head).tree if head else None
