"""One-line answers that hook-time commands print on both of their ways. Imports next to nothing."""

from __future__ import annotations

from gastown.model.text import safe


def hook_line(bead_id: str, status: str, priority: int, title: str) -> str:
    """What is on a hook: id, priority, status, title."""
    return f"{bead_id}  P{priority}  {status}  {safe(title)}"


def empty_hook_line(address: str) -> str:
    """Said when a hook was read and holds nothing."""
    return f"nothing on the hook of {address}"
