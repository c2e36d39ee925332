"""Sling: give work to agents. Everything is judged first; then each bead is claimed, gets a worktree, and starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gastown.model.address import name_of, rig_of
from gastown.model.bead import Bead
from gastown.model.errors import GtError, InvalidFile, RaceLost, Refused
from gastown.runtime.remotes import RemoteUnreachable
from gastown.services.agents import launch, worksite
from gastown.services.agents.launch import Agent, NotInstalled
from gastown.services.beads import beads, targets
from gastown.services.beads.targets import Target
from gastown.services.claims.claims import Offline
from gastown.services.files import footing
from gastown.services.machines import machine as machine_of
from gastown.services.remote.takeable import NotTaken
from gastown.services.sessions import attempts, dispatch, holds
from gastown.services.settings import trust
from gastown.services.settings.trust import Untrusted
from gastown.services.sling import claim, elsewhere, scheduler, unstarted
from gastown.services.sling.claim import Order
from gastown.services.sling.starts import Dispatched, RefusedWork, Run, Say, SlingReport, Wish, begin, refusal
from gastown.services.work import resume as resuming
from gastown.store.town import Town

_UNCONFIRMED = "`gt sling --offline` works on it unconfirmed, until the next sync settles it"


@dataclass(frozen=True)
class _Planned:
    """One work that passed every check: a bead (None: to be created from `title`), its agent, whom it is taken from."""

    work: str
    bead: Bead | None
    agent: Agent
    takes_from: tuple[str, str] | None = None
    title: str = ""

    @property
    def resumes(self) -> bool:
        """True if the target has it already and takes it up again."""
        return self.bead is not None and self.bead.held and self.takes_from is None


def sling(
    town: Town, works: Sequence[str], target: str | None = None, *, agent: str | None = None,
    command: Sequence[str] | None = None, force: bool = False, runtime: str | None = None, queue_blocked: bool = False,
    titles: Sequence[str] = (), new: beads.Draft | None = None, here: str | None = None, dry_run: bool = False,
    offline: bool = False, machine: str | None = None, on_step: Say | None = None,
) -> SlingReport:  # fmt: skip
    """Give `works` (ids, or free text, of which a bead is made) to `target`: a rig, RIG/NAME, or None: their own rig,
    else as `targets` says.

    What concerns all of it (the target, an untrusted setup) is raised before anything is touched; what concerns one
    work is in `refused`. In a batch, or with `queue_blocked`, blocked work is queued. `titles` are new work for
    certain; `new` gives the other fields of new beads. `offline` starts without asking the town's remote who has it.
    `machine` addresses the work to another machine, whose deacon starts it when the town reaches it.
    """
    town.settle()
    machine_of.require_active(town, machine)
    home = None if target or titles else targets.home_of(town, works, town.actor)
    place = targets.resolve(town, target, here=here, home=home)
    many = len(works) + len(titles) > 1
    wish = Wish(
        agent, tuple(command or ()), force, runtime, queue_blocked or many, offline, new or beads.Draft("")
    )
    run = Run(town, place, town.rig(place.rig), wish, on_step or (lambda text: None))
    if machine is not None and machine != town.machine:
        return elsewhere.send(run, works, titles, machine, dry_run=dry_run)
    holds.require_none(town.root)
    footing.require_home(town.repo)
    elsewhere.check_home(town, run.rig)
    worksite.check_setup(town, run.rig)
    dispatch.check_settings(town)
    with town.one_look():
        planned = _judge(run, works, titles)
        for one in planned:
            if dry_run:
                run.dispatched.append(Dispatched(one.bead.id if one.bead else "(new)", str(place), 0, ""))
            else:
                _try(run, one)
    return run.report()


# -- judging --------------------------------------------------------------------------------------
def _judge(run: Run, works: Sequence[str], titles: Sequence[str]) -> list[_Planned]:
    """What is to be done, without touching anything; what cannot be, and what is done already, is noted."""
    planned = []
    for work in [*works, *titles]:
        try:
            found = None if work in titles else targets.find_work(run.town, work, run.town.actor)
            planned.append(_plan_new(run, work) if found is None else _plan(run, work, found))
        except GtError as error:
            run.refused.append(refusal(work, error))
    return [one for one in planned if one is not None]


def _plan_new(run: Run, title: str) -> _Planned:
    """Judge free text, of which a bead will be made."""
    agent = launch.choose(run.town, _agent_name(run, None), run.wish.runtime)
    if not run.wish.command:
        launch.check_command(run.town, agent, "it", [])
    run.base(run.rig.branch)
    return _Planned(title, None, agent, title=beads.check_title(title))


def _plan(run: Run, work: str, bead_id: str) -> _Planned | None:
    """Judge one bead without touching anything; None if nothing is to be done for it (noted in the report)."""
    town, wish = run.town, run.wish
    bead = town.bead(bead_id)
    if bead.status == "merging" and run.target.covers(bead.assignee):
        run.note(f"{bead.id} was handed in by {bead.assignee} and waits to be merged")
        session = str((bead.last_session or {}).get("id", ""))
        run.dispatched.append(Dispatched(bead.id, str(bead.assignee), bead.attempt, session, True))
        return None
    claim.check_bead(town, bead, run.rig, force=wish.force)
    others = bead.machine not in (None, town.machine) or not run.target.covers(bead.assignee)
    takes = bead.held and others and claim.may_take(town, bead, force=wish.force)
    if bead.held and not takes and run.target.covers(bead.assignee):
        return _plan_held(run, work, bead)
    takes_from = None
    if bead.held:
        if not takes:
            raise claim.held_by(bead)
        takes_from = (str(bead.assignee), str((bead.last_session or {}).get("id", "")))
    agent = launch.choose(town, _agent_name(run, bead), wish.runtime)
    if not wish.command:
        launch.check_command(town, agent, bead.id, bead.command)
    _check_needs(run, bead)
    return _Planned(work, bead, agent, takes_from)


def _agent_name(run: Run, bead: Bead | None) -> str:
    asked = run.wish.agent or (launch.EXEC if run.wish.command else None)
    worker = launch.worker_doc(run.town, run.rig.name, str(run.target)) if run.target.name else None
    return launch.agent_name(run.town, run.rig, bead, worker, asked)


def _plan_held(run: Run, work: str, bead: Bead) -> _Planned | None:
    """The target has it already: nothing to do while its session lives, else it is to be taken up again."""
    life = attempts.give_up_start(run.town, bead)
    if life.state == "elsewhere":
        run.note(f"{bead.id} is worked on by {bead.assignee} on machine {bead.machine}; --force takes it from there")
    if life.live or life.state == "elsewhere":
        run.dispatched.append(Dispatched(bead.id, str(bead.assignee), bead.attempt, life.session, True))
        return None
    if life.state == "unknown" and not run.wish.force:
        raise Refused(
            f"{bead.id} is on the hook of {bead.assignee}, and nobody knows whether its session lives: {life.why}",
            "--force starts it anew",
        )
    return _Planned(work, bead, launch.choose(run.town, _agent_name(run, bead), run.wish.runtime))


def _check_needs(run: Run, bead: Bead) -> None:
    """Refuse blocked work, unless it may be queued or was forced; git is asked whether what landed is in the base."""
    index = run.town.index()
    waits = claim.blockers(bead, index)
    base = run.base(bead.target or run.rig.branch)
    waits += worksite.missing_needs(run.town, run.rig, bead, index.by_id, base)
    if waits and not (run.wish.force or run.wish.queue):
        raise claim.said_blocked(bead, waits)


# -- acting ---------------------------------------------------------------------------------------
def _try(run: Run, planned: _Planned) -> None:
    """Act on one work, or note why not. A remote that did not answer for one is not waited for again for each."""
    work, bead = planned.bead.id if planned.bead else planned.work, planned.bead
    silent = next((one for one in run.refused if one.code == Offline.code), None)
    if silent is not None and _asks_remote(run, planned):
        said = f"offline: who has {work} was not asked, for the town's remote did not answer before"
        run.refused.append(replace(silent, work=work, message=said, hint=_UNCONFIRMED))
        return
    try:
        if bead is None:
            bead = beads.create(run.town, replace(run.wish.new, title=planned.title, rig=run.rig.name))
            run.say(f"created {bead.id}: {bead.title}")
        _act(run, planned, bead)
    except GtError as error:
        found = refusal(work, error)
        run.refused.append(_made(found, bead) if planned.bead is None and bead is not None else found)


def _asks_remote(run: Run, planned: _Planned) -> bool:
    if planned.bead is None or planned.resumes:
        return planned.bead is None
    return run.wish.force or not claim.blockers(planned.bead, run.town.index())


def _made(found: RefusedWork, bead: Bead) -> RefusedWork:
    """The refusal of free text of which a bead was made: who types the same words again would make it twice."""
    hint = f"gt sling {bead.id}" + (f"; {found.hint}" if found.hint else "")
    if found.code == Offline.code:
        hint = f"gt sling {bead.id} --offline works on it unconfirmed, until the next sync settles it"
    return replace(found, message=f"{bead.id} was created, and not started: {found.message}", hint=hint)


def _act(run: Run, planned: _Planned, bead: Bead) -> None:
    town = run.town
    if planned.resumes:
        done = resuming.resume(
            town, bead, agent=run.wish.agent, runtime=run.wish.runtime, force=run.wish.force, say=run.note
        )
        if done.landed:
            run.landed.append((done.bead, done.landed))
        else:
            run.dispatched.append(Dispatched(done.bead, done.to, done.attempt, done.session, done.unchanged))
        return
    if run.wish.command:
        trust.record(town, "command", bead.id, list(run.wish.command))
    order = Order(
        bead.id, run.target, planned.agent.name, run.wish.agent, run.wish.command, run.wish.force, run.wish.queue,
        takes_from=planned.takes_from,
    )  # fmt: skip
    begin(run, bead, order, planned.agent)


# -- again, and later -----------------------------------------------------------------------------
def restart(town: Town, bead_id: str, *, reason: str, context: str, on_step: Say | None = None) -> SlingReport:
    """A new attempt for work that was sent back, on the same polecat (another if that one is at other work).

    `context` is what the agent is told about the last attempt. Over capacity it is queued. Raises GtError if it
    cannot start: then the bead is open again.
    """
    town.settle()
    bead = town.bead(bead_id)
    if not bead.held or not bead.assignee:
        raise Refused(f"{bead_id} is {bead.status}, and on nobody's hook", f"gt sling {bead_id}")
    if bead.machine and bead.machine != town.machine:
        raise Refused(f"{bead_id} is worked on by {bead.assignee} on machine {bead.machine}", "it goes on there")
    rig = town.rig(str(rig_of(bead.assignee)))
    session = bead.last_session or {}
    asked = bead.agent or (str(session["agent"]) if session.get("agent") else None)
    wish = Wish()
    run = Run(town, Target(rig.name, name_of(bead.assignee)), rig, wish, on_step or (lambda text: None))
    run.say(f"{bead.id} starts again: {reason}")
    holds.require_none(town.root)
    footing.require_home(town.repo)
    worksite.check_setup(town, rig)
    agent = launch.choose(town, launch.agent_name(town, rig, bead, None, asked), None)
    launch.check_command(town, agent, bead.id, bead.command)
    taken = (bead.assignee, str(session.get("id", "")))
    order = Order(bead.id, run.target, agent.name, takes_from=taken, restart=True)
    with town.one_look():
        begin(run, bead, order, agent, context)
    return run.report()


def dispatch_queued(town: Town, rig: str | None = None, *, on_step: Say | None = None) -> list[Dispatched]:
    """Start what is queued and can start, by priority, then age, while slots are free and nothing holds this machine.

    What cannot start any more is taken off the queue with a note that says why, and a person is asked. What passes
    is waited for: a file that is being edited, a parked rig, the network, an agent that is not found here.
    """
    town.settle()
    if scheduler.waits_for(town):
        return []
    with town.one_look():
        return _dispatch(town, rig, on_step or (lambda text: None))


def _dispatch(town: Town, rig: str | None, say: Say) -> list[Dispatched]:
    started: list[Dispatched] = []
    full: set[str] = set()
    for row in dispatch.waiting(town.index(), town.machine, rig):
        to, force = str(row.rig), False
        try:
            bead = town.bead(row.id)
            to, force = dispatch.wanted(bead, row), dispatch.is_forced(bead)
            home = town.rig(rig_of(to) or to)
            if home.parked or home.name in full:
                continue
            place, index = targets.resolve(town, to), town.index()
            if to in dispatch.at_work(index) or (not force and claim.blockers(bead, index)):
                continue
            if dispatch.slots(town, home, index).full:
                full.add(home.name)
                continue
            run = Run(town, place, home, Wish(queue=True), say)
            elsewhere.check_home(town, home)
            worksite.check_setup(town, home)
            agent = launch.choose(town, _agent_name(run, bead), None)
            launch.check_command(town, agent, bead.id, bead.command)
            begin(run, bead, Order(bead.id, place, agent.name, force=force, from_queue=True), agent)
            started += [one for one in run.dispatched if not one.unchanged]
        except Offline:
            break  # the others would ask the same remote
        except NotInstalled as error:
            unstarted.tell_missing(town, row.id, error)
        except (Untrusted, InvalidFile, RemoteUnreachable, RaceLost, NotTaken):
            continue  # it waits: for the network, for a person who reads, edits or came, for another gt
        except GtError as error:
            unstarted.tell(town, row.id, to, error.message, force=force)
    return started
