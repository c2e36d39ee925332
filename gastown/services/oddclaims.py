"""What stands among the claims at the remote and is none: named until it is gone, and never taken for a free bead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gastown.model.ids import is_id, is_name
from gastown.services import claims, wire
from gastown.services.claims import Unreadable
from gastown.store import layout, runstate

if TYPE_CHECKING:
    from gastown.store.town import Town

_REFINERY = "refinery."


def look(town: Town) -> list[Unreadable]:
    """Every ref below those of claims, as last fetched, that cannot be read as one; kept for `noted`."""
    found = [one for line in claims.mirrored(town) if (one := _odd(town, *line.split(" ", 1)))]
    if found or noted(town.root):
        note = [[one.ref, one.why, one.remote] for one in found]
        runstate.write_json(_note(town.root), note, durable=False)
    return found


def noted(root: str) -> list[Unreadable]:
    """What `look` found last: one small file is read."""
    note = runstate.read_json(_note(root))
    return [Unreadable(*map(str, one)) for one in note if len(one) == 3] if isinstance(note, list) else []


def _note(root: str) -> str:
    return layout.run(root, "claims-unreadable.json")


def _odd(town: Town, sha: str, mirror: str) -> Unreadable | None:
    remote = wire.remote_of(town.repo) or "origin"
    ref = mirror.replace(f"refs/remotes/{remote}/", "refs/heads/", 1)
    name = ref.removeprefix(wire.CLAIMS).removeprefix(claims.BRANCHES)
    if not is_id(name) and not (name.startswith(_REFINERY) and is_name(name.removeprefix(_REFINERY))):
        return Unreadable(ref, "no bead has such an id", remote)
    try:
        claims.parse(town.repo, sha, ref)
    except Unreadable as error:
        return error
    return None
