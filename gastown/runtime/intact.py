"""Whether a folder is the worktree that it is taken for. One that is not is believed nothing, and kept whole.

A folder that has lost its `.git` is no repository; one with a `.git` of its own is another repository. What git says
there is not about the work, so both ends of the link are read before git is asked.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from gastown.model import times
from gastown.model.errors import GtError
from gastown.runtime.git import StrPath
from gastown.store import files

_KEY = "gitdir: "


class Broken(GtError):
    """A folder is not, or not any more, the worktree that it should be: what lies in it is unknown."""

    code = "broken_worktree"


def is_whole(repo: StrPath, path: StrPath) -> bool:
    """True if `path` is a worktree of `repo`: its .git names the folder in `repo` that names it."""
    marker = Path(path, ".git")
    here = _line(marker)
    if not here.startswith(_KEY):
        return False
    admin = Path(os.path.realpath(Path(path, here.removeprefix(_KEY))))
    back = _line(admin / "gitdir")
    return (
        admin.parent == Path(os.path.realpath(repo), "worktrees")
        and (admin / "HEAD").is_file()
        and os.path.realpath(admin / back) == os.path.realpath(marker)
    )


def require(repo: StrPath, path: StrPath) -> None:
    """Raise Broken, with what to do, unless `path` is a worktree of `repo`."""
    if is_whole(repo, path):
        return
    mend = _mend(repo, Path(path, ".git"))
    if not os.path.lexists(os.path.join(path, ".git")):
        raise Broken(f"{os.fspath(path)} has lost its .git: what lies in it is unknown", mend)
    what = f"{os.fspath(path)}/.git is not the one this worktree was given: what lies in it is unknown"
    raise Broken(what, f"move that .git away, then: {mend}")


def _mend(repo: StrPath, marker: Path) -> str:
    """The command that writes the link again, where the repository knows the folder; git's own says that it failed."""
    for known in sorted(Path(repo, "worktrees").glob("*/gitdir")):
        if os.path.realpath(known.parent / _line(known)) == os.path.realpath(marker):
            return f"printf 'gitdir: %s\\n' {shlex.quote(str(known.parent))} > {shlex.quote(str(marker))}"
    return f"git --git-dir={shlex.quote(os.fspath(repo))} worktree repair {shlex.quote(str(marker.parent))}"


def holds_files(path: StrPath) -> bool:
    """True if anything at all lies there."""
    return os.path.lexists(path) and not (os.path.isdir(path) and not os.listdir(path))


def free_place(rescue_dir: StrPath, name: str, now: float) -> str:
    """A path under `rescue_dir` that nothing has yet."""
    number = 1
    while os.path.lexists(place := os.path.join(rescue_dir, f"{times.day(now)}-{name}-{number}")):
        number += 1
    return place


def set_aside(path: StrPath, rescue_dir: StrPath, name: str, now: float) -> str:
    """Move a folder as it is to a new place under `rescue_dir`; the place."""
    place = free_place(rescue_dir, name, now)
    move(path, place)
    return place


def move(source: StrPath, place: StrPath) -> None:
    """Move a file or folder to `place`, where nothing is; to another disk it is copied, and removed when all is there.

    Raises GtError if it cannot be moved.
    """
    with telling(source):
        os.makedirs(os.path.dirname(place), exist_ok=True)
        shutil.move(source, place)


@contextlib.contextmanager
def telling(path: StrPath) -> Iterator[None]:
    """Let what cannot be moved or removed be told as an error of its own."""
    try:
        yield
    except OSError as error:  # shutil's own are of this kind, too
        why = error.strerror or str(error)
        raise GtError(f"{os.fspath(path)} cannot be moved away: {why}", "look at it and move it away") from None


def _line(path: Path) -> str:
    with contextlib.suppress(OSError):
        data = files.read_or_none(os.fspath(path)) if path.is_file() else None
        return (data or b"").decode("utf-8", "surrogateescape").rstrip("\n")
    return ""
