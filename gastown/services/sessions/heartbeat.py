"""The heartbeat: a file of this machine whose time says when an agent was last heard of. No commit."""

from __future__ import annotations

from gastown.model.address import is_worker
from gastown.model.errors import UsageError
from gastown.store import runstate

LONGEST = 200


def beat(root: str, address: str, text: str = "") -> None:
    """Say that `address` lives, and in `text` what it is doing. Raises UsageError for who is no agent."""
    if not is_worker(address) and address not in ("mayor", "deacon"):
        raise UsageError(f"{address} has no heartbeat: it is for agents", "inside a session GT_ACTOR says who you are")
    runstate.touch_heartbeat(root, address, " ".join(text.split())[:LONGEST])


def age(root: str, address: str, now: float) -> float | None:
    """Seconds since the last heartbeat of `address` on this machine; None if there never was one."""
    last = runstate.heartbeat(root, address)
    return None if last is None else max(0.0, now - last[0])
