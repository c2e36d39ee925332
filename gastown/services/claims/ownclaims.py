"""What this clone itself has claimed: known by the claim's nonce, never by a name; a copied disk has the same names.

It is kept in the clone's git folder, which `git clean` leaves alone: without it a machine would take its own claims
for somebody else's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from gastown.services.claims import turns
from gastown.services.claims.claimrefs import Claim
from gastown.store import layout, runstate
from gastown.store.town import Town

_REMEMBERED = 16


def is_ours(town: Town, one: Claim) -> bool:
    """True if this very clone made that claim."""
    note = _read(town, one.bead)
    return one.nonce in _nonces(note) or note.get("won") == one.nonce


def is_won(town: Town, one: Claim) -> bool:
    """True if this clone made that claim and saw that it was the only one: whoever comes in the other form yields."""
    return is_ours(town, one) and _read(town, one.bead).get("won") == one.nonce


def note_made(town: Town, bead_id: str, nonce: str, *, over: Claim | None = None) -> None:
    """Remember a claim as ours; before it is pushed, so that a push whose answer was lost is known again.

    Of many that came to nothing the latest are kept, and always the one that was won, and `over`, which it replaces:
    it stands until the remote takes the new one.
    """
    with turns.alone(town, bead_id):
        note = _read(town, bead_id)
        standing = (note.get("won"), over.nonce if over else None)
        before = _nonces(note)
        kept = [one for one in before if one in standing or one in before[1 - _REMEMBERED :]]
        runstate.write_json(_path(town, bead_id), {**note, "nonces": [*kept, nonce]})


def note_won(town: Town, one: Claim) -> None:
    """Remember that a claim of ours was seen to be the only one."""
    with turns.alone(town, one.bead):
        note = _read(town, one.bead)
        if note.get("won") != one.nonce:
            runstate.write_json(_path(town, one.bead), {**note, "won": one.nonce})


def is_lost(town: Town, bead_id: str) -> bool:
    """True if nothing is known here of what this clone claimed of a bead: it never did, or the note was damaged."""
    return not _nonces(_read(town, bead_id))


def forget(town: Town, bead_id: str) -> None:
    """Nothing of ours stands on that bead any more."""
    for path in (_path(town, bead_id), _before(town, bead_id)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def forget_all(town: Town, *, but: Iterable[str] = ()) -> None:
    """What another clone of this name has claimed is not ours; `but` are the beads whose claims are."""
    kept = {f"{one}.json" for one in but}
    for folder in (os.path.dirname(_path(town, "x")), os.path.dirname(_before(town, "x"))):
        for name in set(os.listdir(folder)) - kept if os.path.isdir(folder) else ():
            os.unlink(os.path.join(folder, name))


def _read(town: Town, bead_id: str) -> dict[str, object]:
    for path in (_path(town, bead_id), _before(town, bead_id)):
        note = runstate.read_json(path)
        if isinstance(note, dict):
            return note
    return {}


def _nonces(note: dict[str, object]) -> list[object]:
    found = note.get("nonces")
    return found if isinstance(found, list) else []


def _path(town: Town, bead_id: str) -> str:
    return os.path.join(town.repo.git_dir, "gt", "claims", f"{bead_id}.json")


def _before(town: Town, bead_id: str) -> str:
    """Where it was kept by older versions."""
    return layout.run(town.root, "claims", f"{bead_id}.json")
