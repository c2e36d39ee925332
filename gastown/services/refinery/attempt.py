"""One try to land a batch: stack, gates, culprits, landing. Decides by facts of git and of gates alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gastown.model import bisect
from gastown.model.errors import GtError, NotFound, Refused
from gastown.model.queue import Entry
from gastown.runtime import clones, remotes
from gastown.services.claims import fences
from gastown.services.landing import gates, landing, there
from gastown.services.landing.gates import PASSED, GatesRun
from gastown.services.landing.landing import REMOTE, Intent
from gastown.services.landing.stack import Stack
from gastown.services.refinery import desk, sentback
from gastown.services.refinery.job import Job, Stuck, said
from gastown.services.rigs import origins

MAX_MOVES = 5


def attempt(job: Job, batch: Sequence[Entry]) -> None:
    """Try to land `batch` (one target). Afterwards each entry has landed, was sent back, is held, or is to be
    tried again on a target that has changed.
    """
    target = batch[0].target
    base, trouble = _ready(job, target)
    if trouble:
        return job.hold(batch, trouble)
    if (same := (base, *(entry.id for entry in batch))) in job.tried:
        # Nothing here knows of such a case; a run that turns round and round would keep everything else waiting.
        return job.hold(batch, f"a try on {target} at {base[:12]} has changed nothing: neither landed nor refused")
    job.tried.add(same)
    present = _present(job, _allowed(job, batch), base)
    if not present:
        return None
    try:
        return _try(job, target, base, present)
    except Stuck as error:
        done = {entry.id for entry, _ in job.landed} | {back.merge for back in job.sent_back} | set(job.held)
        return job.hold([entry for entry in present if entry.id not in done], error.message)


def _ready(job: Job, target: str) -> tuple[str, str]:
    """The commit of the target to stack on, the worktree being ready for it; or why that cannot be had."""
    try:
        landing.refresh(job.town, job.rig)
        if why := landing.parted(job.town, job.rig, target):
            return "", why
        base = landing.target_now(job.town, job.rig, target)
        path = desk.ready(job.town, job.rig, base)
        return base, desk.set_up(job.town, job.rig, path)
    except GtError as error:
        return "", said(error)


def _try(job: Job, target: str, base: str, present: Sequence[Entry]) -> None:
    built = job.build(base, present)
    job.say("stacked", f"stacked {len(built.items)} of {len(present)} on {target} at {base[:12]}")
    for one in built.failed:
        job.hold([one.entry], f"git could not put it on {target}: {one.text}")
    if built.items:
        _judge(job, target, built)
    elif built.empty:
        there_now = [(entry, base) for entry in built.empty]
        job.record(there_now, summary="nothing new", how="its changes were there already")
    for conflict in built.conflicts:
        # What only clashes with others of the stack is tried again once it is known whether those land.
        if conflict.onto == base:
            where = ", ".join(conflict.files)
            _send_back(job, conflict.entry, "conflict", f"conflict with {target} in {where}", conflict.text)


def _allowed(job: Job, batch: Sequence[Entry]) -> list[Entry]:
    """The entries whose workers still have the work; the others are held, or put out of the queue."""
    checked = fences.check(job.town, batch)
    for entry, why in checked.waits:
        job.hold([entry], why)
    if checked.lost:
        fences.put_out(job.town, job.rig, checked.lost)
        for entry, one in checked.lost:
            job.say("note", f"{entry.source} is not landed: {one.claimant} on {one.machine} has it now")
    return [entry for entry in batch if entry.id not in checked.ids]


def _present(job: Job, batch: Sequence[Entry], base: str) -> list[Entry]:
    """The entries that can be stacked; those already on the target are recorded, the others held."""
    found = []
    for entry in batch:
        missing = _missing(job, entry)
        if missing and (_tips(job, entry) or clones.resolve(job.repo, entry.commit) is None):
            job.hold([entry], missing)
            continue
        # A branch that was put away after the landing is no loss: somebody took back what the town said of it.
        holder = there.landed_already(job.repo, base, entry)
        missing = missing or _strange(job, entry, base)
        if missing and not holder:
            job.hold([entry], missing)
        elif holder:
            job.record([(entry, holder)], summary="nothing new", how="it was there already")
        else:
            found.append(entry)
    return found


def _tips(job: Job, entry: Entry) -> list[str]:
    """What its branch holds, here and on the remote as last fetched."""
    tips = [clones.resolve(job.repo, f"{where}{entry.branch}") for where in ("refs/heads/", REMOTE)]
    return [tip for tip in tips if tip]


def _missing(job: Job, entry: Entry) -> str:
    """Why an entry's commit cannot be taken: the branch must still exist and hold it."""
    tips = _tips(job, entry)
    if not tips:
        return f"branch {entry.branch} is missing here and on the remote: its work may be lost"
    if clones.resolve(job.repo, entry.commit) is None:
        return f"commit {entry.commit[:12]} of branch {entry.branch} is missing"
    if not any(clones.is_ancestor(job.repo, entry.commit, tip) for tip in tips):
        return f"branch {entry.branch} no longer holds the queued commit {entry.commit[:12]}"
    return ""


def _strange(job: Job, entry: Entry, base: str) -> str:
    """Why an entry cannot be stacked on this target at all, "" if it can."""
    try:
        origins.check_related(job.town, job.rig, entry.branch, entry.commit, base, entry.target)
    except Refused as error:
        return f"{error.message}; {error.hint}"
    return ""


def _judge(job: Job, target: str, built: Stack) -> None:
    run, how = job.test(built.tip), ""
    if run.verdict == gates.FAILED:
        first, run = run, job.test(built.tip)
        how = f"flaky: {first.summary}, then passed" if run.verdict == PASSED else ""
    if run.verdict == PASSED:
        return _land(job, target, built, run, how)
    if run.bad and not run.bad.tries:
        return job.hold(built.entries, f"gate {run.bad.name} could not run: {run.bad.reason}", run=run)
    # A gate that could not run is first of all no word on the work: its tool may be gone since the target had it.
    bare = _bare(job, built.base, fresh=run.verdict == gates.COULD_NOT_RUN)
    if bare.verdict == PASSED:
        return _find_culprits(job, target, built, run)
    return _on_red(job, target, built, bare)


def _bare(job: Job, base: str, *, fresh: bool = False) -> GatesRun:
    """What the gates say of the target without the stack; asked once for each commit of it.

    `fresh`: that it has passed once is not enough. What they say then is not kept: a commit that has passed is not
    red itself.
    """
    known = gates.remembered(job.town, job.rig, base)
    if known is None:
        known = job.test(base)
        gates.remember(job.town, job.rig, known)
    elif fresh and known.verdict == PASSED:
        return job.test(base)
    return known


def _on_red(job: Job, target: str, built: Stack, bare: GatesRun) -> None:
    """Nothing lands on a target that does not pass itself, except what mends it and what the overseer overrides."""
    if bare.verdict == gates.COULD_NOT_RUN:
        why = f"{bare.summary}; it cannot run on {target} at {built.base[:12]} either"
        return job.hold(built.entries, why, run=bare)
    for entry in built.entries:
        alone = built if len(built.entries) == 1 else job.build(built.base, [entry])
        overridden = entry.override == built.base
        if not alone.items or (alone is built and not overridden):
            continue
        run = bare if overridden else job.test(alone.tip)
        if overridden or run.verdict == PASSED:
            how = f"overseer's override of red {built.base[:12]}" if overridden else f"it mends red {target}"
            return _land(job, target, alone, run, how)
    why = f"{target} itself is red at {built.base[:12]} ({bare.summary}): nothing lands on it"
    return job.hold(built.entries, why, run=bare)


def _find_culprits(job: Job, target: str, built: Stack, red: GatesRun) -> None:
    """Land the part of a red stack that passes as a stack of its own, send back what turns it red."""
    stacks: dict[tuple[Entry, ...], tuple[Stack, GatesRun]] = {}
    blame = {entry.id: red for entry in built.entries}
    lost: set[str] = set()

    def is_green(entries: tuple[Entry, ...]) -> bool:
        part = job.build(built.base, entries)
        if part.failed:
            raise Stuck(part.failed[0].text)
        lost.update(conflict.entry.id for conflict in part.conflicts)
        run = job.test(part.tip)
        stacks[entries] = (part, run)
        if run.verdict != PASSED:
            blame.update((entry.id, run) for entry in entries)
        return run.verdict == PASSED

    if len(built.entries) > 1:
        job.say("bisect", f"{red.summary}: looking for the culprit among {len(built.entries)}")
        _emit_bisect(job, built, red)
    good, culprits = bisect.find_culprits(built.entries, is_green)
    if good:
        part, run = stacks[good]
        _land(job, target, part, run, f"without {', '.join(entry.source or entry.branch for entry in culprits)}")
    # One that did not even apply without the others is tried again on what has landed.
    culprits = tuple(entry for entry in culprits if entry.id not in lost)
    if culprits and not _can_pass(job, target, built.base, culprits):
        return
    for entry in culprits:
        _send_back_red(job, entry, blame[entry.id])


def _can_pass(job: Job, target: str, base: str, culprits: Sequence[Entry]) -> bool:
    """True if gates pass here at all now: else what surrounds them is broken, nobody is blamed, and `culprits` wait.

    Asked of the bare target, at the price of one more run, unless they have just passed on something.
    """
    if job.verdict == PASSED:
        return True
    bare = _bare(job, base, fresh=True)
    if bare.verdict != PASSED:
        why = f"{bare.summary}, and on {target} at {base[:12]}, which had passed, just the same: it is not the work"
        job.hold(culprits, why, run=bare)
    return bare.verdict == PASSED


def _emit_bisect(job: Job, built: Stack, red: GatesRun) -> None:
    text = f"{red.summary}: bisecting " + " ".join(entry.source or entry.branch for entry in built.entries)
    job.town.transact(
        "bisect",
        lambda change: change.emit("bisect", text, rig=job.rig.name, base=built.base, tip=built.tip),
        actor=f"{job.rig.name}/refinery",
    )


def _send_back_red(job: Job, entry: Entry, run: GatesRun) -> None:
    bad = run.bad
    details = f"{bad.tail}\n\n(all of it: {bad.log})" if bad else ""
    _send_back(job, entry, "gate_failed", run.summary, details, run)


def _send_back(
    job: Job, entry: Entry, reason: str, summary: str, details: str, run: GatesRun | None = None
) -> None:
    done = sentback.send_back(job.town, job.rig, entry, reason=reason, summary=summary, details=details, run=run)
    if done:
        job.sent_back.append(done)
        word = "set aside" if done.escalation else "sent back"
        job.say("sent_back", f"{entry.source or entry.branch} was {word} (attempt {done.attempts}): {summary}")
        if done.trouble:
            job.say("note", f"{done.bead} could not be started again: {done.trouble}")


def _land(job: Job, target: str, built: Stack, run: GatesRun, how: str) -> None:
    if len(_allowed(job, built.entries)) < len(built.entries):
        return None  # somebody lost their work while it was tested; the others are stacked again
    items = [(item.entry, item.tip) for item in built.items]
    commits = {entry.id: commit for entry, commit in items}
    landing.intend(job.town, job.rig, Intent(target, built.base, built.tip, commits, run.summary))
    try:
        result = landing.land(
            job.town, job.rig, target, base=built.base, tip=built.tip, commits=list(commits.values())
        )
    except (remotes.RemoteUnreachable, Refused) as error:
        # The intent stays: whether the push arrived is found out when the remote answers again.
        job.stopped = True
        return job.hold(built.entries, error.message)
    if result.landed:
        job.say("pushed", f"{target} is at {built.tip[:12]}")
        job.record(items, summary=run.summary, how=how, run=run)
    landing.settle(job.town, job.rig)
    if result.moved:
        job.moves += 1
        job.say("moved", f"{result.reason}: stacking again")
        if job.moves > MAX_MOVES:
            job.hold(built.entries, f"{target} moved {job.moves} times while it was being tested")
    elif not result.landed:
        job.hold(built.entries, f"{target} did not take it: {result.reason}")
    return None


def finish_interrupted(job: Job, queue: Sequence[Entry]) -> None:
    """Record what a killed run had pushed, if it is on the target. Raises RemoteUnreachable: then nothing is known."""
    intent = landing.intended(job.town, job.rig)
    if intent is None:
        return
    landing.refresh(job.town, job.rig)
    try:
        now = landing.target_now(job.town, job.rig, intent.target)
    except NotFound:
        return landing.settle(job.town, job.rig)  # somebody has deleted it: nothing is on it
    items = []
    for entry in queue:
        commit = intent.commits.get(entry.id)
        if commit and clones.resolve(job.repo, commit) and clones.is_ancestor(job.repo, commit, now):
            items.append((replace(entry, target=intent.target), commit))
    if items:
        job.record(items, summary=intent.gates, how="landed by a run that was interrupted")
    landing.settle(job.town, job.rig)


