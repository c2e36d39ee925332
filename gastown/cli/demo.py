"""`gt demo`: see a town built, work slung, gated and merged, and the feed telling it."""

from __future__ import annotations

import shlex
import time
from typing import Annotated

import typer

from gastown.cli.options import Json
from gastown.cli.output import put, put_json, say
from gastown.services import demo as service
from gastown.services.refinery import Step
from gastown.store.town import Town
from gastown.ui import feed as render
from gastown.ui import style


def demo(
    path: Annotated[str | None, typer.Argument(metavar="[PATH]", help="A new folder; else a temporary one.")] = None,
    runtime: Annotated[str | None, typer.Option("--runtime", help="tmux or process; else tmux if it is there.")] = None,
    json: Json = False,
) -> int:
    """Build a town with a small project, let four workers work in it, and land what they make.

    No network, no model, no account. Exits 0 only if everything landed and the project's tests are green.
    """
    began = time.monotonic()
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
    put(f"  git -C {shlex.quote(done.project)} log --graph --oneline main")
