"""`gt demo`: see a town built, work slung, gated and merged, and the feed telling it."""

from __future__ import annotations

import shlex
import time
from typing import Annotated

import typer

from gastown.cli.options import Json
from gastown.cli.output import put, put_json, say
from gastown.model.text import safe
from gastown.services.agents.launch import check_runtime
from gastown.services.demo import demo as service
from gastown.services.demo import demomachines as across
from gastown.services.refinery.refinery import Step
from gastown.store import layout
from gastown.store.town import Town
from gastown.ui import feed as render
from gastown.ui import style


def demo(
    path: Annotated[str | None, typer.Argument(metavar="[PATH]", help="A new folder; else a temporary one.")] = None,
    runtime: Annotated[str | None, typer.Option("--runtime", help="tmux or process; else tmux if it is there.")] = None,
    machines: Annotated[int, typer.Option("--machines", min=1, max=2, help="2: one town on two machines.")] = 1,
    json: Json = False,
) -> int:
    """Build a town with a small project, let four workers work in it, and land what they make.

    No network, no model, no account. Exits 0 only if everything landed and the project's tests are green. With two
    machines work crosses between two clones of one town, and edits made apart meet again without a conflict.
    """
    began = time.monotonic()
    if runtime is not None:
        check_runtime(runtime)
    if machines == 2:
        return _on_two_machines(path, runtime, json, began)
    place = service.new_place(path)
    say(f"making a town at {place}")
    town, ids = service.prepare(place)
    teller = Teller(town, quiet=json)
    teller.tell()
    done = service.run(town, ids, runtime=runtime, on_step=teller.step)
    teller.tell()
    if json:
        put_json({"town": town.root, "project": done.project, "beads": done.ends, "landed": done.landed})
    else:
        _summary(done, time.monotonic() - began)
    return 0 if done.landed else 1


class Teller:
    """Prints the feed as it grows."""

    def __init__(self, town: Town, *, quiet: bool) -> None:
        self.town = town
        self.quiet = quiet
        self.told: set[str] = set()

    def step(self, step: Step) -> None:
        """Called by the loop whenever something happened."""
        self.tell()

    def tell(self) -> None:
        """Every event not told yet."""
        for event in self.town.events():
            if event["id"] not in self.told:
                self.told.add(event["id"])
                if not self.quiet:
                    put(render.event_line(event, colour=style.wanted()))


def _summary(done: service.Demo, seconds: float) -> None:
    colour = style.wanted()
    put()
    for task in service.TASKS:
        bead = done.ids[task.name]
        end = done.ends.get(bead, "unknown")
        put(f"  {bead}  {style.paint(end.ljust(8), 'green' if end == 'merged' else 'red', colour)}  {task.title}")
    put(f"  tests on the project's main branch: {done.tests}")
    put(f"  {'all landed' if done.landed else 'NOT everything landed'} in {seconds:.0f} s")
    root = shlex.quote(done.town.root)
    put()
    put("look around:")
    put(f"  cd {root}")
    put("  gt status            # rigs, workers, problems")
    put("  gt trail             # who did what on which bead, with the commits")
    wrapped = done.ids["wrap"]
    put(f"  gt show {wrapped}     # the one that the gate sent back, with its note")
    put("  git log --oneline    # the same story in git")
    worker = done.town.bead(wrapped).assignee
    if worker:
        put(f"  mutt -f {layout.mailbox(worker)}    # what the refinery wrote to its worker")
    put(f"  git -C {shlex.quote(done.project)} log --graph --oneline main")


# -- two machines ---------------------------------------------------------------------------------
def _on_two_machines(path: str | None, runtime: str | None, json: bool, began: float) -> int:
    place = service.new_place(path)
    say(f"one town on two machines, at {place}")
    quiet = (lambda _: None) if json else lambda text: put(f"$ {safe(text)}")
    pair = across.prepare(place, runtime=runtime, say=quiet)
    teller = Teller(pair.north, quiet=json)
    teller.tell()
    try:
        ends = across.work(pair, say=quiet, tell=teller.tell)
    finally:
        across.rest(pair, quiet)
    tests = {rig: service.tests_on_target(pair.north.rig(rig).git) for rig in across.RIGS}
    apart = across.apart(pair, say=quiet)
    teller.tell()
    done = across.Result(ends, tests, apart)
    if json:
        put_json({"north": pair.north.root, "south": pair.south.root, "remote": pair.remote, "beads": ends,
                  "alike": apart.alike, "well": done.well})  # fmt: skip
    else:
        _told(pair, done, time.monotonic() - began)
    return 0 if done.well else 1


def _told(pair: across.Pair, done: across.Result, seconds: float) -> None:
    colour = style.wanted()
    put()
    for task in across.TASKS:
        bead = pair.ids[f"{task.rig}/{task.name}"]
        end = done.ends[bead]
        by = f"worked on {task.machine}, landed on {across.RIGS[task.rig]}"
        put(f"  {bead}  {style.paint(end.ljust(8), 'green' if end == 'merged' else 'red', colour)}  {by}")
    for rig, (line, _) in done.tests.items():
        put(f"  tests on {rig}'s main branch: {line}")
    one = done.apart
    put(f"  edited apart: {one.bead} is now {one.title!r}, the other title is in a note; {one.notes} notes, none lost")
    put(f"  the mayor's mailbox: {', '.join(map(repr, one.mail))}; the first one archived and flagged")
    put(f"  both machines hold the same tree: {'yes' if one.alike else 'NO'}; conflict markers: "
        + ("SOME" if one.markers else "none"))  # fmt: skip
    put(f"  {'all is well' if done.well else 'NOT all is well'} in {seconds:.0f} s")
    put()
    put("look around:")
    for town in pair.both:
        put(f"  cd {shlex.quote(town.root)} && gt status        # as {town.machine} sees it")
    put("  gt feed --type sync_conflict_resolved    # what was decided, with both values")
    put(f"  gt show {one.bead}")
    put("  git log --graph --oneline")
