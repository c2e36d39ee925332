"""New mail for agents that live here: urgent mail is said at once, high at their next turn, the rest in the digest.

Nudges from other machines come as mail of a type of their own, and are handed over as nudges.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from gastown.deacon import contact, stamps
from gastown.deacon.action import Action
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model.errors import GtError
from gastown.services.mail import arrivals, digest, mailbox
from gastown.store import layout, maildir
from gastown.store.town import Town

STAMP = "mail"


@dataclass(frozen=True)
class News:
    """One message that nobody has read, for an agent with a live session here; `fresh`: it came since the last look.

    `word` names it in a command, as long as it exists; `nudge` is the unique name of one that is a nudge from another
    machine.
    """

    path: str
    to: str
    sender: str
    subject: str
    priority: str
    word: str
    fresh: bool
    nudge: str = ""


@dataclass(frozen=True)
class NudgeMail(Action):
    """Tell an agent of a message."""

    to: str = ""
    words: str = ""
    once = True

    def apply(self, town: Town) -> None:
        """At its next turn."""
        if os.path.exists(layout.absolute(town.root, self.subject)):
            contact.nudge(town, self.to, self.words)


@dataclass(frozen=True)
class NudgeUrgent(NudgeMail):
    """Tell an agent of an urgent message at once."""

    slow = True

    def apply(self, town: Town) -> None:
        """At an idle prompt where nudges are typed."""
        if os.path.exists(layout.absolute(town.root, self.subject)):
            contact.nudge(town, self.to, self.words, urgent=True, at_once=True)


@dataclass(frozen=True)
class HandOver(Action):
    """Give an agent the nudge that came for it from another machine."""

    to: str = ""
    unique: str = ""
    slow = True

    def apply(self, town: Town) -> None:
        """As one from here: typed at an idle prompt, or at its next turn; one that came too late is not told."""
        arrivals.hand_over(town, self.to, self.unique)


def gather(world: World) -> list[News]:
    """Messages in new/ of agents that live here, that moved or (in a full look) came since the last one."""
    addresses = {record.address for record in world.pulse.live.values()}
    paths = world.paths
    found: list[News] = []
    for address in sorted(addresses):
        box = f"{layout.mailbox(address)}/new/"
        if paths is not None and not any(path.startswith(box) for path in paths):
            continue
        try:
            letters, _ = mailbox.letters(world.town, address)
        except GtError:
            continue
        for letter in letters:
            path = next((one for one in letter.paths if one.startswith(box)), "")
            if not path or not letter.new or letter.head.sender == address:
                continue
            came = paths is None and maildir.delivered_at(letter.unique) >= world.since
            fresh = came or path in world.moved
            head = letter.head
            travelled = letter.unique if head.kind == arrivals.KIND else ""
            word = digest.word(letter)
            found.append(News(path, address, head.sender, head.subject, head.priority, word, fresh, travelled))
    return found


def decide(evidence: list[News], settings: Settings, now: float) -> list[Action]:
    """Old news is none; what is normal or low waits for the digest. A nudge has its own age, and waits for none."""
    found: list[Action] = []
    for one in evidence:
        if one.nudge:
            found.append(HandOver(one.path, f"a nudge of {one.sender} for {one.to} came", to=one.to, unique=one.nudge))
            continue
        if not one.fresh or one.priority not in ("urgent", "high"):
            continue
        words = f"{one.priority} mail from {one.sender}: {one.subject[:200]} (gt mail read {one.word})"
        action = NudgeUrgent if one.priority == "urgent" else NudgeMail
        found.append(action(one.path, f"{one.priority} mail for {one.to}", to=one.to, words=words))
    return found


def seen(town: Town, now: float) -> None:
    """What came until `now` is no news any more."""
    stamps.set_stamp(town.root, STAMP, now)
