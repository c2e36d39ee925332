"""Nudges that came as mail from another machine: handed over as the nudges they are, or too late for it."""

from __future__ import annotations

import os

from gastown.model.errors import RaceLost
from gastown.services.mail import mailbox, nudge
from gastown.services.mail.mailbox import Letter
from gastown.services.mail.nudge import Nudge
from gastown.services.sessions import attempts
from gastown.store import flock, layout
from gastown.store.change import Change
from gastown.store.maildir import SEEN
from gastown.store.town import Town

KIND = "nudge"


def life(letter: Letter) -> float:
    """How long a nudge that travels is worth telling, in seconds from when it was sent."""
    return nudge.LIFE["urgent" if letter.head.priority == "urgent" else "normal"]


def expired(letter: Letter, now: float) -> bool:
    """True once nobody should be bothered with it any more; as a message it stays."""
    return now > letter.date + life(letter)


def hand_over(town: Town, address: str, unique: str) -> str:
    """Deliver one of them to an agent that lives here; the message counts as read then.

    What became of it: typed, queued, muted, expired, or gone (somebody read it before). Nothing is told twice: the
    agent's own reading (`gt mail check --inject`) waits meanwhile. Raises GtError if too many nudges wait already.
    """
    os.makedirs(layout.run(town.root, "nudges"), exist_ok=True)
    with flock.alone(nudge.turn_lock(town.root, address), timeout=20) as alone:
        if not alone:
            raise RaceLost(f"another process hands {address} its news", "try again in a moment")
        letters, _ = mailbox.letters(town, address)
        letter = next((one for one in letters if one.unique == unique and one.new), None)
        if letter is None:
            return "gone"
        how = "expired" if expired(letter, town.clock()) else _tell(town, address, letter)
        town.transact(f"nudge: for {address}", lambda change: _done(change, letter, how))
        return how


def _tell(town: Town, address: str, letter: Letter) -> str:
    text = mailbox.content(town, letter).text.strip() or letter.head.subject
    priority = "urgent" if letter.head.priority == "urgent" else "normal"
    one = Nudge(letter.head.sender or "unknown", text, priority, letter.date)
    record = attempts.live_sessions(town)[0].get(address)
    return nudge.hand(town, address, one, record=record).how


def _done(change: Change, letter: Letter, how: str) -> None:
    if mailbox.move(change, letter, add=SEEN) is not None:
        said = "came too late" if how == "expired" else f"was handed over ({how})"
        text = f"a nudge of {letter.head.sender or 'unknown'} for {letter.address} {said}"
        change.emit("nudge", text, to={letter.address: how}, message=letter.id)
