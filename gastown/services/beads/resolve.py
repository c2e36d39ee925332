"""Choosing between the versions of a text that two sides changed in different ways (`conflicts:` in a bead)."""

from __future__ import annotations

from typing import Any

from gastown.model.errors import NotFound, UsageError
from gastown.services.beads.beads import block
from gastown.store.change import Change
from gastown.store.town import Town
from gastown.store.view import View


def versions(view: View, bead_id: str) -> list[dict[str, Any]]:
    """The open versions in the order of the file: key, at, by, text."""
    return _items(view.bead(bead_id).doc)


def resolve(town: Town, bead_id: str, *, choice: int | None, key: str | None = None, text: str | None = None) -> str:
    """Keep version `choice` (from 1), or `text`; the other versions of that key are dropped. Returns the key.

    Raises NotFound if nothing is open, UsageError for a number or key that is not there, or for both ways at once.
    """
    if choice is not None and (key is not None or text is not None):
        raise UsageError("a version is chosen by its number alone", "or say with --text what it shall be")
    return town.transact("edit", lambda change: _resolve(change, bead_id, choice, key, text), asked=True)


def _items(doc: dict[str, Any]) -> list[dict[str, Any]]:
    there = doc.get("conflicts") or []
    return [item for item in there if isinstance(item, dict)] if isinstance(there, list) else []


def _resolve(change: Change, bead_id: str, choice: int | None, key: str | None, text: str | None) -> str:
    bead = change.bead(bead_id)
    items = _items(bead.doc)
    if not items:
        raise NotFound(f"{bead_id} has no text to choose between", f"gt show {bead_id}")
    value: str | None
    if choice is not None:
        if not 1 <= choice <= len(items):
            raise UsageError(f"there is no version {choice} of {len(items)}", f"gt bead resolve {bead_id} lists them")
        chosen, value = str(items[choice - 1].get("key")), str(items[choice - 1].get("text", ""))
    else:
        keys = sorted({str(item.get("key")) for item in items})
        if key is None and len(keys) > 1:
            raise UsageError(f"more than one text is open: {', '.join(keys)}", "name one with --key")
        chosen, value = key or keys[0], block(text or "")
    left = [item for item in items if item.get("key") != chosen]
    if len(left) == len(items):
        raise UsageError(f"{chosen} of {bead_id} has no versions to choose between", f"gt bead resolve {bead_id}")
    bead.set(chosen, value or None)
    bead.set("conflicts", left)
    change.save(bead)
    change.emit("edit", f"chose between versions of the {chosen} of {bead_id}", bead=bead_id, key=chosen)
    return chosen
