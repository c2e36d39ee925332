"""`gt help [COMMAND…]`: the same as `--help` behind it, for who types it first."""

from __future__ import annotations

from typing import Annotated

import typer


def help_(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND…]", help="Such as: mail send.")] = None,
) -> int:
    """What a command does, and what it takes; without one, all of them."""
    from gastown.cli.app import run

    return run([*(words or ()), "--help"], ctx.obj)
