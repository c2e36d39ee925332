"""The parent of every agent process, in a tmux pane as well as without tmux: death is an exit status, known at once.

`python -m gastown.runtime.runner SESSION_DIR [--detach]`. It lives as long as its agent: light imports only.
In its session's folder it reads session.json and (once, then it is removed) environ.json; it alone writes
runner.json (who it is), agent.json (whom it started, or why not) and exit.json (how that ended).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import time

from gastown.runtime import logs
from gastown.runtime.processes import Proc, current, start_time
from gastown.store import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn

SESSION, ENVIRON, RUNNER, AGENT, EXIT = "session.json", "environ.json", "runner.json", "agent.json", "exit.json"
LOG = "session.log"
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
# Those that Python ignores; an agent must find them as a shell would have left them.
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ) if hasattr(signal, "SIGXFSZ") else (signal.SIGPIPE,)
# A terminal's own facts come from the pane, everything else from environ.json.
_FROM_PANE = ("TERM", "TMUX", "TMUX_PANE", "COLORTERM")
_LEFTOVER_GRACE = 1.0
# Seconds between looks whether the town is still there, and looks that an agent has for its end when it is not.
_LOOK, _LOOKS = 1.0, 3
# An agent that prints without end must not fill the disk: past so many bytes its log keeps its end alone.
LOG_MOST = 64 << 20


def main(argv: list[str]) -> int:
    """Run the session in the folder argv[0]; see the module."""
    folder = argv[0]
    if "--detach" in argv[1:] and os.fork():
        os._exit(0)
    me = current()
    mine = os.path.join(folder, RUNNER)
    if not files.link_exclusive(mine, _json(pid=me.pid, start=me.start), spare=f"{mine}.{me.pid}"):
        return 3  # given up before we began, or another runner has it
    spec = _read(folder, SESSION)
    env = _take_environment(folder)
    if os.isatty(0):
        env.update({key: os.environ[key] for key in _FROM_PANE if key in os.environ})
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
    pid, problem = _spawn(spec, env)
    if problem:
        _write(folder, AGENT, error=problem)
        _write(folder, EXIT, code=127, signal=None, ended=time.time(), error=problem)
        return 127
    agent = Proc(pid, start_time(pid) or "")
    _forward_to(agent.pid)
    home = _look_on(folder, agent.pid)
    _write(folder, AGENT, pid=agent.pid, start=agent.start)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
    code = os.waitstatus_to_exitcode(_wait(pid))
    signal.setitimer(signal.ITIMER_REAL, 0)
    logs.keep_short(LOG, LOG_MOST, dir_fd=home)
    if _is_deleted(home):
        _end_leftovers(pid)
        return code if code >= 0 else 128 - code
    _record_exit(folder, code if code >= 0 else None, -code if code < 0 else None)
    _end_leftovers(pid)
    _finish(folder, spec, env)
    return 0


def _json(**values: object) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _read(folder: str, name: str) -> dict[str, Any]:
    value = json.loads(files.read(os.path.join(folder, name)))
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not an object")
    return value


def _write(folder: str, name: str, **values: object) -> None:
    files.write(os.path.join(folder, name), _json(**values))


def _record_exit(folder: str, code: int | None, sig: int | None) -> None:
    """Write exit.json, trying for a minute: a disk may be full just now, and nobody else knows how it ended."""
    ended = time.time()
    for _ in range(60):
        try:
            _write(folder, EXIT, code=code, signal=sig, ended=ended)
        except FileNotFoundError:
            raise
        except OSError:
            time.sleep(1)
        else:
            return


def _take_environment(folder: str) -> dict[str, str]:
    """The agent's whole environment. The file may hold secrets, so it goes as soon as it is read."""
    env = _read(folder, ENVIRON)
    files.remove(os.path.join(folder, ENVIRON))
    return env


def _spawn(spec: dict[str, Any], env: dict[str, str]) -> tuple[int, str]:
    """Start the agent in a process group of its own, which owns the terminal if there is one: (pid, problem)."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        _become(spec, env, tell)
    os.close(tell)
    with contextlib.suppress(OSError):
        os.setpgid(child, child)  # whoever comes first, parent or child
    with open(told, "rb") as answer:
        problem = answer.read().decode("utf-8", "replace")
    if problem:
        os.waitpid(child, 0)
    return child, problem


def _become(spec: dict[str, Any], env: dict[str, str], tell: int) -> NoReturn:
    """In the child: become the agent, or say through `tell` (closed by a successful exec) why not."""
    where = ""
    try:
        os.setpgid(0, 0)
        _own_terminal(os.getpid())
        if spec.get("prompt_mode") == "stdin":
            where = str(spec["prompt_file"])
            handle = os.open(where, os.O_RDONLY)
            os.dup2(handle, 0)
            os.close(handle)
        where = str(spec["cwd"])
        os.chdir(where)
        where = str(spec["argv"][0])
        for sig in (*_FORWARDED, *_RESTORED, signal.SIGTTOU):
            signal.signal(sig, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(where, spec["argv"], env)
    except OSError as error:
        why = "no such file or command" if error.errno == errno.ENOENT else error.strerror
        os.write(tell, f"{where}: {why}".encode())
    except (ValueError, KeyError, TypeError) as error:
        os.write(tell, f"{where}: {error}".encode())
    finally:
        os._exit(127)


def _own_terminal(group: int) -> None:
    """Make `group` the one that the terminal's keys reach; nothing without a terminal."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    if os.isatty(0):
        with contextlib.suppress(OSError):
            os.tcsetpgrp(0, group)


def _forward_to(group: int) -> None:
    def forward(sig: int, _frame: FrameType | None) -> None:
        # We have not reaped the agent, so neither its pid nor its group can be another's.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, sig)

    for sig in _FORWARDED:
        signal.signal(sig, forward)


def _look_on(folder: str, group: int) -> int:
    """Keep the log short, and end the agent when the session's folder is deleted, and the town with it.

    Nobody could ever learn of its work then; a town that was moved is still there. Returns the open folder.
    """
    home = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    seen = 0

    def look(_sig: int, _frame: FrameType | None) -> None:
        nonlocal seen
        logs.keep_short(LOG, LOG_MOST, dir_fd=home)
        if _is_deleted(home):
            seen += 1
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGTERM if seen <= _LOOKS else signal.SIGKILL)
                os.killpg(group, signal.SIGCONT)  # it may be frozen

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _LOOK, _LOOK)
    return home


def _is_deleted(home: int) -> bool:
    """True if an open folder was removed; file systems that do not count links never say so."""
    return os.fstat(home).st_nlink == 0


def _wait(pid: int) -> int:
    """Wait for the agent's end, tell what it left running in its group to end, and return its wait status."""
    ended = None
    if hasattr(os, "waitid"):
        # Seen but not yet reaped, so that its number stays its own until nothing signals it any more.
        while (seen := os.waitid(os.P_PID, pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)) is not None:
            if seen.si_code != os.CLD_STOPPED:
                break
            os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG)
            _unstop(pid, seen.si_status)
    else:
        while os.WIFSTOPPED(ended := os.waitpid(pid, os.WUNTRACED)[1]):
            _unstop(pid, os.WSTOPSIG(ended))
    for sig in _FORWARDED:
        signal.signal(sig, signal.SIG_IGN)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGTERM)
        os.killpg(pid, signal.SIGCONT)
    return os.waitpid(pid, 0)[1] if ended is None else ended


def _unstop(pid: int, sig: int) -> None:
    # Ctrl-Z in a pane: no shell is there to continue it. SIGSTOP (gt estop) stays stopped.
    if sig == signal.SIGTSTP and os.isatty(0):
        os.killpg(pid, signal.SIGCONT)


def _end_leftovers(group: int) -> None:
    """KILL what the agent left in its group and TERM did not end. While any of it lives, the number is not reused."""
    deadline = time.monotonic() + _LEFTOVER_GRACE
    with contextlib.suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.005)
        os.killpg(group, signal.SIGKILL)


def _finish(folder: str, spec: dict[str, Any], env: dict[str, str]) -> None:
    """Run the session's `on_exit` command, its output in the log; a failure is written there too."""
    _own_terminal(os.getpgrp())
    command = spec.get("on_exit")
    if not command:
        return
    env = {**env, **(spec.get("on_exit_env") or {})}
    log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            for sig in (*_FORWARDED, *_RESTORED, signal.SIGTTOU):
                signal.signal(sig, signal.SIG_DFL)
            os.chdir(folder)
            os.execvpe(command[0], command, env)
        except OSError as error:
            os.write(log, f"gt: cannot run {command[0]}: {error.strerror}\n".encode())
        finally:
            os._exit(127)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        os.write(log, f"gt: {' '.join(command)} ended with {code}\n".encode("utf-8", "replace"))
    os.close(log)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
