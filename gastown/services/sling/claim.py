"""The claim: one change, under the town lock, that puts a bead on an agent's hook. Nothing starts without it.

In a town with a remote the right to it is won there first (services/sling/contest.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gastown.model import bead as bead_model
from gastown.model import graph, ids
from gastown.model.bead import Bead
from gastown.model.errors import GtError, NotFound, RaceLost, Refused, UsageError
from gastown.model.rig import Rig
from gastown.model.text import safe
from gastown.services.beads.targets import Target
from gastown.services.claims import claims
from gastown.services.sessions import attempts, dispatch
from gastown.store import layout, runstate
from gastown.store.change import Change
from gastown.store.index import Index
from gastown.store.town import Town


@dataclass(frozen=True)
class Ticket:
    """The right to work on a bead: the fence of its claim (None: not confirmed yet) and the least attempt.

    `fresh`: the claim was made for this, and is given back if nothing comes of it. `over`: in words, whose claim it
    took over; "" for nobody's.
    """

    fence: int | None = None
    attempt: int = 1
    fresh: bool = False
    over: str = ""


@dataclass(frozen=True)
class Order:
    """What is to be started where.

    `takes_from` is the (holder, session) that may lose it; with `queue` blocked work waits. `agent_asked` and
    `command` are kept on the bead. `restart`: the same work once more, judged before. `ticket` is the right that was
    won at the remote; with `contested` nothing is put on a hook without one.
    """

    bead: str
    target: Target
    agent: str
    agent_asked: str | None = None
    command: tuple[str, ...] = ()
    force: bool = False
    queue: bool = False
    from_queue: bool = False
    takes_from: tuple[str, str] | None = None
    restart: bool = False
    contested: bool = False
    ticket: Ticket | None = None


@dataclass(frozen=True)
class Claim:
    """A bead that is on a hook now, and the session that is to be started. `taken_from` held it before."""

    bead: Bead
    rig: Rig
    address: str
    session: str
    new_worker: bool
    taken_from: str = ""


@dataclass(frozen=True)
class Held:
    """The target has it on its hook already: nothing was changed."""

    bead: Bead


@dataclass(frozen=True)
class Chosen:
    """Nothing here stands in the way of this worker and attempt; what is missing is the remote's word."""

    bead: Bead
    address: str
    attempt: int


@dataclass(frozen=True)
class Waits:
    """It waits in the queue, and for what."""

    bead: Bead
    to: str
    reason: str


@dataclass(frozen=True)
class _Place:
    name: str
    new: bool
    former: str = field(default="")


def check_bead(town: Town, bead: Bead, rig: Rig, *, force: bool) -> None:
    """Raise what keeps this bead from ever being slung to `rig`, whoever holds it: kind, status, prefix."""
    if bead.type in graph.NOT_WORK:
        raise UsageError(f"{bead.id} is of type {bead.type}, which nobody works on", "sling the beads it stands for")
    if bead.status == "closed":
        raise Refused(
            f"{bead.id} is closed: {bead.closed.get('reason', '')} ({bead.closed.get('at', '')})",
            f"if there is more to do: gt reopen {bead.id}",
        )
    if bead.status == "merging":
        raise Refused(f"{bead.id} waits to be merged: {bead.branch}", f"to take it back: gt mq reject {bead.id}")
    if bead.status == "deferred" and not force:
        raise Refused(f"{bead.id} is deferred", "--force starts it all the same")
    prefix = ids.prefix_of(bead.id)
    if prefix != rig.prefix and not force:
        home = town.rig_for_prefix(prefix)
        raise Refused(
            f"{bead.id} does not belong to rig {rig.name}, whose beads begin with {rig.prefix}-",
            (f"gt sling {bead.id} {home}, or " if home else "") + "--force",
        )


def blockers(bead: Bead, index: Index) -> list[str]:
    """The open needs of `bead`; raises Refused for a circle or an unknown need, which no waiting will cure."""
    by_id = index.by_id
    cycle = graph.find_cycle(bead.id, lambda one: by_id[one].needs if one in by_id else ())
    if cycle:
        circle = " needs ".join(cycle)
        raise Refused(f"{bead.id} waits for itself: {circle}", f"gt bead dep remove {cycle[0]} {cycle[1]}")
    unknown = [need for need in bead.needs if need not in by_id]
    if unknown:
        raise Refused(
            f"{bead.id} needs {', '.join(unknown)}, of which nothing is known here",
            f"mend or restore it, or: gt bead dep remove {bead.id} {unknown[0]}",
        )
    row = by_id.get(bead.id)
    return graph.blockers(row, by_id) if row is not None else []


def said_blocked(bead: Bead, waits: list[str]) -> Refused:
    """The refusal of work that waits for other work."""
    return Refused(f"{bead.id} waits for {', '.join(waits)}", "--queue starts it when they have landed; --force now")


def held_by(bead: Bead) -> Refused:
    """The refusal of work that somebody else has: who, where and since when."""
    session = bead.last_session or {}
    where = f" on {bead.machine}" if bead.machine else ""
    since = f" since {session['started']}" if session.get("started") else ""
    who = f"{bead.id} is held by {bead.assignee}{where}{since}"
    return Refused(who, f"--force takes it over; gt release {bead.id}")


def claim(town: Town, rig: Rig, order: Order, sid: str) -> Claim | Chosen | Held | Waits:
    """Put the bead on a hook, if it is still as it was when it was judged; the change is all or nothing.

    A contested order without a ticket changes nothing and says who would get it. Raises RaceLost if
    somebody else was faster, Refused as `check_bead`.
    """
    done = town.transact("sling", lambda change: _claim(change, rig, order, sid))
    if isinstance(done, Claim):
        if done.taken_from and done.taken_from != done.address:
            runstate.set_hook_hint(town.root, done.taken_from, None)
        runstate.set_hook_hint(town.root, done.address, done.bead.path)
    return done


def _claim(change: Change, rig: Rig, order: Order, sid: str) -> Claim | Chosen | Held | Waits:
    town = change.town
    bead = change.bead(order.bead)
    check_bead(town, bead, rig, force=order.force or order.restart)
    former = _former(bead, order)
    if former is None:
        if order.target.covers(bead.assignee):
            return Held(bead)
        raise RaceLost(f"{bead.id} was given to {bead.assignee} meanwhile", f"gt show {bead.id}")
    if not order.restart:
        waits = blockers(bead, change.index())
        if waits and not order.force:
            if not (order.queue or order.from_queue):
                raise said_blocked(bead, waits)
            return _wait(change, order, bead, "it needs " + ", ".join(waits))
    full = dispatch.slots(town, rig, change.index(), without=bead.id).full
    if full:
        return _wait(change, order, bead, full)
    try:
        name, new = dispatch.choose_name(change, rig, order.target.name, bead)
    except Refused as error:
        if order.restart:
            name, new = dispatch.choose_name(change, rig, None, bead)
        elif order.queue or order.from_queue:
            return _wait(change, order, bead, error.message)
        else:
            raise
    if order.contested and order.ticket is None:
        return Chosen(bead, f"{rig.name}/{name}", bead_model.next_attempt(bead))
    return _hook(change, rig, order, bead, _Place(name, new, former), sid)


def _former(bead: Bead, order: Order) -> str | None:
    """Who held it and may lose it ("" for nobody); None if somebody has it who may not."""
    if not bead.held:
        return ""
    session = bead.last_session or {}
    known = (bead.assignee or "", str(session.get("id", "")))
    return known[0] if order.takes_from == known else None


def _wait(change: Change, order: Order, bead: Bead, why: str) -> Waits:
    """Queue it. Work that is sent back or taken over becomes open first: it is nobody's while it waits."""
    _keep(bead, order)
    if bead.status != "open":
        bead.release(at=change.at)
        change.save(bead)
    to = str(order.target) if not order.restart else order.target.rig
    # Sent back, it goes on where it was forced to go.
    forced = order.force or (order.restart and order.target.rig != layout.rig_of_path(bead.path))
    dispatch.enqueue(change, bead, to, why, force=forced)
    change.save(bead)
    return Waits(bead, to, why)


def _keep(bead: Bead, order: Order) -> None:
    if order.command:
        bead.set("command", list(order.command))
    if order.agent_asked or order.command:
        bead.set("agent", order.agent)


def _hook(change: Change, rig: Rig, order: Order, bead: Bead, place: _Place, sid: str) -> Claim:
    town = change.town
    address = f"{rig.name}/{place.name}"
    attempt = max(bead_model.next_attempt(bead), order.ticket.attempt if order.ticket else 1)
    if bead.status != "open":
        outcome = "taken_over" if place.former and not order.restart else "sent_back"
        bead.end_session(at=change.at, outcome=outcome)
        bead.move("open")
    bead.move("hooked")
    dispatch.dequeue(bead)
    _keep(bead, order)
    bead.set("assignee", address)
    bead.set("machine", town.machine)
    bead.set("branch", bead_model.work_branch(place.name, bead.id, attempt))
    if order.ticket and order.ticket.fence is not None:
        bead.set("fence", order.ticket.fence)
    bead.set("target", bead.target or rig.branch)
    bead.add_session(
        {"id": sid, "attempt": attempt, "agent": order.agent, "by": address, "machine": town.machine,
         "started": change.at}
    )  # fmt: skip
    change.save(bead)
    words = f"slung {bead.id} to {address}: {bead.title}"
    if order.ticket and order.ticket.over:
        words += f" (taken over from {order.ticket.over})"
    change.emit("sling", words, bead=bead.id, rig=rig.name, to=address, attempt=attempt, session=sid, agent=order.agent)
    if place.new:
        path = layout.worker_file(rig.name, "polecats", place.name)
        mark = {"at": change.at, "by": change.actor}
        change.put(path, {"name": place.name, "kind": "polecat", "rig": rig.name, "machine": town.machine,
                          "created": mark})
        change.emit("spawn", f"new polecat {address}", rig=rig.name, worker=address)
    if place.former and place.former != address:
        _tell_former(change, bead, place.former, address)
    return Claim(bead, rig, address, sid, place.new, place.former)


def _tell_former(change: Change, bead: Bead, former: str, address: str) -> None:
    body = f"{change.actor} gave {bead.id} to {address}. Your uncommitted work on it was saved; stop working on it.\n"
    change.deliver(former, f"{bead.id} was taken over: {safe(bead.title)}", body, priority="high", bead=bead.id)


def undo(town: Town, claim: Claim, why: str) -> None:
    """Put a bead whose session could not start back to open. Undone already: nothing changes."""

    def body(change: Change) -> None:
        try:
            bead = change.bead(claim.bead.id)
        except NotFound:
            return
        session = bead.last_session or {}
        if not bead.held or session.get("id") != claim.session or session.get("ended"):
            return
        bead.release(at=change.at, outcome="start_failed")
        change.save(bead)
        text = f"{bead.id} could not start on {claim.address}: {why.splitlines()[0]}"
        change.emit("release", text, bead=bead.id, rig=claim.rig.name, session=claim.session, reason="start_failed")

    town.transact("release", body)
    runstate.set_hook_hint(town.root, claim.address, None)


def may_take(town: Town, bead: Bead, *, force: bool) -> bool:
    """True if a held bead may be taken from its holder: by force, or because its session is provably over.

    Of one on another machine nothing is provable but that its claim has lapsed.
    """
    if force:
        return True
    if bead.machine and bead.machine != town.machine:
        known = claims.known(town, bead.id) if claims.needed(town) else None
        return known is not None and claims.lapsed(town, known)
    try:
        return attempts.is_over(town, bead)
    except GtError:
        return False
