"""`gt rig`: add, list, show, config, park, unpark, remove."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gastown.cli import config as config_cli
from gastown.cli.context import Ctx
from gastown.cli.options import At, Json, Quiet
from gastown.cli.output import hint, problems, put, put_json, put_lines, say
from gastown.model.errors import UsageError
from gastown.model.text import counted, safe
from gastown.services.rigs import pulling, rigs
from gastown.ui import style
from gastown.ui.progress import Progress
from gastown.ui.tables import columns

app = typer.Typer(
    help="Rigs: the repositories that agents work in.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
Name = Annotated[str, typer.Argument(metavar="RIG", help="The rig's name.")]


@app.command("add")
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="a-z, 0-9 and '-'.")],
    source: Annotated[str, typer.Argument(metavar="URL|PATH", help="The repository; it is cloned.")],
    prefix: Annotated[str | None, typer.Option("--prefix", help="Of its beads' ids; else made from the name.")] = None,
    branch: Annotated[str | None, typer.Option("--branch", help="Where work lands; else the remote's HEAD.")] = None,
    gate: Annotated[list[str] | None, typer.Option("--gate", metavar="NAME=CMD", help="Repeatable.")] = None,
    merge: Annotated[str | None, typer.Option("--merge", help="rebase, squash or merge")] = None,
    push: Annotated[bool, typer.Option("--push", help="Landed commits are pushed to the repository.")] = False,
    local: Annotated[bool, typer.Option("--local", help="Landed commits stay in the town's clone.")] = False,
    agent: Annotated[str | None, typer.Option("--agent", help="The preset its workers use.")] = None,
    most: Annotated[int | None, typer.Option("--max", metavar="N", help="Workers at once on a machine.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Clone a repository and make it a rig.

    What lands is pushed to a URL or bare repository. A checkout of your own is never pushed to, unless
    --push says so: what lands stays in the town's clone, and you pull it from there.
    """
    gt: Ctx = ctx.obj
    if push and local:
        raise UsageError("--push and --local cannot be used together")
    new = rigs.NewRig(
        name=name,
        source=source,
        prefix=prefix,
        branch=branch,
        gates=tuple(rigs.parse_gate(one) for one in gate or ()),
        merge=merge,
        landing="push" if push else "local" if local else None,
        agent=agent,
        max_polecats=most,
    )
    with Progress("cloning", quiet=json or quiet) as progress:
        rig = rigs.add(gt.town, new, base=gt.cwd, progress=progress.line)
    if json:
        put_json(rigs.facts(gt.town, gt.town, name).as_json())
        return
    put(rig.name if quiet else f"{rig.name}  prefix {rig.prefix}, branch {safe(rig.branch)}, from {safe(rig.git)}")
    pull = pulling.command(gt.town, rig)
    if pull and not quiet:
        say("landed work stays in the town's clone, your checkout is left alone; fetch it with:")
        say(f"  {safe(pull)}")
    for text, command in [] if quiet else rigs.cautions(gt.town, rig):
        say(f"warning: {safe(text)}")
        hint(safe(command))
    if not rig.gates and not quiet:
        hint(f"no gates: whatever merges cleanly lands; gt rig config {name} gates '[{{name: test, run: make test}}]'")


@app.command("list")
def list_(ctx: typer.Context, json: Json = False, at: At = None) -> int:
    """Every rig."""
    gt: Ctx = ctx.obj
    view = gt.view(at)
    found, broken = view.rigs()
    if json:
        put_json([{**rig.doc, "name": rig.name, "parked": rig.parked, "landing": rig.landing} for rig in found])
    else:
        rows = [
            (r.name, r.prefix, r.branch, r.landing, "parked" if r.parked else "active", len(r.gates), r.git)
            for r in found
        ]
        head = ("NAME", "PREFIX", "BRANCH", "LANDING", "STATE", "GATES", "GIT")
        put_lines(columns(rows, head=head, colour=style.wanted()))
        if not found and not broken:
            hint("no rigs yet: gt rig add NAME URL-OR-PATH")
    return 1 if problems(broken) else 0


@app.command("show")
def show(ctx: typer.Context, name: Name, json: Json = False, at: At = None) -> None:
    """One rig: its settings, beads and workers, and how to get what landed."""
    gt: Ctx = ctx.obj
    facts = rigs.facts(gt.town, gt.view(at), name)
    if json:
        put_json(facts.as_json())
        return
    rig = facts.rig
    put(f"{rig.name}{'  (parked)' if rig.parked else ''}")
    values: list[tuple[str, Any]] = [
        ("git", rig.git), ("branch", rig.branch), ("prefix", rig.prefix), ("landing", rig.landing),
        ("merge", f"{rig.merge}, {rig.batch} at once"), ("agent", rig.agent), ("max", rig.max_polecats),
        ("beads", "  ".join(f"{status} {count}" for status, count in sorted(facts.by_status.items()))),
        ("polecats", " ".join(facts.polecats)), ("crew", " ".join(facts.crew)),
        *(("gate", f"{gate.name}: {gate.run}") for gate in rig.gates), *(("setup", one) for one in rig.setup),
        ("held", f"nothing lands: {rig.doubt}" if rig.doubt else ""), ("pull", facts.pull),
        ("landed", f"in the clone on machine {facts.lands_on}; there gt rig show {rig.name} says how to pull it"
                   if facts.lands_on else ""),
        ("waiting", f"not in your checkout: {counted(facts.waiting, 'landed commit')}" if facts.waiting else ""),
    ]  # fmt: skip
    put_lines(f"  {key:<9}{safe(value)}" for key, value in values if value not in (None, ""))
    if not facts.cloned and not facts.lands_on:
        hint("it has no clone on this machine: gt doctor --fix")


@app.command("config")
def config(
    ctx: typer.Context,
    name: Name,
    key: Annotated[str | None, typer.Argument(metavar="[KEY]")] = None,
    value: Annotated[str | None, typer.Argument(metavar="[VALUE]")] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Remove KEY.")] = False,
    json: Json = False,
    at: At = None,
) -> int:
    """Show a rig's settings, one of them, or set it."""
    if key is None:
        config_cli.list_(ctx, rig=name, json=json, at=at)
    elif value is None and not unset:
        return config_cli.get(ctx, f"rig.{name}.{key}", json=json, at=at)
    elif at is not None:
        raise UsageError("--at reads the past, and cannot set it", "leave out --at, or the value")
    else:
        config_cli.set_(ctx, f"rig.{name}.{key}", value, unset=unset, json=json)
    return 0


@app.command("park")
def park(ctx: typer.Context, name: Name, json: Json = False) -> None:
    """Let a rig take no new work."""
    _park(ctx.obj, name, True, json)


@app.command("unpark")
def unpark(ctx: typer.Context, name: Name, json: Json = False) -> None:
    """Let a parked rig take work again."""
    _park(ctx.obj, name, False, json)


def _park(gt: Ctx, name: str, parked: bool, json: bool) -> None:
    changed = rigs.park(gt.town, name, parked)
    if json:
        put_json({"rig": name, "parked": parked, "changed": changed})
    else:
        put(f"{name}  {'parked' if parked else 'unparked'}{'' if changed else ' already'}")


@app.command("remove")
def remove(
    ctx: typer.Context,
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Although work is at risk: it is saved first.")] = False,
    json: Json = False,
) -> None:
    """Remove a rig. Its beads stay in git's history; work at risk is named, and with --force saved first."""
    from gastown.services.work import rigremoval

    gt: Ctx = ctx.obj
    done = rigremoval.remove(gt.town, name, force=force)
    if json:
        put_json({**vars(done), "saved": list(done.saved)})
        return
    beads = f" with {counted(done.beads, 'bead')}; in git they stay: gt list --all --rig {name} --at HEAD~1"
    put(f"{name}  removed{beads if done.beads else ''}")
    for line in done.saved:
        say(f"saved: {safe(line)}")
    if done.bundle:
        say(f"every branch is in {done.bundle}; git clone takes it like a repository")
