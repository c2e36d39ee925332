"""Nudges: words for now. They wait in local files for the agent's next turn, and expire; nothing here is mail.

Delivery is the hook's (`gt mail check --inject`). Only where an agent's runtime has no hook is a nudge typed
into its terminal (keyboard.py). To an agent on another machine it travels as mail (arrivals.py).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from gastown.model import times
from gastown.model.address import name_of
from gastown.model.bead import HELD
from gastown.model.errors import GtError, UsageError
from gastown.model.message import Draft, header_text
from gastown.model.text import some
from gastown.services.mail import mail, outbox, recipients
from gastown.services.mail.recipients import Place
from gastown.services.sessions import attempts, keyboard
from gastown.store import files, layout, runstate
from gastown.store.town import Town

if TYPE_CHECKING:
    from gastown.runtime.sessions import SessionRecord

MODES = ("wait", "queue", "now")
PRIORITIES = ("urgent", "normal")
LIFE = {"normal": 30 * 60.0, "urgent": 2 * 3600.0}
MOST = 50
LONGEST = 4000
# A claim whose reader died is handed out again after this many seconds.
_CLAIM = 60.0


@dataclass(frozen=True)
class Nudge:
    """One nudge. `at` in epoch seconds, `path` its file while it is held by its reader."""

    sender: str
    text: str
    priority: str
    at: float
    path: str = ""

    def expired(self, now: float) -> bool:
        """True once nobody should be bothered with it any more."""
        return now > self.at + LIFE.get(self.priority, LIFE["normal"])


@dataclass(frozen=True)
class Nudged:
    """What became of a nudge: `how` is queued, typed, mailed, muted or failed; `why` says more."""

    address: str
    how: str
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """Every fact by its name."""
        return dict(vars(self))


# -- the queue ------------------------------------------------------------------------------------
def folder(root: str, address: str) -> str:
    """Where the nudges of an address wait on this machine."""
    return layout.run(root, "nudges", *address.split("/"))


def turn_lock(root: str, address: str) -> str:
    """The lock of whoever hands something over to `address`: one at a time, so that nothing is told twice."""
    return layout.run(root, "nudges", f".{address.replace('/', '__')}.lock")


def waiting(root: str, address: str, now: float) -> list[Nudge]:
    """The nudges that wait, urgent ones first, without taking them."""
    found = [nudge for name in _names(root, address) if (nudge := _load(os.path.join(folder(root, address), name)))]
    return _in_order(one for one in found if not one.expired(now))


def _in_order(found: Iterable[Nudge]) -> list[Nudge]:
    return sorted(found, key=lambda one: (one.priority != "urgent", one.at, one.path))


def _names(root: str, address: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder(root, address)) if name.endswith(".json"))
    except FileNotFoundError:
        return []


def _load(path: str) -> Nudge | None:
    doc = runstate.read_json(path)
    if not isinstance(doc, dict):
        return None
    try:
        return Nudge(str(doc["from"]), str(doc["text"]), str(doc["priority"]), float(doc["at"]), path)
    except (KeyError, TypeError, ValueError):
        return None


def put(root: str, address: str, nudge: Nudge) -> None:
    """Let a nudge wait for `address`. Raises GtError if too many wait already; expired ones are dropped first."""
    home = folder(root, address)
    names = _names(root, address)
    for name in list(names):
        there = _load(os.path.join(home, name))
        if there is None or there.expired(nudge.at):
            files.remove(os.path.join(home, name))
            names.remove(name)
    if len(names) >= MOST:
        raise GtError(f"{len(names)} nudges wait for {address} already", "write a mail, or look: gt peek " + address)
    doc = {"from": nudge.sender, "text": nudge.text, "priority": nudge.priority, "at": nudge.at}
    runstate.write_json(os.path.join(home, f"{int(nudge.at * 1000):014d}-{token_hex(4)}.json"), doc, durable=False)


def take(root: str, address: str, now: float) -> list[Nudge]:
    """Claim what waits for `address`, urgent first: no other reader gets it. `drop` or `give_back` ends the claim."""
    home = folder(root, address)
    _revive(home, now)
    taken = []
    for name in _names(root, address):
        claimed = os.path.join(home, f".{name}.taken")
        try:
            os.rename(os.path.join(home, name), claimed)
        except FileNotFoundError:
            continue  # another reader was first
        os.utime(claimed, (now, now))
        nudge = _load(claimed)
        if nudge is None or nudge.expired(now):
            files.remove(claimed)
        else:
            taken.append(nudge)
    return _in_order(taken)


def _revive(home: str, now: float) -> None:
    """Put back what a reader claimed that was killed before it had told anybody."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(home):
            path = os.path.join(home, name)
            with contextlib.suppress(FileNotFoundError):
                if name.endswith(".taken") and now - os.stat(path).st_mtime > _CLAIM:
                    os.rename(path, os.path.join(home, name[1:].removesuffix(".taken")))


def drop(taken: Iterable[Nudge]) -> None:
    """These were told."""
    for one in taken:
        files.remove(one.path)


def give_back(taken: Iterable[Nudge]) -> None:
    """These could not be told: they wait again."""
    for one in taken:
        home, name = os.path.split(one.path)
        with contextlib.suppress(FileNotFoundError):
            os.rename(one.path, os.path.join(home, name[1:].removesuffix(".taken")))


# -- do not disturb -------------------------------------------------------------------------------
def _mute_file(root: str, address: str) -> str:
    return layout.run(root, "dnd", address.replace("/", "__"))


def muted(root: str, address: str) -> bool:
    """True if `address` wants urgent nudges only, on this machine."""
    return os.path.exists(_mute_file(root, address))


def mute(root: str, address: str, *, on: bool) -> bool:
    """Switch it; False if it was so already."""
    if muted(root, address) == on:
        return False
    if on:
        runstate.write_json(_mute_file(root, address), {"at": times.text(time.time())}, durable=False)
    else:
        files.remove(_mute_file(root, address))
    return True


# -- sending --------------------------------------------------------------------------------------
def nudge(town: Town, word: str, text: str, *, mode: str = "wait", priority: str = "normal") -> Nudged:
    """Nudge one agent. `wait` looks up to 15 s for an idle prompt where nudges are typed, else queues.

    Raises NotFound for an unknown recipient, UsageError for an empty text, for one who reads no nudges, and
    GtError if `now` cannot be done or too many wait.
    """
    town.require_own()
    address = recipients.known(town, word)
    _check(address, text, mode, priority)
    done = _deliver(town, address, text, mode=mode, priority=priority)
    _tell(town, [done], text, priority)
    return done


def broadcast(
    town: Town, text: str, *, rig: str | None = None, everybody: bool = False, priority: str = "normal"
) -> list[Nudged]:
    """Nudge every worker that is at work (of one rig, or of all); `everybody`: also idle ones, and the mayor.

    The sender is left out. One that cannot be nudged does not keep the others from it (`how` is failed).
    """
    town.require_own()
    if rig is not None:
        rig = town.rig(rig).name
    sessions, held = _at_work(town)
    found = []
    for place in recipients.directory(town):
        if place.address == town.actor or not _is_meant(place, rig):
            continue
        if everybody or place.address in sessions or place.address in held:
            _check(place.address, text, "queue", priority)
            try:
                found.append(_deliver(town, place.address, text, mode="queue", priority=priority))
            except GtError as error:
                found.append(Nudged(place.address, "failed", error.message))
    if found:
        _tell(town, found, text, priority)
    return found


def _is_meant(place: Place, rig: str | None) -> bool:
    if place.kind == "coordinator":
        return rig is None
    return place.kind in ("polecat", "crew") and rig in (None, place.address.partition("/")[0])


def _at_work(town: Town) -> tuple[dict[str, SessionRecord], dict[str, str]]:
    """(live sessions here by address, the machine on which each holder of work sits)."""
    live, _ = attempts.live_sessions(town)
    rows = town.index().live
    return live, {row.assignee: row.machine or town.machine for row in rows if row.assignee and row.status in HELD}


def _check(address: str, text: str, mode: str, priority: str) -> None:
    if not text.strip():
        raise UsageError("a nudge needs words", 'gt nudge ADDRESS "what to do"')
    if len(text) > LONGEST:
        raise UsageError(f"a nudge of {len(text)} characters is too long (at most {LONGEST})", "write a mail")
    if mode not in MODES:
        raise UsageError(f"{mode!r} is no mode", "one of: " + " ".join(MODES))
    if priority not in PRIORITIES:
        raise UsageError(f"{priority!r} is no priority of a nudge", "one of: " + " ".join(PRIORITIES))
    if name_of(address) in ("deacon", "witness", "refinery"):
        raise UsageError(f"{address} is code and reads no nudges", "nudge an agent, or write to the overseer")


def _deliver(town: Town, address: str, text: str, *, mode: str, priority: str) -> Nudged:
    live, held = _at_work(town)
    elsewhere = held.get(address, town.machine)
    if address == "overseer" or (elsewhere != town.machine and address not in live):
        if mode == "now" and address != "overseer":
            raise GtError(
                f"{address} cannot be told now: it works on machine {elsewhere}",
                "leave out --mode now: then it goes there with the next sync",
            )
        _mail(town, address, text, priority)
        return Nudged(address, "mailed", "" if address == "overseer" else f"works on machine {elsewhere}")
    return hand(town, address, Nudge(town.actor, text, priority, town.clock()), record=live.get(address), mode=mode)


def hand(town: Town, address: str, one: Nudge, *, record: SessionRecord | None, mode: str = "wait") -> Nudged:
    """Give a nudge to an agent of this machine, whose live session is `record`; modes as in `nudge`."""
    if muted(town.root, address) and one.priority != "urgent":
        return Nudged(address, "muted", "only urgent nudges get through")
    form = keyboard.form_of(town, record) if record is not None and mode != "queue" else None
    why = ""
    if record is not None and form is not None:
        words = f"[nudge from {one.sender}] {one.text}"
        if keyboard.type_in(town, record, form, words, wait=keyboard.WAIT if mode == "wait" else 0.0):
            return Nudged(address, "typed", "into its terminal, at an idle prompt")
        why = "it is busy"
    if mode == "now":
        raise GtError(
            f"{address} cannot be told now: {why or _why_not(record)}", "leave out --mode now: then it is queued"
        )
    put(town.root, address, one)
    if record is None:
        why = f"it has no session on this machine; expires in {times.ago(LIFE.get(one.priority, LIFE['normal']))}"
    return Nudged(address, "queued", why)


def _why_not(record: SessionRecord | None) -> str:
    if record is None:
        return "it has no session on this machine"
    return "nothing is typed into an agent that reads its nudges by a hook, or whose prompt is not known"


def _mail(town: Town, address: str, text: str, priority: str) -> None:
    """A nudge that travels: a message of type nudge, handed over like one where it arrives."""
    subject = header_text(text)[:120] or "nudge"
    draft = Draft(town.actor, address, subject, text, "nudge", "urgent" if priority == "urgent" else "normal")
    outbox.post(town, mail.pack(town, draft))


def _tell(town: Town, done: list[Nudged], text: str, priority: str) -> None:
    """One feed event for all of them."""
    names = some([one.address for one in done])
    said = f"{town.actor} nudged {names}: {header_text(text)[:200]}"
    to = {one.address: one.how for one in done}
    town.transact("nudge", lambda change: change.emit("nudge", said, to=to, priority=priority))
