"""Finding what plain git's merges left in the files: one id on two beads, one bead under two ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gastown.model.errors import InvalidFile
from gastown.model.merge import Doc
from gastown.model.merge_bead import collision_loses, former_ids, same_bead
from gastown.services.renumber import Lost, readable
from gastown.store import filemerge, files, git, layout, moves, treediff, treemerge
from gastown.store.change import Change
from gastown.store.gitrepo import Repo


def beads(change: Change, added: Iterable[str]) -> list[Lost]:
    """Beads that lie in the files twice under one id, because they were made on different days.

    `added`: ids worth looking at.
    """
    wanted = set(added)
    found: dict[str, list[str]] = {}
    for path in _bead_paths(change):
        bead_id = layout.bead_of_path(path)
        if bead_id in wanted:
            found.setdefault(bead_id, []).append(path)
    losts = []
    for paths in found.values():
        if len(paths) > 1:
            losts += _losers(change, paths)
    return losts


def twice(change: Change, paths: Iterable[str]) -> list[Lost]:
    """Beads at `paths` that lie in the files under another id as well.

    git stops at a bead that was changed here and renumbered there; whoever keeps the change brings it back under its
    old id. And two machines may have renumbered one bead differently.
    """
    losts: dict[str, Lost] = {}
    for path in sorted(paths):
        data = files.read_or_none(layout.absolute(change.town.root, path))
        doc = readable(path, change.read(path)) if data is not None and moves.speaks_of_one(data) else None
        for other, found in _others(change, path, former_ids(doc)) if doc is not None else ():
            there = readable(other, found)
            if data is None or doc is None or there is None or not same_bead(doc, there):
                continue
            goes = _gives_up(path, doc, other, there)
            stays = other if goes == path else path
            if goes not in losts and stays not in losts:
                lost, kept = _sides(change.town.repo, goes, stays)
                base = _base(change.town.repo, lost, kept, goes, stays)
                losts[goes] = Lost(goes, data if goes == path else found, base, lost, kept, stays, home=stays)
    return list(losts.values())


def spoken_of(change: Change, pairs: Iterable[tuple[str, str]]) -> list[Lost]:
    """Beads that one side renumbered while the other made beads below them, or let beads speak of them, by the old id.

    git sees no conflict in that. `pairs`: the commits (of the one that did not know, of the one that renumbered).
    """
    repo, found = change.town.repo, []
    for lost, kept in pairs:
        bases = treemerge.bases(repo, lost.encode(), kept.encode())
        if not bases:
            continue
        tree = repo.commit(lost.encode()).tree
        for old, new in _moved(repo, repo.commit(bases[0]).tree, repo.commit(kept.encode()).tree).items():
            said, now = repo.blob(tree, old), change.read(new)
            docs = readable(old, said), readable(new, now)
            if said is not None and docs[0] is not None and docs[1] is not None and same_bead(docs[0], docs[1]):
                found.append(Lost(old, said, None, lost, kept, home=new, there=True))
    return found


def _moved(repo: Repo, base: bytes, tree: bytes) -> dict[str, str]:
    """Old path to new path of the beads that were renumbered between two trees."""
    changed = {path: pair for path, pair in treediff.changes(repo, base, tree).items() if layout.bead_of_path(path)}
    added = {path: _blob(repo, now) for path, (before, now) in changed.items() if before is None}
    return moves.found(added, lambda: ((path, _blob(repo, before)) for path, (before, _) in changed.items()))


def _blob(repo: Repo, entry: treediff.Entry | None) -> bytes | None:
    return None if entry is None else bytes(repo.get(entry[1]).as_raw_string())


def _others(change: Change, path: str, olds: list[str]) -> Iterator[tuple[str, bytes]]:
    """The other beads of the same day that may be it: at an id it had, or anywhere below the same one."""
    folder, _, name = path.rpartition("/")
    root = name.partition(".")[0]
    below = {other for other in change.view.names(folder) if other.startswith(root + ".") and other.endswith(".yaml")}
    for other in sorted({*below, *(f"{old}.yaml" for old in olds)} - {name}):
        data = change.read(f"{folder}/{other}")
        if data is not None:
            yield f"{folder}/{other}", data


def _gives_up(path: str, doc: Doc, other: str, there: Doc) -> str:
    """Which of its two places a bead leaves: the one it had first, else the greater; alike everywhere."""
    before = len(former_ids(doc)), len(former_ids(there))
    if before[0] != before[1]:
        return path if before[0] < before[1] else other
    return max(path, other, key=lambda one: (len(one), one))


def _bead_paths(change: Change) -> Iterator[str]:
    view = change.view
    for place in ["beads", *(f"{layout.RIGS}/{name}/beads" for name in view.names(layout.RIGS))]:
        for day in view.names(place):
            for name in view.names(f"{place}/{day}"):
                if name.endswith(".yaml") and not name.startswith("."):
                    yield f"{place}/{day}/{name}"


def _losers(change: Change, paths: list[str]) -> list[Lost]:
    docs: dict[str, tuple[Doc, bytes]] = {}
    for path in paths:
        data = change.read(path)
        try:
            docs[path] = filemerge.load(path, data or b""), data or b""
        except InvalidFile:
            return []  # `gt lint` names it; until it is mended nobody can tell which is which
    first = paths[0]
    for path in paths[1:]:
        if collision_loses(docs[first][0], docs[path][0]):
            first = path
    losts = []
    for path in paths:
        if path != first:
            lost, kept = _sides(change.town.repo, path, first)
            base = _base(change.town.repo, lost, kept, path, first)
            losts.append(Lost(path, docs[path][1], base, lost, kept, keeper=first))
    return losts


def _sides(repo: Repo, lost: str, kept: str) -> tuple[str, str]:
    """The commits from before the two came together: one that has only the lost bead, one that has only the other."""
    tips = [sha.decode() for sha in _tips(repo)]

    def has(tip: str, path: str) -> bool:
        return repo.find(repo.commit(tip.encode()).tree, path) is not None

    alone = [tip for tip in tips if has(tip, lost) and not has(tip, kept)]
    other = [tip for tip in tips if has(tip, kept) and not has(tip, lost)]
    return (alone or [""])[0], (other or [""])[0]


def _base(repo: Repo, lost: str, kept: str, path: str, stays: str) -> bytes | None:
    """What the bead was where the two sides parted; None if it was made since, or nobody knows.

    A rebase leaves out merges: if what one brought to the bead at `stays` is not there, its side does not tell.
    """
    if not lost or not kept:
        return None
    tips = [repo.blob(repo.commit(tip).tree, stays) for tip in (kept.encode(), repo.head()[1] or b"")]
    found = treemerge.bases(repo, lost.encode(), kept.encode()) if tips[0] == tips[1] else []
    return repo.blob(repo.commit(found[0]).tree, path) if found else None


def _tips(repo: Repo) -> Iterator[bytes]:
    _, head = repo.head()
    if head is not None:
        yield from repo.commit(head).parents
    for name in ("ORIG_HEAD", "FETCH_HEAD", "HEAD@{1}", "@{upstream}"):
        args = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
        code, out = git.run(args, cwd=repo.root, check=False)
        if code == 0:
            yield out.strip()
    _, out = git.run(["rev-list", "--merges", "--parents", "-n", "50", "HEAD"], cwd=repo.root)
    for line in out.splitlines():
        yield from line.split()[1:]
