"""Work that a file alone gives to somebody: why it cannot start there."""

from __future__ import annotations

from gastown.model import address
from gastown.model.errors import GtError, NotFound
from gastown.model.row import Row
from gastown.model.text import nearest
from gastown.store import identity, layout
from gastown.store.town import Town


def why_not(town: Town, row: Row, to: str) -> str | None:
    """Why `to` cannot be given work by a file alone; "" if it can; None for who needs no start."""
    try:
        who = address.parse(to)
    except GtError:
        return f"{to!r} is nobody's address"
    rig_name = address.rig_of(who)
    if rig_name is None:
        return None
    if not address.is_worker(who):
        return f"{who} is a service of its rig and takes no work"
    try:
        rig = town.rig(rig_name)
    except NotFound as error:
        return error.message + (f" ({error.hint})" if error.hint else "")
    except GtError as error:
        return error.message
    if rig.parked:
        return f"rig {rig.name} is parked (gt rig unpark {rig.name})"
    if row.machine and row.machine != town.machine:
        return _elsewhere(town, row.machine)
    docs, _ = town.workers(rig.name)
    known = {str(doc["name"]): str(doc["kind"]) for doc in docs}
    name = address.name_of(who)
    if known.get(name) == "crew":
        return None
    if name not in known and name not in rig.names:
        near = nearest(name, [*known, *rig.names])
        return f"nobody known is called {who}" + (f" (did you mean {rig.name}/{near[0]}?)" if near else "")
    return ""


def _elsewhere(town: Town, machine: str) -> str:
    if identity.told(town.root, machine).get("retired"):
        return f"it is for machine {machine}, which was retired"
    if town.exists(layout.machine_file(machine)):
        return f"it is for machine {machine}, whose deacon starts it when the town reaches it"
    return f"there is no machine {machine}"
