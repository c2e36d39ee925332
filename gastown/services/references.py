"""Beads that speak of others whose ids were changed: they go on speaking of the same ones."""

from __future__ import annotations

from collections.abc import Iterator

from gastown.model.errors import InvalidFile
from gastown.model.merge import Doc
from gastown.model.merge_bead import renumber, same_bead
from gastown.store import git, layout, orders, treediff
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


def replace(change: Change, ids: dict[str, str]) -> None:
    """An id (old -> new) that means nothing any more is spoken of by nobody."""
    rows = change.index().rows if ids else ()
    kept = {row.id for row in rows if row.id in ids and change.read(row.path) is not None}
    gone = {old: new for old, new in ids.items() if old not in kept}
    for row in rows if gone else ():
        if gone.keys() & {row.parent, row.source, *row.needs}:
            data = change.read(row.path)
            if data is not None:
                _put(change, row.path, data, renumber(yaml_store.load(data, row.path), gone, moved=False))


def _put(change: Change, path: str, old: bytes, doc: Doc) -> None:
    change.write(path, yaml_store.rewrite(old, doc, orders.for_path(path), path))


def _refer(change: Change, tips: tuple[str, str], path: str, where: str, before: bytes, ids: dict[str, str]) -> None:
    repo = change.town.repo
    now, other = change.read(where), repo.blob(repo.commit(tips[1].encode()).tree, path)
    if now is None:
        return
    try:
        doc, mine = yaml_store.load(now, where), yaml_store.load(before, path)
        theirs = yaml_store.load(other, path) if other is not None else {}
    except InvalidFile:
        return
    if not same_bead(doc, mine):
        return
    theirs = theirs if same_bead(doc, theirs) else {}
    if _referring(doc, mine, theirs, ids) != doc:
        # What followed once and was turned back since is a person's word, not the merge's.
        done = set().union(*(_followed(one, ids) for one in _since(repo, tips, where)))
        fresh = _referring(doc, mine, theirs, {old: new for old, new in ids.items() if old not in done})
        if fresh != doc:
            _put(change, where, now, fresh)


def _since(repo: Repo, tips: tuple[str, str], path: str) -> Iterator[Doc]:
    """What the file was after the two sides came together."""
    args = ["log", "--full-history", "--format=%H", "HEAD", *(f"^{tip}" for tip in tips), "--", path]
    _, out = git.run(args, cwd=repo.root)
    for commit in out.split():
        data = repo.blob(repo.commit(commit).tree, path)
        try:
            yield yaml_store.load(data, path) if data is not None else {}
        except InvalidFile:
            continue


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
