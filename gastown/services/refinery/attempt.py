"""One try to land a batch: stack, gates, culprits, landing. Decides by facts of git and of gates alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from gastown.model import address, bisect
from gastown.model.errors import GtError, Refused
from gastown.model.queue import Entry
from gastown.model.rig import Rig
from gastown.runtime import clones, git, intact, remotes
from gastown.services.claims import fences
from gastown.services.landing import gates, held, landed, landing, stack, there
from gastown.services.landing.gates import PASSED, GatesRun
from gastown.services.landing.landing import REMOTE, Intent
from gastown.services.landing.stack import Stack
from gastown.services.refinery import desk, sentback
from gastown.services.refinery.sentback import SentBack
from gastown.services.rigs import origins
from gastown.store import layout
from gastown.store.town import Town

MAX_MOVES = 5


@dataclass
class Job:
    """One run of one rig's refinery: what it works with, and what has come of it so far.

    `held` maps merge beads that are not tried again in this run to the reason; `stopped` ends the run.
    """

    town: Town
    rig: Rig
    say: Callable[[str, str], None]
    landed: list[tuple[Entry, str]] = field(default_factory=list)
    sent_back: list[SentBack] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)
    could_not_run: list[str] = field(default_factory=list)
    moves: int = 0
    stopped: bool = False
    tried: set[tuple[str, ...]] = field(default_factory=set)

    @property
    def repo(self) -> str:
        """The rig's bare repository."""
        return layout.bare(self.town.root, self.rig.name)

    def hold(self, entries: Iterable[Entry], reason: str, *, run: GatesRun | None = None) -> None:
        """Leave entries in the queue, and say why once."""
        entries = list(entries)
        for entry in entries:
            self.held[entry.id] = reason
            self.say("waiting", f"{entry.source or entry.branch} waits: {reason.splitlines()[0]}")
        if run is not None and run.verdict == gates.COULD_NOT_RUN:
            self.could_not_run += [entry.id for entry in entries]
        held.tell(self.town, self.rig, entries, reason, run=run)

    def record(
        self, items: Sequence[tuple[Entry, str]], *, summary: str, how: str = "", run: GatesRun | None = None
    ) -> None:
        """Record what is on the target, and put its branches away."""
        landed.record(self.town, self.rig, items, gates=summary, how=how, run=run)
        self.landed += items
        for entry, commit in items:
            self.say("merged", f"{entry.source or entry.branch} is on {entry.target} at {commit[:12]}; {summary}")
        done = [(entry.branch, entry.commit, commit) for entry, commit in items]
        landed.put_away(self.town, self.rig, done, say=lambda text: self.say("note", text))

    def build(self, base: str, entries: Sequence[Entry]) -> Stack:
        """A stack of `entries` on `base` in the refinery's worktree."""
        self._mend_desk(base)
        who = git.author_env(*address.author(f"{self.rig.name}/refinery", self.town.name))
        return stack.build(
            self.desk, base, entries, merge=self.rig.merge, identity=who, keep_ignored=bool(self.rig.setup)
        )

    def test(self, commit: str) -> GatesRun:
        """The gates on `commit`, checked out anew."""
        self._mend_desk(commit)
        stack.checkout(self.desk, commit, keep_ignored=bool(self.rig.setup))
        return gates.run_gates(self.town, self.rig, self.desk, commit, say=lambda text: self.say("gate", text))

    def _mend_desk(self, commit: str) -> None:
        """Make the refinery's worktree anew if a gate has taken its .git away. Raises GtError if its setup fails."""
        if intact.is_whole(self.repo, self.desk):
            return
        trouble = desk.set_up(self.town, self.rig, desk.ready(self.town, self.rig, commit))
        if trouble:
            raise GtError(trouble, "gt mq retry, when that is mended")

    @property
    def desk(self) -> str:
        """The refinery's worktree."""
        return layout.worktree(self.town.root, self.rig.name, "refinery")


def attempt(job: Job, batch: Sequence[Entry]) -> None:
    """Try to land `batch` (one target). Afterwards each entry has landed, was sent back, is held, or is to be
    tried again on a target that has changed.
    """
    target = batch[0].target
    try:
        landing.refresh(job.town, job.rig)
        if why := landing.parted(job.town, job.rig, target):
            return job.hold(batch, why)
        base = landing.target_now(job.town, job.rig, target)
        path = desk.ready(job.town, job.rig, base)
        trouble = desk.set_up(job.town, job.rig, path)
    except (remotes.RemoteUnreachable, Refused) as error:
        return job.hold(batch, error.message + (f" ({error.hint})" if isinstance(error, Refused) else ""))
    if trouble:
        return job.hold(batch, trouble)
    if (same := (base, *(entry.id for entry in batch))) in job.tried:
        # Nothing here knows of such a case; a run that turns round and round would keep everything else waiting.
        return job.hold(batch, f"a try on {target} at {base[:12]} has changed nothing: neither landed nor refused")
    job.tried.add(same)
    present = _present(job, _allowed(job, batch), base)
    if not present:
        return None
    built = job.build(base, present)
    job.say("stacked", f"stacked {len(built.items)} of {len(present)} on {target} at {base[:12]}")
    if built.items:
        _judge(job, target, built)
    elif built.empty:
        there = [(entry, base) for entry in built.empty]
        job.record(there, summary="nothing new", how="its changes were there already")
    for conflict in built.conflicts:
        # What only clashes with others of the stack is tried again once it is known whether those land.
        if conflict.onto == base:
            where = ", ".join(conflict.files)
            _send_back(job, conflict.entry, "conflict", f"conflict with {target} in {where}", conflict.text)
    return None


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
    there = _tips(job, entry)
    if not there:
        return f"branch {entry.branch} is missing here and on the remote: its work may be lost"
    if clones.resolve(job.repo, entry.commit) is None:
        return f"commit {entry.commit[:12]} of branch {entry.branch} is missing"
    if not any(clones.is_ancestor(job.repo, entry.commit, tip) for tip in there):
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
    bare = _bare(job, built.base)
    if bare.verdict == PASSED:
        return _find_culprits(job, target, built, run)
    return _on_red(job, target, built, bare)


def _bare(job: Job, base: str) -> GatesRun:
    """What the gates say of the target without the stack; asked once for each commit of it."""
    known = gates.remembered(job.town, job.rig, base)
    if known is None:
        known = job.test(base)
        gates.remember(job.town, job.rig, known)
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
    for entry in culprits:
        # One that did not even apply without the others is tried again on what has landed.
        if entry.id not in lost:
            _send_back_red(job, entry, blame[entry.id])


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
    now = landing.target_now(job.town, job.rig, intent.target)
    items = []
    for entry in queue:
        commit = intent.commits.get(entry.id)
        if commit and clones.resolve(job.repo, commit) and clones.is_ancestor(job.repo, commit, now):
            items.append((replace(entry, target=intent.target), commit))
    if items:
        job.record(items, summary=intent.gates, how="landed by a run that was interrupted")
    landing.settle(job.town, job.rig)


