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
Entries = Mapping[str, tuple[int, bytes] | None]
_PENDING = "index-pending.json"


class Update:
    """An update of the index on which git works: `finish` puts it in place, `abandon` takes it back."""

    def __init__(self, repo: Repo, entries: Entries) -> None:
        """Start it; the lock on the index is held."""
        self._repo = repo
        self._copy = os.path.join(repo.git_dir, f"index.{os.getpid()}{layout.TEMP_SUFFIX}")
        lines = []
        for path, entry in entries.items():
            mode, sha = entry or (0, b"0" * 40)
            lines.append(b"%o %s\t%s\0" % (mode, sha, path.encode()))
        try:
            # git never writes an index in place: another name for it is a copy that costs nothing.
            with contextlib.suppress(FileNotFoundError):
                files.link(self._index, self._copy)
            self._git = git.Running(
                ["--git-dir", repo.git_dir, "--work-tree", repo.root, "update-index", "-z", "--index-info"],
                cwd=repo.root,
                env={"GIT_INDEX_FILE": self._copy},
                data=b"".join(lines),
            )
        except BaseException:
            self._release()
            raise

    @property
    def _index(self) -> str:
        return os.path.join(self._repo.git_dir, "index")

    def finish(self) -> None:
        """Wait for git and let its index be the index. Raises GtError or OSError with the old one in place."""
        try:
            self._git.finish()
            files.rename(self._copy, self._index)
        finally:
            self._release()
        files.remove(layout.run(self._repo.root, _PENDING))

    def abandon(self) -> None:
        """The change did not come to pass: the index stays as it was."""
        try:
            self._git.finish(check=False)
        finally:
            self._release()

    def _release(self) -> None:
        files.remove(self._copy)
        files.remove(_lock_path(self._repo))


def begin(repo: Repo, entries: Entries, *, wait: float = 0.0) -> Update | None:
    """Start to set these entries (None removes) and those an earlier change could not set.

    None if somebody's git holds the index for more than `wait` seconds.
    """
    tree = _tree(repo)
    wanted = {path: repo.find(tree, path) for path in pending(repo.root)} | dict(entries)
    return Update(repo, wanted) if _lock(repo, wait) else None


def update(repo: Repo, entries: Entries) -> None:
    """Set these entries (None removes) and those an earlier change could not set.

    If somebody's git holds the index for more than 2 s, the paths are noted for the next change:
    the commit itself does not need the index.
    """
    if not entries and not pending(repo.root):
        return
    begun = begin(repo, entries, wait=WAIT)
    if begun is None:
        _note(repo.root, {*pending(repo.root), *entries})
    else:
        begun.finish()


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


def _lock(repo: Repo, wait: float) -> bool:
    deadline = time.monotonic() + wait
    spare = os.path.join(repo.git_dir, f"index.lock{layout.TEMP_SUFFIX}")
    while not files.link_exclusive(_lock_path(repo), TOKEN, spare=spare):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True


def _tree(repo: Repo) -> bytes | None:
    _, head = repo.head()
    return repo.commit(head).tree if head else None
