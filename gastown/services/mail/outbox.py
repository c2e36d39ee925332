"""Delivering a message, together with what other processes of the same sender wait to deliver.

A change costs about the same for one message as for twenty, so whoever gets the town lock takes along what
waits in `.gt/run/outbox/<sender>/`. Only one sender's: a commit has one author. The feed, written with the
messages, says what was delivered; a process that dies here loses or doubles nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gastown.model.errors import GtError, RaceLost, Stale
from gastown.model.message import header_text
from gastown.services.mail import mailbox
from gastown.services.mail.mailbox import Letter
from gastown.store import files, layout, maildir
from gastown.store.lock import TIMEOUT
from gastown.store.maildir import REPLIED, SEEN
from gastown.store.town import Town

if TYPE_CHECKING:
    from gastown.store.change import Change

_MOST = 50
_MOST_BYTES = 1 << 20
# Whoever waits longer than the town lock's patience has given up.
_STALE = 60.0
_PATIENCE = 0.02
_TRIES = 5


@dataclass(frozen=True)
class Sent:
    """A message as it was delivered: its Message-ID without brackets, and into whose mailboxes."""

    id: str
    sender: str
    to: tuple[str, ...]
    subject: str
    kind: str
    priority: str
    bead: str | None

    def as_json(self) -> dict[str, Any]:
        """What `gt mail send --json` prints."""
        return {
            "id": self.id, "from": self.sender, "to": list(self.to), "subject": self.subject, "type": self.kind,
            "priority": self.priority, "bead": self.bead,
        }  # fmt: skip


@dataclass(frozen=True)
class Parcel:
    """A message ready to be delivered: one file in each mailbox, all under one unique name."""

    sent: Sent
    unique: str
    data: bytes


def post(town: Town, parcel: Parcel, *, answered: Letter | None = None) -> Sent:
    """Deliver a parcel; the message it answers is marked as answered in the same change."""
    home = layout.run(town.root, "outbox", parcel.sent.sender.replace("/", "__"))
    own = os.path.join(home, parcel.unique)
    # An answer alters more than mailboxes get: nobody else can take it along.
    if answered is None and len(parcel.data) <= _MOST_BYTES:
        os.makedirs(home, exist_ok=True)
        files.write(own, _pack(parcel), durable=False)
    along: list[str] = []

    def body(change: Change) -> None:
        along.clear()
        told = _recently_told(town)
        if answered is not None:
            mailbox.move(change, answered, add=SEEN + REPLIED)
        elif parcel.unique.encode() in told:
            return  # another process took it along
        put(change, parcel)
        for path, other in _waiting(home, told):
            if path != own:
                put(change, other)
                along.append(path)

    try:
        _write(town, parcel, body, gone=lambda: answered is None and not os.path.exists(own))
    except GtError:
        files.remove(own)
        if parcel.unique.encode() not in _recently_told(town):
            raise
    finally:
        files.remove(own)
    for path in along:
        files.remove(path)
    return parcel.sent


def _write(town: Town, parcel: Parcel, body: Callable[[Change], None], *, gone: Callable[[], bool]) -> None:
    """Run `body` in a change; while others hold the town, look whether one of them took the parcel along (`gone`)."""
    deadline, stale = time.monotonic() + TIMEOUT, 0
    while True:
        try:
            with town.change("mail", parcel.sent.sender, timeout=_PATIENCE) as change:
                body(change)
            return
        except Stale:
            stale += 1
            if stale >= _TRIES:
                raise
        except RaceLost:
            if gone() and parcel.unique.encode() in _recently_told(town):
                return
            if time.monotonic() > deadline:
                raise


def put(change: Change, parcel: Parcel) -> Sent:
    """Deliver a parcel within a change: the files and the event."""
    sent = parcel.sent
    for address in sent.to:
        mailbox.make_box(change, address)
        change.write(maildir.new_path(address, parcel.unique), parcel.data)
    whom = ", ".join(sent.to) if len(sent.to) <= 3 else f"{', '.join(sent.to[:2])} and {len(sent.to) - 2} more"
    said = f"{sent.sender} to {whom}: {header_text(sent.subject)}"
    change.emit("mail", said, bead=sent.bead, actor=sent.sender, to=list(sent.to), message=sent.id, type=sent.kind,
                priority=sent.priority, file=parcel.unique)  # fmt: skip
    return sent


def _pack(parcel: Parcel) -> bytes:
    facts = {"pid": os.getpid(), "unique": parcel.unique, "sent": asdict(parcel.sent)}
    return json.dumps(facts).encode() + b"\n" + parcel.data


def _waiting(home: str, told: bytes) -> list[tuple[str, Parcel]]:
    """The parcels of living processes that nobody has delivered yet, oldest first, as many as one change takes."""
    found: list[tuple[str, Parcel]] = []
    size = 0
    for name in sorted(os.listdir(home)) if os.path.isdir(home) else ():
        path = os.path.join(home, name)
        if name.startswith(".") or name.encode() in told:
            continue
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            if time.time() - os.stat(path).st_mtime > _STALE:
                files.remove(path)
                continue
            head, _, data = files.read(path).partition(b"\n")
            facts = json.loads(head)
            sent = facts["sent"]
            if _alive(int(facts["pid"])):
                found.append((path, Parcel(Sent(**{**sent, "to": tuple(sent["to"])}), str(facts["unique"]), data)))
                size += len(data)
        if len(found) >= _MOST or size > _MOST_BYTES:
            break
    return found


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _recently_told(town: Town) -> bytes:
    """The newest of this machine's feed: more than any process that still waits can have missed."""
    found: list[str] = []
    for day in sorted(town.names(layout.FEED), reverse=True)[:2]:
        folder = f"{layout.FEED}/{day}"
        names = sorted((one for one in town.names(folder) if one.startswith(f"{town.machine}-")), reverse=True)
        found += [f"{folder}/{name}" for name in names]
    return b"".join(town.read(path) for path in found[:3])
