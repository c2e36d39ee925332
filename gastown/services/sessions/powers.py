"""The deacon of this machine and town as a process: is it there, start it, end it."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

import gastown
from gastown.model import times
from gastown.model.errors import GtError
from gastown.runtime import plain, shell
from gastown.runtime.processes import Proc, alive, current, terminate
from gastown.store import flock, identity, layout, runstate

_PACKAGE_HOME = os.path.dirname(os.path.dirname(os.path.abspath(gastown.__file__)))
START_TIMEOUT = 20.0


@dataclass(frozen=True)
class Deacon:
    """A deacon that runs: its process, since when (epoch seconds), and how it watches."""

    proc: Proc
    since: float
    watching: str

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return {"pid": self.proc.pid, "since": times.text(self.since), "watching": self.watching}


def note_path(root: str) -> str:
    """Where the deacon says who it is. A hint: the process is proven by its start time."""
    return layout.run(root, "deacon.json")


def lock_path(root: str) -> str:
    """The lock that makes it the only one; the kernel frees it when its holder dies."""
    return layout.run(root, "deacon.lock")


def errands_dir(root: str) -> str:
    """Where the deacon's child processes say who they are."""
    return layout.run(root, "deacon")


def say_running(root: str, watching: str) -> None:
    """Write down that this process is the deacon."""
    me = current()
    note = {"state": "running", "pid": me.pid, "start": me.start, "since": time.time(), "watching": watching}
    runstate.write_json(note_path(root), note, durable=False)


def say_ended(root: str) -> None:
    """Take back what `say_running` wrote, if it is about this process and the town is still there."""
    note = runstate.read_json(note_path(root))
    if isinstance(note, dict) and note.get("pid") == os.getpid():
        with contextlib.suppress(OSError):
            os.unlink(note_path(root))


def deacon(root: str) -> Deacon | None:
    """The deacon that runs for this town on this machine; None if provably none does."""
    found = noted(root)
    return found if found is not None and alive(found.proc) else None


def noted(root: str) -> Deacon | None:
    """The deacon that said last that it runs, and was not told to end; it may have been killed since."""
    note = runstate.read_json(note_path(root))
    if not isinstance(note, dict):
        return None
    try:
        proc = Proc(int(note["pid"]), str(note["start"]))
        return Deacon(proc, float(note.get("since", 0)), str(note.get("watching", "")))
    except (KeyError, TypeError, ValueError):
        return None


def is_starting(root: str) -> bool:
    """True while a process is this town's deacon that has not said yet who it is."""
    if deacon(root) is not None or not os.path.exists(lock_path(root)):
        return False
    with flock.alone(lock_path(root), timeout=0) as alone:
        return not alone


def start(root: str, *, poll: float = 0.02) -> tuple[Deacon, bool]:
    """Start the deacon in the background; (who it is, whether it is new). Raises GtError if it does not come up."""
    identity.require(root, time.time())
    there = deacon(root)
    if there is not None:
        return there, False
    out = layout.log(root, "deacon.out")
    os.makedirs(os.path.dirname(out), exist_ok=True)
    argv = [sys.executable, "-P", "-m", "gastown", "deacon", "run", "--detach", "--town", root]
    before = os.path.getsize(out) if os.path.exists(out) else 0
    plain.start(argv, cwd="/", env=environment(), log=out)
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        there = deacon(root)
        if there is not None:
            return there, True
        said = _error(out, before)
        if said and not is_starting(root):  # with another that starts ours has ended, too
            raise GtError(f"the deacon ended at once: {said[0]}", said[1] or f"see {out} and gt deacon logs")
        time.sleep(poll)
    raise GtError(f"the deacon did not come up within {START_TIMEOUT:g} s", f"see {out} and gt deacon logs")


def _error(out: str, start: int) -> tuple[str, str] | None:
    """The error, and what to do about it, that a process of ours ended with; None if it said none from there on."""
    with open(out, "rb") as file:
        file.seek(start)
        text = "\n" + file.read().decode("utf-8", "replace")
    _, found, rest = text.rpartition("\nerror: ")
    if not found or not rest.endswith("\n"):
        return None
    message, _, hint = rest.rstrip("\n").partition("\nhint: ")
    return message, hint


def environment() -> dict[str, str]:
    """What a process of ours in the background is given: the person's environment, and where this package lies."""
    before = os.environ.get("PYTHONPATH")
    return shell.environment({"PYTHONPATH": os.pathsep.join(filter(None, [_PACKAGE_HOME, before]))})


def stop(root: str, *, grace: float = 10.0) -> Deacon | None:
    """End the deacon and its errands; returns who it was, None if none ran. Raises GtError if it does not end.

    One that is just starting is waited for.
    """
    identity.require(root, time.time())  # in a copy the note names the deacon of the original
    deadline = time.monotonic() + START_TIMEOUT
    while is_starting(root) and time.monotonic() < deadline:
        time.sleep(0.02)
    there = deacon(root)
    if there is not None and not terminate(there.proc, grace):
        raise GtError(f"the deacon (process {there.proc.pid}) does not end", "look at it with ps; then again")
    for errand in errands(root):
        terminate(errand, 3.0)
    _forget(root)
    return there


def _forget(root: str) -> None:
    """Take away what a deacon wrote that is gone, unless another one runs meanwhile: none is missed any more."""
    if os.path.exists(note_path(root)):
        os.makedirs(os.path.dirname(lock_path(root)), exist_ok=True)
        with flock.alone(lock_path(root), timeout=0) as alone, contextlib.suppress(FileNotFoundError):
            if alone:
                os.unlink(note_path(root))


def errands(root: str) -> list[Proc]:
    """The deacon's child processes that live, also those of one that was killed."""
    folder = errands_dir(root)
    found = []
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if not name.startswith("errand-"):
            continue
        note = runstate.read_json(os.path.join(folder, name))
        if isinstance(note, dict) and isinstance(note.get("pid"), int):
            proc = Proc(note["pid"], str(note.get("start")))
            if alive(proc):
                found.append(proc)
    return found
