"""Worktrees of a repository that was moved or copied together with them: git ties both ends by absolute paths.

`git worktree repair` cannot be used: in a copy both old ends still exist, and it would believe them.
"""

from __future__ import annotations

import os
from pathlib import Path

from gastown.runtime.git import StrPath
from gastown.store import files


def relink(repo: StrPath) -> list[str]:
    """Tie every worktree that lies beside the bare repository `repo` to it; returns the paths that had to be mended.

    A worktree is known by the name of its folder. One that is not here is left as it is.
    """
    repo = Path(os.path.realpath(repo))
    mended = []
    for admin in sorted(repo.glob("worktrees/*")):
        said = files.read_or_none(os.fspath(admin / "gitdir"))
        if said is None:
            continue
        before = os.fsdecode(said).rstrip("\n")
        # Relative paths (worktree.useRelativePaths) are right wherever both ends went together.
        if not os.path.isabs(before):
            continue
        link = repo.parent / Path(before).parent.name / ".git"
        if not link.is_file():
            continue
        wanted = b"gitdir: " + os.fsencode(admin) + b"\n"
        if os.fsencode(link) + b"\n" != said or files.read(os.fspath(link)) != wanted:
            files.write(os.fspath(link), wanted)
            files.write(os.fspath(admin / "gitdir"), os.fsencode(link) + b"\n")
            mended.append(os.fspath(link.parent))
    return mended
