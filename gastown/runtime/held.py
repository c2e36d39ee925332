"""Signals that end a command, put off while a child is started."""

from __future__ import annotations

import signal
import threading
from typing import Any

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class HeldSignals:
    """From here until `release` no signal is raised as an exception.

    One that is raised while a child is started leaves it running, and nobody knows its pid.
    """

    def __init__(self) -> None:
        self._came: list[int] = []
        self._before: dict[int, Any] = {}
        if threading.current_thread() is not threading.main_thread():
            return  # none is raised there
        try:
            for number in _ENDING:
                handler = signal.getsignal(number)
                if callable(handler) and not isinstance(handler, signal.Handlers):
                    self._before[number] = handler
                    signal.signal(number, lambda number, frame: self._came.append(number))
        except BaseException:
            self._restore()
            raise

    def release(self) -> None:
        """As before; what came meanwhile is raised now. Once is enough, more does nothing."""
        self._restore()
        came, self._came = self._came, []
        for number in came[:1]:
            signal.raise_signal(number)

    def _restore(self) -> None:
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)
