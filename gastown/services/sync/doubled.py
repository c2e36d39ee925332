"""Finding what plain git's merges left in the files: one id on two beads, one bead under two ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gastown.model.errors import InvalidFile
from gastown.model.merge import Doc
from gastown.model.merge_bead import collision_loses, former_ids, identity
from gastown.services.sync import references
from gastown.services.sync.renumber import Lost
from gastown.store import filemerge, git, layout, moves, treediff, treemerge
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
    """Beads that lie in the files under two ids, one of them at `paths`.

    git stops at a bead that was changed here and renumbered there; whoever keeps the change brings it back under its
    old id. And two machines may have renumbered one bead differently.
    """
    wanted = set(paths)
    groups: dict[tuple[str, str], list[str]] = {}
    for row in change.index().rows if wanted else ():
        groups.setdefault((row.created, row.created_by), []).append(row.path)
    losts = []
    for group in groups.values():
        if len(group) > 1 and not wanted.isdisjoint(group):
            for stays, goes in _places(change, group):
                lost, kept = sides(change.town.repo, goes, stays)
                losts.append(Lost(goes, change.read(goes) or b"", None, lost, kept, stays, home=stays))
    return losts


def _places(change: Change, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Of every bead that lies at several of the paths: which it keeps, and one it leaves; alike everywhere.

    It keeps the place that it came to last, else the least.
    """
    found: dict[tuple[str, str], list[tuple[int, int, str]]] = {}
    for path in paths:
        doc = filemerge.bead(path, change.read(path))
        if doc is not None:
            found.setdefault(identity(doc), []).append((-len(former_ids(doc)), len(path), path))
    for places in found.values():
        (_, _, stays), *others = sorted(places)
        yield from ((stays, goes) for _, _, goes in others if layout.bead_of_path(goes) != layout.bead_of_path(stays))


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
            said = repo.blob(tree, old)
            doc = filemerge.bead(old, said)
            home = references.lies(change, doc, new) if doc is not None else None
            if said is not None and home is not None and home != old:
                found.append(Lost(old, said, None, lost, kept, home=home, there=True))
    return found


def _moved(repo: Repo, base: bytes, tree: bytes) -> dict[str, str]:
    """Old path to new path of the beads that were renumbered between two trees."""
    changed = {path: pair for path, pair in treediff.changes(repo, base, tree).items() if layout.bead_of_path(path)}
    added = {path: _blob(repo, now) for path, (before, now) in changed.items() if before is None}
    return moves.found(added, lambda: ((path, _blob(repo, before)) for path, (before, _) in changed.items()))


def _blob(repo: Repo, entry: treediff.Entry | None) -> bytes | None:
    return None if entry is None else bytes(repo.get(entry[1]).as_raw_string())


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
            lost, kept = sides(change.town.repo, path, first)
            losts.append(Lost(path, docs[path][1], None, lost, kept, keeper=first))
    return losts


def sides(repo: Repo, lost: str, kept: str) -> tuple[str, str]:
    """The commits from before two files came together: one that has only the first, one that has only the other."""
    tips = [sha.decode() for sha in _tips(repo)]

    def has(tip: str, path: str) -> bool:
        return repo.find(repo.commit(tip.encode()).tree, path) is not None

    alone = [tip for tip in tips if has(tip, lost) and not has(tip, kept)]
    other = [tip for tip in tips if has(tip, kept) and not has(tip, lost)]
    return (alone or [""])[0], (other or [""])[0]


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
