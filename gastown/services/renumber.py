"""Two beads with one id that plain git brought into the files: the later one gets another id, as in a sync."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gastown.model.errors import InvalidFile
from gastown.model.merge import Doc, text_of
from gastown.model.merge_bead import born, collision_loses, former_ids, note_renumbered, renumber, same_bead
from gastown.store import collisions, filemerge, layout, moves, orders, treediff, treemerge
from gastown.store import yaml as yaml_store
from gastown.store.change import Change
from gastown.store.gitrepo import Repo


@dataclass(frozen=True)
class Lost:
    """A bead that another one took the id of. `path` is its place, `data` what it holds, `base` what that began from.

    `lost`, `kept`: the newest commits of its side and of the other, "" if unknown. `keeper`: where the bead that
    keeps the id lies; at `path`, unless both lie in the files.
    """

    path: str
    data: bytes
    base: bytes | None = None
    lost: str = ""
    kept: str = ""
    keeper: str = ""

    @property
    def id(self) -> str:
        """The id it loses."""
        return str(layout.bead_of_path(self.path))

    @property
    def doc(self) -> Doc:
        """Its document."""
        return filemerge.load(self.path, self.data)


def settle(change: Change, losts: Iterable[Lost]) -> dict[str, str]:
    """Give each its new id, and let what its own side made of it follow; returns old id -> new id."""
    losts = sorted((one for one in losts if not _undone(change, one)), key=lambda one: (one.id, one.path))
    if not losts:
        return {}
    work = _Renumbering(change, losts)
    work.choose()
    work.place()
    work.follow()
    return work.fresh


def doubled(change: Change, added: Iterable[str]) -> list[Lost]:
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
    """Beads at `paths` that were renumbered, and lie at their old place as well: somebody changed them there meanwhile.

    git stops at such a bead, changed here and gone there; whoever keeps the change brings it back under its old id.
    """
    losts = []
    for path in paths:
        data = change.read(path)
        if data is None or not moves.speaks_of_one(data):
            continue
        try:
            doc = filemerge.load(path, data)
            olds = [moves.beside(path, old) for old in former_ids(doc)]
            there = [(old, found) for old in olds if (found := change.read(old)) is not None]
            there = [(old, found) for old, found in there if same_bead(filemerge.load(old, found), doc)]
        except InvalidFile:
            continue
        for old, found in there:
            lost, kept = _sides(change.town.repo, old, path)
            losts.append(Lost(old, found, _base(change.town.repo, lost, kept, old), lost, kept, keeper=path))
    return losts


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
            base = _base(change.town.repo, lost, kept, path)
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


def _base(repo: Repo, lost: str, kept: str, path: str) -> bytes | None:
    """What the bead was where the two sides parted; None if it was made since, or nobody knows."""
    if not lost or not kept:
        return None
    found = treemerge.bases(repo, lost.encode(), kept.encode())
    return repo.blob(repo.commit(found[0]).tree, path) if found else None


def _tips(repo: Repo) -> Iterator[bytes]:
    from gastown.store import git

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


def _undone(change: Change, one: Lost) -> bool:
    """True if nothing was lost: the merge was given up, and the bead has its id."""
    data = change.read(one.path) if not one.keeper else None
    if data is None:
        return False
    try:
        return same_bead(filemerge.load(one.path, data), one.doc)
    except InvalidFile:
        return False


def _born(one: Lost) -> str:
    return text_of(one.doc.get("created"))


class _Renumbering:
    def __init__(self, change: Change, losts: list[Lost]) -> None:
        self.change = change
        self.repo = change.town.repo
        self.losts = losts
        self.ids: dict[str, str] = {}
        self.fresh: dict[str, str] = {}
        self.there: dict[str, str] = {}
        self.homes: dict[str, str] = {}
        self.below: dict[str, Lost] = {}

    # -- which ids -----------------------------------------------------------
    def choose(self) -> None:
        """An id for each: the one it has already, one below its parent's, or a fresh one, alike on every machine."""
        taken = set(self.change.town.bead_ids())
        lost_ids = {one.id for one in self.losts}
        for one in self.losts:
            if one.id in self.ids:
                self._settle_at(one)
                continue
            where = self.homes.get(_born(one)) or self._place_of(one)
            if where is not None:
                self.there[one.id] = where
                self.ids[one.id] = str(layout.bead_of_path(where))
                continue
            self._give(one.id, collisions.fresh_id(one.id, one.doc, taken), taken)
            self._settle_at(one)
            children = self._children(one)
            for child in sorted({*children, *(bead for bead in lost_ids if bead.startswith(one.id + "."))}):
                if child not in self.ids:
                    self._give(child, self.ids[one.id] + child[len(one.id) :], taken)
            self.below |= {bead: lost for bead, lost in children.items() if bead not in lost_ids}

    def _settle_at(self, one: Lost) -> None:
        self.homes[_born(one)] = moves.beside(one.path, self.ids[one.id])

    def _give(self, old: str, new: str, taken: set[str]) -> None:
        self.ids[old] = self.fresh[old] = new
        taken.add(new)

    def _place_of(self, one: Lost) -> str | None:
        """Where the bead lies if it was renumbered before: by another machine, or by a process that was killed."""
        born_as = one.doc.get("created") or {}
        said = str(born_as.get("at", "")), str(born_as.get("by", ""))
        for row in self.change.index().rows:
            if row.id != one.id and (row.created, row.created_by) == said:
                doc = yaml_store.load(self.change.read(row.path) or b"", row.path)
                if same_bead(doc, one.doc) and one.id in former_ids(doc):
                    return row.path
        return None

    def _children(self, one: Lost) -> dict[str, Lost]:
        """The beads below it that its own side made and that lie in the files now."""
        found = {}
        for path, data in self._said(one).items():
            bead = layout.bead_of_path(path)
            now = self.change.read(path) if bead and bead.startswith(one.id + ".") else None
            if bead and now is not None and self._same(path, now, data) and not self._in(one.kept, path, now):
                found[bead] = Lost(path, now, None, one.lost, one.kept)
        return found

    def _said(self, one: Lost) -> dict[str, bytes]:
        """The beads its side has otherwise than the other side, as they were there."""
        if not one.lost or not one.kept:
            return {}
        trees = [self.repo.commit(tip.encode()).tree for tip in (one.kept, one.lost)]
        changed = treediff.changes(self.repo, trees[0], trees[1])
        return {
            path: bytes(self.repo.get(after[1]).as_raw_string())
            for path, (_, after) in changed.items()
            if after is not None and layout.bead_of_path(path)
        }

    def _in(self, tip: str, path: str, data: bytes) -> bool:
        there = self.repo.blob(self.repo.commit(tip.encode()).tree, path)
        return there is not None and self._same(path, there, data)

    def _same(self, path: str, one: bytes, other: bytes) -> bool:
        try:
            return same_bead(filemerge.load(path, one), filemerge.load(path, other))
        except InvalidFile:
            return False

    # -- files -----------------------------------------------------------------
    def place(self) -> None:
        """Write each where it belongs, with a note on it and on the bead that keeps the id."""
        for one in sorted(self.losts, key=lambda one: one.id in self.there):
            new = self.ids[one.id]
            if one.id in self.there:
                self._join(one, self.there[one.id])
            else:
                fresh = renumber(one.doc, self.ids)
                note_renumbered(fresh, one.id, new, born(one.doc))
                self._put(moves.beside(one.path, new), one.data, fresh)
            if one.keeper:
                self.change.remove(one.path)
            keeper = one.keeper or one.path
            self._note(keeper, one.id, new, born(one.doc))
        for old, child in self.below.items():
            fresh = renumber(child.doc, self.ids)
            note_renumbered(fresh, old, self.ids[old], born(child.doc))
            self.change.remove(child.path)
            self._put(moves.beside(child.path, self.ids[old]), child.data, fresh)

    def _join(self, one: Lost, where: str) -> None:
        """It has its new id already: what was said of it under the old one goes there."""
        now = self.change.read(where)
        assert now is not None
        order = orders.for_path(where)
        base = None
        if one.base is not None:
            base = yaml_store.rewrite(one.base, renumber(filemerge.load(one.path, one.base), self.ids), order, where)
        said = yaml_store.rewrite(one.data, renumber(one.doc, self.ids), order, where)
        self.change.write(where, filemerge.merge_file(where, base, now, said).data)

    def _note(self, path: str, old: str, new: str, epoch: float) -> None:
        data = self.change.read(path)
        if data is None:
            return
        doc = yaml_store.load(data, path)
        note_renumbered(doc, old, new, epoch)
        self._put(path, data, doc)

    def _put(self, path: str, old: bytes | None, doc: Doc) -> None:
        self.change.write(path, yaml_store.rewrite(old, doc, orders.for_path(path), path))

    # -- references ------------------------------------------------------------
    def follow(self) -> None:
        """Every bead that the losing side let speak of its own beads goes on speaking of them."""
        for tips in sorted({(one.lost, one.kept) for one in self.losts}):
            ids = {one.id: self.ids[one.id] for one in self.losts if (one.lost, one.kept) == tips}
            ids |= {old: self.ids[old] for old, one in self.below.items() if (one.lost, one.kept) == tips}
            for path, said in self._said(Lost("", b"", None, *tips)).items():
                if any(old.encode() in said for old in ids):
                    self._refer(path, said, tips[1], ids)

    def _refer(self, path: str, said: bytes, kept: str, ids: dict[str, str]) -> None:
        bead = str(layout.bead_of_path(path))
        where = moves.beside(path, self.ids[bead]) if bead in self.ids else path
        now, other = self.change.read(where), self.repo.blob(self.repo.commit(kept.encode()).tree, path)
        if now is None:
            return
        try:
            doc, mine = yaml_store.load(now, where), yaml_store.load(said, path)
            theirs = yaml_store.load(other, path) if other is not None else {}
        except InvalidFile:
            return
        if same_bead(doc, mine):
            fresh = _referring(doc, mine, theirs if same_bead(doc, theirs) else {}, ids)
            if fresh != doc:
                self._put(where, now, fresh)


def _referring(doc: Doc, mine: Doc, theirs: Doc, ids: dict[str, str]) -> Doc:
    """`doc` with the references that one side (`mine`) made following `ids`; what the other side means stays."""
    fresh = dict(doc)
    for key in ("parent", "source"):
        if mine.get(key) in ids and doc.get(key) == mine[key] != theirs.get(key):
            fresh[key] = ids[mine[key]]
    for key in ("needs", "tracks"):
        now, said, meant = (list(one.get(key) or ()) for one in (doc, mine, theirs))
        follow = [one for one in now if one in said and one in ids]
        if follow:
            stay = [one for one in now if one not in follow or one in meant]
            fresh[key] = sorted({*stay, *(ids[one] for one in follow)})
    return fresh
