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
from collections.abc import Collection, Iterable

from gastown.store import files, git, layout, runstate
from gastown.store.gitrepo import TREE_MODE, Repo, encoded

TOKEN = b"gt holds this lock while it updates the index\n"
WAIT = 2.0
_PENDING = "index-pending.json"


class Update:
    """An update of the index that git has begun: it has read the index when `finish` tells it what to set.

    Told nothing, because we were killed, it ends without having written anything. The lock on the index is
    held no longer than git writes: whoever changed the index since it was read makes git begin again.
    """

    def __init__(self, repo: Repo) -> None:
        """Start it; under the town lock. Raises OSError or GtError."""
        self._repo = repo
        self._index = os.path.join(repo.git_dir, "index")
        self._copy = os.path.join(repo.git_dir, f"index.{os.getpid()}{layout.TEMP_SUFFIX}")
        self._git: git.Running | None = None
        self._begin()

    def _begin(self) -> None:
        # git never writes an index in place: another name for it is a copy that costs nothing.
        with contextlib.suppress(FileNotFoundError):
            files.link(self._index, self._copy)
        try:
            self._git = git.Running(
                ["--git-dir", self._repo.git_dir, "--work-tree", self._repo.root, "update-index", "-z", "--index-info"],
                cwd=self._repo.root,
                env={"GIT_INDEX_FILE": self._copy},
                listens=True,
            )
        except BaseException:
            files.remove(self._copy)
            raise

    def finish(self, paths: Collection[str]) -> None:
        """Set these paths, and those an earlier change could not set, to what HEAD has once the index is locked.

        Whoever committed meanwhile is not taken back by that.

        If somebody's git holds the index for more than 2 s, the paths are noted for the next change: the commit
        itself does not need the index. Raises GtError or OSError with the old index in place.
        """
        try:
            if not _lock(self._repo):
                return _note(self._repo.root, {*pending(self._repo.root), *paths})
            try:
                if not self._unmoved():
                    self.abandon()
                    self._begin()
                self._put(paths)
            finally:
                files.remove(_lock_path(self._repo))
        finally:
            self.abandon()
        files.remove(layout.run(self._repo.root, _PENDING))

    def _unmoved(self) -> bool:
        try:
            return os.path.samefile(self._index, self._copy)
        except FileNotFoundError:
            return not os.path.exists(self._index) and not os.path.exists(self._copy)

    def _put(self, paths: Iterable[str]) -> None:
        tree = self._repo.head_tree()
        wanted = dict.fromkeys([*pending(self._repo.root), *paths])
        running, self._git = self._git, None
        assert running is not None
        running.finish(b"".join(_line(path, self._repo.find(tree, path)) for path in wanted))
        files.rename(self._copy, self._index)

    def abandon(self) -> None:
        """Let git end without a change, if it still runs: the index stays as it is."""
        running, self._git = self._git, None
        if running is not None:
            running.finish(b"", check=False)
        files.remove(self._copy)


def update(repo: Repo, paths: Collection[str]) -> None:
    """Set these paths and those an earlier change could not set, as `Update.finish` does."""
    if paths or pending(repo.root):
        Update(repo).finish(paths)


def _line(path: str, entry: tuple[int, bytes] | None) -> bytes:
    mode, sha = entry if entry and entry[0] != TREE_MODE else (0, b"0" * 40)
    return b"%o %s\t%s\0" % (mode, sha, encoded(path))


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
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True
