"""Sending work back: a red gate, a conflict, or a person's rejection. After three attempts a person is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gastown.model.address import is_address
from gastown.model.bead import Bead
from gastown.model.errors import GtError, NotFound, Refused, UsageError
from gastown.model.message import header_text
from gastown.model.queue import MAX_FAILURES, SET_ASIDE, Entry
from gastown.model.rig import Rig
from gastown.services.landing import gates, held, landing, queue
from gastown.services.mail import escalate as escalations
from gastown.store import layout
from gastown.store.change import Change
from gastown.store.town import Town

# Reason of a closed merge bead -> what people are told.
WORDS = {"gate_failed": "a gate is red", "conflict": "it does not apply"}


@dataclass(frozen=True)
class SentBack:
    """What happened to one entry. `escalation` is set where it was set aside instead of restarted."""

    merge: str
    bead: str
    reason: str
    summary: str
    attempts: int
    escalation: str = ""
    restarted: bool = False
    trouble: str = ""


def send_back(
    town: Town, rig: Rig, entry: Entry, *, reason: str, summary: str, details: str, run: gates.GatesRun | None = None
) -> SentBack | None:
    """Close the merge bead with `reason`, return the work to its polecat with `details`, and start it again.

    The third failed attempt is set aside instead: the entry stays in the queue for a person to see, who is
    told by an escalation. `run` is kept on the merge bead. None if the entry was closed meanwhile.
    """
    attempts = entry.failures + 1
    set_aside = attempts >= MAX_FAILURES or not entry.source
    text = f"Attempt {attempts} was not merged into {entry.target}: {WORDS[reason]}. {summary}\n\n{details}".rstrip()

    def body(change: Change) -> SentBack | None:
        merge = change.bead(entry.id)
        if merge.status == "closed":
            return None
        merge.set("attempts", attempts)
        merge.set("gates", run.as_docs(change.at) if run else None)
        _note(change, entry, text)
        escalation = ""
        if set_aside:
            merge.set("labels", [*merge.labels, SET_ASIDE])
            escalation = _escalate(change, rig, entry, attempts, text)
        else:
            merge.close(at=change.at, by=change.actor, reason=reason)
            _return(change, entry, text)
        change.save(merge)
        said = f"sent back {entry.source or entry.branch}: {summary}" + (" (set aside)" if set_aside else "")
        change.emit("merge_failed", said, bead=entry.source or entry.id, rig=rig.name, reason=reason,
                    attempts=attempts, merge=entry.id, worker=entry.worker)  # fmt: skip
        if escalation:
            change.emit("escalation", f"{entry.source or entry.branch} was sent back {attempts} times",
                        bead=escalation, rig=rig.name, severity="high")  # fmt: skip
        return SentBack(entry.id, entry.source, reason, summary, attempts, escalation)

    done = town.transact("merge_failed", body, actor=f"{rig.name}/refinery")
    if done is not None and done.escalation:
        escalations.page(town, done.escalation)
    return done if done is None or done.escalation else _restart(town, done, text)


def _note(change: Change, entry: Entry, text: str) -> None:
    if entry.source:
        work = change.bead(entry.source)
        work.add_note(change.at, change.actor, text)
        change.save(work)


def _return(change: Change, entry: Entry, text: str) -> None:
    """The work bead goes back on its polecat's hook, and the polecat is told."""
    work = change.bead(entry.source)
    if work.status == "merging":
        work.move("in_progress")
        change.save(work)
    if entry.worker and is_address(entry.worker):
        change.deliver(entry.worker, f"sent back: {entry.source}", text, priority="high", bead=entry.source)


def _escalate(change: Change, rig: Rig, entry: Entry, attempts: int, text: str) -> str:
    what = entry.source or entry.branch
    title = f"{what} was sent back {attempts} times: {entry.title}"
    todo = f"Look at it:   gt show {what}\nTry it again: gt mq retry {entry.id}\n"
    todo += f"Give it up:   gt mq reject {entry.id} -r WHY"
    bead = change.create(
        None, title=title, type="escalation", priority=1, severity="high", description=f"{todo}\n\n{text}",
        source=entry.source or None,
    )  # fmt: skip
    for who in ("overseer", "mayor"):
        change.deliver(who, header_text(title), f"{todo}\n\n{text}", kind="escalation", priority="high", bead=bead.id)
    return bead.id


def _restart(town: Town, done: SentBack, text: str) -> SentBack:
    """Start the work again; what keeps it from starting is reported, and recovery finds the bead as stalled."""
    from gastown.services.sling import sling

    machine = town.bead(done.bead).machine
    if machine and machine != town.machine:
        return replace(done, trouble=f"it goes on on machine {machine}")
    try:
        report = sling.restart(town, done.bead, reason=done.reason, context=text)
    except GtError as error:
        return replace(done, trouble=error.message)
    trouble = report.refused[0].message if report.refused else report.queued[0].reason if report.queued else ""
    return replace(done, restarted=not trouble, trouble=trouble)


def reject(town: Town, merge_id: str, *, why: str) -> Bead:
    """Take an entry out of the queue for good: the work goes back to its worker with the reason, and is not restarted.

    Raises UsageError without a reason, or for what does not wait to be merged.
    """
    if not why.strip():
        raise UsageError("a rejection needs a reason", "gt mq reject ID -r WHY: the worker reads it")

    def body(change: Change) -> Bead:
        merge = _open_merge(change, merge_id)
        rig = layout.rig_of_path(merge.path)
        merge.add_note(change.at, change.actor, why)
        merge.close(at=change.at, by=change.actor, reason="rejected")
        change.save(merge)
        what = merge.source or merge.branch or merge.id
        if merge.source:
            work = change.bead(merge.source)
            work.add_note(change.at, change.actor, f"Rejected from the merge queue: {why}")
            if work.status == "merging":
                work.move("in_progress")
            change.save(work)
        if merge.worker and is_address(merge.worker):
            change.deliver(merge.worker, f"rejected: {what}", why, priority="high", bead=merge.source)
        change.emit("merge_rejected", f"rejected {what}: {why}", bead=merge.source or merge.id, rig=rig, merge=merge.id)
        return merge

    return town.transact("reject", body)


def retry(town: Town, merge_id: str, *, override: bool = False) -> Bead:
    """Let an entry that was set aside, sent back or held be tried again.

    With `override` this very commit may land on the target commit that is red now; only the overseer may say so.
    Raises Refused for anybody else, for a target not known to be red, and for work that goes on elsewhere.
    """
    if override and town.actor != "overseer":
        raise Refused("only the overseer may let work land on a red target", "mend the target, or ask the overseer")

    def body(change: Change) -> Bead:
        merge = change.bead(_merge_id(change, merge_id))
        rig = town.rig(layout.rig_of_path(merge.path) or "")
        base = landing.target_now(town, rig, merge.target or rig.branch)
        if merge.status == "closed":
            _requeue(change, merge)
        merge.set("labels", [label for label in merge.labels if label != SET_ASIDE])
        if override:
            known = gates.remembered(town, rig, base)
            if known is None or known.verdict != gates.FAILED:
                raise Refused(
                    f"{rig.branch} at {base[:12]} is not known to be red: there is nothing to override",
                    f"run: gt refinery run {rig.name}",
                )
            merge.set("override", {"commit": merge.commit, "on": base, "at": change.at, "by": change.actor})
        else:
            gates.forget(town, rig, base)
        change.save(merge)
        what = merge.source or merge.branch or merge.id
        how = f" on the red {base[:12]}" if override else ""
        change.emit("merge_queued", f"{what} is to be tried again{how}", bead=merge.source or merge.id, rig=rig.name,
                    merge=merge.id, commit=merge.commit)  # fmt: skip
        return merge

    done = town.transact("retry", body)
    rig_name = layout.rig_of_path(done.path) or ""
    held.forget(town, rig_name)
    return done


def _requeue(change: Change, merge: Bead) -> None:
    """Reopen a closed entry, if its work waits at that very branch."""
    reason = merge.closed.get("reason")
    if reason not in ("gate_failed", "conflict", "rejected"):
        raise UsageError(f"{merge.id} is closed: {reason}", "only what was sent back or rejected can be tried again")
    merge.move("open")
    if not merge.source:
        return
    work = change.bead(merge.source)
    if work.branch != merge.branch or work.status not in ("in_progress", "merging"):
        raise Refused(f"{work.id} is {work.status} at {work.branch}, not at {merge.branch}", f"look: gt show {work.id}")
    session = work.last_session
    if work.status == "in_progress" and session and not session.get("ended"):
        raise Refused(f"{work.id} is being worked on by {work.assignee}", "its next `gt done` queues it again")
    if work.status == "in_progress":
        work.move("merging")
        change.save(work)


def _merge_id(change: Change, bead_id: str) -> str:
    """The merge bead meant by its own id or by its work bead's: the open one, else the newest."""
    if change.bead(bead_id).type == "merge":
        return bead_id
    mine = [row for row in change.index().rows if row.type == "merge" and row.source == bead_id]
    if not mine:
        raise NotFound(f"{bead_id} never was in the merge queue", "gt mq list shows what is")
    return max(mine, key=lambda row: (row.status != "closed", row.created, row.id)).id


def _open_merge(change: Change, bead_id: str) -> Bead:
    merge = change.bead(_merge_id(change, bead_id))
    if merge.status == "closed":
        raise UsageError(f"{merge.id} is closed: {merge.closed.get('reason')}", "gt mq list shows what waits")
    return merge


def supersede(town: Town, rig: Rig) -> list[tuple[str, str]]:
    """Close the merge beads that nothing waits for any more; returns (id, reason) of each."""
    found = queue.outdated(town, rig.name)
    if not found:
        return []

    def body(change: Change) -> None:
        for merge_id, why in found:
            merge = change.bead(merge_id)
            if merge.status != "closed":
                merge.close(at=change.at, by=change.actor, reason="superseded")
                change.save(merge)
                change.emit("close", f"closed {merge_id}: {why}", bead=merge_id, rig=rig.name)

    town.transact("supersede", body, actor=f"{rig.name}/refinery")
    return found
