"""What lies in a worktree and would not go with its branch: nothing of it is dropped in silence.

A commit holds no file of a repository inside the worktree: git names that repository, or leaves it out. What is
stashed is on no branch, and in reach of every other worker.
"""

from __future__ import annotations

import os
import shlex

from gastown.model.errors import Refused
from gastown.model.rig import Rig
from gastown.model.text import counted, some
from gastown.runtime import intact, nested, worktrees
from gastown.services.agents import worksite
from gastown.store import layout
from gastown.store.town import Town


def check(town: Town, rig: Rig, name: str, *, unchanged: bool = False) -> None:
    """Raise Refused, with what to do, if work of the worker would be left behind by handing in its branch.

    With `unchanged` its word is taken that what lies in the worktree is no work.
    """
    stashed = worksite.stashed(town, rig.name, name)
    if stashed:
        raise Refused(
            f"{counted(len(stashed), 'change')} that you stashed would not be handed in",
            "git stash pop brings it back, git stash drop throws it away; then again",
        )
    path = layout.worktree(town.root, rig.name, name)
    if not unchanged and intact.holds_files(path):
        _check_nested(path)


def _check_nested(path: str) -> None:
    found = [name.rstrip("/") for name in worktrees.state(path).untracked if name.endswith("/")]
    if found:
        first = shlex.quote(os.path.join(path, found[0]))
        raise Refused(
            f"{some(found, 1)} in {path} is a git repository of its own: its files would not be handed in",
            f"rm -rf {first}/.git makes them files of this one; or commit it as a submodule, or move it away",
        )
    held = nested.unsent(path)
    if held:
        first = shlex.quote(held[0])
        raise Refused(
            f"{some(held, 1)} in {path} is a git repository of its own, and holds what only this worktree has",
            f"commit and push it from there; or make it files of this one: git rm -q --cached {first},"
            f" rm -rf {first}/.git, git add {first}",
        )
