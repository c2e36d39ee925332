"""Reaching an agent that lives here: a nudge, or its first prompt once more."""

from __future__ import annotations

from pathlib import Path

from gastown.model.errors import GtError, NotFound
from gastown.runtime import sessions
from gastown.runtime.presets import load_preset
from gastown.runtime.tmux import Server
from gastown.services.mail import nudge as nudges
from gastown.services.sessions import attempts, keyboard
from gastown.store import files
from gastown.store.town import Town

AGAIN = "You have work on your hook: run `gt prime` and do what it says."


def nudge(town: Town, address: str, text: str, *, urgent: bool = False, at_once: bool = False) -> str:
    """Nudge an agent; what became of it in one word. `at_once` looks up to 15 s for an idle prompt to type at."""
    mode, priority = ("wait" if at_once else "queue"), ("urgent" if urgent else "normal")
    try:
        return nudges.nudge(town, address, text, mode=mode, priority=priority).how
    except NotFound:
        return "gone"


def prompt_again(town: Town, sid: str) -> str:
    """Send a session its first prompt once more: typed at an idle prompt where it has a terminal, else as a nudge."""
    record = sessions.load(attempts.run_dir(town), sid)
    if record.runtime != "tmux" or not record.socket:
        return nudge(town, record.address, AGAIN)
    form = load_preset(record.agent, Path(town.root)).terminal
    if form is not None and (form.get("idle") or {}).get("screen") and not keyboard.at_prompt(record, form):
        return nudge(town, record.address, AGAIN)
    data = files.read_or_none(record.prompt_file) if record.prompt_file else None
    try:
        Server(record.socket).send_text(record.id, data.decode("utf-8", "replace") if data else AGAIN)
    except GtError:
        return "gone"  # it ended while we looked
    return "typed"
