"""What the doctor says of one thing it looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

OK, NOTE, WARN, FAIL, FIXED = "ok", "note", "warning", "error", "fixed"


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `state`: ok, note, warning, error or fixed; `hint`: what to do, "" if nothing."""

    check: str
    state: str
    text: str
    hint: str = ""


Fix = Callable[[], None]
# What a check yields: a finding, and how to mend it where that is ours to do.
Found = tuple[Finding, Fix | None]
