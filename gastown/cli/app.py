"""The typer application: a group that knows its commands from a table and imports one when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup, TyperOption
from typer.main import get_command, get_group

from gastown import __version__
from gastown.cli.context import Ctx
from gastown.cli.tree import COMMANDS, sections
from gastown.model.errors import UsageError
from gastown.model.text import nearest

# On every Typer, or help turns back into boxes and completion options appear.
SETTINGS: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
_CONTEXT = {"help_option_names": ["-h", "--help"]}
_NUMBERS = ("int", "integer", "int range", "integer range", "float", "float range")
_TOWN_HELP = "The town to work on (else GT_TOWN, else upward from here)."
_AS_HELP = "Act as this address (only the overseer may)."


class Lazy(TyperGroup):
    """`gt` itself."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names in the table that are meant for people and agents."""
        return [name for name, entry in COMMANDS.items() if entry[3]]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and build one command; raises UsageError with the nearest names for an unknown one."""
        if cmd_name in COMMANDS:
            return build(cmd_name)
        near = nearest(cmd_name, self.list_commands(ctx))
        raise UsageError(
            f"no command {cmd_name!r}",
            "did you mean " + " or ".join(f"`gt {one}`" for one in near) + "?" if near else "`gt --help` lists them",
        )

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The table, by sections; no group is imported for it."""
        for title, rows in sections():
            with formatter.section(title[:1].upper() + title[1:]):
                formatter.write_dl(rows)


def build(name: str) -> Any:
    """The click command behind a name of the table."""
    module, attribute, line, section = COMMANDS[name]
    found = getattr(import_module(f"gastown.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        command: Any = get_group(found)
        if not command.invoke_without_command:
            command.no_args_is_help = True
        command.help = command.help or line
    else:
        single = typer.Typer(**SETTINGS)
        single.command(name, hidden=not section)(found)
        command = get_command(single)
    command.name = name
    _finish(command)
    return command


def _finish(command: Any) -> None:
    """--town, --as and -h are understood by every command, wherever they stand; what an option takes has a name."""
    command.context_settings = {**_CONTEXT, **(command.context_settings or {})}
    for child in getattr(command, "commands", {}).values():
        _finish(child)
    for param in command.params:
        if param.metavar is None and param.param_type_name == "option" and not param.is_flag:
            param.metavar = "N" if param.type.name in _NUMBERS else max(param.opts, key=len).lstrip("-").upper()
    if not hasattr(command, "commands"):
        command.params += [_shared("--town", "PATH", "town_option"), _shared("--as", "ADDRESS", "as_option")]


def _shared(flag: str, metavar: str, attribute: str) -> TyperOption:
    def keep(ctx: Any, param: Any, value: str | None) -> None:
        if value is not None:
            setattr(ctx.find_object(Ctx), attribute, value)

    return TyperOption(
        param_decls=[flag, attribute],
        metavar=metavar,
        type=str,
        default=None,
        expose_value=False,
        callback=keep,
        hidden=True,
    )


def gt(
    ctx: typer.Context,
    town: Annotated[str | None, typer.Option("--town", metavar="PATH", help=_TOWN_HELP)] = None,
    as_: Annotated[str | None, typer.Option("--as", metavar="ADDRESS", help=_AS_HELP)] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> int | None:
    """A workspace manager for many coding agents, on plain files in a git repository.

    Without a command: the status of the town. `gt COMMAND --help` tells more about each.
    """
    ctx.obj.town_option, ctx.obj.as_option = town, as_
    if version:
        print(f"gt {__version__}")
        raise typer.Exit(0)
    if ctx.invoked_subcommand is None:
        from gastown.cli.town import status

        return status(ctx)
    return None


def root() -> Any:
    """The group of all commands."""
    app = typer.Typer(cls=Lazy, invoke_without_command=True, context_settings=dict(_CONTEXT), **SETTINGS)
    app.callback()(gt)
    return get_group(app)


def run(args: list[str], ctx: Ctx) -> int:
    """Parse `args` and run the command; its exit code. typer's own errors are raised as they come."""
    # The group is built only for its own options, help and suggestions: it costs as much as a command.
    direct = bool(args) and args[0] in COMMANDS
    command = build(args[0]) if direct else root()
    name, rest = (f"gt {args[0]}", args[1:]) if direct else ("gt", args)
    try:
        with command.make_context(name, rest, obj=ctx) as context:
            result = command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return result if isinstance(result, int) else 0
