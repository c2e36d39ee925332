"""One bead that lies in two files under one id, because a person moved or copied it: one file again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gastown.model.merge import Doc, Settled
from gastown.model.merge_bead import first_id, same_bead
from gastown.services.sync import doubled
from gastown.store import filemerge, git, moves, oneplace, treemerge
from gastown.store.change import Change
from gastown.store.gitrepo import Repo
from gastown.store.treediff import Entry


@dataclass(frozen=True)
class _Ends:
    """Where a bead `stays`, where it `goes`, and what it was before the two parted, as far as anybody knows.

    `sure`: git knows that it was moved.
    """

    stays: str
    goes: str
    base: bytes | None
    sure: bool = False


def join(change: Change, ids: Iterable[str]) -> list[tuple[str, Settled]]:
    """Make every bead among `ids` that lies in several files one file; (path, what was decided).

    Where it was moved to counts; a copy gives way to what was copied; of two moves the least path. The same in every
    clone. A bead with a file that cannot be read is left alone: until it is mended nobody can tell which is which.
    """
    wanted, found = set(ids), dict[str, list[str]]()
    for row in change.index().rows if wanted else ():
        if row.id in wanted:
            found.setdefault(row.id, []).append(row.path)
    told: list[tuple[str, Settled]] = []
    for _, paths in sorted(found.items()):
        while len(paths) > 1 and (pair := _pair(change, sorted(paths))):
            ends = _ends(change.town.repo, *pair)
            told += _join(change, ends)
            paths.remove(ends.goes)
    return told


def _pair(change: Change, paths: list[str]) -> tuple[str, str, Doc] | None:
    """Two of the paths where one bead lies, and what it says; None if each is another bead."""
    docs = [(path, doc) for path in paths if (doc := filemerge.bead(path, change.read(path))) is not None]
    pairs = (
        (path, other, doc)
        for number, (path, doc) in enumerate(docs)
        for other, there in docs[number + 1 :]
        if same_bead(doc, there)
    )
    return next(pairs, None)


def _join(change: Change, ends: _Ends) -> Iterator[tuple[str, Settled]]:
    versions = {path: change.read(path) or b"" for path in (ends.stays, ends.goes)}
    data, settled = oneplace.joined(ends.stays, ends.base, versions)
    change.write(ends.stays, data)
    change.remove(ends.goes)
    yield ends.stays, Settled("place", ends.stays, ends.goes)
    yield from ((ends.stays, one) for one in settled)


def _ends(repo: Repo, one: str, other: str, doc: Doc) -> _Ends:
    """Which of two places a bead keeps, by what git knows of them."""
    # What came last made two of one; what it was put beside may have been put there so once itself.
    pairs = [(one, other), (other, one)]
    first, last = _added(repo, one), _added(repo, other)
    if first and last and _holds(repo, last, first):
        pairs.reverse()
    beside = next((ends for pair in pairs if (ends := _put_beside(repo, *pair, doc))), None)
    return beside or _moved(repo, one, other, doc) or _Ends(one, other, _made(repo, one, doc))


def _put_beside(repo: Repo, path: str, there: str, doc: Doc) -> _Ends | None:
    """If the newest commit that added `path` did so while the bead lay `there`: it goes from `path`.

    It is a copy; or a change to what was moved away, which a rebase, pick or stash brought back. Where it never lay
    at `path` before, a rebase may have made one of a move: then it stays where it was moved.
    """
    added = _added(repo, path)
    if not added or _at(repo, f"{added}^", there, doc) is None or _at(repo, added, there, doc) is None:
        return None
    before = _versions(repo, f"{added}^", path, doc)
    known = [*before, *_versions(repo, f"{added}^", there, doc)]
    moved = None if before else _moved(repo, min(path, there), max(path, there), doc)
    if moved is None or (moved.stays, moved.sure) != (path, True):
        return _Ends(there, path, _began(repo, added, path, there, doc, known))
    tip, _ = doubled.sides(repo, path, there)
    if _holds(repo, tip, added):
        return moved
    # A rebase puts what was said here before the move into both files; from what it was moved, only the branch from
    # before the rebase knows.
    known[:0] = _versions(repo, tip, there, doc)
    return _Ends(path, there, _began(repo, added, path, there, doc, known))


def _versions(repo: Repo, start: str, path: str, doc: Doc) -> list[bytes]:
    """All that the bead was at a path up to a commit, the newest first; what merges made of it, too."""
    args = ["log", "-m", "--full-history", "--topo-order", "--no-renames", "--diff-filter=AM", "--format=%H", start]
    commits = dict.fromkeys(git.run([*args, "--", path], cwd=repo.root)[1].decode().split())
    return [version for commit in commits if (version := _at(repo, commit, path, doc)) is not None]


def _began(repo: Repo, added: str, path: str, there: str, doc: Doc, known: list[bytes]) -> bytes | None:
    """What the version that a commit added began from: a version that was `known` there, or one elsewhere."""
    data = _at(repo, added, path, doc) or b""
    if data in known:
        return data  # put there as it was
    return _picked(repo, added, path, there, doc) or _nearest(known, data)


def _picked(repo: Repo, added: str, path: str, there: str, doc: Doc) -> bytes | None:
    """What the bead was before the commit that a rebase or a pick made this one from, if this clone has it still."""

    def lies(commit: str) -> Entry | None:
        return repo.find(repo.commit(commit.encode()).tree, path)

    entry = lies(added)
    assert entry is not None
    args = ["log", "--all", "--reflog", "--full-history", "--no-renames", "--diff-filter=AM", "--format=%H"]
    args += [f"--find-object={entry[1].decode()}", *_fetched(repo), "--", path, there]
    code, out = git.run(args, cwd=repo.root, check=False)
    made = (one for one in out.decode().split() if code == 0 and one != added and lies(one) == entry)
    found = (_at(repo, f"{one}^", where, doc) for one in made for where in (path, there))
    return next((data for data in found if data is not None), None)


def _fetched(repo: Repo) -> list[str]:
    """What was fetched last: no branch may stand for it."""
    name = "FETCH_HEAD"
    return [name] if git.run(["rev-parse", "--verify", "--quiet", name], cwd=repo.root, check=False)[0] == 0 else []


def _nearest(versions: list[bytes], data: bytes) -> bytes | None:
    """What a version began from: of all there were, the one of which it has most, and adds least to.

    What it began from too much would count as taken out by it.
    """
    lines = Counter(data.splitlines())

    def differ(version: bytes) -> tuple[int, int]:
        there = Counter(version.splitlines())
        return (there - lines).total(), (lines - there).total()

    return min(versions, key=differ, default=None)


def _moved(repo: Repo, one: str, other: str, doc: Doc) -> _Ends | None:
    """If a merge brought the two together: it stays where one side moved it."""
    tips = doubled.sides(repo, one, other)
    bases = treemerge.bases(repo, tips[0].encode(), tips[1].encode()) if all(tips) else []
    if not bases:
        return None
    parted = {path: _at(repo, bases[0].decode(), path, doc) for path in (one, other)}
    was = [path for path, data in parted.items() if data is not None]
    if len(was) != 1:
        # Both moved it from a third place.
        return _Ends(one, other, _elsewhere(repo, bases[0], one, doc))
    return _Ends(other if was[0] == one else one, was[0], parted[was[0]], sure=True)


def _elsewhere(repo: Repo, commit: bytes, path: str, doc: Doc) -> bytes | None:
    """The bead in a commit, in whatever day's folder it lay."""
    name = path.rpartition("/")[2]
    args = ["ls-tree", "-r", "-z", "--name-only", commit.decode(), "--", path.rsplit("/", 2)[0]]
    listed = git.run(args, cwd=repo.root)[1].decode().split("\0")
    found = (_at(repo, commit.decode(), at, doc) for at in listed if at.endswith(f"/{name}"))
    return next(filter(None, found), None)


def _made(repo: Repo, path: str, doc: Doc) -> bytes | None:
    """The bead as it was made."""
    where = moves.beside(path, first_id(doc))
    args = ["log", "--full-history", "--topo-order", "--reverse", "--diff-filter=A", "--format=%H", "HEAD", "--", where]
    commits = git.run(args, cwd=repo.root)[1].decode().split()
    return next((data for commit in commits if (data := _at(repo, commit, where, doc))), None)


def _added(repo: Repo, path: str) -> str:
    """The newest commit that added a path; "" for none, and where another one removed it since.

    Then what lies there was brought by a merge, from before that.
    """
    args = ["log", "-1", "--full-history", "--topo-order", "--no-renames", "--diff-filter=AD", "--format=%H", "HEAD"]
    commit = git.run([*args, "--", path], cwd=repo.root)[1].decode().strip()
    return commit if commit and repo.find(repo.commit(commit.encode()).tree, path) else ""


def _holds(repo: Repo, commit: str, earlier: str) -> bool:
    """True if one commit is, or comes from, the other."""
    return git.run(["merge-base", "--is-ancestor", earlier, commit], cwd=repo.root, check=False)[0] == 0


def _at(repo: Repo, commit: str, path: str, doc: Doc) -> bytes | None:
    """What a commit has of this very bead at a path."""
    args = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}"]
    code, out = git.run(args, cwd=repo.root, check=False)
    data = repo.blob(repo.commit(out.strip()).tree, path) if code == 0 else None
    there = filemerge.bead(path, data)
    return data if there is not None and same_bead(there, doc) else None
