"""Repositories inside a worktree (submodules, an agent's clones): git adds none of their bytes, so they are packed."""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from gastown.model.errors import GtError
from gastown.runtime import git
from gastown.runtime.git import StrPath


def archives(path: StrPath, untracked: list[str], env: Mapping[str, str]) -> dict[str, Path]:
    """One tar a nested repository that holds something of its own, by its path in the worktree.

    `untracked` are the foreign repositories that git named (`dir/`); populated submodules are found here. The same
    content gives the same bytes. The caller removes the files.
    """
    names = [name.rstrip("/") for name in untracked]
    names += [name for name in submodules(path, env) if holds_work(os.path.join(path, name))]
    return {name: _pack(Path(path, name)) for name in names}


def submodules(path: StrPath, env: Mapping[str, str] | None = None) -> list[str]:
    """The submodules that are checked out in the worktree."""
    rows = git.run(["ls-files", "--stage", "-z"], cwd=path, env=env).fields()
    found = [row.split("\t", 1)[1] for row in rows if row.startswith("160000 ")]
    return [name for name in found if os.path.lexists(os.path.join(path, name, ".git"))]


def holds_work(path: StrPath) -> bool:
    """True unless a submodule is clean and every commit of it is on its remote."""
    dirty = git.run(["status", "--porcelain", "-z", "--untracked-files=all"], cwd=path).out
    own = git.text(["rev-list", "--max-count=1", "--all", "--not", "--remotes"], cwd=path)
    detached = git.text(["rev-list", "--max-count=1", "HEAD", "--not", "--remotes", "--tags"], cwd=path)
    return bool(dirty or own or detached)


def unsent(path: StrPath) -> list[str]:
    """The repositories that a commit of the worktree names, and whose content nobody could get from it.

    A submodule is all on its remote but for untracked files, which building it leaves; one that no .gitmodules tells
    where to get is empty.
    """
    found = []
    known = _registered(path)
    for row in git.run(["ls-files", "--stage", "-z"], cwd=path).fields():
        info, _, name = row.partition("\t")
        if not info.startswith("160000 "):
            continue
        folder = os.path.join(path, name)
        if not os.path.lexists(os.path.join(folder, ".git")):
            lost = os.path.isdir(folder) and bool(os.listdir(folder))
        elif name in known:
            lost = _changed(folder)
        else:
            lost = holds_work(folder)
        found += [name] if lost else []
    return found


def _registered(path: StrPath) -> set[str]:
    args = ["config", "-z", "--file", ".gitmodules", "--get-regexp", r"^submodule\..*\.path$"]
    return {field.partition("\n")[2] for field in git.run(args, cwd=path, check=False).fields()}


def _changed(path: StrPath) -> bool:
    if git.run(["status", "--porcelain", "-z", "--untracked-files=no"], cwd=path).out:
        return True
    return bool(git.text(["rev-list", "--max-count=1", "HEAD", "--not", "--remotes", "--tags"], cwd=path))


def _pack(folder: Path) -> Path:
    """The folder, and its git directory where that lies elsewhere, as one tar with steady names, owners and times."""
    handle, name = tempfile.mkstemp(prefix="gt-nested-", suffix=".tar")
    with os.fdopen(handle, "wb") as stream, tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(folder, "tree", filter=_plain)
        marker = folder / ".git"
        if marker.is_file():
            found = git.run(["rev-parse", "--absolute-git-dir"], cwd=folder, check=False)
            if found.code != 0:
                raise GtError(f"{folder} is a repository whose git directory cannot be found", "mend or move it away")
            tar.add(found.text, "git-dir", filter=_plain)
    return Path(name)


def _plain(item: tarfile.TarInfo) -> tarfile.TarInfo | None:
    # Times, and the stat cache in an index, would make equal content differ.
    item.mtime = 0
    return None if item.isdev() or item.isfifo() else item
