"""Running one shell command to its end: own process group, time limit, output in a file."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gastown.runtime import git, logs, marked

# What a town's own processes pass on must not steer a command that tests somebody's code.
_DROPPED = ("GT_", "GIT_")
# git itself must be reached and configured as the person has set it up.
_KEPT = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_EXEC_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM",
         "GIT_CONFIG_NOSYSTEM")  # fmt: skip
GRACE = 3.0
# A command that prints without end must not fill the disk: past so many bytes its log keeps its end alone.
LOG_MOST = 16 << 20
# Seconds between looks at it.
_LOOK = 0.1


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code (negative: by that signal), seconds, and whether its time ran out."""

    code: int
    seconds: float
    timed_out: bool


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without the town's and git's variables, plus `extra`."""
    kept = {k: v for k, v in os.environ.items() if k in _KEPT or not k.startswith(_DROPPED)}
    return {**kept, **extra}


def run(
    command: str,
    *,
    cwd: str,
    env: Mapping[str, str],
    log: str,
    timeout: float,
    on_start: Callable[[int], None] | None = None,
    mark: str = "",
) -> Ended:
    """Run `command` by /bin/sh in its own process group; stdout and stderr are appended to `log`.

    After `timeout` seconds the group gets SIGTERM, and SIGKILL three seconds later. What the
    command leaves running in its group is killed, also when this process is interrupted. With a `mark`
    (gastown.runtime.marked) what left the group is ended as well, unless the command came to its own end: that may
    have left a server behind on purpose. A log that grows past LOG_MOST loses its beginning, and says so; the command
    goes on. git, run by it, finds no repository above `cwd`.
    """
    began = time.monotonic()
    with open(log, "ab") as output:
        child = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=cwd,
            env={**env, **git.ceiling(cwd), **({marked.NAME: mark} if mark else {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    timed_out, by_itself = False, False
    try:
        if on_start:
            on_start(child.pid)
        by_itself = _ends(child, began + timeout, log)
        if not by_itself:
            timed_out = True
            _signal(child.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(GRACE)
    finally:
        # Its leader is reaped at most microseconds ago: the number can only be this group's, or nobody's.
        _signal(child.pid, signal.SIGKILL)
        child.wait()
        if mark and not by_itself:
            marked.end(mark, GRACE)
        logs.keep_short(log, LOG_MOST)
    return Ended(child.returncode, time.monotonic() - began, timed_out)


def _ends(child: subprocess.Popen[bytes], deadline: float, log: str) -> bool:
    """True once it has ended, False if its time ran out first."""
    while (left := deadline - time.monotonic()) > 0:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(min(left, _LOOK))
            return True
        logs.keep_short(log, LOG_MOST)
    return child.poll() is not None


def run_argv(argv: Sequence[str], *, cwd: str) -> int:
    """Run a program without a shell; it gets our environment and output, and no input. Its exit code, -N for signal N.

    Raises OSError if it cannot be started. It stays in our process group, so what ends us ends it.
    """
    return subprocess.run(argv, cwd=cwd, stdin=subprocess.DEVNULL, check=False).returncode


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
