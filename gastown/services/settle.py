"""What plain git leaves half done in a town: two beads with one id. Settled when git has finished."""

from __future__ import annotations

import base64
import os

from gastown.model.errors import GtError, InvalidFile
from gastown.model.merge_bead import note_renumbered, renumber
from gastown.model.times import parse
from gastown.store import files, layout, runstate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gastown.store.change import Change
    from gastown.store.town import Town


def _folder(root: str) -> str:
    return layout.run(root, "collisions")


def remember(root: str, path: str, data: bytes, *, lost: str, kept: str) -> None:
    """Keep the bead that lost its id at `path` until git is done.

    `lost`, `kept`: the newest commits of its side and of the other, "" if unknown.
    """
    import hashlib

    name = f"{layout.bead_of_path(path)}-{hashlib.sha256(data).hexdigest()[:12]}.json"
    note = {"path": path, "data": base64.b64encode(data).decode(), "lost": lost, "kept": kept}
    runstate.write_json(os.path.join(_folder(root), name), note)


def pending(root: str) -> list[str]:
    """The notes that wait, oldest name first."""
    try:
        return sorted(name for name in os.listdir(_folder(root)) if name.endswith(".json"))
    except FileNotFoundError:
        return []


def collisions(town: Town) -> dict[str, str]:
    """Give every bead that lost its id a new one, in one change; returns old id -> new id."""
    names = pending(town.root)
    if not names:
        return {}
    notes = [_note(town.root, name) for name in names]
    made: dict[str, str] = {}
    with town.change("sync", actor="deacon") as change:
        taken = set(town.bead_ids())
        for note in notes:
            made |= _settle(town, change, note, taken)
    for name in names:
        files.remove(os.path.join(_folder(town.root), name))
    return made


def _note(root: str, name: str) -> dict[str, Any]:
    path = os.path.join(_folder(root), name)
    note = runstate.read_json(path)
    if not isinstance(note, dict):
        raise GtError(f"{path} cannot be read", "it holds a bead that was renumbered; look into it, then move it away")
    return note


def _settle(town: Town, change: Change, note: dict[str, Any], taken: set[str]) -> dict[str, str]:
    from gastown.store import collisions as rules
    from gastown.store import filemerge, orders
    from gastown.store import yaml as yaml_store

    path = str(note["path"])
    old = str(layout.bead_of_path(path))
    doc = filemerge.load(path, base64.b64decode(note["data"]))
    if _is_there(town, old, doc):
        return {}
    new = rules.fresh_id(old, doc, taken)
    taken.add(new)
    epoch = _epoch(doc)
    moved = renumber(doc, {old: new})
    note_renumbered(moved, old, new, epoch)
    change.write(f"{path.rpartition('/')[0]}/{new}.yaml", yaml_store.dump(moved, orders.for_path(path)))
    kept = change.bead(old)
    note_renumbered(kept.doc, old, new, epoch)
    change.save(kept)
    _follow(town, change, note, old, new)
    change.emit("sync_conflict_resolved", f"two beads were made as {old}; the later one is now {new}", bead=new,
                key="id", kept=new, lost=old)  # fmt: skip
    return {old: new}


def _is_there(town: Town, old: str, doc: dict[str, Any]) -> bool:
    """True if the lost bead has its new id already: a crash came between writing it and forgetting the note."""
    created = doc.get("created") or {}
    born = (doc.get("title"), str(created.get("at", "")), str(created.get("by", "")))
    for row in town.index().rows:
        if row.id != old and (row.title, row.created, row.created_by) == born:
            words = f"two beads were made as {old} in different places; the later one is now {row.id}\n"
            if any(note.get("text") == words for note in town.bead(row.id).notes):
                return True
    return False


def _epoch(doc: dict[str, Any]) -> float:
    try:
        return parse(str((doc.get("created") or {}).get("at")))
    except GtError:
        return 0.0


def _follow(town: Town, change: Change, note: dict[str, Any], old: str, new: str) -> None:
    """References that the lost bead's side made follow it: in beads which say so there and not on the other side."""
    lost, kept = str(note.get("lost") or ""), str(note.get("kept") or "")
    if not lost:
        return
    there, other = town.at(lost), town.at(kept) if kept else None
    for row in town.index().rows:
        if row.id == old or not (row.parent == old or old in row.needs or row.source == old):
            continue
        if not there.exists(row.path) or (other is not None and _speaks(other, row.path, old)):
            continue
        if _speaks(there, row.path, old):
            bead = change.bead(row.id)
            fresh = renumber(bead.doc, {old: new})
            bead.doc.update(fresh)
            change.save(bead)


def _speaks(view: Any, path: str, bead_id: str) -> bool:
    if not view.exists(path):
        return False
    try:
        doc = view.load(path)
    except InvalidFile:
        return False
    return bool(renumber(doc, {bead_id: bead_id + "."}) != doc)
