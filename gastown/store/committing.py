"""A person's `git commit` that is under way in the town: it fails at its end if the branch was moved meanwhile.

`git commit --all` holds the index locked through its hooks and editor; a plain one does not, and is known by the
note that our pre-commit hook makes of its process.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass

from gastown.store import files, layout, runstate

# The pre-commit hook of hooks/town/ writes it.
NOTE = "git-commit"
# Who waits for it says so, for the hook that would wait for the waiting one's lock.
WAITING = "waits-for-git-commit"
# A commit that needs no editor ends within that; whoever writes to the town waits for it.
WAIT = 2.0


@dataclass(frozen=True)
class Sign:
    """What shows that git is at work, and since when (epoch seconds)."""

    text: str
    since: float


def sign(root: str, git_dir: str) -> Sign | None:
    """A git that holds the index, or a commit that goes on; None where nothing shows one.

    A lock that a killed git left looks the same: how long to believe it is the caller's.
    """
    try:
        return Sign("index.lock", os.stat(os.path.join(git_dir, "index.lock")).st_mtime)
    except FileNotFoundError:
        pass
    note = layout.run(root, NOTE)
    try:
        since = os.stat(note).st_mtime
    except FileNotFoundError:
        return None
    said = (files.read_or_none(note) or b"").strip()
    if not said.isdigit() or not _is_git(int(said)):
        return None
    return Sign(f"git commit, process {int(said)}", since)


def _is_git(pid: int) -> bool:
    """True if there is such a process, and it may be a git: the pid may be another program's by now."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    try:
        name = files.read_or_none(f"/proc/{pid}/comm")
        state = files.read_or_none(f"/proc/{pid}/stat") or b""
    except OSError:
        return True
    return name is None or (name.strip() == b"git" and state.rpartition(b") ")[2][:1] != b"Z")


def wait(root: str, git_dir: str) -> None:
    """Let a commit that began a moment ago end, for 2 s since it did at most: an editor may be open for hours.

    Under the town lock, with nothing moved yet: the commit's own hook need not wait for us (`is_waited_for`).
    """
    if not _is_young(sign(root, git_dir)):
        return
    mark = layout.run(root, WAITING)
    files.write(mark, b"%d\n" % os.getpid(), durable=False)
    try:
        while _is_young(sign(root, git_dir)):
            time.sleep(0.01)
    finally:
        files.remove(mark)


def _is_young(found: Sign | None) -> bool:
    return found is not None and 0 <= time.time() - found.since < WAIT


def is_waited_for(root: str) -> bool:
    """True if the holder of the town lock waits for a person's commit to end."""
    holder = runstate.read_json(layout.local(root, "lock"))
    said = (files.read_or_none(layout.run(root, WAITING)) or b"").strip()
    return isinstance(holder, dict) and said == b"%d" % holder.get("pid", 0)


def go_on(root: str) -> None:
    """The hook of a commit is done: from now on git needs the time for which it is waited."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(layout.run(root, NOTE))
