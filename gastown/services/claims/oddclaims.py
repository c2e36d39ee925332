"""What stands among the claims at the remote and is none: named until it is gone, and never taken for a free bead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gastown.model.ids import is_id, is_name
from gastown.services.claims import claimrefs
from gastown.services.claims.badclaims import Unreadable, note
from gastown.services.remote import wire

if TYPE_CHECKING:
    from gastown.store.town import Town

_REFINERY = "refinery."


def look(town: Town) -> list[Unreadable]:
    """Every ref below those of claims, as last fetched, that cannot be read as one; kept for `badclaims.noted`."""
    found = [one for sha, ref in claimrefs.mirrored(town) if (one := _odd(town, sha, ref))]
    note(town.root, found)
    return found


def _odd(town: Town, sha: str, ref: str) -> Unreadable | None:
    remote = town.repo.remote() or "origin"
    name = ref.removeprefix(wire.CLAIMS).removeprefix(claimrefs.BRANCHES)
    if not is_id(name) and not (name.startswith(_REFINERY) and is_name(name.removeprefix(_REFINERY))):
        return Unreadable(ref, "no bead has such an id", remote)
    try:
        claimrefs.parse(town.repo, sha, ref)
    except Unreadable as error:
        return error
    return None
