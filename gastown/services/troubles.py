"""What needs a person now, and the command that deals with each: the problems of `gt status`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gastown.model.errors import GtError, InvalidFile
from gastown.model.rig import Rig
from gastown.model.row import Row
from gastown.services import queries
from gastown.store import identity, layout
from gastown.store.index import Index
from gastown.store.town import Town
from gastown.store.view import View

if TYPE_CHECKING:
    from gastown.services.status import RigStatus


@dataclass(frozen=True)
class Problem:
    """Something that needs a person, and the command that deals with it."""

    kind: str
    subject: str
    text: str
    command: str


def found(
    town: Town, view: View, index: Index, rigs: list[Rig], summaries: Sequence[RigStatus], bad: Sequence[InvalidFile]
) -> tuple[Problem, ...]:
    """All of them, what concerns everything first. What is known of machines and processes is only of now."""
    problems = [*_holds(town, view), *_machine_problems(town, view, rigs), *_worker_problems(summaries)]
    problems += _merge_problems(view, town, index)
    problems += _escalations(index)
    problems += [_to_choose(row) for row in sorted(index.disputed, key=queries.work_order)]
    problems += [Problem("invalid_file", one.path, one.reason, f"$EDITOR {one.path}") for one in bad]
    return tuple(problems)


def machine_name(town: Town) -> str | None:
    """This machine's name; None if it has none yet."""
    try:
        return town.machine
    except GtError:
        return None


def _holds(town: Town, view: View) -> list[Problem]:
    """What keeps everything on this machine from starting: said before all else."""
    if view.revision is not None:
        return []
    from gastown.services import holds

    name = machine_name(town) or "?"
    return [Problem(one.kind, name, f"nothing new starts: {one.why}", one.ends) for one in holds.every(town.root)]


def _machine_problems(town: Town, view: View, rigs: list[Rig]) -> list[Problem]:
    """A copy of this machine's folder, or a retired machine, takes no part: said first. Then rigs that lie on one."""
    if view.revision is not None:
        return []
    homes = {rig.name: rig.refinery_machine for rig in rigs if rig.refinery_machine and rig.landing == "local"}
    gone = {home for home in set(homes.values()) if home and identity.told(town.root, home).get("retired")}
    found = _this_machine(town)
    for rig, home in homes.items():
        if home in gone:
            text = f"its repository lies on machine {home}, which was retired"
            found.append(Problem("machine", rig, text, f"$EDITOR {layout.rig_file(rig)}"))
    return found


def _this_machine(town: Town) -> list[Problem]:
    name, stands = machine_name(town) or "?", identity.standing(town.root, town.clock())
    if not stands.own:
        return [Problem("machine", name, stands.text, "gt machine rename NEW")]
    doc = identity.told(town.root, name) if name != "?" else {}
    if not doc.get("retired"):
        return []
    from gastown.services import machine

    return [Problem("machine", name, machine.said_retired(name, doc), "gt machine join")]


# state -> what is wrong, and what deals with it
_TROUBLE = {
    "stalled": ("{bead} has no live session", "gt resume {bead}"),
    "stuck": ("{bead} needs help", "gt show {bead}"),
    "quiet": ("{bead}: no sign of life for a while", "gt peek {address}"),
    "zombie": ("a session without work", "gt session stop {session}"),
}


def _worker_problems(rigs: Iterable[RigStatus]) -> list[Problem]:
    found = []
    for one in (worker for rig in rigs for worker in rig.workers):
        if one.state in _TROUBLE:
            text, command = (form.format(**vars(one)) for form in _TROUBLE[one.state])
            detail = one.why or one.title
            found.append(Problem(one.state, one.address, f"{text}: {detail}" if detail else text, command))
    return found


def _merge_problems(view: View, town: Town, index: Index) -> list[Problem]:
    rows = [row for row in index.live if row.type == "merge" and row.status == "open"]
    if not rows or view.revision is not None:
        return []
    from gastown.services import held

    found = []
    for rig in sorted({row.rig for row in rows if row.rig}):
        reasons = held.known(town, rig)
        for row in rows:
            if row.rig != rig:
                continue
            reason = str(reasons.get(row.id, {}).get("reason", ""))
            if reason or "set-aside" in row.labels:
                why = reason.splitlines()[0] if reason else "set aside"
                text = f"{row.source or row.branch} cannot be merged: {why}"
                found.append(Problem("merge", row.id, text, f"gt mq show {row.id}"))
    return found


def _escalations(index: Index) -> list[Problem]:
    return [
        Problem("escalation", row.id, row.title, f"gt show {row.id}")
        for row in sorted((row for row in index.live if row.type == "escalation"), key=queries.work_order)
    ]


def _to_choose(row: Row) -> Problem:
    text = f"{row.title}: its {' and its '.join(row.conflicts)} was changed in two ways; choose one"
    return Problem("conflict", row.id, text, f"gt bead resolve {row.id}")
