"""git's merge driver for a town's files: the same merge as in a sync, one file at a time.

Started once a file by merge, rebase, cherry-pick and stash: what is dear is imported only for a true conflict.
"""

from __future__ import annotations

import os

from gastown.store import files, layout
from gastown.store.filemerge import Merged, Meta, Revision, merge_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gastown.model.merge import Doc

# What stands in place of git's marker size where two common ancestors are merged to get one base.
BASE = "base"
# Where git has what was put aside: by `git stash`, and by `git merge --autostash`.
_STASHES = "refs/stash", "MERGE_AUTOSTASH"


def run(
    root: str, base: str, ours: str, theirs: str, path: str, heads: Iterable[str] = (), *, inner: bool = False
) -> str:
    """Merge the three files git made of the town file `path` and put the result into `ours`; what to tell the person.

    `heads` are commits that the other side may be (git names them in its environment); `inner`: only a base is made
    by it, so nothing is noted. A version that could not be merged in is kept beside the file. Raises OSError.
    """
    old, mine, other = (files.read(os.path.join(root, one)) for one in (base, ours, theirs))
    sides = _Sides(root, path, old, mine, other, list(heads))
    said = "" if inner else _strayed(sides)
    if said:
        return said
    merged = _parted(sides, inner) or merge_file(
        path, sides.base or None, *sides.contents, mine=sides.meta(0), other=sides.meta(1), confirmed=sides.confirmed
    )
    if merged.data != mine:
        files.write(os.path.join(root, ours), merged.data, durable=False)
    return "" if inner else _keep(sides, merged)


def _keep(sides: _Sides, merged: Merged) -> str:
    """Note what was decided, and put what could not be merged beside the file."""
    if merged.settled:
        from gastown.services.sync import settle

        settle.told(sides.root, [(sides.path, one) for one in merged.settled], proof=sides.proof())
    if merged.aside is None:
        return ""
    name = layout.aside(sides.path, sides.tips()[1] or "unknown")
    files.write(layout.absolute(sides.root, name), merged.aside)
    return f"{sides.path} could not be merged: one version stays, the other is kept as {name}"


def _strayed(sides: _Sides) -> str:
    """Follow a bead whose change git took to the place it has now; if another one lies there, put it back.

    Returns what to tell of that, "" if the merge goes on.
    """
    bead, (mine, other) = layout.bead_of_path(sides.path), sides.contents
    if bead is None or f"id: {bead}\n".encode() in other:
        return ""
    from gastown.model.errors import InvalidFile
    from gastown.services.sync import strays

    source = strays.home(sides.path, other)
    if source is None:
        return ""
    sides.source = source = sides.place(source)
    try:
        moved = strays.moved(sides.path, mine, source, [other, *filter(None, [sides.base])])
    except InvalidFile:
        return ""
    if moved is None:
        back = strays.put_back(sides.root, source, other)
        return f"{source} is gone on the other side; the change to it is kept there" if back else ""
    sides.contents, sides.base = (mine, moved[0]), b"".join(moved[1:])
    return ""


def _parted(sides: _Sides, inner: bool) -> Merged | None:
    """Two different beads at one path: one keeps the id, the other is renumbered when git is done. None: one bead."""
    if not layout.bead_of_path(sides.path):
        return None
    from gastown.model.errors import InvalidFile
    from gastown.model.merge_bead import same_bead
    from gastown.store import filemerge

    try:
        docs = [filemerge.load(sides.path, data) for data in sides.contents]
        old = filemerge.load(sides.path, sides.base) if sides.base else None
    except InvalidFile:
        return None
    loser = None if same_bead(*docs) else _loser(sides, old, docs)
    if loser is None:
        return None
    if not inner:
        from gastown.services.sync import settle

        began = sides.base if old is not None and same_bead(old, docs[loser]) else None
        lost, kept = (sides.whole(side) for side in (loser, 1 - loser))
        data, doc = sides.contents[loser], docs[loser]
        # What was made here is lost unless it lies here; what the other side has comes again if this is given up.
        proof = {} if loser == sides.here else sides.proof()
        settle.remember(sides.root, sides.path, data, doc, base=began, lost=lost, kept=kept, proof=proof)
    return Merged(sides.contents[1 - loser])


def _loser(sides: _Sides, old: Doc | None, docs: list[Doc]) -> int | None:
    """Which of two different beads gives up the id; None if they differ because somebody edited `created`."""
    from gastown.model.merge_bead import collision_loses, first_id, same_bead, was_renumbered
    from gastown.services.sync import settle

    still = [old is not None and same_bead(old, doc) for doc in docs]
    if old is None or not any(still):
        return 0 if collision_loses(*docs) else 1
    # One side has the bead they started from, the other another one in its place: that it was renumbered is known
    # from the other's notes, or lies here until a rebase is done.
    one, other = old, docs[still.index(False)]
    # An edit of `created` changes nothing about the id that a bead was made with.
    known = first_id(one) != first_id(other) or was_renumbered(other, str(one["id"]))
    known = known or settle.is_lost(sides.root, sides.path, one)
    return still.index(True) if known else None


class _Sides:
    """Who the two sides are, found out only when a conflict has to be decided."""

    def __init__(self, root: str, path: str, base: bytes, mine: bytes, other: bytes, heads: list[str]) -> None:
        self.root, self.path, self.base = root, path, base
        self.contents = mine, other
        # What the other side has, and where: git may have followed a rename from there.
        self.other, self.source = other, path
        self.heads = heads
        self._tips: tuple[str, str] | None = None

    def meta(self, side: int) -> Meta:
        """What one side did to the file; its history is read when somebody asks for it."""
        return Meta(revisions=lambda: self._revisions(side))

    def _revisions(self, side: int) -> list[Revision]:
        from gastown.store.gitrepo import Repo
        from gastown.store.sidelog import SideLog

        tips = self.tips()
        if not tips[side]:
            return []
        log = SideLog(Repo(self.root), tips[side].encode(), tips[1 - side].encode())
        meta = log.meta(self.path, self.source if side else None)
        # A stash, or what was made in a merge, stands in no commit of its own.
        alone = Revision(meta.epoch, meta.by, self.base or None, self.contents[side])
        return (list(meta.revisions()) if tips[1 - side] else []) or [alone]

    def confirmed(self, doc: dict[str, object]) -> bool:
        """Whether a claim confirms a state, as last fetched."""
        from gastown.services.claims import claims
        from gastown.store.town import open_town

        return claims.confirmed(open_town(self.root))(doc)

    def tips(self) -> tuple[str, str]:
        """The commits of ours and theirs; "" for one that cannot be told."""
        if self._tips is None:
            self._tips = self._rev("HEAD"), self._theirs()
        return self._tips

    @property
    def here(self) -> int:
        """Which side was made in this clone: a rebase calls the other branch ours."""
        return 1 if self._rebase("onto") else 0

    def proof(self) -> dict[str, str]:
        """How to tell later that git went through with it (services.settle)."""
        ours, theirs = self.tips()
        if self._rebase("onto"):
            return {"holds": self._rebase("onto")}
        if theirs and theirs in map(self._rev, self.heads):
            return {"holds": theirs}
        aside = theirs and theirs in map(self._rev, _STASHES)
        return {"left": ours, "stash": theirs} if aside else {"left": ours}

    def whole(self, side: int) -> str:
        """The newest commit of a side; of a branch that is rebased commit by commit, its tip before."""
        return (self._rebase("orig-head") if side == 1 else "") or self.tips()[side]

    def _rebase(self, name: str) -> str:
        from gastown.store.gitrepo import Repo

        for backend in ("rebase-merge", "rebase-apply"):
            said = files.read_or_none(os.path.join(Repo(self.root).git_dir, backend, name))
            if said is not None:
                return said.decode().strip()
        return ""

    def _rev(self, name: str) -> str:
        from gastown.store import git

        args = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
        return git.run(args, cwd=self.root, check=False)[1].decode().strip()

    def _theirs(self) -> str:
        from gastown.store.gitrepo import Repo, new_blob

        repo = Repo(self.root)
        wanted = new_blob(self.other).id
        for commit in self._heads(repo.git_dir):
            entry = repo.find(repo.commit(commit.encode()).tree, self.source)
            if entry is not None and entry[1] == wanted:
                return commit
        return self._holding(wanted.decode())

    def _heads(self, git_dir: str) -> Iterator[str]:
        """The commits that the other side may be."""
        names = [*self.heads, *_picked(git_dir), "CHERRY_PICK_HEAD", *_STASHES, "FETCH_HEAD"]
        yield from filter(None, map(self._rev, names))

    def place(self, likely: str) -> str:
        """Where the other side has its version, of a bead made on any day; `likely` if nobody knows."""
        from gastown.store import git
        from gastown.store.gitrepo import Repo, new_blob

        blob, file = new_blob(self.other).id, likely.rpartition("/")[2].encode()
        for commit in self._heads(Repo(self.root).git_dir):
            for line in git.run(["ls-tree", "-r", "-z", commit], cwd=self.root)[1].split(b"\0"):
                entry, _, path = line.partition(b"\t")
                if path.endswith(b"/" + file) and entry.endswith(blob):
                    return path.decode()
        return likely

    def _holding(self, blob: str) -> str:
        """The newest commit anywhere that brought this version of the file."""
        from gastown.store import git

        args = ["log", "--all", "--reflog", "-1", "--format=%H", f"--find-object={blob}", "--", self.source]
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
