"""Worktrees whose repository was moved or copied together with them: git names both ends by absolute paths.

`git worktree repair` follows the old paths, which after a copy lead into the other repository. So both ends are
written here, and only where the files on both sides prove that they belong together.
"""

from __future__ import annotations

import os
from pathlib import Path

from gastown.runtime import clones
from gastown.runtime.git import StrPath
from gastown.store import files

_KEY = "gitdir: "


def reattach(repo: StrPath) -> list[str]:
    """Join `repo` and the worktrees beside it again; the names of those that were put right. Idempotent."""
    home = Path(os.path.realpath(repo))
    if not (home / "worktrees").is_dir():
        return []
    with clones.locked(home):
        return [tree.name for admin in sorted((home / "worktrees").iterdir()) if (tree := _join(home, admin))]


def _join(home: Path, admin: Path) -> Path | None:
    """Write both ends of one worktree if they name another place; the worktree if they did."""
    there = _line(admin / "gitdir")
    tree = home.parent / os.path.basename(os.path.dirname(there))
    marker = tree / ".git"
    here = _line(marker)
    if not there or not here.startswith(_KEY):
        return None  # removed, or nothing that git made
    named = Path(os.path.normpath(tree / here.removeprefix(_KEY)))
    if named.parts[-3:] != (home.name, "worktrees", admin.name):
        return None  # another worktree of that name
    if os.path.realpath(named) == os.path.realpath(admin) and os.path.realpath(there) == os.path.realpath(marker):
        return None
    files.write(os.fspath(marker), f"{_KEY}{admin}\n".encode("utf-8", "surrogateescape"))
    files.write(os.fspath(admin / "gitdir"), f"{marker}\n".encode("utf-8", "surrogateescape"))
    return tree


def _line(path: Path) -> str:
    data = files.read_or_none(os.fspath(path)) if path.is_file() else None
    return (data or b"").decode("utf-8", "surrogateescape").rstrip("\n")
