"""Doing what was decided: at once or as an errand, what failed after a pause, some things once and no more."""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue

from gastown.deacon.action import Action, Later
from gastown.deacon.errands import Errands
from gastown.deacon.log import Log
from gastown.model.errors import GtError
from gastown.store.town import Town

_FAILED_FIRST, _FAILED_MOST = 30.0, 600.0
_ONCE_KEPT = 2000
# How long the very same errand that came to nothing is left alone, at most.
_SAME = 20.0


class Doer:
    """Does actions for one thread; only `ended` may be called from another."""

    def __init__(self, town: Town, errands: Errands, log: Log) -> None:
        self._town, self._errands, self._log = town, errands, log
        self._failed: dict[str, tuple[float, float]] = {}
        self._tried: dict[str, tuple[Action, float]] = {}
        self._once: dict[str, Action] = {}
        self._ended: SimpleQueue[tuple[str, str]] = SimpleQueue()
        # What is to be done once and was not done yet: nobody decides it a second time.
        self.owed: dict[str, Action] = {}
        self._put_off = False
        self._later: list[Later] = []
        # How long one look at everything is from the next.
        self.rescan = _SAME

    def do(self, action: Action) -> bool:
        """Do one thing; True if the town may have changed meanwhile."""
        self._take_ended()
        if action.once:
            if action.key in self._once:
                return False
            self.owed[action.key] = action
        now = time.monotonic()
        last, pause = self._failed.get(action.key, (0.0, 0.0))
        if now < last + pause:
            return False
        return self._send(action, now) if action.slow else self._apply(action)

    def again(self) -> bool:
        """Do what is owed and may be tried now; True if the town may have changed meanwhile."""
        self._take_ended()
        changed = False
        for action in list(self.owed.values()):
            changed |= self.do(action)
        return changed

    def take_put_off(self) -> bool:
        """True if anything since the last call found no room, or was under way already."""
        found, self._put_off = self._put_off, False
        return found

    def take_later(self) -> list[Later]:
        """When to look again after what was done since the last call."""
        found, self._later = self._later, []
        return found

    def next_try(self, now: float) -> float:
        """When something that is owed may be tried again (monotonic); what only waits for room has no time."""
        self._take_ended()
        times = (sum(self._failed[key]) for key in self.owed if key in self._failed)
        return min((at for at in times if at > now), default=float("inf"))

    def ended(self, key: str, error: str) -> None:
        """An errand ended, with this error ("" if with none)."""
        self._ended.put((key, error))

    def _take_ended(self) -> None:
        while True:
            try:
                key, error = self._ended.get_nowait()
            except Empty:
                return
            action = self._once.get(key)
            if not error:
                self._failed.pop(key, None)
            else:
                self._failure(key, error)
                if action is not None:
                    del self._once[key]
                    self.owed[key] = action

    def _apply(self, action: Action) -> bool:
        self._log.say(f"{action.kind} {action.subject}: {action.why}")
        try:
            later = action.apply(self._town)
        except (GtError, OSError) as error:
            self._failure(action.key, str(error))
            return False
        except Exception as error:  # a bug in one action must not end the others; it is logged with its traceback
            self._failure(action.key, f"a bug: {type(error).__name__}: {error}", error)
            return False
        self._failed.pop(action.key, None)
        self._begun(action)
        if later is not None:
            self._later.append(later)
        return True

    def _send(self, action: Action, now: float) -> bool:
        before = self._tried.get(action.key)
        # The very same a moment ago came to nothing: it waits for the next full look, or for the world to move.
        if before is not None and before[0] == action and now < before[1]:
            return False
        try:
            started = self._errands.start(action)
        except (GtError, OSError) as error:
            self._failure(action.key, str(error))
            return False
        if started:
            self._tried[action.key] = (action, now + min(self.rescan, _SAME))
            self._begun(action)
            if not action.routine:
                self._log.say(f"{action.kind} {action.subject}: {action.why}")
        else:
            self._put_off = True
        return False

    def _begun(self, action: Action) -> None:
        if not action.once:
            return
        self.owed.pop(action.key, None)
        self._once[action.key] = action
        if len(self._once) > _ONCE_KEPT:
            del self._once[next(iter(self._once))]

    def _failure(self, key: str, error: str, trace: BaseException | None = None) -> None:
        """Said, and not tried again for a while: 30 s, doubled up to 10 m; success clears it."""
        _, pause = self._failed.get(key, (0.0, 0.0))
        pause = min(max(_FAILED_FIRST, pause * 2), _FAILED_MOST)
        self._failed[key] = (time.monotonic(), pause)
        self._log.say(f"{key} failed, again in {pause:.0f} s: {error}", trace)
