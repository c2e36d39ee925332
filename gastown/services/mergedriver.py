"""git's merge driver for a town's files: the same merge as in a sync, one file at a time.

Started once a file by merge, rebase, cherry-pick and stash: what is dear is imported only for a true conflict.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from gastown.store import files, layout
from gastown.store.filemerge import Merged, Meta, Revision, merge_file


def run(root: str, base: str, ours: str, theirs: str, path: str, heads: Iterable[str] = ()) -> int:
    """Merge the three files git made of the town file `path` and put the result into `ours`; 0.

    `heads` are commits that the other side may be (git names them in its environment). A version that could not
    be merged in is kept beside the file. Raises OSError.
    """
    old, mine, other = (files.read(os.path.join(root, one)) for one in (base, ours, theirs))
    sides = _Sides(root, path, mine, other, list(heads))
    parted = _parted(sides, path, old, mine, other)
    merged = parted or merge_file(
        path, old or None, mine, other, mine=sides.meta(0), other=sides.meta(1), confirmed=sides.confirmed
    )
    if merged.data != mine:
        files.write(os.path.join(root, ours), merged.data, durable=False)
    if merged.aside is not None:
        name = f"{path}.theirs-{(sides.tips()[1] or 'unknown')[:8]}"
        files.write(layout.absolute(root, name), merged.aside)
    return 0


def _parted(sides: _Sides, path: str, old: bytes, mine: bytes, other: bytes) -> Merged | None:
    """Two different beads made with one id: the earlier one keeps it, the other is renumbered when git is done."""
    if old or not layout.bead_of_path(path):
        return None
    from gastown.model.errors import InvalidFile
    from gastown.model.merge_bead import collision_loses, same_bead
    from gastown.store import filemerge

    try:
        first, second = filemerge.load(path, mine), filemerge.load(path, other)
    except InvalidFile:
        return None
    if same_bead(first, second):
        return None
    from gastown.services import settle

    we_lose = collision_loses(first, second)
    tips = sides.tips()
    settle.remember(sides.root, path, mine if we_lose else other, lost=tips[0 if we_lose else 1],
                    kept=tips[1 if we_lose else 0])  # fmt: skip
    return Merged(other if we_lose else mine)


class _Sides:
    """Who the two sides are, found out only when a conflict has to be decided."""

    def __init__(self, root: str, path: str, mine: bytes, other: bytes, heads: list[str]) -> None:
        self.root, self.path = root, path
        self.contents = mine, other
        self.heads = heads
        self._tips: tuple[str, str] | None = None

    def meta(self, side: int) -> Meta:
        """What one side did to the file; its history is read when somebody asks for it."""
        return Meta(revisions=lambda: self._revisions(side))

    def _revisions(self, side: int) -> list[Revision]:
        from gastown.store.gitrepo import Repo
        from gastown.store.sidelog import SideLog

        tips = self.tips()
        if not all(tips):
            return []
        log = SideLog(Repo(self.root), tips[side].encode(), tips[1 - side].encode())
        return list(log.meta(self.path).revisions())

    def confirmed(self, doc: dict[str, object]) -> bool:
        """Whether a claim confirms a state, as last fetched."""
        from gastown.services import claims
        from gastown.store.town import open_town

        return claims.confirmed(open_town(self.root))(doc)

    def tips(self) -> tuple[str, str]:
        """The commits of ours and theirs; "" for one that cannot be told."""
        if self._tips is None:
            self._tips = self._rev("HEAD"), self._theirs()
        return self._tips

    def _rev(self, name: str) -> str:
        from gastown.store import git

        args = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
        return git.run(args, cwd=self.root, check=False)[1].decode().strip()

    def _theirs(self) -> str:
        from gastown.store.gitrepo import Repo, new_blob

        repo = Repo(self.root)
        wanted = new_blob(self.contents[1]).id
        for name in [*self.heads, *_picked(repo.git_dir), "CHERRY_PICK_HEAD", "refs/stash", "FETCH_HEAD"]:
            commit = self._rev(name)
            entry = repo.find(repo.commit(commit.encode()).tree, self.path) if commit else None
            if entry is not None and entry[1] == wanted:
                return commit
        return self._holding(wanted.decode())

    def _holding(self, blob: str) -> str:
        """The newest commit anywhere that brought this version of the file."""
        from gastown.store import git

        args = ["log", "--all", "--reflog", "-1", "--format=%H", f"--find-object={blob}", "--", self.path]
        return git.run(args, cwd=self.root, check=False)[1].decode().strip()


def _picked(git_dir: str) -> list[str]:
    """The commit that a rebase or a cherry-pick of several is applying right now."""
    found = []
    for name in ("rebase-merge/done", "sequencer/todo"):
        lines = (files.read_or_none(os.path.join(git_dir, name)) or b"").decode("utf-8", "replace").splitlines()
        steps = [line.split() for line in lines if line.strip() and not line.startswith("#")]
        if steps:
            step = steps[-1] if name.endswith("done") else steps[0]
            found += step[1:2]
    return found
