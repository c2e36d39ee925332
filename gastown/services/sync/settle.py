"""What plain git leaves half done in a town, settled when git has finished: the same then as after a sync.

Two beads with one id, messages that lie in two files, conflicts that nobody was told of. The merge driver keeps notes
(`.gt/run/plain-git/`), because while git merges nothing else may be written.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from gastown.model import merge_maildir as places
from gastown.model.errors import GtError
from gastown.model.merge import Doc, Settled
from gastown.model.merge_bead import RENUMBERED, identity
from gastown.runtime import git
from gastown.services.sync import doubled, mailjoin, references, rejoin, renumber
from gastown.services.sync.renumber import Lost
from gastown.store import filemerge, files, layout, moves, rigfiles, runstate, treediff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gastown.store.change import Change
    from gastown.store.town import Town

_LOST, _TOLD = "lost-", "told-"
# How long a note may wait for git to finish, in seconds: a bead is dearer than a word in the feed.
_GIVEN_UP, _UNSAID = 86_400.0, 60.0
# What is true if git went through with it: HEAD `holds` a commit, or has `left` one, or a `stash` was taken out.
Proof = dict[str, str]


@dataclass(frozen=True)
class After:
    """What was settled: old id -> new id, the messages that were joined."""

    new_ids: dict[str, str] = field(default_factory=dict)
    mail: tuple[str, ...] = ()


# -- notes of the merge driver ------------------------------------------------------------------------
def remember(
    root: str, path: str, data: bytes, doc: Doc, *, base: bytes | None, lost: str, kept: str, proof: Proof
) -> None:
    """Keep the bead that lost its id at `path` until git is done; `doc` is what `data` says, `base` what it was.

    `lost`, `kept`: the newest commits of its side and of the other, "" if unknown. `proof`: how to tell later that
    git was not told to give up.
    """
    where = _lost_path(root, path, doc)
    before = runstate.read_json(where)
    if isinstance(before, dict) and before.get("path") == path:
        # A rebase comes by once for every commit that changed it.
        one = _lost(before)
        data = filemerge.merge_file(path, base, one.data, data).data
        base, lost, kept = one.base, lost or one.lost, one.kept or kept
    note = {"path": path, "data": _text(data), "base": _text(base), "lost": lost, "kept": kept, **proof}
    runstate.write_json(where, note)


def is_lost(root: str, path: str, doc: Doc) -> bool:
    """True if the bead waits for a new id because another one took its place at `path`."""
    return os.path.exists(_lost_path(root, path, doc))


def _lost_path(root: str, path: str, doc: Doc) -> str:
    mark = hashlib.sha256(" ".join(identity(doc)).encode()).hexdigest()[:12]
    return os.path.join(_folder(root), f"{_LOST}{layout.bead_of_path(path)}-{mark}.json")


def told(root: str, settled: Iterable[tuple[str, Settled]], *, proof: Proof) -> str:
    """Keep conflicts that were decided (path, what) for the feed, until `after`. Returns the note's path.

    `proof`: as for `remember`.
    """
    note = {"settled": [[path, *one] for path, one in settled], **proof}
    mark = hashlib.sha256(json.dumps(note).encode()).hexdigest()[:16]
    where = os.path.join(_folder(root), f"{_TOLD}{mark}.json")
    runstate.write_json(where, note)
    return where


def _folder(root: str) -> str:
    return layout.run(root, "plain-git")


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _lost(note: dict[str, Any]) -> Lost:
    base = note.get("base")
    return Lost(str(note["path"]), base64.b64decode(note["data"]), base64.b64decode(base) if base else None,
                str(note.get("lost") or ""), str(note.get("kept") or ""))  # fmt: skip


def pending(root: str) -> list[str]:
    """The notes that wait, by name."""
    try:
        return sorted(name for name in os.listdir(_folder(root)) if name.endswith(".json"))
    except FileNotFoundError:
        return []


def _notes(root: str, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Those of the notes that are still there: another process may settle them at the same time."""
    found = {}
    for name in names:
        path = os.path.join(_folder(root), name)
        note = runstate.read_json(path)
        if note is None and not os.path.exists(path):
            continue
        if not isinstance(note, dict):
            raise GtError(f"{path} cannot be read", "it may hold a bead that lost its id; look into it, then move it")
        found[name] = note
    return found


def _still(root: str, notes: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [note for name, note in notes.items() if os.path.exists(os.path.join(_folder(root), name))]


# -- settling -----------------------------------------------------------------------------------------
def after(town: Town, *, finished: bool = False) -> After:
    """Settle what came with commits since the last time; cheap if there are none. Not while git is in the middle.

    `finished`: git says that it is done, though it has not put its own notes away (its hooks run before that).
    """
    ref, head = town.repo.head()
    names = pending(town.root)
    if head is None or not ref.startswith("refs/heads/") or (town.repo.under_way() and not finished):
        return After()
    mark = runstate.read_json(_mark(town.root))
    if mark == head.decode() and not names:
        return After()
    came = _came(town, mark)
    if came.ids:
        town.transact("sync", lambda change: _rejoin(change, came), actor="deacon")
    if came.rebased:
        before, onto = came.rebased
        town.transact("sync", lambda change: references.replay(change, before, onto), actor="deacon")
    # One bead under two ids first: whoever gives one of them away must find all that was said of it there.
    town.transact("sync", lambda change: renumber.settle(change, doubled.twice(change, came.beads)), actor="deacon")
    notes = _notes(town.root, names)
    true = {name: note for name, note in notes.items() if _came_true(town, note)}
    done = town.transact("sync", lambda change: _settle(change, _still(town.root, true), came), actor="deacon")
    # Last, when every bead has the id that it keeps: what one side made for it under its first one follows at once.
    if came.joined:
        town.transact("sync", lambda change: renumber.settle(change, doubled.spoken_of(change, came.joined)),
                      actor="deacon")  # fmt: skip
        town.transact("sync", lambda change: _bring_back(change, came.joined), actor="deacon")
    for name in names:
        if name in true or _is_old(town.root, name):
            files.remove(os.path.join(_folder(town.root), name))
    runstate.write_json(_mark(town.root), (town.repo.head()[1] or b"").decode(), durable=False)
    return done


def _mark(root: str) -> str:
    return layout.run(root, "settled.json")


def _rejoin(change: Change, came: _Came) -> None:
    for path, one in rejoin.join(change, came.ids):
        _tell(change, path, one)


def _settle(change: Change, notes: list[dict[str, Any]], came: _Came) -> After:
    losts = [_lost(note) for note in notes if "data" in note]
    new_ids = renumber.settle(change, [*losts, *(doubled.beads(change, came.ids) if came.ids else ())])
    for old, new in new_ids.items():
        _tell(change, "", Settled("id", new, old))
    for note in notes:
        for path, *one in note.get("settled") or ():
            _tell(change, path, Settled(*one))
    mail, told = mailjoin.join(change, came.boxes)
    for path, one in told:
        _tell(change, path, one)
    return After(new_ids, tuple(mail))


def _bring_back(change: Change, joined: list[tuple[str, str]]) -> None:
    """The rig.yaml that a merge of git's lost though beads of the rig were kept: the side that had it wins."""
    repo = change.town.repo
    _, head = repo.head()
    for path in rigfiles.lost(repo, repo.commit(head).tree) if head else ():
        for one, other in joined:
            had = repo.blob(repo.commit(one.encode()).tree, path)
            if had is not None and repo.find(repo.commit(other.encode()).tree, path) is None:
                change.write(path, had)
                _tell(change, path, Settled("rig", "rig.yaml", "its removal"))
                break


def _is_old(root: str, name: str) -> bool:
    """True for a note that has not come true for so long that the merge was given up, not just under way."""
    try:
        age = time.time() - os.stat(os.path.join(_folder(root), name)).st_mtime
    except FileNotFoundError:
        return False
    return age > (_GIVEN_UP if name.startswith(_LOST) else _UNSAID)


def _came_true(town: Town, note: dict[str, Any]) -> bool:
    """False for what a merge, rebase or pick noted that was given up, or is still under way."""
    _, head = town.repo.head()
    holds, left = str(note.get("holds") or ""), str(note.get("left") or "")
    if holds and git.run(["merge-base", "--is-ancestor", holds, "HEAD"], cwd=town.root, check=False).code:
        return False
    stash = str(note.get("stash") or "")
    return left != (head or b"").decode() or (bool(stash) and stash not in _stashed(town))


def _stashed(town: Town) -> list[str]:
    """What `git stash` keeps."""
    return git.run(["stash", "list", "--format=%H"], cwd=town.root).text.split()


@dataclass(frozen=True)
class _Came:
    """Mailboxes that got files, ids of beads that were added, paths of beads that may lie in the files twice now.

    `joined`: the commits that plain git brought together, in pairs, both ways round. `rebased`: where the branch was
    before a rebase that ends right now, and what it was put on.
    """

    boxes: set[str]
    ids: set[str]
    beads: list[str]
    joined: list[tuple[str, str]]
    rebased: tuple[str, ...] = ()


def _came(town: Town, mark: object) -> _Came:
    """What commits brought since `mark`; all there is, if it is unknown."""
    repo = town.repo
    _, head = repo.head()
    assert head is not None
    try:
        old = repo.commit(str(mark).encode()).tree if mark else None
    except (KeyError, ValueError):
        old = None
    rebased = tuple(filter(None, (_rebased(town, name) for name in ("orig-head", "onto"))))
    joined = _joined(town, str(mark), rebased) if old is not None else []
    came = _Came(set(), set(), [], joined, rebased if len(rebased) == 2 else ())
    for path, (before, now) in treediff.changes(repo, old, repo.commit(head).tree).items():
        bead, spot = layout.bead_of_path(path), places.parse(path)
        if now is not None and spot is not None:
            box = spot[0].removeprefix(layout.MAIL + "/")
            came.boxes.update(() if "/." in box else (box,))
        if now is not None and bead:
            if old is not None and (came.joined or moves.speaks_of_one(repo.get(now[1]).as_raw_string())):
                came.beads.append(path)
            came.ids.update((bead,) if before is None else ())
    if old is None:
        came.beads.extend(_renumbered(town))
    return came


def _joined(town: Town, mark: str, rebased: tuple[str, ...]) -> list[tuple[str, str]]:
    """What merges and rebases of a person's own git joined since `mark`. In a sync's merges all of it is done."""
    listed = git.run(["log", "--merges", "--format=%P%x00%s", f"{mark}..HEAD"], cwd=town.root, check=False)
    pairs = [line.partition("\0")[0].split() for line in listed.text.splitlines() if "\0sync: merge " not in line]
    pairs.append([*rebased])
    return [pair for one in pairs if len(one) == 2 for pair in ((one[0], one[1]), (one[1], one[0]))]


def _rebased(town: Town, name: str) -> str:
    """What a rebase that ends right now wrote down; "" if there is none."""
    said = files.read_or_none(os.path.join(town.repo.git_dir, "rebase-merge", name))
    return (said or b"").decode().strip()


def _renumbered(town: Town) -> list[str]:
    """Every bead that tells of a renumbering: git reads a whole town faster than we do."""
    found = git.run(["grep", "-lz", "--fixed-strings", "-e", RENUMBERED, "HEAD", "--"], cwd=town.root, check=False)
    return [path for line in found.fields() if layout.bead_of_path(path := line.partition(":")[2])]


def _tell(change: Change, path: str, one: Settled) -> None:
    """The feed event of one conflict that was decided, with both values."""
    bead = layout.bead_of_path(path)
    if one.key == "id" and bead is None:
        bead, path = one.kept, ""
        text = f"two beads were made as {one.lost}; the later one is now {one.kept}"
    elif one.key == "place":
        text = f"{bead} lay in two files; it is at {one.kept}, and {one.lost} is gone"
    elif one.key == "rig":
        text = f"rig {layout.rig_of_path(path)} was removed in one place and worked on in another; it is kept"
    elif one.key == "message":
        text = f"a message was edited in two places: {one.kept} has one version, {one.lost} the other"
    else:
        text = f"{bead or path}{': ' + one.key if one.key else ''} was changed in two places; both are kept"
    where = {"path": path} if path else {}
    change.emit(
        "sync_conflict_resolved", text, bead=bead, rig=layout.rig_of_path(path), key=one.key,
        kept=one.kept[:2000], lost=one.lost[:2000], **where,
    )  # fmt: skip
