"""The workers of a rig and what each does now: derived from beads, sessions and heartbeats, never stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from gastown.model import times
from gastown.model.bead import HELD, parse_branch
from gastown.model.errors import GtError, InvalidFile, NotFound
from gastown.model.ids import is_name
from gastown.model.row import Row
from gastown.model.text import nearest
from gastown.runtime.sessions import SessionRecord
from gastown.services.sessions import attempts, heartbeat
from gastown.store import layout
from gastown.store.index import Index
from gastown.store.town import Town
from gastown.store.view import View

QUIET = "15m"


@dataclass(frozen=True)
class Polecat:
    """One worker. `state`: idle working stalled quiet limited stuck zombie foreign; `why` says what made it that.

    `since` is when its session began (RFC 3339), `kind` polecats or crew.
    """

    address: str
    kind: str
    state: str
    bead: str | None = None
    title: str = ""
    attempt: int = 0
    agent: str | None = None
    machine: str | None = None
    session: str | None = None
    since: str | None = None
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """Every fact by its name."""
        return dict(vars(self))


def polecats(town: Town, rig: str | None = None, *, index: Index | None = None) -> list[Polecat]:
    """Every worker of a rig (None: of all), polecats first, by name. Unusable worker files are left to `problems`."""
    index = index or town.index()
    held = {row.assignee: row for row in index.live if row.assignee and row.status in HELD}
    live = attempts.live_sessions(town)[0]
    found = []
    for name in [rig] if rig else town.rig_names():
        for worker, kind in _everyone(town, name, held):
            address = f"{name}/{worker}"
            found.append(_one(town, address, kind, held.get(address), live.get(address)))
    return sorted(found, key=lambda one: (one.address.partition("/")[0], one.kind != "polecats", one.address))


def as_it_was(view: View, rig: str | None = None) -> list[Polecat]:
    """As `polecats`, for the past: what the files say. Of sessions nothing is known, so held work was worked on."""
    held = {row.assignee: row for row in view.index().live if row.assignee and row.status in HELD}
    found = []
    for name in [rig] if rig else view.rig_names():
        for worker, kind in _everyone(view, name, held):
            address = f"{name}/{worker}"
            row = held.get(address)
            found.append(Polecat(address, kind, "idle") if row is None else _held(address, kind, "working", row))
    return sorted(found, key=lambda one: (one.address.partition("/")[0], one.kind != "polecats", one.address))


def problems(view: View, rig: str | None = None) -> list[InvalidFile]:
    """The worker files that cannot be used."""
    return [one for name in ([rig] if rig else view.rig_names()) for one in view.workers(name)[1]]


def find(town: Town, address: str, view: View | None = None) -> Polecat:
    """One worker, now or as a past view has it; raises NotFound with near addresses."""
    seen = view or town
    rig = seen.rig(address.partition("/")[0]).name
    everyone = polecats(town, rig) if seen.revision is None else as_it_was(seen, rig)
    for one in everyone:
        if one.address == address:
            return one
    for problem in problems(seen, rig):
        if problem.path.rpartition("/")[2] == f"{address.partition('/')[2]}.yaml":
            raise problem
    raise NotFound(f"no worker {address}", near=nearest(address, [one.address for one in everyone]))


def require(view: View, address: str) -> None:
    """Raise NotFound, with near addresses, unless there is a worker of that address."""
    rig, _, name = address.partition("/")
    if rig not in view.rig_names():
        view.rig(rig)
    if not any(view.exists(layout.worker_file(rig, kind, name)) for kind in ("polecats", "crew")):
        known = [f"{rig}/{doc['name']}" for doc in view.workers(rig)[0]]
        near = nearest(address, known)
        raise NotFound(f"no worker {address}", "" if near else "`gt agents` shows them", near)


def _one(town: Town, address: str, kind: str, row: Row | None, session: SessionRecord | None) -> Polecat:
    if row is None:
        if session is None:
            return Polecat(address, kind, "idle")
        why = _orphaned(town, session) or "a session without work on its hook"
        return Polecat(address, kind, "zombie", session=session.id, agent=session.agent, machine=town.machine, why=why)
    state, why, sid, agent = _state(town, address, row)
    return replace(_held(address, kind, state, row), agent=agent or row.agent, session=sid or None, why=why)


def _orphaned(town: Town, session: SessionRecord) -> str:
    """That the bead of a session was removed, and where its work is."""
    if not session.bead or town.bead_path(session.bead) is not None:
        return ""
    from gastown.services.agents import orphaned

    return orphaned.why(town, session)


def _everyone(view: View, rig: str, held: Iterable[str | None]) -> list[tuple[str, str]]:
    """Name and kind of a rig's workers, with those whose files are gone and who have work all the same."""
    found = [(str(doc["name"]), str(doc["kind"])) for doc in view.workers(rig)[0]]
    return found + [(one, "polecats") for one in unlisted([name for name, _ in found], held, rig)]


def unlisted(workers: Iterable[str], held: Iterable[str | None], rig: str) -> list[str]:
    """The names of a rig's agents with work on their hook that are not among its `workers`: their files are gone."""
    names = {one.partition("/")[2] for one in held if one and one.startswith(f"{rig}/")}
    return sorted(name for name in names.difference(workers) if is_name(name))


def _held(address: str, kind: str, state: str, row: Row) -> Polecat:
    """What the bead alone says of its holder."""
    attempt = parse_branch(row.branch)[2] if row.branch else 0
    return Polecat(
        address, kind, state, row.id, row.title, attempt, row.agent, machine=row.machine, since=row.since
    )


def _state(town: Town, address: str, row: Row) -> tuple[str, str, str, str]:
    """(state, why, session, agent) of a worker with a bead on its hook."""
    try:
        bead = town.bead(row.id)
        life = attempts.look(town, bead)
    except GtError as error:
        return "stalled", f"unknown: {error.message}", "", ""
    if not bead.held:
        return "working", "", "", ""  # handed in or let go since the index was read
    session = bead.last_session or {}
    agent, outcome = str(session.get("agent") or ""), str(session.get("outcome") or "")
    if (bead.machine or town.machine) != town.machine:
        return "foreign", f"on machine {bead.machine}", life.session, agent
    if life.live:
        silent = _silence(town, address, life.record)
        if silent is not None:
            return "quiet", f"no sign of life for {times.ago(silent)}", life.session, agent
        return "working", life.why, life.session, agent
    if outcome in ("escalated", "deferred"):
        return "stuck", "asked for help" if outcome == "escalated" else "put off", life.session, agent
    if life.state == "unknown":
        return "stalled", f"unknown: {life.why}", life.session, agent
    return "stalled", f"its session is over ({outcome or life.state})", life.session, agent


def _silence(town: Town, address: str, record: SessionRecord | None) -> float | None:
    """Seconds without a sign of life, if they are more than `deacon.quiet` allows; a young session is not silent."""
    try:
        limit = town.span("deacon.quiet", QUIET)
    except InvalidFile:  # the status names it, and shows the rest all the same
        limit = times.duration(QUIET)
    now = town.clock()
    began = record.started if record is not None else now
    beat = heartbeat.age(town.root, address, now)
    silent = now - began if beat is None else min(beat, now - began)
    return silent if silent > limit else None


# -- nuke -----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Nuked:
    """A worker whose worktree and session are gone: what was saved where, the branches that stay."""

    address: str
    removed: bool
    saved: str = ""
    released: str = ""
    branches: tuple[str, ...] = ()


def worktree_of(town: Town, address: str) -> str:
    """Where a worker works."""
    rig, _, name = address.partition("/")
    return layout.worktree(town.root, rig, name)
