"""Feed events: one JSON object a line (town.md, Feed event)."""

from __future__ import annotations

import json
from typing import Any

TYPES = frozenset(
    """sling queue claim claim_lost spawn session_start session_end session_death mass_death heartbeat_stale nudge
    mail done merge_queued merge_started merged merge_failed merge_rejected bisect close reopen create edit hand_edit
    invalid_file defer release escalation escalation_ack escalation_raise convoy_create convoy_land sync
    sync_conflict_resolved rescue recover deacon_start deacon_stop estop thaw trust untrusted_command rig_add rig_remove
    rig_park machine_add machine_retire machine_rename town_init note config doctor_fix""".split()
)

# Those that somebody may have to look at.
PROBLEMS = frozenset(
    """session_death mass_death heartbeat_stale merge_failed merge_rejected invalid_file escalation escalation_raise
    claim_lost untrusted_command""".split()
)


def make(
    kind: str, *, ts: str, actor: str, text: str, bead: str | None, rig: str | None, data: dict[str, Any]
) -> dict[str, Any]:
    """An event without its id (the feed gives it one); raises ValueError for an unknown type."""
    if kind not in TYPES:
        raise ValueError(f"unknown event type {kind!r}")
    event: dict[str, Any] = {"ts": ts, "id": "", "type": kind, "actor": actor}
    if bead:
        event["bead"] = bead
    if rig:
        event["rig"] = rig
    if data:
        event["data"] = data
    event["text"] = text
    return event


def encode(event: dict[str, Any]) -> bytes:
    """One line, UTF-8, with its newline; non-ASCII text stays readable."""
    return json.dumps(event, ensure_ascii=False, separators=(", ", ": ")).encode("utf-8", "replace") + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """The event of one line; None for what is no event (a torn line)."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "ts" in event and "type" in event else None
