"""Saying something once: one change with the feed event that remembers it, and the mail about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gastown.store import layout
from gastown.store.change import Change
from gastown.store.town import Town


def header(text: str) -> str:
    """`text` as it may stand in a mail's subject: one line, no control characters, not endless."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 150 else line[:149] + "…"


def tell(
    town: Town, kind: str, key: str, text: str, *, body: str, to: Iterable[str] = ("overseer",),
    bead: str | None = None, rig: str | None = None, priority: str = "normal", **data: Any,
) -> None:  # fmt: skip
    """A feed event of `kind` that carries `key`, and mail to `to` with `text` as its subject."""

    def write(change: Change) -> None:
        for who in to:
            change.deliver(who, header(text), body, priority=priority, bead=bead)
        change.emit(kind, text, bead=bead, rig=rig or _rig(town, bead), key=key, **data)

    town.transact(kind, write)


def note(town: Town, kind: str, key: str, text: str, *, bead: str | None = None, **data: Any) -> None:
    """A feed event that carries `key`, and no mail."""
    town.transact(kind, lambda change: change.emit(kind, text, bead=bead, rig=_rig(town, bead), key=key, **data))


def _rig(town: Town, bead: str | None) -> str | None:
    path = town.bead_path(bead) if bead else None
    return layout.rig_of_path(path) if path else None
