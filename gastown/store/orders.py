"""The canonical order of keys of every kind of YAML file but beads (their order is in model.bead)."""

from __future__ import annotations

from gastown.model import bead
from gastown.store import layout

TOWN = (
    "name", "prefix", "version", "created", "agent", "runtime", "max_polecats", "default_rig", "deacon", "sync",
    "escalation", "budget",
)  # fmt: skip
WORKER = ("name", "kind", "rig", "machine", "agent", "created")
MACHINE = ("name", "id", "platform", "created", "capacity", "seen", "instance", "retired")
AGENT = ("name", "description", "command", "prompt", "resume", "env", "version")


def for_path(path: str) -> tuple[str, ...]:
    """The order of keys for the file at a town path; () where its own order is kept."""
    parts = path.split("/")
    if layout.bead_of_path(path):
        return bead.KEYS
    if path == layout.TOWN_FILE:
        return TOWN
    if parts[0] == layout.RIGS and len(parts) == 3 and parts[2] == "rig.yaml":
        from gastown.model import rig  # git's merge driver has no use for it

        return rig.KEYS
    if parts[0] == layout.RIGS and len(parts) == 4 and parts[2] in ("polecats", "crew"):
        return WORKER
    if parts[0] == layout.MACHINES:
        return MACHINE
    return AGENT if parts[0] == "agents" else ()
