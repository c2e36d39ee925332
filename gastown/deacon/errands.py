"""The deacon's children: slow actions run beside it, a few at a time, never the same one twice."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable

from gastown.deacon.action import REFINERY, Action
from gastown.model.errors import GtError
from gastown.runtime import shell
from gastown.runtime.processes import Proc, alive, terminate
from gastown.services.sessions import powers
from gastown.store import layout, runstate

# Gates may take long, and end by their own time limits.
_LONGEST = 6 * 3600.0
_STOPPING = 15.0


class Errands:
    """Starts actions in child processes. `finished` is called from another thread with the key and the error ("")."""

    def __init__(self, root: str, most: int, finished: Callable[[str, str], None]) -> None:
        self._root = root
        self.most = most
        self._finished = finished
        self._lock = threading.Lock()
        self._running: dict[str, Action] = {}

    def start(self, action: Action) -> bool:
        """Start it; False if it is under way already, or too many others are. Where it raises, nothing is under way."""
        with self._lock:
            work = sum(1 for one in self._running.values() if one.lane != REFINERY)
            if action.key in self._running or (action.lane != REFINERY and work >= self.most):
                return False
            note = self._note(action)
            if self._left_by_another(note):
                return False
            # Before it counts as under way: on a full disk it would do so for ever.
            # A town that is moved away this very moment is the loop's to see.
            with contextlib.suppress(FileNotFoundError):
                if os.path.isdir(layout.local(self._root)):
                    runstate.write_json(note, {"key": action.key, "do": action.as_json()}, durable=False)
            self._running[action.key] = action
        try:
            threading.Thread(target=self._run, args=(action, note), name=action.key, daemon=True).start()
        except RuntimeError as error:  # the system grants no more threads
            with self._lock:
                del self._running[action.key]
            raise GtError(str(error), "see ulimit -u, and what else runs here") from error
        return True

    def running(self) -> list[str]:
        """The keys of what is under way."""
        with self._lock:
            return sorted(self._running)

    def stop(self) -> None:
        """End them all; each may be ended at any point."""
        deadline = time.monotonic() + _STOPPING
        while self.running() and time.monotonic() < deadline:
            for proc in powers.errands(self._root):
                terminate(proc, 5.0)
            time.sleep(0.05)  # one that was only just started says who it is in a moment

    def _note(self, action: Action) -> str:
        return os.path.join(powers.errands_dir(self._root), f"errand-{action.digest()}.json")

    def _left_by_another(self, note: str) -> bool:
        """True while the child of a killed deacon still does this very thing."""
        doc = runstate.read_json(note)
        if not isinstance(doc, dict) or not isinstance(doc.get("pid"), int):
            return False
        return alive(Proc(doc["pid"], str(doc.get("start"))))

    def _run(self, action: Action, note: str) -> None:
        argv = [sys.executable, "-P", "-m", "gastown.deacon.errand", self._root, note]
        error = ""
        try:
            ended = shell.run(
                f"exec {shlex.join(argv)}", cwd="/", env=powers.environment(), timeout=_LONGEST,
                log=layout.log(self._root, "deacon.out"),
            )  # fmt: skip
            doc = runstate.read_json(note)
            said = str(doc.get("error") or "") if isinstance(doc, dict) else ""
            error = said or (f"ended with {ended.code}, see .gt/log/deacon.out" if ended.code else "")
        except (GtError, OSError) as problem:
            error = str(problem)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(note)
            with self._lock:
                self._running.pop(action.key, None)
            self._finished(action.key, error)
