"""A new session for held work: same attempt, same branch, same worktree; a lost worktree is rebuilt from the branch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gastown.model.address import name_of, rig_of
from gastown.model.bead import Bead
from gastown.model.errors import NotFound, RaceLost, Refused
from gastown.model.rig import Rig
from gastown.services.agents import earlier, launch, polecats, worksite
from gastown.services.agents.launch import Agent
from gastown.services.beads import hook
from gastown.services.files import footing
from gastown.services.landing import landed
from gastown.services.sessions import attempts, holds
from gastown.services.settings import trust
from gastown.store import layout, runstate
from gastown.store.change import Change
from gastown.store.town import Town

Say = Callable[[str], None]


@dataclass(frozen=True)
class Resumed:
    """A bead and the session that works on it now; `unchanged`: one was running already.

    `landed`: the commit of the target that holds the work; then no session was started.
    """

    bead: str
    to: str
    attempt: int
    session: str
    unchanged: bool = False
    landed: str = ""


def find(town: Town, text: str) -> Bead:
    """The held bead meant by an id or by the address of its holder. Raises NotFound or Refused."""
    town.settle()
    if "/" in text:
        from gastown.model import address

        who = address.parse(text)
        bead = hook.find(town, who, town.machine)
        if bead is None:
            polecats.require(town, who)
            raise NotFound(f"nothing is on the hook of {who}", "`gt agents` shows who has what")
        return bead
    return town.bead(town.resolve(text, town.actor))


def resume(
    town: Town, bead: Bead, *, agent: str | None = None, runtime: str | None = None, force: bool = False,
    context: str = "", command: Sequence[str] = (), say: Say = lambda text: None,
) -> Resumed:  # fmt: skip
    """Start a new session for a held bead whose session is over. One that lives: nothing changes.

    Work that stands on the target already is closed: a person's git may have taken back what the town said of it.
    `force` starts although nobody knows whether the old session lives. `command` is what the exec agent runs from
    now on. Raises Refused for work that nobody holds, that another machine has, or of whose session nothing is known.
    """
    address, rig, name = _holder(town, bead)
    life = attempts.give_up_start(town, bead)
    if life.live and not (force and life.state == "starting" and life.record is None):
        return Resumed(bead.id, address, bead.attempt, life.session, True)
    if life.state == "elsewhere":
        raise Refused(f"{bead.id} is on the hook of {address} on machine {bead.machine}", "resume it there")
    if life.state == "unknown" and not force:
        raise Refused(
            f"nobody knows whether session {life.session} of {bead.id} still runs: {life.why}",
            f"if it surely does not: gt resume {bead.id} --force",
        )
    holds.require_none(town.root)
    footing.require_home(town.repo)
    commit = _close_if_landed(town, rig, bead)
    if commit:
        say(f"{bead.id} is on {bead.target or rig.branch} already ({commit[:12]}), so it is closed")
        return Resumed(bead.id, address, bead.attempt, "", landed=commit)
    asked = agent or (launch.EXEC if command else _last_agent(bead))
    name_of_agent = launch.agent_name(town, rig, bead, launch.worker_doc(town, rig.name, address), asked)
    chosen = launch.choose(town, name_of_agent, runtime)
    if command:
        trust.record(town, "command", bead.id, command)
    launch.check_command(town, chosen, bead.id, list(command) or bead.command)
    worksite.check_setup(town, rig)
    sid = launch.new_session_id(town)
    attempts.begin_start(town, sid)
    try:
        old = bead.last_session
        bead = town.transact("resume", lambda change: _sit_down(change, bead, sid, chosen.name, command))
        return _start(town, rig, bead, name, chosen, sid, old, context, say)
    finally:
        attempts.end_start(town, sid)


def _close_if_landed(town: Town, rig: Rig, bead: Bead) -> str:
    """The commit of the target that holds the work, with all that is on its branch; then it is closed. Else ""."""
    base = worksite.newest_base(town, rig, bead.target or rig.branch, fetch=False)
    commit = earlier.landed_commit(town, rig, bead, base)
    if commit is None:
        return ""

    def body(change: Change) -> None:
        now = change.bead(bead.id)
        session = now.last_session or {}
        if not now.held or session.get("id") != (bead.last_session or {}).get("id"):
            raise RaceLost(f"{bead.id} was taken up by somebody else meanwhile", f"gt show {bead.id}")
        if session and not session.get("ended"):
            now.update_session(str(session["id"]), ended=change.at, outcome="died")
        landed.close(change, rig, now, base.target, commit)

    town.transact("merged", body)
    runstate.set_hook_hint(town.root, str(bead.assignee), None)
    return commit


def _holder(town: Town, bead: Bead) -> tuple[str, Rig, str]:
    if not bead.held or not bead.assignee or not bead.branch:
        raise Refused(f"{bead.id} is {bead.status}, and on nobody's hook", f"gt sling {bead.id} RIG")
    return bead.assignee, town.rig(str(rig_of(bead.assignee))), name_of(bead.assignee)


def _last_agent(bead: Bead) -> str | None:
    session = bead.last_session
    return str(session["agent"]) if session and session.get("agent") and not bead.agent else None


def _sit_down(change: Change, seen: Bead, sid: str, agent: str, command: Sequence[str]) -> Bead:
    """Record the new session, if nobody else did meanwhile; what the old one left open is closed with it."""
    bead = change.bead(seen.id)
    before, now = seen.last_session or {}, bead.last_session or {}
    if not bead.held or bead.assignee != seen.assignee or before.get("id") != now.get("id"):
        raise RaceLost(f"{bead.id} was taken up by somebody else meanwhile", f"gt show {bead.id}")
    if now and not now.get("ended"):
        bead.update_session(str(now["id"]), ended=change.at, outcome="died")
    if command:
        bead.set("command", list(command))
        bead.set("agent", agent)
    bead.set("machine", change.town.machine)
    bead.add_session(
        {"id": sid, "attempt": bead.attempt, "agent": agent, "by": bead.assignee, "machine": change.town.machine,
         "started": change.at}
    )  # fmt: skip
    change.save(bead)
    change.emit(
        "recover", f"{bead.assignee} resumes {bead.id}: {bead.title}", bead=bead.id,
        rig=layout.rig_of_path(bead.path), session=sid, attempt=bead.attempt,
    )  # fmt: skip
    return bead


def _start(
    town: Town, rig: Rig, bead: Bead, name: str, agent: Agent, sid: str, old: dict[str, object] | None,
    context: str, say: Say,
) -> Resumed:  # fmt: skip
    address, branch = str(bead.assignee), str(bead.branch)
    try:
        base = worksite.newest_base(town, rig, bead.target or rig.branch, fetch=False)
        site = worksite.prepare(town, rig, name, branch, base.commit, resumed=True)
        if site.rescued:
            say(f"in the worktree of {address}: {site.rescued}")
        worksite.run_setup(town, rig, site.path, say=say)
        same = old is not None and old.get("agent") == agent.name
        conversation = str(old.get("resume") or "") if old and same else ""
        context = context or "An earlier session on this work ended. What it committed and left is in your worktree."
        record = launch.start(
            town, rig, bead, agent, sid=sid, worktree=site.path, context=context, resume=conversation
        )
    except BaseException as error:
        _give_up(town, bead, sid, launch.failure(error))
        raise
    runstate.set_hook_hint(town.root, address, bead.path)
    tell_started(town, bead, sid, record.resume, record.runtime, site.rescued)
    return Resumed(bead.id, address, bead.attempt, sid)


def _give_up(town: Town, bead: Bead, sid: str, why: str) -> None:
    """The session could not start: the bead stays with its worker, resumable, and says so."""

    def body(change: Change) -> None:
        now = change.bead(bead.id)
        session = now.last_session or {}
        if session.get("id") == sid and not session.get("ended"):
            now.update_session(sid, ended=change.at, outcome="start_failed")
            change.save(now)
            text = f"{bead.id} could not be resumed: {why.splitlines()[0]}"
            change.emit("session_end", text, bead=bead.id, session=sid, outcome="start_failed")

    town.transact("session_end", body)


def tell_started(
    town: Town, bead: Bead, sid: str, conversation: str | None, runtime: str, rescued: str = ""
) -> None:
    """One change: the session runs; the agent's own id of the conversation is kept, what was rescued is said."""
    rig = layout.rig_of_path(bead.path)

    def body(change: Change) -> None:
        if conversation:
            now = change.bead(bead.id)
            now.update_session(sid, resume=conversation)
            change.save(now)
        text = f"session {sid} of {bead.assignee} works on {bead.id}"
        change.emit("session_start", text, bead=bead.id, rig=rig, session=sid, attempt=bead.attempt, runtime=runtime)
        if rescued:
            change.emit("rescue", f"worktree of {bead.assignee}: {rescued}", rig=rig, worker=bead.assignee)

    town.transact("session_start", body)


