"""What needs a person now, and the command that deals with each: the problems of `gt status`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from gastown.model import graph, ids, times
from gastown.model.beadcheck import HELD
from gastown.model.errors import GtError, InvalidFile
from gastown.model.rig import Rig
from gastown.model.row import Row
from gastown.model.text import counted
from gastown.services.beads import queries
from gastown.services.health.standing import Problem, RigStatus
from gastown.store import identity, layout
from gastown.store.index import Index
from gastown.store.refs import Refs
from gastown.store.town import Town
from gastown.store.view import View

# As in gastown.services.sessions.dispatch, which is dear to import.
QUEUED = "queued"
# No pause of recovery is looked for that began longer ago.
_PAUSE_MOST = 3600.0


def found(
    town: Town, view: View, index: Index, rigs: list[Rig], summaries: Sequence[RigStatus], bad: Sequence[InvalidFile],
    *, remote: bool,
) -> tuple[Problem, ...]:  # fmt: skip
    """All of them, what concerns everything first. What is known of machines and processes is only of now.

    `remote`: files of this town may have come over a wire. False for the past.
    """
    problems = [*_holds(town, view), *_syncing(town, view, remote=remote), *_machine_problems(town, view, rigs)]
    problems += _rigless(view)
    problems += _clocks(town) if remote else []
    problems += _paused(town, view, summaries)
    problems += _worker_problems(summaries)
    problems += _gone(town, index) if view.revision is None else []
    problems += _silent(town, summaries) if remote else []
    problems += _merge_problems(view, town, index)
    problems += _waiting_elsewhere(town, index, rigs) if remote else []
    problems += _landing_problems(town, rigs) if view.revision is None else []
    problems += _given(town, view, index)
    problems += _untrusted(town, index, rigs) if remote else []
    problems += _escalations(view, index)
    problems += [_circle(path) for path in graph.need_circles(index.live)]
    problems += _ignored(town) if view.revision is None else []
    problems += [_to_choose(row) for row in sorted(index.disputed, key=queries.work_order)]
    problems += [Problem("invalid_file", one.path, one.reason, one.command or f"$EDITOR {one.path}") for one in bad]
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
    from gastown.services.sessions import holds

    name = machine_name(town) or "?"
    stops = [Problem(one.kind, name, f"nothing new starts: {one.why}", one.ends) for one in holds.stops(town.root)]
    text = f"nothing starts by itself, only what a person slings: {holds.paused(town.root)}"
    paused = [Problem("paused", name, text, "gt scheduler resume")] if holds.paused(town.root) else []
    return stops + paused


def _syncing(town: Town, view: View, *, remote: bool) -> list[Problem]:
    """Why what is done here does not reach the other machines: a person's git led the town away, or a sync failed."""
    if view.revision is not None:
        return []
    from gastown.services.claims import badclaims
    from gastown.services.files import footing
    from gastown.services.remote import news

    led = footing.astray(Refs(town.root))
    if led is not None:
        return [Problem("git", "town", led.text, led.command)]
    if footing.left_behind(Refs(town.root)):
        return [Problem("git", "town", "what was written on no branch is not on this one yet", "gt doctor --fix")]
    odd = badclaims.noted(town.root) if remote else []
    found = [Problem("claim", one.ref, one.message, one.command) for one in odd]
    failed = news.trouble(town.root) if remote else None
    if failed is None:
        return found
    text = f"the town is not synced, for {times.ago(town.clock() - failed.since)}: {failed.text}"
    return [Problem("sync", "town", text, "gt sync"), *found]


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


def _rigless(view: View) -> list[Problem]:
    """Rigs whose rig.yaml is gone, with beads that nobody can work on. The module is loaded only where there is one."""
    suspects = [name for name in view.names(layout.RIGS) if ids.is_name(name)]
    if all(view.exists(layout.rig_file(name)) for name in suspects):
        return []
    from gastown.services.files import rigless

    found = [(one, one.command or f"$EDITOR {one.problem.path}") for one in rigless.found(view)]
    return [Problem("rig", one.rig, f"its rig.yaml is missing, and {one.text}", command) for one, command in found]


def _this_machine(town: Town) -> list[Problem]:
    name, stands = machine_name(town) or "?", identity.standing(town.root, town.clock())
    if not stands.own:
        return [Problem("machine", name, stands.text, "gt machine rename NEW")]
    if name == "?":
        return [Problem("machine", name, "this machine has no name in the town, and cannot write", "gt doctor --fix")]
    doc = identity.told(town.root, name) if name != "?" else {}
    if not doc.get("retired"):
        return []
    from gastown.services.machines import machine

    return [Problem("machine", name, machine.said_retired(name, doc), "gt machine join")]


def _clocks(town: Town) -> list[Problem]:
    """Clocks that differ by more than an hour: leases and the order of edits hang on them."""
    from gastown.services.machines import clocks

    return [Problem("clock", one.machine or "remote", one.text, "date -u") for one in clocks.ahead(town, commits=False)]


_PUT_OFF = "put off"
# state (or why it is in it) -> what is wrong, and what deals with it
_TROUBLE = {
    "stalled": ("{bead} has no live session: {detail}", "gt resume {bead}"),
    "stuck": ("{bead} needs help: {detail}", "gt show {bead}"),
    _PUT_OFF: ("{bead} was put off by its worker", "gt resume {bead}"),
    "quiet": ("{bead}: {detail}", "gt peek {address}"),
    "zombie": ("{detail}", "gt session stop {session}"),
}


def _paused(town: Town, view: View, rigs: Iterable[RigStatus]) -> list[Problem]:
    """That the deacon lets stalled work lie for a while, because many sessions died at once on this machine."""
    if view.revision is not None or not any(one.state == "stalled" for rig in rigs for one in rig.workers):
        return []
    now, name = times.text(town.clock()), machine_name(town)
    for event in view.events(times.text(town.clock() - _PAUSE_MOST)):
        data = event.get("data")
        if event["type"] == "mass_death" and isinstance(data, dict) and data.get("machine") == name:
            until = str(data.get("until") or "")
            if until > now:
                text = f"{event.get('text', '')}, until {until}"
                return [Problem("mass_death", str(name), text, "gt feed --type session_death --since 10m")]
    return []


def _worker_problems(rigs: Iterable[RigStatus]) -> list[Problem]:
    found = []
    for one in (worker for rig in rigs for worker in rig.workers):
        if one.state in _TROUBLE:
            facts = {**vars(one), "detail": one.why or one.title}
            text, command = (form.format(**facts) for form in _TROUBLE[one.why if one.why == _PUT_OFF else one.state])
            found.append(Problem(one.state, one.address, text, command))
    return found


def _gone(town: Town, index: Index) -> list[Problem]:
    """Work that is held on, or waits for, a machine that takes no part any more."""
    here = (None, machine_name(town))
    away = [row for row in index.live if row.machine not in here and (row.status in HELD or QUEUED in row.labels)]
    away = [row for row in away if row.status in (*HELD, "open")]
    if not away:
        return []
    from gastown.services.health import gone

    return gone.problems(town, sorted(away, key=queries.work_order))


def _silent(town: Town, rigs: Iterable[RigStatus]) -> list[Problem]:
    """Work that is held on a machine of which nothing is heard."""
    away = [one for rig in rigs for one in rig.workers if one.state == "foreign" and one.bead]
    away = [one for one in away if not identity.told(town.root, str(one.machine)).get("retired")]
    if not away:
        return []
    from gastown.services.health import silence

    return [found for one in away if (found := silence.bead_problem(town, one)) is not None]


def _waiting_elsewhere(town: Town, index: Index, rigs: Iterable[Rig]) -> list[Problem]:
    """Queues that wait for the refinery of a machine of which nothing is heard."""
    rows = [one for one in index.live if one.type == "merge" and one.status == "open" and "set-aside" not in one.labels]
    if not rows:
        return []
    from gastown.services.health import silence

    queues = [(rig, [row for row in rows if row.rig == rig.name]) for rig in rigs]
    found = [silence.queue_problem(town, rig, waiting) for rig, waiting in queues if waiting]
    return [one for one in found if one is not None]


def _merge_problems(view: View, town: Town, index: Index) -> list[Problem]:
    rows = [row for row in index.live if row.type == "merge" and row.status == "open"]
    if not rows or view.revision is not None:
        return []
    from gastown.services.landing import held

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


def _landing_problems(town: Town, rigs: list[Rig]) -> list[Problem]:
    """Branches that work lands on in a clone here, and that somebody but the refinery has moved."""
    local = [rig for rig in rigs if rig.landing == "local"]
    if not local:
        return []
    from gastown.services.rigs import localtarget

    found = [(rig, localtarget.said(one, rig)) for rig in local for one in localtarget.astray(town, rig)]
    return [Problem("landing", rig.name, text, f"gt refinery run {rig.name}") for rig, text in found]


def _given(town: Town, view: View, index: Index) -> list[Problem]:
    """Open work that was given to somebody by a file and cannot start there."""
    rows = [row for row in index.live if row.status == "open" and row.assignee and QUEUED not in row.labels]
    if view.revision is not None or not rows:
        return []
    from gastown.services.agents import given

    found, refused = [], cache(lambda: given.refusals(town))
    for row in sorted(rows, key=queries.work_order):
        if _is_for_another(town, row):
            continue
        to, command = str(row.assignee), f"gt sling {row.id}"
        why = given.why_not(town, row, to)
        if why == "" and (stop := given.stop(town, row, to, refused)):
            why, command = stop
        if why:
            found.append(Problem("given", row.id, f"it does not start for {to}: {why}", command))
    return found


def _is_for_another(town: Town, row: Row) -> bool:
    """True for work that another machine of the town is to start: it is told there."""
    return (
        row.machine not in (None, machine_name(town))
        and town.exists(layout.machine_file(str(row.machine)))
        and not identity.told(town.root, str(row.machine)).get("retired")
    )


def _untrusted(town: Town, index: Index, rigs: list[Rig]) -> list[Problem]:
    """Commands that came from elsewhere, and that something waits for on this machine: one line for all."""
    here = machine_name(town)
    open_rows = (row for row in index.live if row.status == "open" and QUEUED in row.labels)
    waiting = [row for row in open_rows if row.machine in (None, here)]
    named = [_default_agent(town), *(rig.agent for rig in rigs), *(row.agent for row in waiting)]
    # A built-in one came with gt.
    agents = sorted({one for one in named if one and town.exists(f"agents/{one}.yaml")})
    if not waiting and not agents and not any(rig.gates or rig.setup for rig in rigs):
        return []
    from gastown.services.settings import commands

    found = [one for one in commands.needed(town, rigs, waiting, agents) if not one.trusted]
    if not found:
        return []
    names = ", ".join(f"{one.kind} of {one.subject}" for one in found[:3]) + (", …" if len(found) > 3 else "")
    text = f"nobody on this machine has agreed to: {names}"
    return [Problem("untrusted", counted(len(found), "command"), text, "gt trust list")]


def _default_agent(town: Town) -> str | None:
    name = town.setting("agent")
    return name if isinstance(name, str) and ids.is_name(name) else None


def _escalations(view: View, index: Index) -> list[Problem]:
    """Those that nobody has taken note of yet."""
    rows = [row for row in index.live if row.type == "escalation"]
    beads = queries.load_rows(view, sorted(rows, key=queries.work_order))
    new = [one for one in beads if not one.doc.get("acked")]
    return [Problem("escalation", one.id, one.title, f"gt escalate ack {one.id}") for one in new]


def _ignored(town: Town) -> list[Problem]:
    """What keeps hand edits from being committed at all. Git is asked when the .gitignore is not the one it was."""
    from gastown.services.files import ignored, sound

    good, now = sound.Good(town.root, "ignores"), ignored.known(town)
    if good.has(".gitignore", now):
        return []
    found = ignored.hiding(town)
    if not found:
        good.add(".gitignore", now)
        good.keep()
    return [Problem("ignored", one.file, one.text, f"$EDITOR {one.file}") for one in found]


def _circle(path: list[str]) -> Problem:
    """What two machines closed, each with one half: everything in it counts as blocked, and would for ever."""
    text = f"a circle, in which nothing can ever start: {' needs '.join(path)}"
    return Problem("circle", path[0], text, f"gt bead dep remove {path[0]} {path[1]}")


def _to_choose(row: Row) -> Problem:
    text = f"{row.title}: its {' and its '.join(row.conflicts)} was changed in two ways; choose one"
    return Problem("conflict", row.id, text, f"gt bead resolve {row.id}")
