"""Session records of this machine: one folder a session under `.gt/run/sessions/`, one writer a file.

session.json is the starter's (and whoever notes an outcome), runner.json, agent.json and exit.json are the
runner's. Liveness follows from proofs alone: pids with start times, and the runner's exit record.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from gastown.model.errors import GtError, InvalidFile, NotFound
from gastown.model.ids import ALPHABET
from gastown.runtime.processes import Proc, alive, descendants, terminate, wait_gone
from gastown.runtime.runner import AGENT, EXIT, LOG, RUNNER, SESSION
from gastown.runtime.tmux import Server
from gastown.store import files, identity
from gastown.store.layout import LOCAL

Runtime = Literal["tmux", "process"]
Liveness = Literal["running", "starting", "exited", "dead"]
PromptMode = Literal["arg", "stdin", "paste", "none"]
# How long a starter that is gone may have left a runner that has not yet said who it is.
_LATE = 30.0
_TAIL = 256 << 10
# Patterns as text: most who import this ask for none of them, and `re` keeps what it has compiled.
_ID = r"s-\d{8}-[0-9a-z]{4}"
# CSI, OSC (titles, links) and the two-character sequences of a terminal, then what else is not text.
_ESCAPES = r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_](?s:.*?)(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]"
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"


@dataclass(frozen=True)
class SessionSpec:
    """What a session is to be. `env` is the agent's whole environment; of it only town facts are kept on disk."""

    id: str
    address: str
    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    bead: str | None = None
    bead_path: str | None = None
    attempt: int = 0
    rig: str | None = None
    agent: str = ""
    branch: str | None = None
    prompt_mode: PromptMode = "none"
    prompt_file: str | None = None
    on_exit: Sequence[str] | None = None
    on_exit_env: Mapping[str, str] = field(default_factory=dict)
    resume: str | None = None
    size: tuple[int, int] = (200, 50)


@dataclass(frozen=True)
class SessionRecord:
    """A session as its files tell it now. Times are epoch seconds; `folder` is where the files lie."""

    id: str
    address: str
    runtime: Runtime
    argv: tuple[str, ...]
    cwd: str
    log: str
    started: float
    bead: str | None = None
    bead_path: str | None = None
    attempt: int = 0
    rig: str | None = None
    agent: str = ""
    branch: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    socket: str | None = None
    starter_pid: int = 0
    starter_start: str = ""
    prompt_mode: PromptMode = "none"
    prompt_file: str | None = None
    on_exit: tuple[str, ...] | None = None
    on_exit_env: Mapping[str, str] = field(default_factory=dict)
    outcome: str | None = None
    resume: str | None = None
    folder: str = ""
    runner_pid: int | None = None
    runner_start: str | None = None
    abandoned: bool = False
    agent_pid: int | None = None
    agent_start: str | None = None
    ended: float | None = None
    exit_code: int | None = None
    exit_signal: int | None = None
    error: str | None = None

    @property
    def runner(self) -> Proc | None:
        """The runner, once it said who it is."""
        return Proc(self.runner_pid, self.runner_start) if self.runner_pid and self.runner_start else None

    @property
    def agent_proc(self) -> Proc | None:
        """The agent's process, once it was started."""
        return Proc(self.agent_pid, self.agent_start) if self.agent_pid and self.agent_start else None


_FROM_RUNNER = frozenset(
    "folder runner_pid runner_start abandoned agent_pid agent_start ended exit_code exit_signal error".split()
)
_OWN = frozenset(one.name for one in fields(SessionRecord)) - _FROM_RUNNER
_UPDATABLE = frozenset(("outcome", "resume"))


def new_id(now: float, randbelow: Callable[[int], int]) -> str:
    """A session id such as s-20261123-0a1b (the UTC day, then four of 0-9a-z)."""
    tail = "".join(ALPHABET[randbelow(36)] for _ in range(4))
    return f"s-{time.strftime('%Y%m%d', time.gmtime(now))}-{tail}"


def folder_of(run: str, sid: str) -> str:
    """The session's folder in `run` (the town's .gt/run); raises NotFound for what is no session id."""
    if not re.fullmatch(_ID, sid):
        raise NotFound(f"{sid!r} is not a session id", "`gt session list` shows them")
    return os.path.join(run, "sessions", sid)


def load(run: str, sid: str) -> SessionRecord:
    """The session as it stands on disk. Raises NotFound, GtError if a file cannot be read or understood."""
    folder = folder_of(run, sid)
    own = _read(folder, SESSION)
    if own is None:
        raise NotFound(f"there is no session {sid} on this machine", "`gt session list` shows them")
    runner, agent, ended = _read(folder, RUNNER) or {}, _read(folder, AGENT) or {}, _read(folder, EXIT) or {}
    values: dict[str, Any] = {key: value for key, value in own.items() if key in _OWN}
    try:
        values["argv"] = tuple(values["argv"])
        values["log"] = os.path.join(folder, LOG)  # the town may have been moved since
        values["on_exit"] = tuple(values["on_exit"]) if values.get("on_exit") else None
        return SessionRecord(
            **values,
            folder=folder,
            runner_pid=runner.get("pid"),
            runner_start=runner.get("start"),
            abandoned=bool(runner.get("abandoned")),
            agent_pid=agent.get("pid"),
            agent_start=agent.get("start"),
            ended=ended.get("ended"),
            exit_code=ended.get("code"),
            exit_signal=ended.get("signal"),
            error=ended.get("error"),
        )
    except (KeyError, TypeError) as error:
        raise InvalidFile(os.path.join(folder, SESSION), f"is not a session record: {error}") from None


def _read(folder: str, name: str) -> dict[str, Any] | None:
    path = os.path.join(folder, name)
    try:
        data = files.read_or_none(path)
    except OSError as error:
        # Somebody else's, say. Whether it runs is unknown, and nobody may take it for over.
        raise GtError(f"cannot read session {os.path.basename(folder)}: {error}", f"ls -ld {path}") from None
    if data is None:
        return None
    try:
        value = json.loads(data)
    except ValueError as error:
        raise InvalidFile(path, f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidFile(path, "is not a JSON object")
    return value


def all_sessions(run: str) -> tuple[list[SessionRecord], list[GtError]]:
    """Every session of this machine, oldest first, and one error for each that cannot be read."""
    home = os.path.join(run, "sessions")
    records: list[SessionRecord] = []
    problems: list[GtError] = []
    try:
        names = sorted(os.listdir(home))
    except FileNotFoundError:
        return [], []
    for name in names:
        try:
            records.append(load(run, name))
        except NotFound as error:
            # An empty folder is a start that was killed before it wrote anything: nothing can run from it.
            if re.fullmatch(_ID, name) and not os.path.exists(os.path.join(home, name, RUNNER)):
                continue
            problems.append(error)
        except GtError as error:
            problems.append(error)
    return sorted(records, key=lambda record: (record.started, record.id)), problems


def update(record: SessionRecord, **values: str | None) -> SessionRecord:
    """Note `outcome` or `resume` on a session; safe beside other writers. Returns it as it stands now."""
    if not _UPDATABLE.issuperset(values):
        raise ValueError(f"only {sorted(_UPDATABLE)} change after the start")
    handle = os.open(os.path.join(record.folder, ".lock"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        own = _read(record.folder, SESSION) or {}
        write(record.folder, {**own, **values})
    finally:
        os.close(handle)
    return reload(record)


def write(folder: str, own: Mapping[str, Any]) -> None:
    """Write session.json atomically and durably."""
    files.write(os.path.join(folder, SESSION), json.dumps(own, indent=1).encode() + b"\n", mode=0o600)


def own_part(record: SessionRecord) -> dict[str, Any]:
    """What of a record belongs into session.json."""
    return {key: value for key, value in asdict(record).items() if key in _OWN}


def reload(record: SessionRecord) -> SessionRecord:
    """The same session, read again."""
    run = os.path.dirname(os.path.dirname(record.folder))
    return load(run, record.id)


def liveness(record: SessionRecord, *, now: float | None = None) -> Liveness:
    """How the session stands right now; its files are read again.

    "dead": the runner is provably gone and left no exit record (its agent may still live: see `orphan`).
    Callers look twice before they act on it. What cannot be known raises.
    """
    record = reload(record)
    if record.ended is not None:
        return "exited"
    if record.abandoned:
        return "dead"
    if record.runner is not None:
        if alive(record.runner):
            return "running" if record.agent_pid else "starting"
        # It may have written its last words between the two looks.
        return "exited" if reload(record).ended is not None else "dead"
    starter = Proc(record.starter_pid, record.starter_start)
    late = (time.time() if now is None else now) - record.started > _LATE
    if alive(starter) or not late:
        return "starting"
    return "dead" if abandon(record) else "starting"


def abandon(record: SessionRecord) -> bool:
    """Make sure that no runner will begin this session any more; False if one has begun."""
    data = json.dumps({"abandoned": True}).encode() + b"\n"
    path = os.path.join(record.folder, RUNNER)
    if files.link_exclusive(path, data, spare=f"{path}.{os.getpid()}"):
        return True
    return reload(record).abandoned


def orphan(record: SessionRecord) -> Proc | None:
    """The agent's process if it outlived its runner, else None."""
    record = reload(record)
    agent, runner = record.agent_proc, record.runner
    if agent is None or not alive(agent) or (runner is not None and alive(runner)):
        return None
    return agent


def stop(record: SessionRecord, grace: float = 5.0) -> bool:
    """End the agent, its group and all below it: TERM, after `grace` seconds KILL. True if all of it is gone.

    The runner then records the exit and runs `on_exit`; stop waits for the record, not for that command. Raises
    Refused where the record lies in a copy of a town: the processes are those of the original.
    """
    _require_own(record)
    record = reload(record)
    if record.runner is None and (abandon(record) or (record := reload(record)).runner is None):
        _close_pane(record)
        return True
    runner, agent = record.runner, record.agent_proc
    assert runner is not None
    gone = True
    if agent is not None and alive(agent):
        below = descendants(agent)
        gone = terminate(agent, grace)
        # Tools often put their children in groups of their own; they were proven to be the agent's.
        gone = all([terminate(child, min(grace, 1.0)) for child in below]) and gone
    elif agent is None and record.ended is None:
        gone = terminate(runner, grace)
    _await_exit(record, runner, 5.0)
    if not alive(runner):
        _close_pane(record)
    return gone


def _require_own(record: SessionRecord) -> None:
    """`<root>/.gt/run/sessions/<id>` tells the town a record belongs to."""
    local = os.path.dirname(os.path.dirname(os.path.dirname(record.folder)))
    if os.path.basename(local) == LOCAL:
        identity.require(os.path.dirname(local), time.time())


def _await_exit(record: SessionRecord, runner: Proc, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while reload(record).ended is None and alive(runner) and time.monotonic() < deadline:
        time.sleep(0.01)
    wait_gone(runner, 0.2)


def _close_pane(record: SessionRecord) -> None:
    if record.runtime == "tmux" and record.socket:
        Server(record.socket).kill_session(record.id)


def attach_argv(record: SessionRecord) -> list[str]:
    """The command that shows the session to a person: its terminal, or its growing log."""
    if record.runtime == "tmux" and record.socket:
        return Server(record.socket).attach_argv(record.id)
    return ["tail", "-n", "100", "-F", record.log]


def peek(record: SessionRecord, lines: int = 40) -> str:
    """The last lines of its screen, or of its log when it has no screen (any more); terminal escapes are gone."""
    if record.runtime == "tmux" and record.socket:
        server = Server(record.socket)
        if server.exists(record.id):
            with contextlib.suppress(GtError):  # it may end while we look: then the log tells
                return plain_text(server.capture(record.id, lines))
    return log_tail(record.log, lines)


def log_tail(path: str, lines: int) -> str:
    """The last `lines` lines of a log, without terminal escapes; empty if there is no log."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            data = file.read()
    except FileNotFoundError:
        return ""
    kept = plain_text(data.decode("utf-8", "replace")).rstrip().splitlines()
    return "\n".join(kept[-lines:])


def plain_text(text: str) -> str:
    """`text` without terminal escapes and control characters; a line overwritten by CR shows its last form."""
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in re.sub(_ESCAPES, "", text).split("\n")]
    return re.sub(_CONTROL, "", "\n".join(lines))


