"""Where messages lie: real Maildirs, one file a message (town.md, Message)."""

from __future__ import annotations

import itertools
import os

from gastown.store import layout

_count = itertools.count(1)


def unique_name(machine: str, epoch: float) -> str:
    """A name no other delivery has: `time.MusecPpidQn.machine`."""
    return f"{int(epoch)}.M{int(epoch * 1e6) % 1_000_000:06d}P{os.getpid()}Q{next(_count)}.{machine}"


def keep_files(address: str) -> list[str]:
    """The `.gitkeep` files that make a mailbox a Maildir in git."""
    box = layout.mailbox(address)
    return [f"{box}/{part}/.gitkeep" for part in ("new", "cur", "tmp")]


def new_path(address: str, unique: str) -> str:
    """Where an unseen message lies."""
    return f"{layout.mailbox(address)}/new/{unique}"


def messages(names: list[str]) -> list[str]:
    """The names in a Maildir folder that are messages: mail programs skip leading dots."""
    return sorted(name for name in names if not name.startswith("."))


def flags(name: str) -> str:
    """The flags behind `:2,` of a message in cur/."""
    return name.rpartition(":2,")[2] if ":2," in name else ""
