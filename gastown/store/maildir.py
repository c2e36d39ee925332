"""Where messages lie: real Maildirs, one file a message (town.md, Message).

Light on imports: `gt mail check` loads it at every prompt.
"""

from __future__ import annotations

import itertools
import os

from gastown.store import layout

ARCHIVE = ".Archive"
SEEN, REPLIED, FLAGGED, TRASHED, DRAFT = "S", "R", "F", "T", "D"
_PARTS = ("new", "cur", "tmp")
_count = itertools.count(1)


def unique_name(machine: str, epoch: float) -> str:
    """A name no other delivery has: `time.MusecPpidQn.machine`."""
    return f"{int(epoch)}.M{int(epoch * 1e6) % 1_000_000:06d}P{os.getpid()}Q{next(_count)}.{machine}"


def folder(address: str, sub: str = "") -> str:
    """A mailbox, or one of its Maildir++ folders (`.Archive`)."""
    box = layout.mailbox(address)
    return f"{box}/{sub}" if sub else box


def keep_files(address: str, sub: str = "") -> list[str]:
    """The empty files that make a mailbox a Maildir in git, and a folder of it one by Maildir++."""
    box = folder(address, sub)
    return [f"{box}/{part}/.gitkeep" for part in _PARTS] + ([f"{box}/maildirfolder"] if sub else [])


def new_path(address: str, unique: str) -> str:
    """Where an unseen message lies."""
    return f"{layout.mailbox(address)}/new/{unique}"


def cur_path(address: str, unique: str, flags: str, sub: str = "") -> str:
    """Where a message lies that some program has seen, with its flags in order."""
    return f"{folder(address, sub)}/cur/{unique}:2,{''.join(sorted(set(flags)))}"


def messages(names: list[str]) -> list[str]:
    """The names in a Maildir folder that are messages: mail programs skip leading dots."""
    return sorted(name for name in names if not name.startswith("."))


def flags(name: str) -> str:
    """The flags behind `:2,` of a message in cur/."""
    return name.rpartition(":2,")[2] if ":2," in name else ""


def unique_of(name: str) -> str:
    """A message's name without its flags: what two copies of one message have in common."""
    return name.rpartition(":2,")[0] if ":2," in name else name


def delivered_at(unique: str) -> float:
    """When a message was delivered, by its name; 0 if the name does not tell."""
    seconds, _, rest = unique.partition(".")
    if not seconds.isascii() or not seconds.isdigit() or len(seconds) > 12:
        return 0.0
    micros = rest[1:7] if rest[:1] == "M" else ""
    return int(seconds) + (int(micros) / 1e6 if micros.isascii() and micros.isdigit() else 0.0)


def unread(new: list[str], cur: list[str]) -> list[str]:
    """The unique names of what nobody has read, from the names in new/ and cur/: the one rule for list, count, notify.

    Two files of one unique name are one message, with the flags of both.
    """
    read = {unique_of(name) for name in cur if SEEN in flags(name) or TRASHED in flags(name)}
    return sorted({unique_of(name) for name in messages(new) + messages(cur)} - read)
