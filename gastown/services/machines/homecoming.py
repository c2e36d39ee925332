"""A folder that has lost all that said which machine it is: which it may have been, and being that one again."""

from __future__ import annotations

import platform

from gastown.model.errors import Refused
from gastown.services.claims import claims, ownclaims
from gastown.services.machines import machine
from gastown.services.sessions import attempts
from gastown.store import identity
from gastown.store.identity import Identity
from gastown.store.town import Town


def candidates(town: Town) -> list[str]:
    """The machines of the town that this folder may have been: those that take part and run on such a computer."""
    here = f"{platform.system()} {platform.machine()}"
    return [
        one.name for one in machine.machines(town, "")[0]
        if one.state == "active" and one.doc.get("platform") in (None, here)
    ]  # fmt: skip


def said(names: list[str]) -> tuple[str, str]:
    """What is told of a folder without a name, and what to do: be one of `names` again, or a new one."""
    if not names:
        return "this machine has no name here", "gt doctor --fix"
    others = ", ".join(names)
    return (
        f"this machine has no name here (.gt was removed?); the town knows {others}",
        f"if it was {names[0]}: gt machine join {names[0]} lets it be that one, with its work. Else gt doctor "
        "--fix makes it a new one; gt machine retire NAME frees the work of one that is no more",
    )


def return_as(town: Town, name: str) -> None:
    """Be machine `name` of the town again: its work is ours, and its sessions are as after a crash.

    Raises Refused where this folder is a machine already, NotFound for one that the town does not know. Where that
    machine still runs in another folder, the two are told apart as copies are: the other one asks at its next command.
    """
    one = identity.read(town.root)
    if one is not None:
        raise Refused(f"this folder is machine {one.name} already", "gt machine rename NEW gives it another name")
    doc = machine.machine(town, name, "").doc
    attempts.note_lost(town)
    identity.write(town.root, identity.placed(town.root, Identity(name, str(doc.get("id") or ""))))
    machine.rejoin(town, here=True)
    for claim in claims.everyone(town) if claims.needed(town) else ():
        if claim.machine == name:
            ownclaims.note_made(town, claim.bead, claim.nonce)
