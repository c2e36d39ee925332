"""Beads that speak of others whose ids were changed: they go on speaking of the same ones."""

from __future__ import annotations

from collections.abc import Iterator

from gastown.model.merge import Doc
from gastown.model.merge_bead import former_ids, renumber, same_bead
from gastown.store import filemerge, git, layout, orders, treediff
from gastown.store import yaml as yaml_store
from gastown.store.change import Change
from gastown.store.gitrepo import Repo

_ONE, _MANY = ("parent", "source"), ("needs", "tracks")


def said(repo: Repo, lost: str, kept: str) -> dict[str, bytes]:
    """The beads that one side (`lost`, its newest commit) has otherwise than the other (`kept`), as they are there."""
    if not lost or not kept:
        return {}
    trees = [repo.commit(tip.encode()).tree for tip in (kept, lost)]
    changed = treediff.changes(repo, trees[0], trees[1])
    return {
        path: bytes(repo.get(after[1]).as_raw_string())
        for path, (_, after) in changed.items()
        if after is not None and layout.bead_of_path(path)
    }


def follow(change: Change, tips: tuple[str, str], ids: dict[str, str], places: dict[str, str]) -> None:
    """Let what the losing side said by old ids be said by the new ones; what the other side means by them stays.

    `tips`: the newest commits of the two sides, as in `said`. `ids`: old -> new. `places`: old path -> path now.
    """
    for path, before in said(change.town.repo, *tips).items():
        if any(old.encode() in before for old in ids):
            _refer(change, tips, path, places.get(path, path), before, ids)


def lies(change: Change, doc: Doc, likely: str) -> str | None:
    """Where a bead lies: at `likely`, or where it came to since, if it had to give up that id as well; else None."""
    made = doc.get("created")
    said = (str(made.get("at", "")), str(made.get("by", ""))) if isinstance(made, dict) else ("", "")
    rows = (row.path for row in change.index().rows if (row.created, row.created_by) == said)
    for path in (likely, *rows):
        now = filemerge.bead(path, change.read(path))
        if now is not None and same_bead(doc, now):
            return path
    return None


def replay(change: Change, before: str, onto: str) -> None:
    """Let references follow that followed before a rebase, in a merge which that rebase left out.

    `before`: the branch's newest commit before it, `onto`: what it was put on. A reference that neither of them has
    was made anew from an old commit; the id that stood in its place means the same bead, which was called so once.
    """
    repo = change.town.repo
    tree = repo.commit(onto.encode()).tree
    for path, data in said(repo, before, onto).items():
        mine = filemerge.bead(path, data)
        at = lies(change, mine, path) if mine is not None else None
        now = filemerge.bead(at, change.read(at)) if at is not None else None
        if mine is None or at is None or now is None:
            continue
        theirs = filemerge.bead(path, repo.blob(tree, path))
        fresh = _put_forward(change, now, mine, theirs if theirs is not None and same_bead(now, theirs) else {})
        if fresh != now:
            _put(change, at, change.read(at) or b"", fresh)


def _put_forward(change: Change, now: Doc, mine: Doc, theirs: Doc) -> Doc:
    fresh = dict(now)
    for key in (*_ONE, *_MANY):
        stands, stood, known = (_ids(one.get(key)) for one in (now, mine, theirs))
        again = {old: new for old in stands - stood - known for new in stood - stands if old in _former(change, new)}
        if again:
            ids = sorted({again.get(one, one) for one in stands})
            fresh[key] = ids if key in _MANY else ids[0]
    return fresh


def _ids(value: object) -> set[str]:
    return {str(one) for one in value} if isinstance(value, list) else {value} if isinstance(value, str) else set()


def _former(change: Change, bead_id: str) -> list[str]:
    """The ids that the bead with that id had before."""
    path = next(change.town.bead_paths(bead_id), None)
    doc = filemerge.bead(path, change.read(path)) if path else None
    return [] if doc is None else former_ids(doc)


def replace(change: Change, ids: dict[str, str]) -> None:
    """An id (old -> new) that means nothing any more is spoken of by nobody, but by who meant another bead by it.

    That one was removed, and is back under its id where somebody changed it meanwhile.
    """
    rows = change.index().rows if ids else ()
    kept = {row.id for row in rows if row.id in ids and change.read(row.path) is not None}
    gone = {old: new for old, new in ids.items() if old not in kept}
    for row in rows if gone else ():
        spoken = gone.keys() & {row.parent, row.source, *row.needs}
        ids = {old: gone[old] for old in spoken if not _meant_another(change, row.path, old, gone[old])}
        data = change.read(row.path) if ids else None
        if data is not None:
            _put(change, row.path, data, renumber(yaml_store.load(data, row.path), ids, moved=False))


def _meant_another(change: Change, path: str, old: str, new: str) -> bool:
    """True if the old id was not that of the bead which is `new` now when it was written into the file."""
    repo = change.town.repo
    args = ["log", "-1", "--full-history", "--no-merges", "--format=%H", f"-S{old}", "HEAD", "--", path]
    _, out = git.run(args, cwd=repo.root)
    home = next(change.town.bead_paths(new), None)
    doc = filemerge.bead(home, change.read(home)) if home else None
    if not out.strip() or home is None or doc is None:
        return False
    view = change.town.at(out.strip().decode())
    was = next(view.bead_paths(old), None)
    then = filemerge.bead(was, view.read(was)) if was else None
    return then is not None and not same_bead(then, doc)


def _put(change: Change, path: str, old: bytes, doc: Doc) -> None:
    change.write(path, yaml_store.rewrite(old, doc, orders.for_path(path), path))


def _refer(change: Change, tips: tuple[str, str], path: str, where: str, before: bytes, ids: dict[str, str]) -> None:
    repo, mine = change.town.repo, filemerge.bead(path, before)
    at = lies(change, mine, where) if mine is not None else None
    now = change.read(at) if at is not None else None
    if mine is None or at is None or now is None:
        return
    doc = yaml_store.load(now, at)
    theirs = filemerge.bead(path, repo.blob(repo.commit(tips[1].encode()).tree, path)) or {}
    theirs = theirs if same_bead(doc, theirs) else {}
    if _referring(doc, mine, theirs, ids) != doc:
        # What followed once and was turned back since is a person's word, not the merge's.
        done = set().union(*(_followed(one, ids) for one in _since(repo, tips, at)))
        fresh = _referring(doc, mine, theirs, {old: new for old, new in ids.items() if old not in done})
        if fresh != doc:
            _put(change, at, now, fresh)


def _since(repo: Repo, tips: tuple[str, str], path: str) -> Iterator[Doc]:
    """What the file was after the two sides came together."""
    args = ["log", "--full-history", "--format=%H", "HEAD", *(f"^{tip}" for tip in tips), "--", path]
    _, out = git.run(args, cwd=repo.root)
    for commit in out.split():
        doc = filemerge.bead(path, repo.blob(repo.commit(commit).tree, path))
        if doc is not None:
            yield doc


def _followed(doc: Doc, ids: dict[str, str]) -> set[str]:
    """The old ids instead of which the new ones stand there."""
    named = {str(doc.get(key)) for key in _ONE}.union(*(doc.get(key) or () for key in _MANY))
    return {old for old, new in ids.items() if new in named and old not in named}


def _referring(doc: Doc, mine: Doc, theirs: Doc, ids: dict[str, str]) -> Doc:
    """`doc` with the references that one side (`mine`) made following `ids`; what the other side means stays."""
    fresh = dict(doc)
    for key in _ONE:
        if mine.get(key) in ids and doc.get(key) == mine[key] != theirs.get(key):
            fresh[key] = ids[mine[key]]
    for key in _MANY:
        now, before, meant = (list(one.get(key) or ()) for one in (doc, mine, theirs))
        # What stands beside its new id was said after that: the merge was settled long ago, elsewhere.
        follow = [one for one in now if one in before and one in ids and (ids[one] not in now or ids[one] in meant)]
        if follow:
            stay = [one for one in now if one not in follow or one in meant]
            fresh[key] = sorted({*stay, *(ids[one] for one in follow)})
    return fresh
