"""Starting one piece of work: claimed, its worktree prepared, its session begun; or queued, or found landed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from gastown.model.address import name_of, rig_of
from gastown.model.bead import Bead
from gastown.model.errors import GtError
from gastown.model.rig import Rig
from gastown.runtime import clones
from gastown.services.agents import earlier, launch, worksite
from gastown.services.agents.launch import Agent
from gastown.services.agents.worksite import Base
from gastown.services.beads import beads
from gastown.services.beads.targets import Target
from gastown.services.claims import claims, turns
from gastown.services.landing import landed
from gastown.services.sessions import attempts, dispatch
from gastown.services.sling import claim, contest
from gastown.services.sling.claim import Chosen, Claim, Held, Order, Waits
from gastown.services.work import resume as resuming
from gastown.store import layout
from gastown.store.change import Change
from gastown.store.town import Town

Say = Callable[[str], None]


@dataclass(frozen=True)
class Dispatched:
    """Work that an agent has: the session that works on it; `unchanged`: it had it already."""

    bead: str
    to: str
    attempt: int
    session: str
    unchanged: bool = False


@dataclass(frozen=True)
class Queued:
    """Work that waits, for whom, and why."""

    bead: str
    to: str
    reason: str


@dataclass(frozen=True)
class RefusedWork:
    """One piece of work that was not started: what was typed, and the error as users see it."""

    work: str
    code: str
    message: str
    hint: str = ""
    exit_code: int = 5


def refusal(work: str, error: GtError) -> RefusedWork:
    """The refusal of one work for a reason that does not concern the others."""
    return RefusedWork(work, error.code, error.message, error.hint, error.exit_code)


@dataclass(frozen=True)
class SlingReport:
    """What became of each work. `landed`: (bead, commit) of work that was on the target already and is closed now."""

    dispatched: tuple[Dispatched, ...] = ()
    queued: tuple[Queued, ...] = ()
    refused: tuple[RefusedWork, ...] = ()
    landed: tuple[tuple[str, str], ...] = ()
    messages: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The shape of cli.md."""
        return {
            "dispatched": [vars(one) for one in self.dispatched],
            "queued": [vars(one) for one in self.queued],
            "refused": [
                {key: getattr(one, key) for key in ("work", "code", "message", "hint")} for one in self.refused
            ],
            "landed": [{"bead": bead, "commit": commit} for bead, commit in self.landed],
        }


@dataclass(frozen=True)
class Wish:
    """How work is to be started, beside where: what the options of `gt sling` say."""

    agent: str | None = None
    command: tuple[str, ...] = ()
    force: bool = False
    runtime: str | None = None
    queue: bool = False
    offline: bool = False
    new: beads.Draft = field(default_factory=lambda: beads.Draft(""))


@dataclass
class Run:
    """One call: where to, and what has come of it so far."""

    town: Town
    target: Target
    rig: Rig
    wish: Wish
    say: Say
    dispatched: list[Dispatched] = field(default_factory=list)
    queued: list[Queued] = field(default_factory=list)
    refused: list[RefusedWork] = field(default_factory=list)
    landed: list[tuple[str, str]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    bases: dict[str, Base] = field(default_factory=dict)

    def note(self, text: str) -> None:
        self.messages.append(text)
        self.say(text)

    def base(self, target: str) -> Base:
        if target not in self.bases:
            self.bases[target] = worksite.newest_base(self.town, self.rig, target, say=self.say)
            if self.bases[target].warning:
                self.note(self.bases[target].warning)
        return self.bases[target]

    def report(self) -> SlingReport:
        return SlingReport(
            tuple(self.dispatched), tuple(self.queued), tuple(self.refused), tuple(self.landed), tuple(self.messages)
        )


def begin(run: Run, bead: Bead, order: Order, agent: Agent, context: str = "") -> None:
    """Claim one bead and start it, or queue it, or close it if its work is on the target already."""
    town, rig = run.town, run.rig
    base = run.base(bead.target or rig.branch)
    if not (order.force or order.restart) and _close_if_landed(run, bead, base):
        return
    missing = worksite.missing_needs(town, rig, bead, town.index().by_id, base) if not order.restart else []
    if missing and not order.force:
        town.transact("queue", lambda change: _queue_missing(change, order, missing))
        run.queued.append(Queued(bead.id, str(order.target), "it needs " + ", ".join(missing)))
        return
    if order.takes_from:
        _save_former(run, bead, order)
    sid = launch.new_session_id(town)
    attempts.begin_start(town, sid)
    try:
        claimed, order = _claim(run, order, sid)
        if isinstance(claimed, Waits):
            _end_former(run, bead, order)
            run.queued.append(Queued(bead.id, claimed.to, claimed.reason))
        elif isinstance(claimed, Held):
            session = claimed.bead.last_session or {}
            held = claimed.bead
            run.dispatched.append(Dispatched(held.id, str(held.assignee), held.attempt, str(session.get("id")), True))
        else:
            run.dispatched.append(_start(run, claimed, bead, order, agent, base, context))
    finally:
        attempts.end_start(town, sid)


def _claim(run: Run, order: Order, sid: str) -> tuple[Claim | Held | Waits, Order]:
    """Put it on a hook; where the town has a remote, the right to it is won there in between.

    From the first look at the bead to its hook nobody else of this machine claims it or gives it back.
    """
    town = run.town
    if claims.needed(town):
        with turns.alone(town, order.bead):
            return _contested(run, replace(order, contested=True), sid)
    found = claim.claim(town, run.rig, order, sid)
    assert not isinstance(found, Chosen)
    return found, order


def _contested(run: Run, order: Order, sid: str) -> tuple[Claim | Held | Waits, Order]:
    town = run.town
    found = claim.claim(town, run.rig, order, sid)
    if isinstance(found, Chosen):
        again = order.restart or order.takes_from is not None
        # Forced is what is known to be somebody's; a claim that nobody here knows of is not taken by the way.
        force = order.force and order.takes_from is not None
        ticket = contest.win(town, found, force=force, offline=run.wish.offline, again=again)
        order = replace(order, ticket=ticket)
        if ticket.over:
            run.note(
                f"{order.bead} was taken over from {ticket.over}: a session may still work on it there; what it makes "
                "is kept there, and cannot land"
            )
        try:
            found = claim.claim(town, run.rig, order, sid)
        except BaseException:
            contest.give_back(town, order.bead, ticket)
            raise
        if not isinstance(found, Claim):
            contest.give_back(town, order.bead, ticket)
    assert not isinstance(found, Chosen)
    return found, order


def _queue_missing(change: Change, order: Order, missing: list[str]) -> None:
    bead = change.bead(order.bead)
    if bead.status == "open":
        if order.command:
            bead.set("command", list(order.command))
            bead.set("agent", order.agent)
        dispatch.enqueue(change, bead, str(order.target), "it needs " + ", ".join(missing))


def _close_if_landed(run: Run, bead: Bead, base: Base) -> bool:
    """Close work whose commits stand on the target already, instead of doing it again."""
    town = run.town
    commit = earlier.landed_commit(town, run.rig, bead, base)
    if commit is None or bead.held:
        return False

    def body(change: Change) -> None:
        now = change.bead(bead.id)
        if now.status == "open":
            dispatch.dequeue(now)
            landed.close(change, run.rig, now, base.target, commit)

    town.transact("merged", body)
    run.landed.append((bead.id, commit))
    run.note(f"{bead.id} is on {base.target} already ({commit[:12]}), so it is closed. More to do? gt reopen {bead.id}")
    return True


def _save_former(run: Run, bead: Bead, order: Order) -> None:
    """Before work is taken over or starts anew: save what its holder has not committed, if that lies here."""
    former = str(bead.assignee)
    rig = rig_of(former)
    if rig is None or (bead.machine and bead.machine != run.town.machine):
        return
    saved = worksite.save(run.town, rig, name_of(former))
    if saved and not order.restart:
        run.note(f"in the worktree of {former}: {saved}")


def _end_former(run: Run, bead: Bead, order: Order) -> None:
    """End the session that has lost the work. Only now: its end must not be taken for the end of the work."""
    if order.takes_from is None or (bead.machine and bead.machine != run.town.machine):
        return
    life = attempts.look_at(run.town, order.takes_from[1])
    if life.live and life.record is not None:
        attempts.stop(run.town, life.session)
        _save_former(run, bead, order)


def _start(
    run: Run, claimed: Claim, before: Bead, order: Order, agent: Agent, base: Base, context: str
) -> Dispatched:
    town, rig, bead = run.town, claimed.rig, claimed.bead
    name, branch = name_of(claimed.address), str(bead.branch)
    site, start = None, base.commit
    try:
        _end_former(run, before, order)
        start, why = _starting_point(run, claimed, base)
        site = worksite.prepare(town, rig, name, branch, start)
        if site.rescued:
            run.note(f"in the worktree of {claimed.address}: {site.rescued}")
        worksite.run_setup(town, rig, site.path, say=run.say)
        told = "\n\n".join(text for text in (context, why) if text)
        record = launch.start(town, rig, bead, agent, sid=claimed.session, worktree=site.path, context=told)
    except BaseException as error:
        claim.undo(town, claimed, launch.failure(error))
        contest.give_back(town, bead.id, order.ticket)
        if site is not None:
            worksite.undo(town, rig, name, branch, start, fresh=site.fresh)
        raise
    resuming.tell_started(town, bead, claimed.session, record.resume, record.runtime, site.rescued)
    run.say(f"{bead.id} -> {claimed.address} (attempt {bead.attempt}, session {claimed.session})")
    return Dispatched(bead.id, claimed.address, bead.attempt, claimed.session)


def _starting_point(run: Run, claimed: Claim, base: Base) -> tuple[str, str]:
    """Where the branch starts: the newest target; work that was sent back goes on from its own commits.

    A command is run again from the target instead: it makes the same changes anew.
    """
    before = claimed.bead.sessions[-2] if len(claimed.bead.sessions) > 1 else {}
    if before.get("outcome") != "done" or claimed.bead.command:
        return base.commit, ""
    repo = layout.bare(run.town.root, run.rig.name)
    old = f"polecat/{name_of(str(before.get('by')))}/{claimed.bead.id}.a{before.get('attempt')}"
    tip = clones.resolve(repo, f"refs/heads/{old}")
    if tip is None or clones.is_ancestor(repo, tip, base.commit) or clones.merge_base(repo, tip, base.commit) is None:
        return base.commit, ""  # the last: the rig was given another repository
    return tip, (
        f"Your branch goes on from your last attempt ({old}), which stands on an older {base.target}.\n"
        f"Bring it up to date first: git rebase {base.ref}"
    )
