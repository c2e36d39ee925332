"""Beads that git took to another one's place: `git stash` follows renames, whatever `merge.renames` says."""

from __future__ import annotations

import os

from gastown.model.errors import InvalidFile
from gastown.model.ids import is_id
from gastown.model.merge import Doc
from gastown.model.merge_bead import born, note_renumbered, renumber, same_bead
from gastown.store import filemerge, files, layout, moves, orders
from gastown.store import yaml as yaml_store


def home(path: str, data: bytes) -> str | None:
    """Where the bead in `data` belongs, in the same day's folder, if not at `path`; None if it does, or is none."""
    try:
        own = yaml_store.load(data, path).get("id")
    except InvalidFile:
        return None
    if not isinstance(own, str) or not is_id(own) or own == layout.bead_of_path(path):
        return None
    return moves.beside(path, own)


def moved(path: str, mine: bytes, source: str, versions: list[bytes]) -> list[bytes] | None:
    """`versions` of the bead at `source` under the id it has at `path` now; None if another bead lies there.

    Raises InvalidFile if one of them cannot be used.
    """
    docs = [filemerge.load(source, data) for data in versions]
    if not all(same_bead(filemerge.load(path, mine), doc) for doc in docs):
        return None
    old, new = str(layout.bead_of_path(source)), str(layout.bead_of_path(path))
    return [_under(old, new, data, doc, source) for data, doc in zip(versions, docs, strict=True)]


def _under(old: str, new: str, data: bytes, doc: Doc, source: str) -> bytes:
    fresh = renumber(doc, {old: new})
    # As the version at its place has it: without, it would be taken for another bead that was made under that id.
    note_renumbered(fresh, old, new, born(doc))
    return yaml_store.rewrite(data, fresh, orders.for_path(source), source)


def put_back(root: str, source: str, data: bytes) -> bool:
    """Put a bead where it belongs; False if something lies there. Raises OSError."""
    where = layout.absolute(root, source)
    if os.path.lexists(where):
        return False
    os.makedirs(os.path.dirname(where), exist_ok=True)
    files.write(where, data)
    return True
