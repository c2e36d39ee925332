"""Watching: feed, trail, log."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gastown.cli.context import Ctx
from gastown.cli.options import At, Json, RigName
from gastown.cli.output import put, put_json, put_json_line, put_lines
from gastown.model import address, times
from gastown.model.errors import UsageError
from gastown.model.event import PROBLEMS
from gastown.model.ids import is_id
from gastown.services.health import trail as trails
from gastown.services.health.trail import Event, Wanted
from gastown.ui import feed as render
from gastown.ui import style

_DEFAULT = 50
Limit = Annotated[int, typer.Option("--limit", "-n", min=0, help="At most this many, the newest; 0: all.")]
_ALL = 1_000_000


def feed(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")] = False,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="2h, 7d, a date, a time.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--type", "-t", help="Type of event. Repeatable.")] = None,
    actor: Annotated[str | None, typer.Option("--actor", "-a", metavar="ADDRESS")] = None,
    rig: RigName = None,
    bead: Annotated[str | None, typer.Option("--bead", "-b", metavar="ID")] = None,
    problems: Annotated[bool, typer.Option("--problems", help="Only what somebody may have to look at.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="One line an event, also on a terminal.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=0, help="The newest so many; 0: all.")] = None,
    json: Json = False,
    at: At = None,
) -> None:
    """What happened, event by event, oldest first. With --json one event a line."""
    gt: Ctx = ctx.obj
    view = gt.view(at)
    if follow and at:
        raise UsageError("--follow and --at cannot be used together", "the past does not go on")
    trails.check_types(kind or ())
    now = gt.town.clock()
    wanted = Wanted(
        since=times.text(times.moment(since, now)) if since else "",
        types=(*(kind or ()), *(sorted(PROBLEMS) if problems else ())),
        actor=address.parse(actor) if actor else None,
        rig=view.rig(rig).name if rig else None,
        bead=view.resolve(bead, gt.actor) if bead else None,
    )
    most = (None if since else _DEFAULT) if limit is None else limit or None
    coming = trails.follow(gt.town, wanted) if follow else iter(())
    for one in trails.events(view, wanted, limit=most, now=now):
        _put_event(one, json, plain=plain)
    sys.stdout.flush()
    for one in coming:
        _put_event(one, json, plain=plain)
        sys.stdout.flush()


def _put_event(event: Event, json: bool, *, plain: bool = False) -> None:
    if json:
        put_json_line(event)
    else:
        put(render.event_line(event, colour=style.wanted() and not plain))


def trail(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="[commits|beads|sessions]", help="Only these.")] = "all",
    rig: RigName = None,
    limit: Limit = _DEFAULT,
    json: Json = False,
    at: At = None,
) -> None:
    """Who did what on which bead, newest first, with the commits of all rigs on this machine."""
    gt: Ctx = ctx.obj
    town, view = gt.town, gt.view(at)
    name = view.rig(rig).name if rig else None
    most, now = limit or _ALL, town.clock()
    if what == "all":
        found = trails.everything(town, view, rig=name, limit=most, now=now)
    elif what == "commits":
        found = trails.commits(town, view, rig=name, limit=most)
    elif what == "beads":
        found = trails.bead_events(view, rig=name, limit=most, now=now)
    elif what == "sessions":
        found = trails.sessions(view, rig=name, limit=most)
    else:
        told = f"; of one bead: gt log {what}" if is_id(what) else ""
        raise UsageError(f"there is no trail of {what!r}", f"one of: commits beads sessions{told}")
    for one in found:
        _put_event(one, json)


def log(
    ctx: typer.Context,
    bead_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="A bead; without one the whole town.")] = None,
    limit: Limit = _DEFAULT,
    json: Json = False,
    at: At = None,
) -> None:
    """The git history of the town, or of one bead with what each commit changed, newest first."""
    gt: Ctx = ctx.obj
    view = gt.view(at)
    path = None
    if bead_id is not None:
        path = view.bead_path(view.resolve(bead_id, gt.actor))
    chapters = trails.story(gt.town, path=path, revision=view.revision, limit=limit or _ALL)
    if json:
        put_json([one.as_json() for one in chapters])
        return
    for one in chapters:
        put_lines(render.chapter_lines(one, colour=style.wanted()))


def bead_log(
    ctx: typer.Context,
    bead_id: Annotated[str, typer.Argument(metavar="ID")],
    limit: Limit = _DEFAULT,
    json: Json = False,
    at: At = None,
) -> None:
    """The git history of one bead, newest first, with what each commit changed."""
    log(ctx, bead_id, limit, json, at)
