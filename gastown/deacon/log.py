"""The deacon's own log: `.gt/log/deacon.log`, a line an action, rotated at 1 MiB, three old ones kept."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from logging.handlers import RotatingFileHandler

from gastown.model.text import safe
from gastown.store import layout

SIZE, KEPT = 1 << 20, 3


def path(root: str) -> str:
    """Where it lies."""
    return layout.log(root, "deacon.log")


class Log:
    """Writes lines; `also` gets each one too (a foreground run shows them)."""

    def __init__(self, root: str, also: Callable[[str], None] | None = None) -> None:
        os.makedirs(os.path.dirname(path(root)), exist_ok=True)
        self._handler = RotatingFileHandler(path(root), maxBytes=SIZE, backupCount=KEPT, encoding="utf-8", delay=False)
        self._handler.setFormatter(_Lines("%(asctime)s %(message)s"))
        self._also = also
        self._root = root

    def say(self, text: str, trace: BaseException | None = None) -> None:
        """One line; with `trace` the traceback behind it."""
        line = safe(text)
        # A town that is gone must not come back as a folder with a log in it.
        if os.path.isdir(os.path.dirname(path(self._root))):
            info = (type(trace), trace, trace.__traceback__) if trace is not None else None
            self._handler.emit(logging.LogRecord("deacon", logging.INFO, "", 0, line, (), info))
        if self._also:
            self._also(line)

    def close(self) -> None:
        """No more lines."""
        self._handler.close()


class _Lines(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"
