"""Colour, only where a person looks: on a terminal, without NO_COLOR."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
STATUS_STYLE = {
    "open": "green", "hooked": "cyan", "in_progress": "cyan", "merging": "blue", "deferred": "dim", "closed": "dim",
}  # fmt: skip
STATE_STYLE = {
    "working": "green", "idle": "dim", "stalled": "red", "quiet": "yellow", "limited": "yellow", "stuck": "red",
    "zombie": "yellow", "foreign": "blue",
}  # fmt: skip


def wanted(stream: TextIO | None = None) -> bool:
    """True if `stream` (stdout) should be coloured: a terminal, NO_COLOR unset, not a dumb one."""
    out = sys.stdout if stream is None else stream
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str | None, on: bool) -> str:
    """`text` in a style, if colour is on."""
    code = _CODES.get(style or "")
    return f"\x1b[{code}m{text}\x1b[0m" if on and code and text else text


def width(default: int = 100) -> int:
    """Columns of the terminal; `default` where there is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return default
