"""Work that a file alone gives to somebody: why it cannot start there, and what that hangs on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from gastown.model import address, times
from gastown.model.errors import GtError, NotFound, UsageError
from gastown.model.rig import Rig
from gastown.model.row import Row
from gastown.model.text import nearest
from gastown.store import files, identity, layout
from gastown.store.town import Town

# How far back a try that failed is looked for.
_REACH = 86_400.0
_TRIED = "tried:"


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


def refusals(town: Town) -> dict[str, str]:
    """What the tries of the last day that failed said, as the feed has it, by `tried_key`."""
    found = {}
    for event in town.events(times.text(town.clock() - _REACH)):
        data = event.get("data")
        key = str(data.get("key", "")) if isinstance(data, dict) else ""
        if isinstance(data, dict) and key.startswith(_TRIED):
            found[key] = str(data.get("why") or event.get("text", ""))
    return found


def stop(town: Town, row: Row, to: str, refused: Callable[[], Mapping[str, str]]) -> tuple[str, str] | None:
    """What keeps work from starting for a worker it can be given to, and the command that deals with it.

    What can be told beforehand is told as it is now; else what the last try said, if all it hangs on is as it was then.
    `refused`: gives the `refusals`.
    """
    try:
        rig = town.rig(str(address.rig_of(address.parse(to))))
        found = _unready(town, rig, row, to)
        why = "" if found else refused().get(tried_key(town, row, to), "")
        return found or ((why, f"gt sling {row.id}") if why else None)
    except GtError as error:
        return error.message, f"gt sling {row.id}"


def _unready(town: Town, rig: Rig, row: Row, to: str) -> tuple[str, str] | None:
    from gastown.services.agents import launch, worksite
    from gastown.services.settings import trust

    bead = town.bead(row.id)
    try:
        name = launch.agent_name(town, rig, bead, launch.worker_doc(town, rig.name, to), None)
    except UsageError as error:
        return error.message, "gt config set agent NAME"
    try:
        launch.check_command(town, launch.choose(town, name, None), bead.id, bead.command)
        worksite.check_setup(town, rig)
    except trust.Untrusted as error:
        return error.message, f"gt trust show {error.number}"
    return None


def tried_key(town: Town, row: Row, to: str) -> str:
    """Under which a try that failed is remembered: another once anything changed that it hangs on.

    That is what the work asks for, the settings of the town and the rig, the agents, and what is trusted here.
    """
    who = address.parse(to)
    rig = str(address.rig_of(who))
    worker = layout.worker_file(rig, "polecats", address.name_of(who))
    agents = (f"agents/{name}" for name in sorted(town.names("agents")) if name.endswith(".yaml"))
    digest = hashlib.sha256(repr((row.agent, row.machine, row.target, _agent_of(town, worker))).encode())
    for path in (layout.TOWN_FILE, layout.rig_file(rig), f"{layout.LOCAL}/trust.yaml", *agents):
        data = files.read_or_none(layout.absolute(town.root, path)) or b""
        digest.update(f"\0{path}\0{len(data)}\0".encode("utf-8", "surrogateescape") + data)
    return f"{_TRIED}{row.id}:{to}:{digest.hexdigest()[:12]}"


def _agent_of(town: Town, worker: str) -> str:
    # Not the whole file: that a try makes or changes it is no reason to try again.
    try:
        return str(town.load(worker).get("agent", "")) if town.exists(worker) else ""
    except GtError as error:
        return error.message
