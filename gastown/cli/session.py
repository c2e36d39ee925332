"""Sessions of agents on this machine: list, log, stop; looking at one, and sitting down to it."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from gastown.cli.context import Ctx
from gastown.cli.options import Json, Quiet, seconds
from gastown.cli.output import hint, problems, put, put_json, put_lines, say
from gastown.cli.several import each
from gastown.model.errors import NotFound, UsageError
from gastown.model.text import safe, safe_block
from gastown.services.sessions import whereabouts

app = typer.Typer(
    help="Sessions of agents on this machine.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
Which = Annotated[str, typer.Argument(metavar="SESSION|ADDRESS", help="A session id, or whose it is.")]
Lines = Annotated[int, typer.Option("-n", "--lines", min=1, help="How many lines.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    json: Json = False,
) -> int:
    """The sessions that live, or all there were on this machine."""
    from gastown.model.times import ago
    from gastown.runtime import sessions
    from gastown.services.sessions import attempts
    from gastown.ui import style
    from gastown.ui.tables import columns

    gt: Ctx = ctx.obj
    records, bad = sessions.all_sessions(attempts.run_dir(gt.town_in_need))
    states = [(one, attempts.look_at(gt.town_in_need, one.id).state) for one in records]
    shown = [(one, state) for one, state in states if everything or state in attempts.LIVE or state == "unknown"]
    if json:
        put_json([_doc(one, state) for one, state in shown])
    else:
        now = gt.town_in_need.clock()
        rows = [
            (one.id, state, one.address, one.bead or "", one.agent, one.runtime, ago(now - one.started))
            for one, state in shown
        ]
        put_lines(columns(rows, head=("SESSION", "STATE", "WHO", "BEAD", "AGENT", "IN", "AGE"), colour=style.wanted()))
        if not rows and not everything:
            hint("no session lives; --all shows those that are over")
    return 1 if problems(bad) else 0


def _doc(record: Any, state: str) -> dict[str, Any]:
    from gastown.model.times import text

    return {
        "id": record.id, "state": state, "address": record.address, "bead": record.bead, "attempt": record.attempt,
        "agent": record.agent, "runtime": record.runtime, "started": text(record.started),
        "ended": text(record.ended) if record.ended else None, "exit_code": record.exit_code,
        "exit_signal": record.exit_signal, "outcome": record.outcome, "log": record.log, "argv": list(record.argv),
    }  # fmt: skip


def _newest(gt: Ctx, which: str) -> Any:
    """The session of that id, or the newest of that worker, over or not."""
    from gastown.model import address
    from gastown.runtime import sessions
    from gastown.services.agents import polecats
    from gastown.services.sessions import attempts

    run = attempts.run_dir(gt.town)
    if "/" not in which:
        try:
            return sessions.load(run, which)
        except NotFound:
            whereabouts.require_here(gt.town, which)
            raise
    who = address.parse(which)
    found, unreadable = sessions.all_sessions(run)
    mine = [one for one in found if one.address == who]
    if mine:
        return mine[-1]
    if address.is_worker(who):
        polecats.require(gt.town, who)
    if unreadable:
        raise unreadable[0]  # it may be the very one
    whereabouts.require_here(gt.town, who)
    raise NotFound(f"{who} has had no session on this machine", "`gt agents` shows who is where")


def _living(gt: Ctx, which: str) -> str:
    """The live session meant; of one on another machine it is said where. Raises NotFound."""
    from gastown.services.sling import release

    try:
        return release.find_session(gt.town_in_need, which)
    except NotFound:
        whereabouts.require_here(gt.town_in_need, which)
        raise


@app.command("log")
def log(ctx: typer.Context, which: Which, lines: Lines = 200) -> None:
    """The end of a session's output, whether it lives or not."""
    from gastown.runtime import sessions

    gt: Ctx = ctx.obj
    put_lines(safe_block(sessions.log_tail(_newest(gt, which).log, lines)).splitlines())


@app.command("stop")
def stop(
    ctx: typer.Context,
    which: Annotated[list[str] | None, typer.Argument(metavar="SESSION|ADDRESS…", help="Or whose.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every session of this town on this machine.")] = False,
    grace: Annotated[
        float, typer.Option("--grace", parser=seconds, metavar="SECONDS", help="Before it is killed.")
    ] = 5.0,
    after: Annotated[
        float, typer.Option("--after", parser=seconds, metavar="SECONDS", help="Let it end by itself first.")
    ] = 0.0,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """End sessions. Their work stays on its hook, to be resumed; what is uncommitted is saved."""
    from gastown.services.sling import release as service

    gt: Ctx = ctx.obj
    if bool(which) == everything:
        raise UsageError("which session?", "name one or several, or --all; `gt session list` shows them")
    sids = service.every_session(gt.town_in_need) if everything else [_living(gt, one) for one in which or ()]
    remain: list[str] = []

    def act(sid: str) -> service.Stopped:
        done = service.stop_session(gt.town_in_need, sid, grace=grace, after=after)
        remain.extend([] if done.gone else [sid])
        return done

    def tell(one: service.Stopped) -> None:
        said = f"{one.session}  of {one.address} " + ("is over" if one.gone else "still runs")
        put(one.session if quiet else said)
        if one.saved:
            say(f"in its worktree: {safe(one.saved)}")
        if one.unnoted:
            say(f"warning: its bead does not say that it was stopped: {safe(one.unnoted)}")

    code = each(sids, act, tell, vars, json=json, many=everything or len(sids) > 1)
    return code or (1 if remain else 0)


@app.command("ended", hidden=True)
def ended(ctx: typer.Context, sid: Annotated[str, typer.Argument(metavar="SESSION")]) -> None:
    """What a session's runner calls when its agent is gone."""
    from gastown.services.work import recover

    gt: Ctx = ctx.obj
    found = recover.session_ended(gt.town, sid)
    put(f"{found.session}  {found.what}" + (f": {safe(found.text)}" if found.text else ""))


def peek(ctx: typer.Context, which: Which, lines: Lines = 40) -> None:
    """The last lines of an agent's screen, or of its output."""
    from gastown.runtime import sessions

    gt: Ctx = ctx.obj
    record = _newest(gt, which)
    if "/" in which and sessions.liveness(record) not in ("running", "starting"):
        whereabouts.require_here(gt.town, which)  # what it did here before is not what it does now
    put_lines(safe_block(sessions.peek(record, lines)).splitlines())


def attach(ctx: typer.Context, which: Which) -> None:
    """Sit down at an agent's terminal; without tmux its output is followed. Ctrl-B d leaves it running."""
    from gastown.runtime import sessions

    gt: Ctx = ctx.obj
    gt.town_in_need.require_own()
    record = _newest(gt, _living(gt, which))
    if record.runtime == "tmux" and not (os.isatty(0) and os.isatty(1)):
        raise UsageError("attaching needs a terminal", f"gt peek {record.address} shows the last lines")
    argv = sessions.attach_argv(record)
    os.execvp(argv[0], argv)
