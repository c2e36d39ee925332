"""What stands among the claims at the remote and is none: named until it is gone, and never taken for a free bead."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from gastown.model.errors import GtError
from gastown.model.ids import is_id, is_name
from gastown.store import layout, runstate

if TYPE_CHECKING:
    from gastown.store.town import Town

_REFINERY = "refinery."


class Unreadable(GtError):
    """What stands at a claim's ref is no claim: nobody knows who has the bead, so it counts as somebody's."""

    code = "claim_unreadable"

    def __init__(self, ref: str, why: str, remote: str) -> None:
        command = f"git push {remote} {shlex.quote(f':{ref}')}"
        super().__init__(
            f"the claim {ref} at {remote} cannot be read ({why}), and nobody can take what it stands for",
            f"if no machine works on it, remove it: {command}",
        )
        self.command = command
        self.ref, self.why, self.remote = ref, why, remote


def look(town: Town) -> list[Unreadable]:
    """Every ref below those of claims, as last fetched, that cannot be read as one; kept for `noted`."""
    from gastown.services import claims

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
    from gastown.services import claims, wire

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
