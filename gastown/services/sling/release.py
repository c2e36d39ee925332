"""Taking work off a hook, and ending sessions: what is uncommitted is saved first, branches stay."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from gastown.model.address import name_of, rig_of
from gastown.model.bead import Bead
from gastown.model.errors import GtError, NotFound, RaceLost, Refused
from gastown.runtime import plain, presets, sessions, shell
from gastown.runtime.sessions import SessionRecord
from gastown.services.agents import launch, orphaned, polecats, worksite
from gastown.services.claims import claims, ownclaims, turns
from gastown.services.claims.rivals import Taken, lost_to
from gastown.services.sessions import attempts, dispatch
from gastown.store import layout, runstate
from gastown.store.change import Change
from gastown.store.town import Town

# How long an agent in a terminal may finish its turn after `gt done`.
AFTER_DONE = 5.0


@dataclass(frozen=True)
class Released:
    """A bead that is open again. `saved` says what was uncommitted and where it lies; `branch` keeps the commits."""

    bead: str
    former: str
    branch: str
    saved: str = ""
    unchanged: bool = False


@dataclass(frozen=True)
class Stopped:
    """A session that was ended: whether all of it is gone, and what was saved of its tree.

    `unnoted`: why its bead does not say that it was stopped; "" if it does.
    """

    session: str
    address: str
    gone: bool
    saved: str = ""
    unnoted: str = ""


def release(town: Town, bead: Bead, *, force: bool = False) -> Released:
    """Put held work back to open: its tree is saved, then it is nobody's, then its session ends. Open: nothing changes.

    Refused for what is not held, and without `force` for work on another machine. With `force` a claim that another
    machine has on open work is taken away, too: it was made there, and nothing else of it has come here. Raises Taken
    where that has gone to somebody else by now.
    """
    if bead.status == "open":
        _stop_leftover(town, bead)
        one = claims.known(town, bead.id) if force and claims.needed(town) else None
        if one is not None and not ownclaims.is_ours(town, one) and claims.release(town, bead.id, only=one):
            return Released(bead.id, f"{one.claimant} on {one.machine}", bead.branch or "")
        if dispatch.QUEUED in bead.labels:
            town.transact("release", lambda change: _unqueue(change, bead.id))
            return Released(bead.id, "", bead.branch or "")
        return Released(bead.id, "", bead.branch or "", unchanged=True)
    if not bead.held:
        raise Refused(f"{bead.id} is {bead.status}: nobody has it on a hook", f"gt show {bead.id}")
    if bead.machine and bead.machine != town.machine and not force:
        where = f"{bead.id} is worked on by {bead.assignee} on machine {bead.machine}"
        raise Refused(where, f"release it there, or --force; if that machine is gone: gt machine retire {bead.machine}")
    if bead.machine and bead.machine != town.machine and claims.needed(town):
        return _release_elsewhere(town, bead)
    former = str(bead.assignee)
    saved = _save(town, former)
    done = town.transact("release", lambda change: _open(change, bead, saved))
    runstate.set_hook_hint(town.root, former, None)
    _stop_leftover(town, done)
    saved = _save(town, former) or saved
    return Released(bead.id, former, bead.branch or "", saved)


def _release_elsewhere(town: Town, bead: Bead) -> Released:
    """Take work from another machine: it is told so by the sync, then its claim is taken away.

    Only from whom it was seen to be with: raises Taken for somebody else's claim of which nothing was known here, who
    is known from then on; RaceLost where the bead itself went on. Raises Offline.
    """
    from gastown.services.machines.exchange import exchange

    with turns.alone(town, bead.id):
        known, one = claims.known(town, bead.id), claims.current(town, bead.id)
        now = town.bead(bead.id)
        if (now.assignee, now.machine, now.branch) != (bead.assignee, bead.machine, bead.branch):
            raise RaceLost(f"{bead.id} was given to {now.assignee or 'nobody'} meanwhile", f"gt show {bead.id}")
        theirs = one is None or (one.claimant, one.machine) == (bead.assignee, bead.machine)
        if one is not None and not theirs and not (known and claims.is_one_holding(one, known)):
            raise lost_to(town, one)
        town.transact("release", lambda change: _open(change, bead, ""))
        exchange(town)
        if one is not None:
            # Who has claimed it since then has it by right.
            with contextlib.suppress(Taken):
                claims.release(town, bead.id, only=one)
    former = str(bead.assignee) if theirs or one is None else f"{one.claimant} on {one.machine}"
    return Released(bead.id, former, bead.branch or "")


def _save(town: Town, address: str) -> str:
    rig = rig_of(address)
    return worksite.save(town, rig, name_of(address)) if rig else ""


def _open(change: Change, seen: Bead, saved: str) -> Bead:
    bead = change.bead(seen.id)
    if not bead.held or bead.assignee != seen.assignee:
        return bead
    bead.release(at=change.at)
    dispatch.dequeue(bead)
    change.save(bead)
    rig = layout.rig_of_path(bead.path)
    change.emit("release", f"released {bead.id} from {seen.assignee}: {bead.title}", bead=bead.id, rig=rig,
                former=seen.assignee, branch=bead.branch)  # fmt: skip
    if saved:
        change.emit("rescue", f"worktree of {seen.assignee}: {saved}", rig=rig, worker=seen.assignee)
    return bead


def _unqueue(change: Change, bead_id: str) -> None:
    bead = change.bead(bead_id)
    if dispatch.QUEUED in bead.labels:
        dispatch.dequeue(bead)
        change.save(bead)
        change.emit("release", f"{bead.id} no longer waits for a slot", bead=bead.id, rig=layout.rig_of_path(bead.path))


def _stop_leftover(town: Town, bead: Bead) -> None:
    """End the last session of a bead that is nobody's any more, if it still runs here."""
    session = bead.last_session
    if session is None or (session.get("machine") or town.machine) != town.machine:
        return
    life = attempts.look_at(town, str(session.get("id", "")))
    if life.record is not None and life.state in attempts.LIVE:
        attempts.stop(town, life.session)


def find_session(town: Town, text: str) -> str:
    """The session id meant by an id or by the address of a worker whose session lives. Raises NotFound."""
    if "/" not in text:
        return sessions.load(attempts.run_dir(town), text).id
    from gastown.model import address

    who = address.parse(text)
    live, problems = attempts.live_sessions(town)
    if who in live:
        return live[who].id
    if problems:
        raise GtError(f"cannot tell whether {who} has a session: {problems[0]}", "`gt session list` shows them all")
    if address.is_worker(who):
        polecats.require(town, who)
    raise NotFound(f"{who} has no live session on this machine", "`gt session list` shows them")


def every_session(town: Town) -> list[str]:
    """The ids of all live sessions of this machine; raises GtError if one of them cannot be judged."""
    live, problems = attempts.live_records(town)
    if problems:
        raise problems[0]
    return [record.id for record in live]


def stop_session(town: Town, sid: str, *, grace: float = 5.0, after: float = 0.0) -> Stopped:
    """End a session of this machine; what it holds stays with its worker, resumable, and its tree is saved.

    For `after` seconds it may end by itself. Over already: nothing changes. A bead that cannot be read keeps no session
    alive.
    """
    record = sessions.load(attempts.run_dir(town), sid)
    if _ends_by_itself(record, after):
        return Stopped(sid, record.address, True)
    unnoted = _note_stop(town, record)
    gone = sessions.stop(record, grace)
    saved = orphaned.tell_end(town, record) or _save(town, record.address)
    return Stopped(sid, record.address, gone, saved, unnoted)


def _ends_by_itself(record: SessionRecord, seconds: float) -> bool:
    """Wait at most so long for a session's end."""
    deadline = time.monotonic() + seconds
    while sessions.liveness(record) in attempts.LIVE:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)
    return sessions.orphan(record) is None


def end_after_done(town: Town, sid: str) -> None:
    """After `gt done`: an agent in a terminal waits for its next prompt, so its session is ended for it.

    A process of its own does that a moment later, for we are the agent's child. Without a terminal the agent ends
    by itself.
    """
    try:
        record = sessions.load(attempts.run_dir(town), sid)
        preset = presets.load_preset(record.agent, Path(town.root))
    except GtError:
        return
    if record.runtime != "tmux" or preset.terminal is None:
        return
    argv = [launch.gt_command(town), "--town", town.root, "session", "stop", sid, "--after", str(AFTER_DONE)]
    log = layout.log(town.root, "ended.log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    aside = ["/bin/sh", "-c", '"$@" &', "sh", *argv]
    plain.start(aside, cwd=town.root, env=shell.environment({}), log=log)


def _note_stop(town: Town, record: SessionRecord) -> str:
    """Say on its bead that a session is about to be stopped; why it could not be said, "" if it was."""
    if not record.bead or not town.bead_path(record.bead):
        return ""
    bead = record.bead
    try:
        town.transact("session_end", lambda change: _mark_stopped(change, bead, record.id, record.address))
    except GtError as error:
        return error.message
    return ""


def _mark_stopped(change: Change, bead_id: str, sid: str, address: str) -> None:
    """Said before it is stopped, so that its end is not taken for a death."""
    bead = change.bead(bead_id)
    mine = next((one for one in bead.sessions if one.get("id") == sid), None)
    if mine is not None and not mine.get("ended"):
        bead.update_session(sid, ended=change.at, outcome="stopped")
        change.save(bead)
        change.emit("session_end", f"stopped session {sid} of {address}", bead=bead.id,
                    rig=layout.rig_of_path(bead.path), session=sid, outcome="stopped")  # fmt: skip
