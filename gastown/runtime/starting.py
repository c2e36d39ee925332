"""Starting a session: its folder, its runner in tmux or as a plain process, and a bounded wait until the agent runs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping

import gastown
from gastown.model.errors import GtError, RaceLost, UsageError
from gastown.runtime import plain, sessions
from gastown.runtime.processes import current
from gastown.runtime.runner import AGENT, ENVIRON, EXIT, LOG
from gastown.runtime.sessions import Runtime, SessionRecord, SessionSpec
from gastown.runtime.tmux import Server, available
from gastown.store import files

TIMEOUT = 20.0
_POLL = 0.01
_PACKAGE_HOME = os.path.dirname(os.path.dirname(os.path.abspath(gastown.__file__)))
# What of the agent's environment is written down: facts of the town, never a key or a token.
_KEPT = ("GT_", "GIT_AUTHOR_", "GIT_COMMITTER_")


def start(
    spec: SessionSpec, runtime: Runtime | None, *, run: str, socket: str, now: float, timeout: float = TIMEOUT
) -> SessionRecord:
    """Start a session and return its record once the agent's process runs.

    `runtime` None: tmux where it is installed. `run` is the town's .gt/run, `socket` the name of its tmux server.
    A start that fails (no such command, no such folder, `timeout` seconds) raises GtError with the end of the log;
    nothing is left running, and the record says `start_failed`.
    """
    chosen: Runtime = runtime or ("tmux" if available() else "process")
    if chosen == "tmux" and not available():
        raise UsageError("tmux is not installed, or too old", "install tmux, or use --runtime process")
    _check(spec)
    record = _prepare(spec, chosen, run, socket, now)
    try:
        _launch(record, spec)
        return _await_agent(record, timeout)
    except BaseException:
        _undo(record)
        raise


def _check(spec: SessionSpec) -> None:
    if not spec.argv:
        raise UsageError("there is no command to start", "give the agent a command")
    if not os.path.isdir(spec.cwd):
        raise GtError(f"there is no folder {spec.cwd} to work in", "its worktree was moved or removed: `gt doctor`")
    command = spec.argv[0]
    found = os.path.join(spec.cwd, command) if "/" in command else command
    if shutil.which(found, path=spec.env.get("PATH", os.defpath)) is None:
        raise GtError(f"command not found: {command}", f"install it, or put it on PATH (agent {spec.agent or '?'})")
    if spec.prompt_mode == "stdin" and not (spec.prompt_file and os.path.isfile(spec.prompt_file)):
        raise GtError(f"the prompt {spec.prompt_file} is missing", "start the session again")


def _prepare(spec: SessionSpec, runtime: Runtime, run: str, socket: str, now: float) -> SessionRecord:
    """Write the session's folder; from here on its record exists."""
    folder = sessions.folder_of(os.path.abspath(run), spec.id)
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        raise RaceLost(f"session {spec.id} exists already", "try again: another id will be drawn") from None
    me = current()
    record = SessionRecord(
        id=spec.id, address=spec.address, runtime=runtime, argv=tuple(spec.argv), cwd=os.path.abspath(spec.cwd),
        log=os.path.join(folder, LOG), started=now, bead=spec.bead, bead_path=spec.bead_path, attempt=spec.attempt,
        rig=spec.rig, agent=spec.agent, branch=spec.branch,
        env={key: value for key, value in spec.env.items() if key.startswith(_KEPT)},
        socket=socket if runtime == "tmux" else None, starter_pid=me.pid, starter_start=me.start,
        prompt_mode=spec.prompt_mode, prompt_file=os.path.abspath(spec.prompt_file) if spec.prompt_file else None,
        on_exit=tuple(spec.on_exit) if spec.on_exit else None, on_exit_env=_on_exit_env(spec),
        resume=spec.resume, folder=folder,
    )  # fmt: skip
    files.write(os.path.join(folder, ENVIRON), json.dumps(dict(spec.env)).encode(), durable=False, mode=0o600)
    sessions.write(folder, sessions.own_part(record))
    return record


def _on_exit_env(spec: SessionSpec) -> dict[str, str]:
    """What `on_exit` gets besides the agent's environment; `python -m gastown` must find the package from anywhere."""
    found = spec.on_exit_env.get("PYTHONPATH", spec.env.get("PYTHONPATH", ""))
    return {**spec.on_exit_env, "PYTHONPATH": os.pathsep.join(filter(None, [_PACKAGE_HOME, found]))}


def _launch(record: SessionRecord, spec: SessionSpec) -> None:
    # -P and -S: neither a folder called gastown beside us nor site-packages' start-up code gets in.
    argv = [sys.executable, "-P", "-S", "-m", "gastown.runtime.runner", record.folder]
    env = {"PYTHONPATH": _PACKAGE_HOME, **_locale(spec.env)}
    if record.runtime == "tmux" and record.socket:
        Server(record.socket).new_session(
            record.id, cwd=record.folder, argv=argv, env=env, log_path=record.log, size=spec.size
        )
    else:
        plain.start([*argv, "--detach"], cwd=record.folder, env=env, log=record.log)


def _locale(env: Mapping[str, str]) -> dict[str, str]:
    return {key: env[key] for key in ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE") if key in env}


def _await_agent(record: SessionRecord, timeout: float) -> SessionRecord:
    """Wait until the runner reports the agent's process, or why there is none."""
    deadline = time.monotonic() + timeout
    look_again = time.monotonic() + 0.5
    while True:
        if os.path.exists(os.path.join(record.folder, AGENT)) or os.path.exists(os.path.join(record.folder, EXIT)):
            now = sessions.reload(record)
            if now.agent_proc is not None:
                return now
            if now.ended is not None:
                raise _failed(record, now.error or "the agent did not start")
        if time.monotonic() > look_again:
            look_again = time.monotonic() + 0.5
            if record.runtime == "tmux" and record.socket and not Server(record.socket).exists(record.id):
                raise _failed(record, "its terminal closed at once")
        if time.monotonic() > deadline:
            raise _failed(record, f"nothing was heard of it for {timeout:g} s")
        time.sleep(_POLL)


def _failed(record: SessionRecord, why: str) -> GtError:
    said = sessions.log_tail(record.log, 12)
    return GtError(f"session {record.id} could not start: {why}" + (f"\n{said}" if said else ""), f"see {record.log}")


def _undo(record: SessionRecord) -> None:
    """Leave nothing running and no secret on disk."""
    if not sessions.abandon(record):
        sessions.stop(record, 1.0)
    elif record.socket:
        Server(record.socket).kill_session(record.id)
    files.remove(os.path.join(record.folder, ENVIRON))
    sessions.update(record, outcome="start_failed")
