"""The emergency stop: freezes every agent of this machine, and nothing new starts until it is thawed.

A frozen process keeps all it has. Only processes that are proven to be an agent's are signalled.
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from typing import Any

from gastown.model import times
from gastown.model.errors import Refused
from gastown.runtime.processes import Proc, descendants, signal_group
from gastown.services import attempts
from gastown.store import layout, runstate
from gastown.store.town import Town


@dataclass(frozen=True)
class Frozen:
    """What was stopped or continued: the sessions by address, and the sessions of which nothing is known."""

    sessions: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    unchanged: bool = False


def _marker(root: str) -> str:
    return layout.run(root, "estop.json")


def marker(root: str) -> dict[str, Any] | None:
    """Who stopped this machine's agents, when and why; None if they are not stopped."""
    path = _marker(root)
    note = runstate.read_json(path)
    if isinstance(note, dict):
        return note
    # A marker that cannot be read still says stop.
    return {"reason": "the marker cannot be read"} if os.path.exists(path) else None


def reason(root: str) -> str:
    """Why nothing may start, in one phrase; "" if it may."""
    note = marker(root)
    if note is None:
        return ""
    why = f": {note['reason']}" if note.get("reason") else ""
    return f"stopped by {note.get('by', 'somebody')} with gt estop{why}"


def require(town: Town) -> None:
    """Raise Refused while this machine is stopped: asked before every start of a session."""
    why = reason(town.root)
    if why:
        raise Refused(f"nothing starts on this machine: {why}", "gt thaw")


def estop(town: Town, why: str = "") -> Frozen:
    """Stop every agent of this machine (SIGSTOP to its processes) and forbid new ones. Again: what appeared since."""
    town.require_own()
    before = marker(town.root)
    note = before or {"at": times.text(town.clock()), "by": town.actor, "reason": why, "procs": []}
    # The marker first: what starts while we look must find it.
    runstate.write_json(_marker(town.root), note)
    live, unknown = attempts.live_sessions(town)
    stopped, procs = [], {(p, s) for p, s in map(tuple, note.get("procs") or ())}
    for address, record in sorted(live.items()):
        agent = record.agent_proc
        if agent is None:
            continue
        family = [agent, *descendants(agent)]
        if signal_group(agent, signal.SIGSTOP):
            stopped.append(address)
        for one in family[1:]:
            signal_group(one, signal.SIGSTOP)
        procs |= {(one.pid, one.start) for one in family}
    runstate.write_json(_marker(town.root), {**note, "procs": sorted(procs)})
    text = f"stopped {len(stopped)} agents on {town.machine}" + (f": {why}" if why else "")
    with town.change("estop") as change:
        change.emit("estop", text, sessions=stopped, machine=town.machine)
    return Frozen(tuple(stopped), tuple(str(one) for one in unknown), before is not None)


def thaw(town: Town) -> Frozen:
    """Let everything that was stopped go on, and new sessions start. Not stopped: nothing changes."""
    note = marker(town.root)
    if note is None:
        return Frozen(unchanged=True)
    town.require_own()
    live, unknown = attempts.live_sessions(town)
    family = {Proc(int(pid), str(start)) for pid, start in note.get("procs") or ()}
    going = []
    for address, record in sorted(live.items()):
        agent = record.agent_proc
        if agent is not None:
            family |= {agent, *descendants(agent)}
            going.append(address)
    for one in family:
        signal_group(one, signal.SIGCONT)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_marker(town.root))
    with town.change("thaw") as change:
        change.emit("thaw", f"{len(going)} agents go on on {town.machine}", sessions=going, machine=town.machine)
    return Frozen(tuple(going), tuple(str(one) for one in unknown))
