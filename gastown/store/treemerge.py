"""Merging two commits of a town as trees, in memory: no file is touched, and only what differs is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from dulwich.objects import ShaFile

from gastown.model import merge_maildir as places
from gastown.model.errors import GtError, Refused
from gastown.model.merge import Settled
from gastown.model.merge_bead import Confirmed
from gastown.store import git, layout, rigfiles, treediff
from gastown.store.filemerge import merge_file
from gastown.store.gitrepo import FILE_MODE, TREE_MODE, Change, Repo, new_blob
from gastown.store.sameids import SameIds, Side
from gastown.store.sidelog import SideLog
from gastown.store.treediff import Entry

# Beyond this many criss-cross merges in a row the first base is as good as a merged one.
_DEPTH = 8


@dataclass
class TreeMerge:
    """A merged tree, the objects it needs (not written yet), and what was decided: (path, conflict) and new ids."""

    tree: bytes
    made: list[ShaFile] = field(default_factory=list)
    settled: list[tuple[str, Settled]] = field(default_factory=list)
    new_ids: dict[str, str] = field(default_factory=dict)


def bases(repo: Repo, ours: bytes, theirs: bytes) -> list[bytes]:
    """The best common ancestors of two commits, in git's order; [] for histories that share nothing."""
    args = ["merge-base", "--all", ours.decode(), theirs.decode()]
    code, out = git.run(args, cwd=repo.root, check=False)
    if code not in (0, 1):
        raise GtError(f"git could not find where {ours.decode()[:10]} and {theirs.decode()[:10]} part in {repo.root}")
    return out.split()


def merge(
    repo: Repo, ours: bytes, theirs: bytes, *, confirmed: Confirmed | None = None, since: bytes | None = None
) -> TreeMerge:
    """Merge two commits. Raises Refused if they share no history, or for a tree that may not become files here.

    `since`: the commit of ours that theirs was begun from, where their history does not say it.
    """
    return _merge(repo, ours, theirs, confirmed, 0, since)


def shared_state(repo: Repo, ours: bytes, theirs: bytes) -> bytes | None:
    """The commit of ours with the very files that the newest such commit of theirs has; None without one.

    It tells where two histories part that have no commit in common, as when one was squashed.
    """
    known: dict[bytes, bytes] = {}
    for commit, tree in _states(repo, ours):
        known.setdefault(tree, commit)
    return next((known[tree] for _, tree in _states(repo, theirs) if tree in known), None)


def _states(repo: Repo, tip: bytes) -> Iterator[tuple[bytes, bytes]]:
    _, out = git.run(["log", "--topo-order", "--format=%H %T", tip.decode()], cwd=repo.root)
    for line in out.splitlines():
        commit, _, tree = line.partition(b" ")
        yield commit, tree


def _merge(
    repo: Repo, ours: bytes, theirs: bytes, confirmed: Confirmed | None, depth: int, since: bytes | None = None
) -> TreeMerge:
    found = bases(repo, ours, theirs) or ([since] if since else [])
    if not found:
        raise Refused(
            f"{theirs.decode()[:12]} shares no history with this town",
            "it is another town, or its history was rewritten; nothing was merged",
        )
    base, made = _base_tree(repo, found, confirmed, depth)
    mine, other = repo.commit(ours).tree, repo.commit(theirs).tree
    if depth == 0:
        treediff.inspect(repo, mine, other, theirs)
    done = _Merge(_Overlay(repo, made), base, mine, other, SideLog(repo, ours, theirs), SideLog(repo, theirs, ours))
    result = done.run(confirmed)
    if depth == 0:
        _check_cases(done.repo, mine, result.tree, theirs)
    result.made[:0] = made
    return result


def _check_cases(repo: Repo, mine: bytes, merged: bytes, theirs: bytes) -> None:
    """Raise Refused where a name of ours and one of theirs came together that differ in case alone."""
    try:
        treediff.check_cases(repo, mine, merged, theirs)
    except treediff.Unwelcome as error:
        there, here = error.path, error.other or error.path
        names = [name.decode("utf-8", "backslashreplace") for name in (here, there)]
        both_ours = repo.find(mine, there.decode("utf-8", "surrogateescape")) is not None
        where = "here, too," if both_ours else f"in commit {theirs.decode()[:12]} of the remote"
        rename = f"git mv {treediff.quoted(here)} NEWNAME"
        raise Refused(
            f"{names[0]!r} here and {names[1]!r} {where} differ only in case, and some systems take the two for one",
            f"nothing was changed. Give the one here another name, then gt sync: {rename}",
        ) from None


def _base_tree(
    repo: Repo, found: list[bytes], confirmed: Confirmed | None, depth: int
) -> tuple[bytes, list[ShaFile]]:
    """The tree both sides come from. Two bases are merged first, as git does; more are joined from where all part."""
    found = sorted(found)
    if len(found) == 1 or depth >= _DEPTH:
        return bytes(repo.commit(found[0]).tree), []
    if len(found) == 2:
        between = _merge(repo, found[0], found[1], confirmed, depth + 1)
        return between.tree, between.made
    _, out = git.run(["merge-base", "--octopus", *(one.decode() for one in found)], cwd=repo.root, check=False)
    root = out.split()[:1]
    if not root:
        return bytes(repo.commit(found[0]).tree), []
    tree, made = bytes(repo.commit(found[0]).tree), list[ShaFile]()
    for one in found[1:]:
        logs = SideLog(repo, found[0], one), SideLog(repo, one, found[0])
        joined = _Merge(_Overlay(repo, made), repo.commit(root[0]).tree, tree, repo.commit(one).tree, *logs)
        between = joined.run(confirmed)
        tree, made = between.tree, made + between.made
    return tree, made


class _Overlay(Repo):
    """The repository with some objects that are not written yet."""

    def __init__(self, repo: Repo, made: Iterable[ShaFile]) -> None:
        self._under = repo
        self._packs = None
        self.root, self.git_dir, self.common_dir = repo.root, repo.git_dir, repo.common_dir
        self.extra = {one.id: one for one in made}

    def get(self, sha: bytes) -> ShaFile:
        found: ShaFile | None = self.extra.get(sha)  # type: ignore[call-overload]  # dulwich's ObjectID is bytes
        return found if found is not None else self._under.get(sha)

    def add(self, made: Iterable[ShaFile]) -> None:
        """More objects that are not written yet."""
        self.extra.update({one.id: one for one in made})


class _Merge:
    """One three-way merge of trees."""

    def __init__(
        self, repo: _Overlay, base: bytes, ours: bytes, theirs: bytes, my_log: SideLog, other_log: SideLog
    ) -> None:
        self.repo = repo
        self.base, self.ours, self.theirs = base, ours, theirs
        self.logs = my_log, other_log
        self.made: list[ShaFile] = []
        mine, other = treediff.changes(repo, base, ours), treediff.changes(repo, base, theirs)
        self.before: Side = {path: pair[0] for path, pair in (*mine.items(), *other.items())}
        self.actual: Side = {path: pair[1] for path, pair in mine.items()}
        self.old, self.mine = dict(self.before), dict(self.actual)
        self.other: Side = {path: pair[1] for path, pair in other.items()}
        self.settled: list[tuple[str, Settled]] = []

    def run(self, confirmed: Confirmed | None) -> TreeMerge:
        """The merged tree, made from ours."""
        beads = SameIds(self.old, self.mine, self.other, self._data, self._blob)
        renumbered = beads.settle(lambda: {*self._ids(self.ours), *self._ids(self.theirs)})
        self.was = beads.was
        self.settled += beads.settled
        final: Side = dict.fromkeys(beads.dropped) | self.mine
        mail, rest = self._split_mail()
        for path in rest:
            final.update(self._file(path, confirmed))
        for paths in mail:
            final.update(self._message(paths))
        final.update(self._beside_folders(final))
        final.update(self._kept_rigs(final))
        changes: dict[str, Change] = {
            path: entry
            for path, entry in sorted(final.items())
            if entry != (self.actual[path] if path in self.actual else self.before.get(path))
        }
        tree, trees = self.repo.graft(self.ours, changes)
        if tree is None:
            raise Refused("a merge would leave the town without any file", "nothing was changed")
        self.made += trees
        self.repo.add(trees)
        return TreeMerge(tree, self.made, self.settled, renumbered)

    def _ids(self, tree: bytes) -> Iterator[str]:
        """Every bead id in a tree, by names alone."""
        names = self.repo.names
        for folder in ["beads", *(f"{layout.RIGS}/{rig}/beads" for rig in names(tree, layout.RIGS))]:
            for day in names(tree, folder):
                yield from (name[:-5] for name in names(tree, f"{folder}/{day}") if name.endswith(".yaml"))

    # -- files -------------------------------------------------------------
    def _data(self, entry: Entry | None) -> bytes | None:
        return None if entry is None else bytes(self.repo.get(entry[1]).as_raw_string())

    def _blob(self, data: bytes, mode: int = FILE_MODE) -> Entry:
        blob = new_blob(data)
        self.made.append(blob)
        self.repo.add([blob])
        return mode, blob.id

    def _split_mail(self) -> tuple[list[list[str]], list[str]]:
        """Messages that both sides moved, as groups of paths; and all other paths the other side changed."""
        groups: dict[tuple[str, str], list[str]] = {}
        for path in self.mine.keys() | self.other.keys():
            found = places.parse(path)
            if found:
                groups.setdefault(found[:2], []).append(path)
        both = [
            sorted(paths)
            for paths in groups.values()
            if any(path in self.mine for path in paths) and any(path in self.other for path in paths)
        ]
        mail = {path for paths in both for path in paths}
        return sorted(both), sorted(path for path in self.other if path not in mail)

    def _file(self, path: str, confirmed: Confirmed | None) -> Side:
        other = self.other[path]
        if path not in self.mine or self.mine[path] == other:
            return {path: other}
        mine = self.mine[path]
        if mine is None or other is None:
            # A bead is removed only by hand; a change says that somebody still needs it.
            self.settled.append((path, Settled("", "the changed file", "its removal")))
            return {path: mine or other}
        base, ours, theirs = self._data(self.old.get(path)), self._data(mine), self._data(other)
        assert ours is not None
        assert theirs is not None
        left, right = (log.meta(path, *was.get(path, ())) for log, was in zip(self.logs, self.was, strict=True))
        merged = merge_file(path, base, ours, theirs, mine=left, other=right, confirmed=confirmed)
        self.settled += [(path, one) for one in merged.settled]
        done: Side = {path: self._blob(merged.data, mine[0])}
        if merged.aside is not None:
            done[self._aside(path)] = self._blob(merged.aside)
        return done

    def _aside(self, path: str) -> str:
        return layout.aside(path, self.logs[1].tip.decode())

    def _message(self, paths: list[str]) -> Side:
        """Where a message that both sides moved lies now."""
        old, mine, other = (
            {path: entry for path in paths if (entry := side(path))}
            for side in (self.old.get, self._of(self.mine), self._of(self.other))
        )
        spots = [
            places.together(spot[2] for path in side if (spot := places.parse(path))) if side else None
            for side in (old, mine, other)
        ]
        place = places.merge_place(*spots)
        done: Side = dict.fromkeys(paths)
        if place is not None:
            box, unique, _ = places.parse(paths[0]) or ("", "", None)
            at = places.path_of(box, unique, place)
            before = self._data(next(iter(old.values()), None))
            versions = [data for entry in (*mine.values(), *other.values()) if (data := self._data(entry)) is not None]
            content, apart = places.merge_contents(before, versions)
            done[at] = self._blob(content)
            for name, data in (places.apart(unique, version) for version in apart):
                beside = places.path_of(box, name, place)
                done[beside] = self._blob(data)
                self.settled.append((at, Settled("message", at, beside)))
        return done

    def _of(self, side: Side) -> Callable[[str], Entry | None]:
        return lambda path: side[path] if path in side else self.old.get(path)

    def _beside_folders(self, final: Side) -> Side:
        """A file of theirs where we have a folder, or below a file of ours, is kept under a name beside it."""
        done: Side = {}
        for path in [path for path, entry in final.items() if entry and path in self.other and path not in self.mine]:
            blocked = next((above for above in _above(path) if self._is_file(above, final)), None)
            if blocked is None:
                found = self.repo.find(self.ours, path)
                blocked = path if found and found[0] == TREE_MODE and self._still_there(path, final) else None
            if blocked is not None:
                done[path] = None
                done[self._aside(blocked) + path[len(blocked) :]] = final[path]
        return done

    def _kept_rigs(self, final: Side) -> Side:
        """The rig.yaml that one side removed of rigs in which the other's changes won: beads need their rig."""
        done: Side = {}
        for path in rigfiles.left(self.repo, self.ours, final):
            entry = next((one for side in (self.mine, self.other) if (one := self._of(side)(path)) is not None), None)
            if entry is not None:
                done[path] = entry
                self.settled.append((path, Settled("rig", "rig.yaml", "its removal")))
        return done

    def _is_file(self, path: str, final: Side) -> bool:
        if path in final:
            return final[path] is not None
        found = self.repo.find(self.ours, path)
        return found is not None and found[0] != TREE_MODE

    def _still_there(self, folder: str, final: Side) -> bool:
        tree = self.repo.find(self.ours, folder)
        inside = treediff.changes(self.repo, None, tree[1]) if tree else {}
        return any(final.get(f"{folder}/{name}", True) for name in inside)


def _above(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
