"""What a command of a town's started and left running outside of its process group, known by a mark.

The mark is a variable that all it starts inherits. It is drawn anew for each run, so that who has it was started by
that very run: this is the proof without which nothing is ended. Where the system does not show the environments of
processes (macOS) none are found.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gastown.model.errors import GtError
from gastown.runtime.processes import Proc, alive, current, signal_group, start_time

NAME = "GT_RUN"
_SEPARATOR = "#"
_WORDS = 80


@dataclass(frozen=True)
class Left:
    """A process that was left running: by a command for which rig, and what it is."""

    proc: Proc
    rig: str
    words: str


def new(root: str) -> str:
    """A mark for one run in the town at `root`; it names this process, which waits for the command."""
    me = current()
    return _SEPARATOR.join((root, str(me.pid), me.start, os.urandom(16).hex()))


def end(mark: str, grace: float) -> bool:
    """End every process that has the mark: TERM, after `grace` seconds KILL. True if none is left."""
    for sig, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 2.0)):
        deadline = time.monotonic() + seconds
        told: set[Proc] = set()
        # What it starts while it is being ended has the mark, too.
        while found := [one.proc for one in _find(lambda value: value == mark)]:
            for proc in found:
                if proc not in told:
                    told.add(proc)
                    signal_group(proc, sig)
                    signal_group(proc, signal.SIGCONT)
            if time.monotonic() >= deadline:
                break
            time.sleep(0.02)
        if not found:
            return True
    return False


def left(root: str) -> list[Left]:
    """The processes of the town's commands for which no gt waits any more, by pid."""

    def is_over(value: str) -> bool:
        parts = value.rsplit(_SEPARATOR, 3)
        return len(parts) == 4 and parts[0] == root and parts[1].isdigit() and not alive(Proc(int(parts[1]), parts[2]))

    return _find(is_over)


def _find(wanted: Callable[[str], bool]) -> list[Left]:
    found = []
    names = os.listdir("/proc") if os.path.isdir("/proc/self") else []
    for pid in sorted({int(name) for name in names if name.isdigit()} - {os.getpid()}):
        with contextlib.suppress(OSError, GtError):  # it ended meanwhile, or is somebody else's
            # The start is read first: were the number another's by then, nothing would be signalled.
            start = start_time(pid)
            env = _environment(pid)
            if start is not None and NAME in env and wanted(env[NAME]) and alive(proc := Proc(pid, start)):
                found.append(Left(proc, env.get("GT_RIG", "?"), _words(pid)))
    return found


def _environment(pid: int) -> Mapping[str, str]:
    with open(f"/proc/{pid}/environ", "rb") as file:
        items = file.read().decode("utf-8", "surrogateescape").split("\0")
    return {key: value for key, _, value in (item.partition("=") for item in items)}


def _words(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()[:_WORDS]
