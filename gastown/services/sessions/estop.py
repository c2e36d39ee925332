"""The emergency stop: freezes every agent of this machine, and nothing new starts until it is thawed.

A frozen process keeps all it has. Only processes that are proven to be an agent's are signalled.
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass

from gastown.model import times
from gastown.model.text import counted
from gastown.runtime.processes import Proc, descendants, signal_group
from gastown.services.sessions import attempts, holds
from gastown.store import runstate
from gastown.store.town import Town


@dataclass(frozen=True)
class Frozen:
    """What was stopped or continued: the sessions by address, and the sessions of which nothing is known."""

    sessions: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    unchanged: bool = False


def estop(town: Town, why: str = "") -> Frozen:
    """Stop every agent of this machine (SIGSTOP to its processes) and forbid new ones. Again: what appeared since."""
    town.require_own()
    before = holds.estop_marker(town.root)
    note = before or {"at": times.text(town.clock()), "by": town.actor, "reason": why, "procs": []}
    # The marker first: what starts while we look must find it.
    runstate.write_json(holds.estop_path(town.root), note)
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
    runstate.write_json(holds.estop_path(town.root), {**note, "procs": sorted(procs)})
    text = f"stopped {counted(len(stopped), 'agent')} on {town.machine}" + (f": {why}" if why else "")
    with town.change("estop") as change:
        change.emit("estop", text, sessions=stopped, machine=town.machine)
    return Frozen(tuple(stopped), tuple(str(one) for one in unknown), before is not None)


def thaw(town: Town) -> Frozen:
    """Let everything that was stopped go on, and new sessions start. Not stopped: nothing changes."""
    note = holds.estop_marker(town.root)
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
        os.unlink(holds.estop_path(town.root))
    with town.change("thaw") as change:
        text = f"{counted(len(going), 'agent')} may go on on {town.machine}"
        change.emit("thaw", text, sessions=going, machine=town.machine)
    return Frozen(tuple(going), tuple(str(one) for one in unknown))
