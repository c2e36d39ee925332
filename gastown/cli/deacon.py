"""The deacon and what starts and stops with it: deacon, up, down, estop, thaw, scheduler."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gastown.cli.context import Ctx
from gastown.cli.options import Json
from gastown.cli.output import error_doc, put, put_json, put_lines, say, say_error
from gastown.model import times
from gastown.model.errors import GtError
from gastown.model.text import safe
from gastown.services.sessions import estop as stops
from gastown.services.sessions import powers
from gastown.services.sling import scheduler as schedulers
from gastown.ui import style
from gastown.ui.tables import columns

if TYPE_CHECKING:
    from gastown.deacon.action import Action

_SETTINGS: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
app = typer.Typer(help="The watcher that keeps work flowing.", **_SETTINGS)
scheduler_app = typer.Typer(help="How much may run, and what waits.", **_SETTINGS)
Why = Annotated[str, typer.Argument(metavar="[WHY]", help="The reason, shown to whoever is refused.")]


@app.command("run")
def run(
    ctx: typer.Context,
    detach: Annotated[bool, typer.Option("--detach", hidden=True, help="Go into the background first.")] = False,
) -> int:
    """Run the deacon here, in the foreground, until it is told to end."""
    gt: Ctx = ctx.obj
    root = gt.root
    if detach and os.fork():
        os._exit(0)
    from gastown.deacon.loop import Deacon
    from gastown.services.files.opening import open_town

    os.chdir("/")  # the town may be moved or deleted under us
    deacon = Deacon(open_town(root, actor="deacon"), say=None if detach else say)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: deacon.stop())
    why = deacon.run()
    if detach:
        say(why)
    return 0


@app.command("start")
def start(ctx: typer.Context, json: Json = False) -> None:
    """Start the deacon in the background."""
    gt: Ctx = ctx.obj
    _show_started(gt, json)


def _show_started(gt: Ctx, json: bool) -> None:
    found, new = powers.start(gt.town.root)
    if json:
        put_json({**found.as_json(), "started": new})
    else:
        put(f"deacon {'started' if new else 'runs already'}: process {found.proc.pid}, {safe(found.watching)}")


@app.command("stop")
def stop(ctx: typer.Context, json: Json = False) -> None:
    """End the deacon. Agents go on."""
    gt: Ctx = ctx.obj
    found = powers.stop(gt.root)
    if json:
        put_json({"stopped": found.proc.pid if found else None})
    else:
        put(f"deacon stopped (process {found.proc.pid})" if found else "no deacon was running")


@app.command("status")
def status(ctx: typer.Context, json: Json = False) -> int:
    """Whether the deacon runs. Exit 1 if it does not."""
    gt: Ctx = ctx.obj
    town = gt.town_in_need
    found = powers.deacon(town.root)
    holds = schedulers.waits_for(town)
    if json:
        put_json({"running": found is not None, **(found.as_json() if found else {}), "holds": holds})
    elif found:
        age = times.ago(town.clock() - found.since)
        put(f"deacon runs: process {found.proc.pid}, for {age}, {safe(found.watching)}")
    else:
        put("no deacon runs (gt up starts it)")
    if not json:
        put_lines(f"nothing starts by itself: {safe(why)}" for why in holds)
    return 0 if found else 1


@app.command("logs")
def logs(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on showing new lines.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many old lines to begin with.")] = 50,
) -> None:
    """What the deacon did, line by line."""
    from gastown.deacon import follow as following

    gt: Ctx = ctx.obj
    for line in following.lines(gt.root, lines, go_on=follow):
        put(safe(line))
        if follow:
            typer.get_text_stream("stdout").flush()


@app.command("plan")
def plan(ctx: typer.Context, json: Json = False) -> int:
    """What the deacon would do now, and why. Changes nothing."""
    from gastown.cli.edge import understood
    from gastown.deacon.action import Later
    from gastown.deacon.loop import once

    gt: Ctx = ctx.obj
    found, blind = once(gt.town)
    errors = [(patrol, understood(error) or GtError(str(error))) for patrol, error in blind]
    if json:
        docs = [{"patrol": patrol.name, **action.as_json(), **_when(action)} for patrol, action in found]
        put_json(docs + [{"patrol": one.name, **error_doc(why.code, why.message, why.hint)} for one, why in errors])
        return 1 if errors else 0
    now = gt.town.clock()
    rows = []
    for patrol, action in found:
        what = f"in {times.ago(action.at - now)}" if isinstance(action, Later) else action.kind
        rows.append((patrol.name.replace(" ", "-"), what.replace(" ", "-"), action.subject, action.why))
    put_lines(columns(rows, head=("PATROL", "ACTION", "SUBJECT", "WHY"), colour=style.wanted()))
    for patrol, why in errors:
        say_error(f"{patrol.name}: {why.message}", why.hint)
    if not rows and not errors:
        say("nothing to do")
    return 1 if errors else 0


def _when(action: Action) -> dict[str, str]:
    from gastown.deacon.action import Later

    return {"at": times.text(action.at)} if isinstance(action, Later) else {}


# -- up and down ----------------------------------------------------------------------------------
def up(ctx: typer.Context, json: Json = False) -> None:
    """Start the deacon, which starts all that waits."""
    _show_started(ctx.obj, json)


def down(ctx: typer.Context, json: Json = False) -> int:
    """End the deacon and every session of this town on this machine; exit 1 if something is left."""
    from gastown.services.work import shutdown

    gt: Ctx = ctx.obj
    found = shutdown.down(gt.town_in_need)
    if json:
        put_json(vars(found))
        return 1 if found.left else 0
    put(f"deacon stopped (process {found.deacon})" if found.deacon else "no deacon was running")
    put_lines(f"stopped {address}" for address in found.stopped)
    put_lines(f"saved {safe(text)}" for text in found.saved)
    for text in found.unnoted:
        say(f"warning: {safe(text)}")
    for text in found.left:
        say(f"left as it is: {safe(text)}")
    return 1 if found.left else 0


def estop(ctx: typer.Context, why: Why = "", json: Json = False) -> None:
    """Freeze every agent of this machine and let nothing start, until `gt thaw`."""
    gt: Ctx = ctx.obj
    _show_frozen(stops.estop(gt.town_in_need, why), "stopped", json)


def thaw(ctx: typer.Context, json: Json = False) -> None:
    """Let frozen agents go on and new ones start."""
    gt: Ctx = ctx.obj
    found = stops.thaw(gt.town_in_need)
    if found.unchanged and not json:
        put("nothing was stopped")
    else:
        _show_frozen(found, "goes on", json)


def _show_frozen(found: stops.Frozen, word: str, json: bool) -> None:
    if json:
        put_json({"sessions": found.sessions, "unknown": found.unknown})
        return
    put_lines(f"{word}: {address}" for address in found.sessions)
    if not found.sessions:
        put("no agents run here; nothing starts until gt thaw" if word == "stopped" else "agents may start again")
    for text in found.unknown:
        say(f"nothing is known of a session: {safe(text)}")


# -- scheduler ------------------------------------------------------------------------------------
@scheduler_app.command("status")
def scheduler_status(ctx: typer.Context, json: Json = False) -> None:
    """The slots of this machine and its rigs, and what waits for them."""
    gt: Ctx = ctx.obj
    found = schedulers.schedule(gt.town)
    if json:
        put_json(found.as_json())
        return
    for why in found.holds:
        put(f"nothing starts by itself: {safe(why)}")
    if found.rooms:
        slots = found.rooms[0].slots
        put(f"{found.machine}: {slots.used} of {slots.most} slots in use")
    rows = [
        (
            room.rig, f"{room.slots.rig_used}/{room.slots.rig_most if room.slots.rig_most is not None else '-'}",
            "parked" if room.parked else f"{len(room.waiting)} waiting", " ".join(row.id for row in room.waiting[:8]),
        )
        for room in found.rooms
    ]  # fmt: skip
    put_lines(columns(rows, head=("RIG", "SLOTS", "QUEUE", "NEXT"), colour=style.wanted()))


@scheduler_app.command("pause")
def scheduler_pause(ctx: typer.Context, why: Why = "") -> None:
    """Start no queued work on this machine until `resume`."""
    gt: Ctx = ctx.obj
    put("paused" if schedulers.pause(gt.town_in_need, why) else "it was paused already")


@scheduler_app.command("resume")
def scheduler_resume(ctx: typer.Context) -> None:
    """Start queued work again."""
    gt: Ctx = ctx.obj
    put("resumed" if schedulers.resume(gt.town_in_need) else "it was not paused")
