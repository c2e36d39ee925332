"""What the doctor found: a line each, and what to do about it."""

from __future__ import annotations

from gastown.model.text import counted, safe
from gastown.services.files.findings import Finding
from gastown.ui import style

_STYLES = {"ok": "green", "note": "dim", "warning": "yellow", "error": "red", "fixed": "cyan"}


def lines(findings: list[Finding], *, colour: bool) -> list[str]:
    """State, check, text; the hint below it."""
    out = []
    for one in findings:
        state = style.paint(one.state.ljust(8), _STYLES.get(one.state), colour)
        out.append(f"{state} {one.check.ljust(10)} {safe(one.text)}")
        if one.hint:
            out.append(f"{'':20}-> {safe(one.hint)}")
    counts = {state: sum(one.state == state for one in findings) for state in _STYLES}
    said = [f"{n} {state}" if state in ("ok", "fixed") else counted(n, state) for state, n in counts.items() if n]
    return [*out, ", ".join(said)]
