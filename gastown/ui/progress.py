"""Long work: one changing line on a terminal, one line a step otherwise."""

from __future__ import annotations

import sys
from types import TracebackType

from gastown.model.text import clip, safe
from gastown.ui import style


class Progress:
    """Use it as a context manager; `line` says what is being done, `step` that a part is done. All on stderr."""

    def __init__(self, title: str, *, quiet: bool = False) -> None:
        self.title = title
        self.quiet = quiet
        self.live = sys.stderr.isatty() and not quiet
        self._shown = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.done()

    def done(self) -> None:
        """Nothing is under way any more: the line goes."""
        self._clear()

    def line(self, text: str) -> None:
        """What is being done right now; only where it can be overwritten."""
        if self.live:
            sys.stderr.write("\r\x1b[2K" + clip(f"{self.title}: {safe(text)}", style.width() - 1))
            sys.stderr.flush()
            self._shown = True

    def step(self, text: str) -> None:
        """A part that is done; stays."""
        if not self.quiet:
            self._clear()
            sys.stderr.write(safe(text) + "\n")
            sys.stderr.flush()

    def bar(self, done: int, total: int) -> None:
        """How much is done, as a bar."""
        filled = 30 * done // max(1, total)
        self.line(f"[{'#' * filled}{'.' * (30 - filled)}] {done}/{total}")

    def _clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._shown = False
