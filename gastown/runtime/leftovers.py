"""What earlier work left in a worktree and git does not show: ignored files, and rules to ignore that are in no commit.

Files that the project's own rules ignore stay, so that a build is fast. A rule that nobody committed would hide the
next work, and a file that only an earlier branch's rules ignored would land with it: both are moved away, as they are.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable

from gastown.runtime import git, intact
from gastown.runtime.git import StrPath

RULES = ".gitignore"
# Folders in which only tools write; many of them ignore themselves, and can be made again.
TOOLS = frozenset(
    "node_modules venv __pycache__ .venv .tox .nox .mypy_cache .ruff_cache .pytest_cache .hypothesis .gradle .next"
    " .turbo .parcel-cache .cache .eggs .terraform .pixi .dart_tool".split()
)


def ignored(path: StrPath) -> dict[str, int]:
    """What is ignored in the worktree and when that was changed; a folder that a rule names is one entry (`dir/`)."""
    found = [name for mark, name in _status(path, "--ignored=matching", "--untracked-files=all") if mark == "!"]
    return {name: os.lstat(full).st_mtime_ns for name in found if os.path.lexists(full := os.path.join(path, name))}


def hidden(path: StrPath, names: Collection[str], *, own: Collection[str] = ()) -> dict[str, str]:
    """Those of the ignored entries `names` that a rule in no commit hides, each with the file that holds the rule.

    The person's own rules are none of these, nor are `own`, and what a tool's folder says of itself.
    """
    if not names:
        return {}
    data = "".join(f"{name}\0" for name in names).encode("utf-8", "surrogateescape")
    said = git.run(["check-ignore", "--verbose", "-z", "--stdin"], cwd=path, input=data, check=False).out
    fields = [field.decode("utf-8", "surrogateescape") for field in said.split(b"\0")]
    rows = list(zip(fields[::4], fields[2::4], fields[3::4], strict=False))
    sources = {source for source, _, _ in rows if not os.path.isabs(source)}
    known = set(git.run(["ls-files", "-z"], cwd=path).fields()) & sources
    shared = os.path.realpath(os.path.join(path, git.text(["rev-parse", "--git-path", "info/exclude"], cwd=path)))
    return {
        name: source
        for source, pattern, name in rows
        if source not in known and pattern not in own and not _of_tools(source)
        and (source in sources or os.path.realpath(source) == shared)
    }  # fmt: skip


def clear_rules(path: StrPath, aside: str) -> list[str]:
    """Move ignore files that are in no commit, and what only they hid, to the folder `aside`; what was moved."""
    moved: list[str] = []
    shown = set(_untracked(path))
    while found := [name for name in ignored(path) if os.path.basename(name) == RULES and not _of_tools(name)]:
        moved += _move(path, found, aside)
        moved += _move(path, [name for name in _untracked(path) if name not in shown], aside)
    return moved


def clear(path: StrPath, aside: str) -> tuple[list[str], list[str]]:
    """Take everything out that is in no commit and that no committed rule ignores; what was moved, and what removed.

    A tool's folder is removed, since it can be made again; all else is moved to `aside`.
    """
    moved, removed = clear_rules(path, aside), []
    while found := _untracked(path):
        tools = [name for name in found if os.path.basename(name.rstrip("/")) in TOOLS]
        for name in tools:
            with intact.telling(os.path.join(path, name)):
                shutil.rmtree(os.path.join(path, name))
            removed.append(name)
        moved += _move(path, [name for name in found if name not in tools], aside)
        moved += clear_rules(path, aside)
    return moved, removed


def _of_tools(name: str) -> bool:
    return not TOOLS.isdisjoint(name.split("/")[:-1])


def _untracked(path: StrPath) -> list[str]:
    return [name for mark, name in _status(path, "--untracked-files=normal") if mark == "?"]


def _status(path: StrPath, *how: str) -> list[tuple[str, str]]:
    args = ["-c", "core.fsmonitor=false", "status", "--porcelain=v2", "-z", "--no-renames", "--ignore-submodules=all"]
    return [(field[0], field[2:]) for field in git.run([*args, *how], cwd=path).fields()]


def _move(path: StrPath, names: Iterable[str], aside: str) -> list[str]:
    moved = []
    for name in names:
        source, place = os.path.join(path, name.rstrip("/")), os.path.join(aside, name.rstrip("/"))
        intact.move(source, place)
        moved.append(name)
    return moved
