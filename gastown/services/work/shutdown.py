"""Ending all that runs for a town on this machine: trees are saved; what is not provably ours is named, not touched."""

from __future__ import annotations

import os
from dataclasses import dataclass

from gastown.model.address import name_of, rig_of
from gastown.model.errors import GtError, InvalidFile, NotFound, Refused
from gastown.runtime import marked, sessions, tmux
from gastown.runtime.processes import terminate, wait_gone
from gastown.runtime.sessions import SessionRecord
from gastown.services.agents import worksite
from gastown.services.sessions import attempts, powers
from gastown.store import layout
from gastown.store.change import Change
from gastown.store.town import Town

# The outcome of a session that `gt down` ended: its work goes on when the deacon is back.
DOWN = "down"
_LAST_WORDS = 15.0
_GRACE = 5.0


@dataclass(frozen=True)
class Down:
    """What was ended (addresses), what was saved, and what could not be ended or proven to be ours, in words.

    `unnoted`: of which sessions no bead says that they were ended, and why.
    """

    deacon: int | None = None
    stopped: tuple[str, ...] = ()
    saved: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    unnoted: tuple[str, ...] = ()


def down(town: Town, *, grace: float = 5.0) -> Down:
    """End the deacon and every session of this town on this machine. Nothing of ours is left; held work stays held."""
    town.require_own()
    ended = powers.stop(town.root)
    live, unknown = attempts.live_sessions(town)
    unnoted = _note(town, list(live.values())) if live else []
    left = [str(one) for one in unknown]
    stopped, saved = [], []
    for address, record in sorted(live.items()):
        if sessions.stop(record, grace):
            stopped.append(address)
        else:
            left.append(f"session {record.id} of {address} does not end (process {record.agent_pid})")
        # Its runner notes the end in the town; that is the last of it.
        if record.runner is not None and not wait_gone(record.runner, _LAST_WORDS):
            left.append(f"the runner of session {record.id} is still at work (process {record.runner.pid})")
    for address in stopped:
        try:
            what = _save(town, address)
        except GtError as error:
            left.append(f"what is uncommitted in the worktree of {address} could not be saved: {error.message}")
            continue
        if what:
            saved.append(f"{address}: {what}")
    left += _end_terminals(town) + _end_left_running(town) + strays(town.root)
    return Down(ended.proc.pid if ended else None, tuple(stopped), tuple(saved), tuple(left), tuple(unnoted))


def _note(town: Town, records: list[SessionRecord]) -> list[str]:
    """Say on their beads that they are about to be ended; what could not be said, in words. It keeps none alive."""
    try:
        return town.transact("session_end", lambda change: _mark(change, records))
    except GtError as error:
        return [f"no bead says that its session was ended: {error.message}"]


def _mark(change: Change, records: list[SessionRecord]) -> list[str]:
    """Said before they are ended, so that their end is not taken for a death."""
    seen: set[str] = set()
    unsaid = []
    for record in records:
        if not record.bead or change.town.bead_path(record.bead) is None or record.bead in seen:
            continue
        seen.add(record.bead)
        try:
            bead = change.bead(record.bead)
        except (InvalidFile, NotFound, Refused) as error:
            unsaid.append(f"{record.bead} does not say that session {record.id} was ended: {error.message}")
            continue
        if any(one.get("id") == record.id and not one.get("ended") for one in bead.sessions):
            bead.update_session(record.id, ended=change.at, outcome=DOWN)
            change.save(bead)
    names = ", ".join(sorted(record.address for record in records))
    change.emit("session_end", f"gt down ended {len(records)} sessions: {names}", outcome=DOWN)
    return unsaid


def _save(town: Town, address: str) -> str:
    rig = rig_of(address)
    return worksite.save(town, rig, name_of(address)) if rig else ""


def _end_terminals(town: Town) -> list[str]:
    """End the town's own tmux server; a session in it that is not ours stays, and keeps the server."""
    if not tmux.available():
        return []
    server = tmux.Server(attempts.socket(town))
    ours: list[str] = []
    foreign: list[str] = []
    for name in server.list_sessions():
        (ours if _is_session(town, name) else foreign).append(name)
    for name in ours:
        server.kill_session(name)
    if not foreign:
        server.kill_server()
    return [f"tmux session {name} on socket {server.name} was not started by gt" for name in foreign]


def _is_session(town: Town, name: str) -> bool:
    return os.path.isdir(layout.run(town.root, "sessions", name)) and name.startswith("s-")


def _end_left_running(town: Town) -> list[str]:
    """End what gates and setup commands left running outside of their groups; what does not end, in words."""
    return [
        f"process {one.proc.pid}, which a command of rig {one.rig} started, does not end: {one.words}"
        for one in marked.left(town.root)
        if not terminate(one.proc, _GRACE)
    ]


def strays(root: str) -> list[str]:
    """Processes that say by their environment that they belong to this town, and that no record of ours names.

    They are named and never signalled. Where the system does not show environments (macOS) none are found.
    """
    wanted = f"GT_TOWN={root}".encode()
    mine = _ancestors()
    found = []
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()) if os.path.isdir("/proc") else ():
        if pid in mine:
            continue
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if wanted not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
        found.append(f"process {pid} says it belongs to this town, which cannot be proven: {words[:80]}")
    return found


def _ancestors() -> set[int]:
    """This process and those above it: `gt down` may be typed in an agent's terminal."""
    found, pid = set(), os.getpid()
    while pid > 1 and pid not in found:
        found.add(pid)
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError):
            break
    return found
