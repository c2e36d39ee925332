"""The first seconds of an agent in a terminal: dialogs it asks at start are answered, and its prompt is typed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from gastown.model.errors import UsageError
from gastown.model.times import duration
from gastown.runtime import sessions
from gastown.runtime.presets import Form
from gastown.runtime.sessions import SessionRecord
from gastown.runtime.tmux import ENTER_PAUSE, Server

# Where a preset does not say: how long dialogs may come, and how long an agent may take to be ready.
DIALOGS = 8.0
READY = 60.0
_POLL = 0.1
_KEY_PAUSE = 0.2
_LINES = 40


def greet(record: SessionRecord, form: Form, mode: str, text: str) -> None:
    """See a new session in tmux through its start; returns when it is ready, busy, over, or its time is up.

    With `mode` paste `text` is typed as its first prompt once it is ready. What a preset does not describe is not
    waited for. Raises GtError if tmux fails.
    """
    dialogs = list(form.get("dialogs") or ())
    paste = mode == "paste"
    if record.runtime != "tmux" or not record.socket or not form.terminal or not (dialogs or paste):
        return
    server = Server(record.socket)
    ready = form.get("ready") or {}
    limit = _seconds(ready.get("timeout"), READY) if paste else _seconds(form.get("dialog_timeout"), DIALOGS)
    if paste and not ready.get("screen"):
        limit = _seconds(ready.get("delay"), limit)
    if not _see_through(server, record, form, dialogs, limit) or not paste:
        return
    how = form.get("paste") or {}
    _press(server, record, how.get("before"))
    server.send_text(record.id, text, enter=False)
    time.sleep(_seconds(how.get("pause"), ENTER_PAUSE))
    _press(server, record, how.get("submit") or ("Enter",))


def _see_through(
    server: Server, record: SessionRecord, form: Form, dialogs: list[Mapping[str, Any]], limit: float
) -> bool:
    """Answer dialogs until the agent is ready or works; False if it is over."""
    ready = str((form.get("ready") or {}).get("screen") or "")
    busy = str((form.get("busy") or {}).get("screen") or "")
    deadline = time.monotonic() + limit
    answered = ""
    while time.monotonic() < deadline:
        if sessions.reload(record).ended is not None or not server.exists(record.id):
            return False
        screen = server.capture(record.id, _LINES)
        # What was asked and answered may still stand above: the lowest sign on the screen is the one that holds.
        where, asked = max(((_last(str(one["match"]), screen), one) for one in dialogs), key=_first, default=(-1, {}))
        if max(_last(ready, screen), _last(busy, screen)) > where:
            return True
        if where >= 0 and screen != answered:
            _press(server, record, asked.get("send"))
            answered = screen
        time.sleep(_POLL)
    return True


def _first(pair: tuple[int, Mapping[str, Any]]) -> int:
    return pair[0]


def _last(pattern: str, screen: str) -> int:
    """Where the last match of `pattern` begins; -1 if there is none."""
    return max((found.start() for found in re.finditer(pattern, screen)), default=-1) if pattern else -1


def _press(server: Server, record: SessionRecord, keys: Iterable[object] | None) -> None:
    for number, key in enumerate(keys or ()):
        if number:  # several at once are read as one key that nobody knows
            time.sleep(_KEY_PAUSE)
        server.send_key(record.id, str(key))


def _seconds(span: object, default: float) -> float:
    try:
        return duration(str(span)) if span else default
    except UsageError:
        return default
