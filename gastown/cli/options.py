"""Options that many commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from gastown.model.errors import UsageError

# What is to be waited for longer is no matter of one command; the system's own clocks end a little later.
_LONGEST = 7 * 86_400.0


def seconds(given: str | float) -> float:
    """The value of an option that is a time to wait; raises UsageError for what is none."""
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not 0 <= value <= _LONGEST:
        raise UsageError(f"{str(given)!r} is no number of seconds", f"write a number from 0 to {_LONGEST:.0f} (a week)")
    return value


Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the ids alone, one a line.")]
At = Annotated[
    str | None, typer.Option("--at", metavar="REV|TIME", help="Read the town as it was: a git revision, 2h, a date.")
]
RigName = Annotated[str | None, typer.Option("--rig", metavar="RIG", help="This rig only.")]
File = Annotated[str | None, typer.Option("-F", "--file", metavar="FILE", help="Take the text from FILE; - is stdin.")]
Stdin = Annotated[bool, typer.Option("--stdin", help="Take the text from stdin, as - in its place does.")]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be done, and do nothing.")]
