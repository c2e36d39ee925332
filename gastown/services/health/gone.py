"""Work that names a machine which takes no part any more: nobody there goes on with it, and nobody here begins it."""

from __future__ import annotations

from collections.abc import Iterable

from gastown.model.bead import HELD
from gastown.model.row import Row
from gastown.services.health.standing import Problem
from gastown.store import identity, layout
from gastown.store.town import Town


def problems(town: Town, rows: Iterable[Row]) -> list[Problem]:
    """Of `rows`, those that are held on a retired machine, and those that wait for one that is retired or unknown.

    Work that was under way to a machine while it was retired, or got another name, comes to stand so.
    """
    return [one for one in (_problem(town, row) for row in rows) if one is not None]


def _problem(town: Town, row: Row) -> Problem | None:
    name = str(row.machine)
    if identity.told(town.root, name).get("retired"):
        if row.status in HELD:
            text = f"it is held by {row.assignee} on machine {name}, which was retired"
        else:
            text = f"it waits for machine {name}, which was retired"
        return Problem("machine", row.id, text, f"gt machine retire {name}")
    if row.status not in HELD and not town.exists(layout.machine_file(name)):
        return Problem("machine", row.id, f"it waits for machine {name}, and there is none", f"gt release {row.id}")
    return None
