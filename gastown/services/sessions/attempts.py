"""What this machine can prove of the session behind a held bead: it runs, it starts, it is over, or nobody knows.

Unknown is never dead: whoever acts on death asks `is_over`, which looks twice.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import Literal

from gastown.model.bead import Bead
from gastown.model.errors import GtError, NotFound
from gastown.runtime import sessions
from gastown.runtime.processes import Proc, alive, current, naming
from gastown.runtime.sessions import SessionRecord
from gastown.store import layout, runstate
from gastown.store.town import Town

# running, starting: alive. exited, dead: over. interrupted: its start was killed before there was a session.
# ended: recorded as over on the bead. none: no agent ever sat down to it. elsewhere: another machine's.
State = Literal["running", "starting", "exited", "dead", "interrupted", "ended", "none", "elsewhere", "unknown"]
LIVE = ("running", "starting")
OVER = ("exited", "dead", "interrupted", "ended", "none")
_BETWEEN_LOOKS = 0.05
_LOST = "sessions-lost.json"


@dataclass(frozen=True)
class Life:
    """How the session behind a bead stands; `record` where this machine has one, `why` where it is unknown."""

    state: State
    session: str = ""
    record: SessionRecord | None = None
    why: str = ""

    @property
    def live(self) -> bool:
        """True while something of it runs."""
        return self.state in LIVE


def run_dir(town: Town) -> str:
    """Where this machine's sessions are recorded."""
    return layout.run(town.root)


def socket(town: Town) -> str:
    """The tmux socket that is the town's own: `gt-<town>-<hash of its root>`."""
    import hashlib

    digest = hashlib.sha256(os.fsencode(os.path.realpath(town.root))).hexdigest()[:8]
    return f"gt-{town.name}-{digest}"


def look(town: Town, bead: Bead) -> Life:
    """How the session of a held bead stands right now."""
    session = bead.last_session
    if session is None:
        return Life("none")
    sid = str(session.get("id", ""))
    if session.get("ended"):
        return Life("ended", sid)
    machine = session.get("machine") or bead.machine
    if machine and machine != town.machine:
        return Life("elsewhere", sid, why=f"it runs on machine {machine}")
    return look_at(town, sid)


def look_at(town: Town, sid: str) -> Life:
    """How session `sid` of this machine stands right now."""
    try:
        record = sessions.load(run_dir(town), sid)
        state: State = sessions.liveness(record)
        if state == "dead" and sessions.orphan(record) is not None:
            return Life("running", sid, record, "its runner is gone, the agent lives on")
        return Life(state, sid, record)
    except NotFound:
        state = _before_its_record(town, sid)
        if state == "unknown" and os.path.exists(os.path.join(sessions.folder_of(run_dir(town), sid), "session.json")):
            return look_at(town, sid)  # it got its record while we looked for the note
        return Life(state, sid, why=_why_without_record(town, sid, state))
    except GtError as error:
        return Life("unknown", sid, why=error.message)


def give_up_start(town: Town, bead: Bead) -> Life:
    """As `look`; a start whose process is gone is not waited for: no runner will begin it any more."""
    life = look(town, bead)
    record = life.record
    if life.state != "starting" or record is None or record.runner is not None:
        return life
    if alive(Proc(record.starter_pid, record.starter_start)):
        return life
    sessions.abandon(record)
    return look(town, bead)


def is_over(town: Town, bead: Bead) -> bool:
    """True only if the session of a held bead is provably over, in two looks. Unknown and elsewhere are not over."""
    first = look(town, bead)
    if first.state in ("ended", "none", "exited"):
        return True
    if first.state not in OVER:
        return False
    time.sleep(_BETWEEN_LOOKS)
    return look(town, bead).state in OVER


# -- starts that are under way --------------------------------------------------------------------
def _note(town: Town, sid: str) -> str:
    return layout.run(town.root, "starting", f"{sid}.json")


def begin_start(town: Town, sid: str) -> None:
    """Write down, before the bead names the session, which process is about to start it."""
    me = current()
    runstate.write_json(_note(town, sid), {"pid": me.pid, "start": me.start}, durable=False)


def end_start(town: Town, sid: str) -> None:
    """The session has a record of its own now, or will never have one."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_note(town, sid))


def _before_its_record(town: Town, sid: str) -> State:
    note = runstate.read_json(_note(town, sid))
    if not isinstance(note, dict):
        return "dead" if _is_lost(town) and naming(sid) == [] else "unknown"
    return "starting" if alive(Proc(int(note["pid"]), str(note["start"]))) else "interrupted"


# -- records that were lost ------------------------------------------------------------------------
def note_lost(town: Town) -> None:
    """The records of this machine's sessions are gone (`.gt` was cleaned away), and it is the machine still.

    A session without a record is then what a crash would have left, as far as no process of it is found.
    """
    runstate.write_json(layout.run(town.root, _LOST), {"at": town.clock()})


def _is_lost(town: Town) -> bool:
    return isinstance(runstate.read_json(layout.run(town.root, _LOST)), dict)


def _why_without_record(town: Town, sid: str, state: State) -> str:
    if not _is_lost(town):
        return "this machine has no record of it"
    if state == "dead":
        return "left no record, since .gt was removed, and no process"
    pids = ", ".join(map(str, naming(sid) or ()))
    return "its record went when .gt was removed" + (f", and its processes live: {pids}" if pids else "")


# -- all of them ----------------------------------------------------------------------------------
def live_sessions(town: Town) -> tuple[dict[str, SessionRecord], list[GtError]]:
    """The live sessions of this machine by address (the newest of each), and those of which nothing can be known."""
    records, problems = live_records(town)
    return {record.address: record for record in records}, problems


def live_records(town: Town) -> tuple[list[SessionRecord], list[GtError]]:
    """The live sessions of this machine, oldest first, and those of which nothing can be known."""
    home = os.path.join(run_dir(town), "sessions")
    found: list[SessionRecord] = []
    problems: list[GtError] = []
    for sid in sorted(os.listdir(home)) if os.path.isdir(home) else ():
        # Most sessions ever held are over, and one name tells it.
        if os.path.exists(os.path.join(home, sid, "exit.json")):
            continue
        try:
            record = sessions.load(run_dir(town), sid)
            if sessions.liveness(record) in LIVE or sessions.orphan(record) is not None:
                found.append(record)
        except NotFound:
            continue  # a start that was killed before it wrote anything
        except GtError as error:
            problems.append(error)
    return sorted(found, key=lambda record: record.started), problems


def stop(town: Town, sid: str, *, grace: float = 5.0) -> bool:
    """End a session of this machine; True if all of it is gone. Raises NotFound."""
    return sessions.stop(sessions.load(run_dir(town), sid), grace)
