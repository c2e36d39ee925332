"""The plain lists: what ready, list and status print once it is known what is asked.

No typer here: without options, or with --json alone, the short way (cli/fast.py) ends in these as well.
"""

from __future__ import annotations

import sys

from gastown.cli.output import hint, problems, put_json, put_lines
from gastown.services.beads import queries
from gastown.services.beads.queries import Filter
from gastown.ui import style

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gastown.cli.context import Ctx
    from gastown.model.row import Row
    from gastown.store.index import Index
    from gastown.store.view import View

_CLEAR = "\x1b[H\x1b[2J"
# Taking a hundred thousand rows apart one by one takes as long as reading them; the end of the process is faster.
_kept: list[object] = []


def run(name: str, gt: Ctx, as_json: bool) -> int:
    """The exit code of `gt NAME [--json]`; NAME is ready, list or status."""
    import gc

    gc.set_threshold(1_000_000)  # it is over before a collection would find anything
    if name == "ready":
        return ready(gt.town, None, None, as_json)
    if name == "list":
        return select(gt.town, Filter(), None, as_json)
    return status(gt, gt.town, as_json)


def rows(view: View, index: Index, found: list[Row], as_json: bool) -> int:
    """The rows as a table or array; 1 if a file could not be used, for then the answer may be incomplete."""
    _kept[:] = [index]
    if as_json:
        put_json([queries.as_json(bead, index) for bead in queries.load_rows(view, found)])
    else:
        from gastown.ui import beads as render

        put_lines(render.table(found, colour=style.wanted()))
    return 1 if problems(index.problems) else 0


def ready(view: View, rig: str | None, limit: int | None, as_json: bool) -> int:
    """Open work that nothing blocks and nobody holds; the exit code."""
    queries.check_filter(view, Filter(rig=rig))
    index = view.index()
    found = queries.ready(index, rig)[:limit]
    if not found and not as_json:
        hint("nothing is ready; `gt blocked` shows what waits, `gt list` everything open")
    return rows(view, index, found, as_json)


def select(view: View, wanted: Filter, limit: int | None, as_json: bool) -> int:
    """The beads that match; the exit code."""
    queries.check_filter(view, wanted)
    index = view.index()
    found = queries.select(index, wanted)[:limit]
    if not found and not as_json:
        looked = wanted.all or wanted.statuses
        hint("no bead is like that" + ("" if looked else "; --all looks among the closed ones, too"))
    return rows(view, index, found, as_json)


def status(gt: Ctx, view: View, as_json: bool, *, clear: bool = False, everything: bool = False) -> int:
    """The town at a glance, on an empty screen if `clear`, with `everything` all problems; the exit code."""
    from gastown.services.health import status as service

    _kept[:] = [index := view.index()]
    found = service.status(gt.town, view, index)
    if as_json:
        put_json(found.as_json())
    else:
        from gastown.ui import status as render

        if clear:
            sys.stdout.write(_CLEAR)
        put_lines(render.lines(found, now=gt.town.clock(), colour=style.wanted(), everything=everything))
    return 1 if found.invalid else 0
