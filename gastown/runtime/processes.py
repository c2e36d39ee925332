"""Processes, known by pid and start time, so that a reused pid is never taken for the one we meant.

Imported by the runner, which lives as long as an agent: light imports only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from gastown.model.errors import GtError

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_ZOMBIE = frozenset("ZXx")


class Proc:
    """One process for all time: its pid and the opaque time it started."""

    __slots__ = ("pid", "start")

    def __init__(self, pid: int, start: str) -> None:
        self.pid = pid
        self.start = start

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proc) and (self.pid, self.start) == (other.pid, other.start)

    def __hash__(self) -> int:
        return hash((self.pid, self.start))

    def __repr__(self) -> str:
        return f"Proc({self.pid}, {self.start!r})"


def _has_proc() -> bool:
    return os.path.exists("/proc/self/stat")


def _boot() -> str:
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return "boot"


def _look(pid: int) -> tuple[str, str] | None:
    """(start, state letter) of a process, None if there is none; GtError if it cannot be known."""
    if pid <= 0:
        return None
    return _look_proc(pid) if _has_proc() else _look_ps(pid)


def _look_proc(pid: int) -> tuple[str, str] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command may hold spaces and brackets, so count from the last bracket.
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError as error:
        raise GtError(f"cannot tell whether process {pid} lives: {error}") from None
    return f"{_boot()}:{int(fields[19])}", fields[0].decode()


def _ps(*args: str) -> str:
    import subprocess

    # One zone and one language: the text is compared as it stands.
    env = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    try:
        done = subprocess.run(
            ["ps", *args], capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL, check=False
        )
    except OSError as error:
        raise GtError(f"cannot list processes: {error}", "install `ps`") from None
    if done.returncode not in (0, 1) or done.stderr.strip():
        raise GtError(f"cannot list processes: ps exited {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _look_ps(pid: int) -> tuple[str, str] | None:
    line = _ps("-o", "stat=", "-o", "lstart=", "-p", str(pid)).split()
    return (" ".join(line[1:]), line[0][:1]) if line else None


def start_time(pid: int) -> str | None:
    """An opaque, stable mark of when process `pid` started; None if there is no such process."""
    seen = _look(pid)
    return seen[0] if seen else None


def current() -> Proc:
    """This process."""
    return proc(os.getpid())


def proc(pid: int) -> Proc:
    """The process that has `pid` now; raises GtError if there is none."""
    start = start_time(pid)
    if start is None:
        raise GtError(f"there is no process {pid}")
    return Proc(pid, start)


def alive(proc: Proc) -> bool:
    """True while exactly this process runs. A zombie is not alive, nor is another with its pid. Unknown raises."""
    seen = _look(proc.pid)
    return seen is not None and seen[0] == proc.start and seen[1] not in _ZOMBIE


def _group(proc: Proc) -> int | None:
    """The process group that `proc` leads; None if it leads none, or if it is ours."""
    try:
        group = os.getpgid(proc.pid)
    except ProcessLookupError:
        return None
    return group if group == proc.pid and group != os.getpgrp() else None


def signal_group(proc: Proc, sig: int) -> bool:
    """Signal the group `proc` leads (or it alone, if it leads none), only when it is proven to be that process.

    Returns whether a signal was sent.
    """
    if not alive(proc):
        return False
    group = _group(proc)
    with contextlib.suppress(ProcessLookupError):
        if group is not None:
            os.killpg(group, sig)
        else:
            os.kill(proc.pid, sig)
        return True
    return False


def terminate(proc: Proc, grace_seconds: float) -> bool:
    """TERM, then KILL after `grace_seconds`, to `proc` and the group it leads; returns whether it is gone.

    A stopped process is continued so that it can obey. What is not proven to be `proc` is never signalled.
    """
    for sig, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
        if not signal_group(proc, sig):
            return not alive(proc)
        signal_group(proc, signal.SIGCONT)
        if wait_gone(proc, seconds):
            return True
    return False


def wait_gone(proc: Proc, seconds: float) -> bool:
    """Wait until `proc` is gone, at most `seconds`; returns whether it is."""
    deadline = time.monotonic() + seconds
    pause = 0.002
    while alive(proc):
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return True


def descendants(proc: Proc) -> list[Proc]:
    """Every living process below `proc`, nearest first; empty if `proc` is gone."""
    if not alive(proc):
        return []
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found: list[Proc] = []
    queue = list(children.get(proc.pid, ()))
    for pid in queue:
        queue += children.get(pid, ())
        start = start_time(pid)
        if start is not None and alive(one := Proc(pid, start)):
            found.append(one)
    return found


def naming(text: str) -> list[int] | None:
    """The processes that have `text` in their command or environment, as far as we may read them; None: nobody knows.

    For what left no other trace; this takes a look at every process. A tmux server keeps the words of whoever started
    the first of its sessions, and is passed over.
    """
    if not _has_proc():
        return None
    wanted, found = text.encode(), []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/comm", "rb") as file:
            if file.read().startswith(b"tmux: server"):
                continue
        for part in ("cmdline", "environ"):
            with contextlib.suppress(OSError), open(f"/proc/{name}/{part}", "rb") as file:
                if wanted in file.read():
                    found.append(int(name))
                    break
    return found


def _parents() -> list[tuple[int, int]]:
    if not _has_proc():
        rows = [line.split() for line in _ps("-A", "-o", "pid=", "-o", "ppid=").splitlines()]
        return [(int(row[0]), int(row[1])) for row in rows if len(row) == 2]
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{name}/stat", "rb") as file:
                found.append((int(name), int(file.read().rpartition(b")")[2].split()[1])))
    return found
