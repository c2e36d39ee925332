"""The refinery of a rig: lands what waits in its merge queue. One runs per rig on this machine at a time."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gastown.model.errors import RaceLost, Refused
from gastown.model.queue import Entry, next_batch
from gastown.model.rig import Rig
from gastown.runtime import remotes
from gastown.services.claims import fences
from gastown.services.files import footing
from gastown.services.health import silence
from gastown.services.landing import held, landed, landing, queue
from gastown.services.refinery import desk, sentback
from gastown.services.refinery.attempt import attempt, finish_interrupted
from gastown.services.refinery.job import Job
from gastown.services.refinery.sentback import SentBack
from gastown.services.rigs import localtarget, rigs
from gastown.store import flock, layout, runstate
from gastown.store.town import Town


@dataclass(frozen=True)
class Step:
    """One thing that happened: `kind` is stacked, gate, bisect, pushed, merged, moved, sent_back, waiting or note."""

    kind: str
    text: str
    rig: str = ""
    bead: str = ""


@dataclass(frozen=True)
class RefineryReport:
    """What one run did.

    `landed` holds (merge bead, work bead, commit); `waiting` and `could_not_run` hold (merge bead, reason);
    what could not run is among what waits.
    """

    rig: str
    landed: tuple[tuple[str, str, str], ...] = ()
    sent_back: tuple[SentBack, ...] = ()
    could_not_run: tuple[tuple[str, str], ...] = ()
    waiting: tuple[tuple[str, str], ...] = ()
    messages: tuple[str, ...] = ()


def run_once(
    town: Town, rig_name: str, *, force: bool = False, on_step: Callable[[Step], None] | None = None
) -> RefineryReport:
    """Try everything that waits in the rig's queue once; what cannot move now stays, with the reason.

    `force` takes the refinery from the machine that has it, unless rig.yaml names that one. Raises RaceLost naming the
    holder while another refinery of this rig runs on this machine, and Refused while the town is not on its branch:
    what waits there may have landed long ago.
    """
    footing.require_home(town.repo)
    rig = town.rig(rig_name)
    waits = queue.entries(town, rig.name)
    elsewhere = _not_ours(town, rig, force) or (fences.take_over(town, rig, force=force) if waits else "")
    if elsewhere:
        if rig.parked or not fences.elsewhere(town, rig):
            if waits and not rig.parked:
                held.tell(town, rig, waits, elsewhere)  # nothing else shows it: the remote could not be asked
        else:
            elsewhere = silence.why_waiting(town, rig)
        return RefineryReport(rig.name, waiting=tuple((entry.id, elsewhere) for entry in waits), messages=(elsewhere,))
    messages: list[str] = []

    def say(kind: str, text: str) -> None:
        if kind == "note":
            messages.append(text)
        if on_step:
            on_step(Step(kind, text, rig.name))

    with _sole(town, rig):
        job = Job(town, rig, say)
        _run(job)
    return _report(job, messages)


def _run(job: Job) -> None:
    town, rig = job.town, job.rig
    desk.stop_orphan(town, rig)
    for merge_id, why in sentback.supersede(town, rig):
        job.say("note", f"{merge_id} closed: {why}")
    localtarget.put_right(town, rig, say=lambda text: job.say("note", text))
    waiting = queue.entries(town, rig.name)
    if not waiting and landing.intended(town, rig) is None:
        return
    try:
        rigs.ensure_clone(town, rig)
        finish_interrupted(job, waiting)
    except (remotes.RemoteUnreachable, Refused) as error:
        job.hold(waiting, error.message)
        return
    if rig.doubt:
        job.hold(waiting, f"nothing lands in rig {rig.name}: {rig.doubt}")
        return
    landed.put_away(town, rig, landed.leftovers(town, rig), say=lambda text: job.say("note", text))
    while not job.stopped:
        ready = [entry for entry in queue.entries(town, rig.name) if entry.id not in job.held]
        batch = next_batch(ready, rig.batch)
        if not batch:
            break
        lost = fences.take_over(town, rig)  # a long run stays known as the one that runs
        if lost:
            job.say("note", lost)
            break
        attempt(job, batch)


def _not_ours(town: Town, rig: Rig, force: bool = False) -> str:
    if rig.parked:
        return f"rig {rig.name} is parked: nothing lands (gt rig unpark {rig.name})"
    return "" if force else fences.elsewhere(town, rig)


def _report(job: Job, messages: list[str]) -> RefineryReport:
    left = queue.entries(job.town, job.rig.name)
    held.keep_only(job.town, job.rig, {entry.id for entry in left})
    waiting = tuple((entry.id, why_waiting(entry, job.held.get(entry.id, ""))) for entry in left)
    return RefineryReport(
        job.rig.name,
        landed=tuple((entry.id, entry.source, commit) for entry, commit in job.landed),
        sent_back=tuple(job.sent_back),
        could_not_run=tuple((one, job.held[one]) for one in dict.fromkeys(job.could_not_run)),
        waiting=waiting,
        messages=tuple(messages),
    )


def why_waiting(entry: Entry, held_for: str) -> str:
    """Why an entry is still in the queue, in one phrase; "" if it is simply next."""
    if entry.set_aside:
        return f"set aside after {entry.failures} attempts: gt mq retry {entry.id}"
    return entry.held or held_for


def due(town: Town, rig_name: str) -> bool:
    """True if a run may achieve something now: something waits that is not held, or was held a while ago."""
    rig = town.rig(rig_name)
    if _not_ours(town, rig):
        return False
    notes = held.known(town, rig_name)
    waiting = [entry for entry in queue.entries(town, rig_name) if not entry.held and not entry.set_aside]
    if any(entry.id not in notes or not held.resting(town, rig, notes[entry.id]) for entry in waiting):
        return True
    return bool(queue.outdated(town, rig_name) or (not waiting and landing.intended(town, rig)))


# -- one at a time --------------------------------------------------------------------------------
@contextlib.contextmanager
def _sole(town: Town, rig: Rig) -> Iterator[None]:
    """Be the rig's only refinery on this machine; the kernel frees the lock when its holder dies."""
    os.makedirs(layout.run(town.root, "refinery"), exist_ok=True)
    with flock.alone(_lock(town, rig.name), timeout=0) as alone:
        if not alone:
            raise RaceLost(
                f"the refinery of {rig.name} is run by {_holder(town, rig.name)}",
                "let it work, then look again: gt mq list",
            )
        try:
            note = {"pid": os.getpid(), "since": time.time()}
            runstate.write_json(_holder_note(town, rig.name), note, durable=False)
            yield
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_holder_note(town, rig.name))


def _lock(town: Town, rig: str) -> str:
    return layout.run(town.root, "refinery", f"{rig}.lock")


def _holder_note(town: Town, rig: str) -> str:
    return layout.run(town.root, "refinery", f"{rig}-holder.json")


def _holder(town: Town, rig: str) -> str:
    note = runstate.read_json(_holder_note(town, rig))
    if not isinstance(note, dict):
        return "another process"
    return f"process {note.get('pid')}, for {max(0, int(time.time() - float(note.get('since', 0))))} s"


def running(town: Town, rig_name: str) -> str:
    """Who runs this rig's refinery on this machine now: `process N, for S s`; "" if nobody does."""
    if not os.path.exists(_lock(town, rig_name)):
        return ""
    with flock.alone(_lock(town, rig_name), timeout=0) as alone:
        return "" if alone else _holder(town, rig_name)


def state(entry: Entry) -> str:
    """One word for lists: queued, held or set-aside."""
    return "set-aside" if entry.set_aside else "held" if entry.held else "queued"
