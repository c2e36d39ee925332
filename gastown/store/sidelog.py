"""What one side did since the other: which commit changed which file, when and by whom. Read only when it matters."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.model import address
from gastown.store import git
from gastown.store.filemerge import Meta, Revision
from gastown.store.gitrepo import Repo

_NONE = b"0" * 40


@dataclass(frozen=True)
class _Change:
    epoch: float
    by: str
    before: bytes
    after: bytes
    number: int


class SideLog:
    """The commits of `tip` that `other` does not have. Merges are passed over: what they join stands in the others."""

    def __init__(self, repo: Repo, tip: bytes, other: bytes) -> None:
        self.repo = repo
        self.tip = tip
        self.other = other
        self._by_path: dict[str, list[_Change]] | None = None
        self._said: tuple[float, str] | None = None

    def meta(self, path: str, *names: str | None) -> Meta:
        """What a merge of `path` wants to know of this side; `names` are the paths it had in git, if it moved."""
        if self._said is None:
            commit = self.repo.commit(self.tip)
            who = commit.author.partition(b" <")[0].decode("utf-8", "replace")
            self._said = float(commit.author_time), _address(who)
        epoch, by = self._said
        return Meta(epoch, by, self.tip.decode(), lambda: self._revisions(tuple(filter(None, names)) or (path,)))

    def _revisions(self, paths: tuple[str, ...]) -> list[Revision]:
        if self._by_path is None:
            self._by_path = self._read()
        commits: dict[int, list[_Change]] = {}
        for path in dict.fromkeys(paths):
            for one in self._by_path.get(path, ()):
                commits.setdefault(one.number, []).append(one)
        found = []
        for _, changes in sorted(commits.items()):
            # A commit that moved it took it from one path and put it at another: that is one step.
            before, after = (max(sides) for sides in zip(*((one.before, one.after) for one in changes), strict=True))
            found.append(Revision(changes[0].epoch, changes[0].by, self._blob(before), self._blob(after)))
        return found

    def _blob(self, sha: bytes) -> bytes | None:
        if sha.strip(b"0") == b"":
            return None
        return bytes(self.repo.get(sha).as_raw_string())

    def _read(self) -> dict[str, list[_Change]]:
        args = ["-c", "core.quotePath=false", "log", "--no-merges", "--no-renames", "--raw", "--no-abbrev"]
        args += ["--format=%x01%at%x02%an", self.tip.decode(), f"^{self.other.decode()}", "--"]
        _, out = git.run(args, cwd=self.repo.root)
        found: dict[str, list[_Change]] = {}
        epoch, by, number = 0.0, "overseer", 0
        for line in out.decode("utf-8", "surrogateescape").split("\n"):
            if line.startswith("\x01"):
                stamp, _, who = line[1:].partition("\x02")
                epoch, by, number = float(stamp or 0), _address(who), number + 1
            elif line.startswith(":"):
                head, _, path = line.partition("\t")
                fields = head.split(" ")
                found.setdefault(path, []).append(_Change(epoch, by, fields[2].encode(), fields[3].encode(), number))
        return found


def _address(name: str) -> str:
    """The address of a commit's author: agents commit under theirs, everybody else is the person."""
    return name if address.is_address(name) else "overseer"
