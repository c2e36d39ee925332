"""Typing into an agent's terminal, for runtimes that have no hook: only at an idle prompt, by one typist at a time.

A screen is a poor transport (typed text joins what stands there, or interrupts), so two looks must show the same.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gastown.model import times
from gastown.model.errors import GtError
from gastown.store import flock, layout
from gastown.store.town import Town

if TYPE_CHECKING:
    from gastown.runtime.presets import Form
    from gastown.runtime.sessions import SessionRecord

WAIT = 15.0
_POLL = 0.2


def form_of(town: Town, record: SessionRecord) -> Form | None:
    """How to see an idle prompt of this session, if words may be typed into it at all."""
    from pathlib import Path

    from gastown.runtime.presets import load_preset

    if record.runtime != "tmux" or not record.socket:
        return None
    preset = load_preset(record.agent, Path(town.root))
    form = preset.terminal
    if form is None or preset.hooks.get("supported") or not (form.get("idle") or {}).get("screen"):
        return None
    return form


def type_in(town: Town, record: SessionRecord, form: Form, text: str, *, wait: float) -> bool:
    """Type `text` once the session shows an idle prompt; False if it did not within `wait` seconds."""
    deadline = time.monotonic() + wait
    with _one_typist(town, record.id) as ours:
        while ours and not at_prompt(record, form):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL)
        if ours:
            _send(record, form, text)
    return ours


@contextlib.contextmanager
def _one_typist(town: Town, sid: str) -> Iterator[bool]:
    """False if somebody else types into this session right now and does not end soon."""
    os.makedirs(layout.run(town.root, "nudges"), exist_ok=True)
    with flock.alone(layout.run(town.root, "nudges", f".{sid}.lock"), timeout=WAIT, poll=0.05) as alone:
        yield alone


def at_prompt(record: SessionRecord, form: Form) -> bool:
    """True if the terminal waits at its prompt, in two looks that show the same."""
    idle, busy = dict(form.get("idle") or {}), dict(form.get("busy") or {})
    first = _screen(record, idle)
    if first is None or not _sees(first, idle) or (busy.get("screen") and _sees(_screen(record, busy) or "", busy)):
        return False
    time.sleep(times.duration(str(idle.get("stable", "0.2s"))))
    return _screen(record, idle) == first


def _screen(record: SessionRecord, sight: dict[str, Any]) -> str | None:
    """The last lines of the session's screen; None if it cannot be seen."""
    from gastown.runtime.tmux import Server

    try:
        return Server(str(record.socket)).capture(record.id, int(sight.get("lines", 20)))
    except GtError:
        return None


def _sees(text: str, sight: dict[str, Any]) -> bool:
    import re

    absent = sight.get("absent")
    # A title cannot be looked at from here: what asks for one is not seen.
    if sight.get("title") or (absent and re.search(absent, text)):
        return False
    return bool(sight.get("screen") and re.search(sight["screen"], text))


def _send(record: SessionRecord, form: Form, text: str) -> None:
    from gastown.runtime.tmux import ENTER_PAUSE, Server

    paste = form.get("paste") or {}
    server = Server(str(record.socket))
    # A control character in the text would be a key press.
    plain = "".join(c if c in "\n\t" or c.isprintable() else " " for c in text)
    server.send_text(record.id, plain, enter=False)
    time.sleep(times.duration(str(paste.get("pause", f"{ENTER_PAUSE}s"))))
    for key in paste.get("submit") or ["Enter"]:
        server.send_key(record.id, key)
