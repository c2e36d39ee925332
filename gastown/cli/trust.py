"""`gt trust`: which commands from the town's files may run on this machine."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from gastown.cli.context import Ctx
from gastown.cli.options import Json
from gastown.cli.output import hint, problems, put, put_json, put_lines, say
from gastown.model.errors import NotFound, Refused, UsageError
from gastown.model.text import safe, safe_block
from gastown.services.settings import commands, trust
from gastown.services.settings.commands import Wanted
from gastown.ui import style
from gastown.ui.tables import columns

app = typer.Typer(
    help="The commands from town files that may run here.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_STYLES = {1: {"trusted": "green", "waits": "yellow"}}


def _json(one: Wanted) -> dict[str, Any]:
    return {
        "id": one.id, "kind": one.kind, "subject": one.subject, "command": one.command, "trusted": one.trusted,
        "path": one.path, "text": one.text,
    }  # fmt: skip


@app.command("list")
def list_(ctx: typer.Context, json: Json = False) -> int:
    """Every command the town's files hold, those that wait for your word first."""
    gt: Ctx = ctx.obj
    found = commands.wanted(gt.town)
    if json:
        put_json([_json(one) for one in found])
        return 1 if problems(commands.unreadable(gt.town)) else 0
    rows = [(one.id, "trusted" if one.trusted else "waits", one.kind, one.subject, one.shown) for one in found]
    put_lines(columns(rows, head=("ID", "STATE", "KIND", "OF", "COMMAND"), styles=_STYLES, colour=style.wanted()))
    if any(not one.trusted for one in found):
        hint("read them (in full: gt trust show ID), then: gt trust add ID… (or --all)")
    return 1 if problems(commands.unreadable(gt.town)) else 0


@app.command("show")
def show(ctx: typer.Context, number: Annotated[str, typer.Argument(metavar="ID")], json: Json = False) -> None:
    """One command in full, and the file that holds it. Of an agent, all that its preset says."""
    gt: Ctx = ctx.obj
    one = next((one for one in commands.wanted(gt.town) if one.id == number), None)
    if one is None:
        raise NotFound(f"no command {number!r} in the town's files", "`gt trust list` shows them")
    if json:
        put_json(_json(one))
        return
    put(f"{one.id}  {one.kind} of {safe(one.subject)}  {'trusted' if one.trusted else 'waits for your word'}")
    if one.path:
        put(f"in {safe(one.path)}:")
    put(safe_block(one.text))


@app.command("add")
def add(
    ctx: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID…]")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Without asking.")] = False,
    json: Json = False,
) -> None:
    """Agree to commands. They run with your rights, on this machine."""
    gt: Ctx = ctx.obj
    if bool(ids) == everything:
        raise UsageError("name ids, or --all", "`gt trust list` shows what waits")
    if everything and not yes:
        _confirm([one for one in commands.wanted(gt.town) if not one.trusted])
    done = commands.agree(gt.town, list(ids or ()), everything=everything)
    if json:
        put_json([{**_json(one), "trusted": True} for one in done])
    else:
        put_lines(f"{one.id}  trusted: {one.kind} of {safe(one.subject)}" for one in done)


def _confirm(waiting: list[Wanted]) -> None:
    if not sys.stdin.isatty():
        raise Refused("--all asks before it agrees, and there is no terminal to ask on", "read them, then add --yes")
    for one in waiting:
        say(f"{one.id}  {one.kind} of {safe(one.subject)}, in {safe(one.path)}:")
        for line in one.text.split("\n"):
            say(f"    {safe_block(line)}")
    if not typer.confirm("Agree to all of these?", err=True):
        raise Refused("nothing was agreed to")


@app.command("revoke")
def revoke(
    ctx: typer.Context, ids: Annotated[list[str], typer.Argument(metavar="ID…")], json: Json = False
) -> None:
    """Take agreements back."""
    gt: Ctx = ctx.obj
    known = {entry.id for entry in trust.entries(gt.town)}
    unknown = [one for one in ids if one not in known]
    if unknown:
        raise NotFound(f"nobody here agreed to {', '.join(unknown)}", "`gt trust list` shows what is trusted")
    for one in ids:
        trust.revoke(gt.town, one)
    if json:
        put_json({"revoked": ids})
    else:
        put_lines(f"{one}  revoked" for one in ids)
