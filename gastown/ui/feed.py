"""Events and commits as lines: time, who, what kind, text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gastown.model import times
from gastown.model.text import safe
from gastown.services.health.trail import Chapter
from gastown.ui import style

_STYLES = {
    "merged": "green", "close": "green", "session_death": "red", "mass_death": "red", "merge_failed": "red",
    "invalid_file": "red", "escalation": "yellow", "sling": "cyan", "commit": "blue",
}  # fmt: skip
_ACTOR_WIDTH = 20


def event_line(event: Mapping[str, Any], *, colour: bool) -> str:
    """One event: time (UTC), type, actor, bead, text."""
    kind = safe(event.get("type", "?"))
    stamp = safe(str(event.get("ts", ""))[:19]) + "Z"
    actor = safe(event.get("actor", "?")).ljust(_ACTOR_WIDTH)
    bead = safe(event.get("bead") or "-").ljust(10)
    painted = style.paint(kind.ljust(14), _STYLES.get(kind), colour)
    text = safe(event.get("text", "")) + _mark(event)
    return f"{style.paint(stamp, 'dim', colour)}  {painted}  {actor}  {bead}  {text}"


def _mark(event: Mapping[str, Any]) -> str:
    data = event.get("data")
    if event.get("type") != "commit" or not isinstance(data, dict):
        return ""
    landed = data.get("landed")
    said = "" if landed else ", not landed" if landed is False else ", merged or not is not known here"
    return f"  ({str(data.get('commit'))[:10]}{said})"


def chapter_lines(chapter: Chapter, *, colour: bool) -> list[str]:
    """One commit: hash, time, author, subject; below it what it changed."""
    head = (
        f"{style.paint(chapter.commit[:10], 'yellow', colour)}  {times.text(chapter.at)}"
        f"  {safe(chapter.author).ljust(_ACTOR_WIDTH)}  {safe(chapter.subject)}"
    )
    return [head, *(f"              {safe(change)}" for change in chapter.changes)]
