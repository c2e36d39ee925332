"""The town: init, status, info, doctor, version."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from gastown import __version__
from gastown.cli import plain
from gastown.cli.context import Ctx
from gastown.cli.options import At, Json, Quiet, seconds
from gastown.cli.output import hint, put, put_json, put_lines, say
from gastown.model.errors import UsageError
from gastown.model.ids import TOWN_PREFIX
from gastown.model.text import safe
from gastown.ui import style


def version(json: Json = False) -> None:
    """The version of gt."""
    if json:
        put_json({"version": __version__})
    else:
        put(f"gt {__version__}")


def init(
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="Where; a new folder, or a git repository.")] = ".",
    name: Annotated[str | None, typer.Option("--name", help="The town's name (else the folder's).")] = None,
    prefix: Annotated[str, typer.Option("--prefix", help="Of the ids of the town's own beads.")] = TOWN_PREFIX,
    template: Annotated[str | None, typer.Option("--template", metavar="FOLDER", help="Copy these files.")] = None,
    remote: Annotated[str | None, typer.Option("--remote", metavar="URL", help="Send the town there.")] = None,
    machine: Annotated[
        str | None, typer.Option("--machine", metavar="NAME", help="What this machine is called; else as its host.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a town here or at PATH, and commit exactly its files."""
    from gastown.services.machines.init import make_town

    made = make_town(path, name=name, prefix=prefix, template=template, remote=remote, machine_name=machine)
    if json:
        put_json(
            {
                "town": made.name, "root": made.root, "prefix": made.prefix, "machine": made.machine,
                "commit": made.commit, "files": list(made.committed), "kept": list(made.kept),
            }
        )  # fmt: skip
        return
    put(made.root if quiet else f"{made.name}  town at {made.root} on machine {made.machine}")
    if made.kept:
        say(f"left as they were: {', '.join(map(safe, made.kept))}")
    if made.identity is None:
        say("git does not know who you are: the first commit was made as `overseer`.")
        hint('git config --global user.name "You"; git config --global user.email "you@example.org"')
    if not quiet:
        say("next:")
        say(f"  cd {made.root}")
        say("  gt rig add NAME URL-OR-PATH        a repository for agents to work in")
        say('  gt create "what is to be done"     a bead; `gt sling ID` gives it to an agent')


def status(
    ctx: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it until interrupted.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", parser=seconds, metavar="SECONDS", help="Between two looks.")
    ] = 2.0,
    everything: Annotated[bool, typer.Option("--all", help="Every problem, however many there are.")] = False,
    json: Json = False,
    at: At = None,
) -> int:
    """The town at a glance: what needs you first, then the rigs and their workers."""
    gt: Ctx = ctx.obj
    if watch and (json or at):
        raise UsageError("--watch goes with neither --json nor --at")
    while True:
        code = plain.status(gt, gt.view(at), json, clear=watch and sys.stdout.isatty(), everything=everything)
        if not watch:
            return code
        sys.stdout.flush()
        time.sleep(max(0.2, interval))


def info(ctx: typer.Context, json: Json = False, at: At = None) -> None:
    """Where this town is, and who you are in it."""
    from gastown.services.health import status as service

    gt: Ctx = ctx.obj
    found = service.info(gt.town, gt.view(at), __version__)
    facts = {**vars(found), "rigs": list(found.rigs)}
    if json:
        put_json(facts)
        return
    for key, value in facts.items():
        shown = " ".join(value) if isinstance(value, list) else value
        put(f"{key:<10}{'-' if shown in (None, '') else safe(shown)}")


def doctor(
    ctx: typer.Context,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is provably ours.")] = False,
    json: Json = False,
) -> int:
    """Look for what is broken. Exit 1 if an error remains."""
    from gastown.services.files.findings import FAIL
    from gastown.services.health import doctor as service
    from gastown.ui import doctor as render

    gt: Ctx = ctx.obj
    findings = service.examine(gt.town, fix=fix)
    if json:
        put_json(service.as_json(findings))
    else:
        put_lines(render.lines(findings, colour=style.wanted()))
    return 1 if any(one.state == FAIL for one in findings) else 0
