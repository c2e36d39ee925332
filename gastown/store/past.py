"""The town as it was at a commit: the same questions, answered from git's trees."""

from __future__ import annotations

from gastown.model.errors import GtError, InvalidFile, NotFound, UsageError
from gastown.model.row import Row, row_of
from gastown.model.times import moment
from gastown.model.times import text as time_text
from gastown.store import git, index
from gastown.store.gitrepo import TREE_MODE, Repo
from gastown.store.index import Index
from gastown.store.view import View


class PastView(View):
    """A view of one commit (`revision`, 40 hex). Local state of this machine is not part of it."""

    def __init__(self, root: str, repo: Repo, commit: bytes) -> None:
        super().__init__(root)
        self.revision = commit.decode()
        self._repo = repo
        self._tree = repo.commit(commit).tree
        self._folders: dict[str, dict[str, tuple[int, bytes]]] = {}

    def _entries(self, folder: str) -> dict[str, tuple[int, bytes]]:
        if folder not in self._folders:
            found = self._repo.find(self._tree, folder) if folder else (TREE_MODE, self._tree)
            entries: dict[str, tuple[int, bytes]] = {}
            if found is not None and found[0] == TREE_MODE:
                for name, mode, sha in self._repo.tree(found[1]).iteritems():
                    entries[name.decode("utf-8", "surrogateescape")] = (mode, sha)
            self._folders[folder] = entries
        return self._folders[folder]

    def names(self, folder: str) -> list[str]:
        return list(self._entries(folder))

    def exists(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        entry = self._entries(folder).get(name)
        return entry is not None and entry[0] != TREE_MODE

    def read(self, path: str) -> bytes:
        folder, _, name = path.rpartition("/")
        entry = self._entries(folder).get(name)
        if entry is None or entry[0] == TREE_MODE:
            raise NotFound(f"no file {path} at {str(self.revision)[:10]}")
        return bytes(self._repo.get(entry[1]).as_raw_string())

    def index(self) -> Index:
        rows: list[Row] = []
        problems: list[InvalidFile] = []
        folders: list[tuple[str | None, str]] = [(None, "beads")]
        folders += [(rig, f"rigs/{rig}/beads") for rig in self.rig_names()]
        for rig, folder in folders:
            for day in sorted(self.names(folder)):
                for name in sorted(self.names(f"{folder}/{day}")):
                    path = f"{folder}/{day}/{name}"
                    if not name.endswith(".yaml") or not self.exists(path):
                        continue
                    try:
                        rows.append(row_of(index.parse(self.read(path), path), path, rig))
                    except InvalidFile as problem:
                        problems.append(problem)
        return Index(rows, problems)


def at(root: str, when: str, now: float) -> PastView:
    """The town at a revision (`HEAD~3`, a tag, a commit) or a time (`2h`, `2 hours ago`, RFC 3339).

    Raises UsageError if it is neither, NotFound if the town is younger.
    """
    repo = Repo(root)
    commit = _revision(root, when)
    if commit is None:
        try:
            stamp = time_text(moment(when, now))
        except UsageError:
            raise UsageError(
                f"{when!r} is neither a revision of the town nor a time", "write HEAD~3, a commit, 2h or a date"
            ) from None
        _, out = git.run(["rev-list", "-1", f"--before={stamp}", "HEAD", "--"], cwd=root)
        commit = out.strip()
        if not commit:
            raise NotFound(f"the town has no commit as old as {stamp}", "gt log shows the oldest")
    return PastView(root, repo, commit)


def _revision(root: str, when: str) -> bytes | None:
    if when.startswith("-"):
        return None
    code, out = git.run(["rev-parse", "--verify", "--quiet", f"{when}^{{commit}}"], cwd=root, check=False)
    if code not in (0, 1, 128):
        raise GtError(f"git could not look up {when!r} in {root}")
    return out.strip() if code == 0 and out.strip() else None
