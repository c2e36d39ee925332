"""`gt config`: get, set, list. Keys are dotted; `rig.NAME.KEY` lies in that rig's file."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gastown.cli.context import Ctx
from gastown.cli.options import At, Json
from gastown.cli.output import dumps, hint, put, put_json, put_lines, say
from gastown.model.errors import UsageError
from gastown.model.text import safe
from gastown.services.settings import config
from gastown.services.settings.config import Setting
from gastown.ui import style
from gastown.ui.tables import columns

app = typer.Typer(
    help="Read and change the town's settings (town.yaml, rig.yaml).",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
Key = Annotated[str, typer.Argument(metavar="KEY", help="Dotted: deacon.quiet, rig.NAME.batch.")]


def _shown(value: Any) -> str:
    return safe(value) if isinstance(value, str) else dumps(value, indent=None)


@app.command("get")
def get(ctx: typer.Context, key: Key, json: Json = False, at: At = None) -> int:
    """Print a setting; its default where it is not set. Exit 1 if it has neither."""
    gt: Ctx = ctx.obj
    found = config.get(gt.view(at), key)
    value = found.default if found.value is None else found.value
    if json:
        put_json({"key": key, "value": value, "set": found.value is not None})
    elif value is not None:
        put(_shown(value))
    if value is None and not json:
        say(f"{safe(key)} is not set and has no default")
    return 1 if value is None else 0


@app.command("set")
def set_(
    ctx: typer.Context,
    key: Key,
    value: Annotated[str | None, typer.Argument(metavar="VALUE", help="Lists and maps as YAML: '[a, b]'.")] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Remove the key.")] = False,
    json: Json = False,
) -> None:
    """Set a key; checked against the schema before anything is written."""
    gt: Ctx = ctx.obj
    if unset == (value is not None):
        raise UsageError("give a VALUE or --unset", f"gt config set {key} VALUE")
    found = config.set_value(gt.town, key, value)
    if json:
        put_json({"key": key, "value": found.value, "set": found.value is not None})
    elif found.value is None:
        put(f"{key}  removed")
    else:
        put(f"{key}  {_shown(found.value)}")
    if not found.known and found.value is not None:
        hint(f"{safe(key)} is no setting that gt knows; it was written all the same")


@app.command("list")
def list_(
    ctx: typer.Context,
    rig: Annotated[str | None, typer.Option("--rig", metavar="RIG", help="A rig's settings.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Known ones that are not set, too.")] = False,
    json: Json = False,
    at: At = None,
) -> None:
    """What is set; with --all everything that can be, with its default and meaning."""
    gt: Ctx = ctx.obj
    found = [one for one in config.settings(gt.view(at), rig) if everything or one.value is not None]
    if json:
        put_json([vars(one) for one in found])
        return
    put_lines(columns([_row(one, everything) for one in found], colour=style.wanted()))
    if not everything:
        hint("--all shows what else can be set")


def _row(one: Setting, everything: bool) -> tuple[str, ...]:
    if not everything:
        return (one.key, _shown(one.value))
    state = "set" if one.value is not None else "default" if one.default is not None else "unset"
    value = one.default if one.value is None else one.value
    return (one.key, state, "-" if value is None else _shown(value), one.description or "-")
