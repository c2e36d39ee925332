"""`gt machine`: who shares this town."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gastown.cli.context import Ctx
from gastown.cli.options import At, Json
from gastown.cli.output import problems, put, put_json, put_lines
from gastown.model.text import safe
from gastown.services import machine as machines
from gastown.services.machine import Machine
from gastown.ui import style
from gastown.ui.tables import columns

app = typer.Typer(
    help="The machines that share this town.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _json(one: Machine) -> dict[str, Any]:
    return {**one.doc, "name": one.name, "here": one.here}


@app.command("list")
def list_(ctx: typer.Context, json: Json = False, at: At = None) -> int:
    """Every machine; this one is marked `here`."""
    gt: Ctx = ctx.obj
    found, broken = machines.machines(gt.view(at), gt.town.machine)
    if json:
        put_json([_json(one) for one in found])
    else:
        rows = [(one.name, "here" if one.here else "-", one.doc.get("platform")) for one in found]
        put_lines(columns(rows, head=("NAME", "HERE", "PLATFORM"), colour=style.wanted()))
    return 1 if problems(broken) else 0


@app.command("show")
def show(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="This one if left out.")] = None,
    json: Json = False,
    at: At = None,
) -> None:
    """One machine's facts."""
    gt: Ctx = ctx.obj
    found = machines.machine(gt.view(at), name or gt.town.machine, gt.town.machine)
    if json:
        put_json(_json(found))
        return
    for key, value in _json(found).items():
        put(f"{key:<10}{safe(value.get('at') if isinstance(value, dict) else value)}")
