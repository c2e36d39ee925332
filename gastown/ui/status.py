"""`gt status` for people: the town in a line, what needs a person, then the rigs with their workers."""

from __future__ import annotations

from gastown.model.text import clip, safe
from gastown.services.health.standing import Problem, RigStatus, Status, Worker
from gastown.services.health.status import age
from gastown.ui import style

_MANY = 30


def lines(status: Status, *, now: float, colour: bool, everything: bool = False) -> list[str]:
    """The screen, line by line; of many problems the first, unless `everything` is wanted."""
    out = [_head(status, now, colour)]
    if status.problems:
        shown = status.problems if everything else status.problems[:_MANY]
        out += ["", style.paint("problems", "bold", colour)]
        out += [_problem(one, colour) for one in shown]
        if len(status.problems) > len(shown):
            out.append(f"  and {len(status.problems) - len(shown)} more: gt status --all")
    out.append("")
    if not status.rigs:
        out.append("no rigs yet: gt rig add NAME URL-OR-PATH")
    for rig in status.rigs:
        out += _rig(rig, now, colour)
    return out


def _head(status: Status, now: float, colour: bool) -> str:
    name = style.paint(safe(status.town), "bold", colour)
    remote = f"remote {safe(status.remote)}" if status.remote else "no remote"
    if status.news:
        remote += f", {status.news.said(now)}"
    deacon = f"deacon {safe(status.deacon)}" if status.deacon else "deacon not running"
    mail = f"; {status.unread} unread (gt mail inbox)" if status.unread else ""
    return f"{name} on {safe(status.machine or '?')}: {status.ready} ready; {remote}; {deacon}{mail}"


def _problem(one: Problem, colour: bool) -> str:
    kind = style.paint(one.kind.ljust(12), "yellow" if one.kind in ("quiet", "zombie") else "red", colour)
    return f"  {kind}  {safe(one.subject)}  {safe(one.text)}  -> {safe(one.command)}"


def _rig(rig: RigStatus, now: float, colour: bool) -> list[str]:
    parked = "  (parked)" if rig.parked else ""
    stalled = f"  stalled {rig.stalled}" if rig.stalled else ""
    counts = f"ready {rig.ready}  working {rig.working}{stalled}  merging {rig.merging}  blocked {rig.blocked}"
    out = [f"{style.paint(rig.name, 'bold', colour)}  {counts}{parked}"]
    width = max((len(one.address) for one in rig.workers), default=0)
    room = max((len(_state(one)) for one in rig.workers), default=0)
    for one in rig.workers:
        state = style.paint(_state(one).ljust(max(room, 8)), style.STATE_STYLE.get(one.state), colour)
        line = f"  {safe(one.address).ljust(width)}  {state}"
        if one.bead:
            line += f"  {one.bead}  {age(one.since, now) or '-'}  {clip(safe(one.title), 60)}"
        if one.confirmed is False:
            line += style.paint("  unconfirmed", "yellow", colour)
        out.append(line.rstrip())
    return out


def _state(one: Worker) -> str:
    """What it does; of one elsewhere it is known where."""
    return f"on {safe(one.machine)}" if one.state == "foreign" and one.machine else one.state
