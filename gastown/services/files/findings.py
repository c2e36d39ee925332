"""What the doctor says of one thing it looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gastown.model.errors import GtError

OK, NOTE, WARN, FAIL, FIXED = "ok", "note", "warning", "error", "fixed"


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `state`: ok, note, warning, error or fixed; `hint`: what to do, "" if nothing."""

    check: str
    state: str
    text: str
    hint: str = ""


def failed(check: str, error: GtError | OSError, what: str = "") -> Finding:
    """That something could not be looked at or mended; `what` leads in."""
    if isinstance(error, GtError):
        return Finding(check, FAIL, what + error.message, error.hint)
    return Finding(check, FAIL, f"{what}{error.filename or ''}: {error.strerror or error}", "")


Fix = Callable[[], None]
# What a check yields: a finding, and how to mend it where that is ours to do.
Found = tuple[Finding, Fix | None]
