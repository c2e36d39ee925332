"""After a session's end: work is handed in on its behalf, or its tree is saved and the bead shown as stalled.

Only what is provably over is acted on; silence, and what cannot be known, never is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gastown.model.address import name_of, rig_of
from gastown.model.bead import Bead
from gastown.model.errors import GtError, NotFound
from gastown.runtime import presets, sessions
from gastown.runtime.sessions import SessionRecord
from gastown.services.agents import launch, orphaned, worksite
from gastown.services.beads import hook
from gastown.services.files import footing
from gastown.services.landing import landing as landings
from gastown.services.sessions import attempts
from gastown.services.work import done
from gastown.store import layout
from gastown.store.change import Change
from gastown.store.town import Town

_TAIL_LINES = 30


@dataclass(frozen=True)
class Ended:
    """What was found of one session. `what`: done (handed in on its behalf), stalled, over (nothing to do), unknown."""

    session: str
    bead: str
    address: str
    what: str
    text: str = ""


def session_ended(town: Town, sid: str) -> Ended:
    """Called when a session's process is gone, by its runner or by `sweep`; repeating it changes nothing.

    Exit status 0 with commits on the branch: handed in on its behalf. Otherwise the bead is stalled, with the end
    of the output and the exit status in a note. Raises NotFound for an unknown session, GtError while it runs, and
    Refused while a person's git has led the town away: the deacon comes back to it when it is on its branch.
    """
    footing.require_home(town.repo)
    town.settle()
    record = sessions.load(attempts.run_dir(town), sid)
    life = attempts.look_at(town, sid)
    if life.live:
        raise GtError(f"session {sid} of {record.address} still runs", "gt session stop ends it")
    if not record.bead or town.bead_path(record.bead) is None:
        orphaned.tell_end(town, record)
        return Ended(sid, record.bead or "", record.address, "over")
    bead = town.bead(record.bead)
    mine = _item(bead, sid)
    if mine is None or mine.get("ended"):
        _keep_conversation(town, bead, record)
        return Ended(sid, bead.id, record.address, "over")
    if not _is_current(bead, record):
        town.transact("session_end", lambda change: _note_end(change, bead.id, record))
        return Ended(sid, bead.id, record.address, "over")
    why = _hand_in(town, bead, record)
    if why is None:
        return Ended(sid, bead.id, record.address, "done", f"{bead.id} was handed in on behalf of {record.address}")
    return _stall(town, bead, record.address, sid, record, why)


def _item(bead: Bead, sid: str) -> dict[str, Any] | None:
    return next((one for one in bead.sessions if one.get("id") == sid), None)


def _is_current(bead: Bead, record: SessionRecord) -> bool:
    last = bead.last_session or {}
    return hook.is_on(bead, record.address) and last.get("id") == record.id


def _hand_in(town: Town, bead: Bead, record: SessionRecord) -> str | None:
    """Hand the work in on behalf of a session that ended well; None if that is done, else why not."""
    begun = done.begun(town, bead)
    ended = _how(record)
    if not begun and record.exit_code != 0:
        return ended
    try:
        rig = town.rig(str(rig_of(record.address)))
        repo = layout.bare(town.root, rig.name)
        target = landings.target_now(town, rig, bead.target or rig.branch)
        commits = worksite.ahead(repo, target, str(bead.branch))
        if not begun and not commits:
            return f"{ended} without a commit and without `gt done`"
        words = f"Session {record.id} {ended} without `gt done`; its {commits} commits were handed in on its behalf."
        done.done(
            town, record.address, status=str(begun.get("status") or "completed"), no_changes=begun.get("no_changes"),
            message=words, bead_id=bead.id, attempt=record.attempt or None,
        )  # fmt: skip
    except GtError as error:
        return f"{ended}; handing in its work failed: {error.message}"
    return None


def _how(record: SessionRecord | None) -> str:
    """How a session ended, in words."""
    if record is None:
        return "was interrupted before it started"
    if record.error:
        return f"could not start: {record.error}"
    if record.exit_signal is not None:
        return f"was killed by signal {record.exit_signal}"
    if record.exit_code is not None:
        return f"ended with exit status {record.exit_code}"
    return "died with its runner, leaving no exit status"


def _stall(
    town: Town, bead: Bead, address: str, sid: str, record: SessionRecord | None, why: str
) -> Ended:
    """Save the tree, then record the end: the bead stays on the hook, without a session, for `gt resume`."""
    saved = _save(town, address)
    tail = sessions.log_tail(record.log, _TAIL_LINES) if record else ""
    note = f"Session {sid} {why}." + (f"\nIn its worktree: {saved}." if saved else "")
    note += f"\nThe end of its output:\n\n{tail}" if tail else ""
    outcome = "interrupted" if record is None else "failed" if record.exit_code else "died"
    if record is not None and record.exit_code == 0:
        outcome = "exited"
    conversation = _conversation(town, record)

    def body(change: Change) -> bool:
        now = change.bead(bead.id)
        mine = _item(now, sid)
        if mine is None or mine.get("ended"):
            return False
        now.update_session(sid, ended=change.at, outcome=outcome)
        if conversation:
            now.update_session(sid, resume=conversation)
        now.add_note(change.at, change.actor, note)
        change.save(now)
        facts: dict[str, Any] = {"session": sid, "attempt": now.attempt, "outcome": outcome}
        if record is not None:
            facts |= {"exit_code": record.exit_code, "exit_signal": record.exit_signal}
        text = f"session {sid} of {address} on {bead.id} {why.splitlines()[0]}"
        change.emit("session_death", text, bead=bead.id, rig=layout.rig_of_path(bead.path), **facts)
        if saved:
            change.emit("rescue", f"worktree of {address}: {saved}", rig=layout.rig_of_path(bead.path), worker=address)
        return True

    changed = town.transact("session_death", body)
    return Ended(sid, bead.id, address, "stalled" if changed else "over", why)


def _save(town: Town, address: str) -> str:
    """What was uncommitted, and where it lies; a failure to save is said, and nothing is touched."""
    try:
        return worksite.save(town, str(rig_of(address)), name_of(address))
    except GtError as error:
        return f"what is uncommitted could not be saved: {error.message}"
    except OSError as error:
        return f"what is uncommitted could not be saved: {error.filename}: {error.strerror}"


def _conversation(town: Town, record: SessionRecord | None) -> str | None:
    """The agent's own id of the conversation, if the session told one."""
    if record is None or not record.agent:
        return None
    try:
        preset = presets.load_preset(record.agent, Path(town.root))
        return launch.conversation_id(preset.form(terminal=record.runtime == "tmux"), record)
    except GtError:
        return record.resume


def _keep_conversation(town: Town, bead: Bead, record: SessionRecord) -> None:
    """Learn the conversation's id from the output of a session that had handed in by itself."""
    mine = _item(bead, record.id)
    if mine is None or mine.get("resume"):
        return
    found = _conversation(town, record)
    if found:

        def body(change: Change) -> None:
            now = change.bead(bead.id)
            now.update_session(record.id, resume=found)
            change.save(now)
            text = f"session {record.id} of {record.address} ended"
            change.emit("session_end", text, bead=bead.id, rig=record.rig, session=record.id)

        town.transact("session_end", body)


def _note_end(change: Change, bead_id: str, record: SessionRecord) -> None:
    """Record the end of a session that had lost its work before."""
    bead = change.bead(bead_id)
    mine = _item(bead, record.id)
    if mine is not None and not mine.get("ended"):
        bead.update_session(record.id, ended=change.at, outcome="released")
        change.save(bead)
        text = f"session {record.id} of {record.address} {_how(record)}"
        change.emit("session_end", text, bead=bead_id, rig=record.rig, session=record.id)


def sweep(town: Town) -> list[Ended]:
    """Look at every held bead of this machine: sessions provably over are dealt with, unknown ones told."""
    footing.require_home(town.repo)
    town.settle()
    found: list[Ended] = []
    for row in town.index().live:
        if row.status not in ("hooked", "in_progress") or (row.machine or town.machine) != town.machine:
            continue
        try:
            bead = town.bead(row.id)
            life = attempts.look(town, bead)
            if life.state == "unknown":
                found.append(Ended(life.session, bead.id, str(bead.assignee), "unknown", life.why))
            elif life.state in ("exited", "dead", "interrupted") and attempts.is_over(town, bead):
                found.append(_over(town, bead, life))
        except NotFound:
            continue
        except GtError as error:
            found.append(Ended("", row.id, row.assignee or "", "unknown", error.message))
        except OSError as error:  # one place that cannot be read says nothing of the others
            why = f"{error.filename}: {error.strerror}"
            found.append(Ended("", row.id, row.assignee or "", "unknown", why))
    return [one for one in found if one.what != "over"]


def _over(town: Town, bead: Bead, life: attempts.Life) -> Ended:
    sid = life.session
    try:
        return session_ended(town, sid)
    except NotFound:
        why = "was interrupted before it started" if life.state == "interrupted" else life.why
        result = _stall(town, bead, str(bead.assignee), sid, None, why)
        attempts.end_start(town, sid)
        return result
