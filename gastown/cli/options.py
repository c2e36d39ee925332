"""Options that many commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the ids alone, one a line.")]
At = Annotated[
    str | None, typer.Option("--at", metavar="REV|TIME", help="Read the town as it was: a git revision, 2h, a date.")
]
RigName = Annotated[str | None, typer.Option("--rig", metavar="RIG", help="This rig only.")]
File = Annotated[str | None, typer.Option("-F", "--file", metavar="FILE", help="Take the text from FILE; - is stdin.")]
Stdin = Annotated[bool, typer.Option("--stdin", help="Take the text from stdin, as - in its place does.")]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be done, and do nothing.")]
