"""A person's repository as it was before a town was made in it, and how it becomes so again if that fails."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from gastown.runtime import git
from gastown.services.agents import wiring
from gastown.store import files, layout

# What a file held, and its mode; None: there was none.
_Held = tuple[bytes, int] | None


@dataclass(frozen=True)
class Before:
    """The branch `ref` at `head` (None: without a commit) and the files of git's that wiring a town may change."""

    root: str
    ref: str
    head: str | None
    held: dict[str, _Held]


def look(root: str) -> Before | None:
    """The repository at `root` as it is now; None where there is none, or no branch to commit to."""
    if not os.path.lexists(os.path.join(root, ".git")):
        return None
    ref = git.run(["symbolic-ref", "--quiet", "HEAD"], cwd=root, check=False).text.strip()
    if not ref:
        return None
    return Before(root, ref, _tip(root, ref), {path: _held(path) for path in wiring.touched(root)})


def put_back(before: Before) -> None:
    """Take back the town's first commit and git's settings for it. What somebody committed besides stays.

    Only files that this commit added are removed, and only from a branch that still stands at it.
    """
    now = _tip(before.root, before.ref)
    if now is not None and now != before.head and _is_first(before, now):
        _take_back(before, now)
    for path, was in before.held.items():
        if _held(path) != was:
            _restore(path, was)


def _tip(root: str, ref: str) -> str | None:
    return git.run(["rev-parse", "--quiet", "--verify", ref], cwd=root, check=False).text.strip() or None


def _added(root: str, commit: str) -> list[str]:
    args = ["diff-tree", "-r", "-z", "--root", "--no-commit-id", "--name-only", "--diff-filter=A", commit]
    return git.run(args, cwd=root).fields()


def _is_first(before: Before, commit: str) -> bool:
    """True if `commit` is the town's first, right upon what was there before."""
    parents = git.text(["log", "--max-count=1", "--format=%P", commit], cwd=before.root).split()
    return parents == ([before.head] if before.head else []) and layout.TOWN_FILE in _added(before.root, commit)


def _take_back(before: Before, commit: str) -> None:
    paths = _added(before.root, commit)
    args = [before.ref, before.head, commit] if before.head else ["-d", before.ref, commit]
    git.run(["update-ref", "-m", "gt init: it failed", *args], cwd=before.root)
    names = "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")
    git.run(["update-index", "--force-remove", "-z", "--stdin"], cwd=before.root, input=names)
    for path in paths:
        files.remove(layout.absolute(before.root, path))


def _held(path: str) -> _Held:
    data = files.read_or_none(path)
    return None if data is None else (data, stat.S_IMODE(os.stat(path).st_mode))


def _restore(path: str, was: _Held) -> None:
    if was is None:
        files.remove(path)
        return
    files.write(path, was[0])
    os.chmod(path, was[1])
