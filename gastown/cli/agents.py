"""Who works here: every agent's state, the polecats, and the presets by which agents are run."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gastown.cli.context import Ctx
from gastown.cli.options import At, Json, Quiet, RigName
from gastown.cli.output import hint, problems, put, put_json, put_lines, say
from gastown.cli.several import each
from gastown.model import address
from gastown.model.text import safe

_SETTINGS: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
polecat_app = typer.Typer(help="The workers of the rigs.", **_SETTINGS)
agent_app = typer.Typer(help="The presets by which agents are run.", **_SETTINGS)
Who = Annotated[str, typer.Argument(metavar="RIG/NAME", help="The polecat.")]
Preset = Annotated[str, typer.Argument(metavar="PRESET", help="Its name.")]


def agents(ctx: typer.Context, rig: RigName = None, json: Json = False, at: At = None) -> int:
    """Every worker and what it does now."""
    from gastown.services.agents import polecats
    from gastown.services.health.status import age
    from gastown.ui import style
    from gastown.ui.tables import columns

    gt: Ctx = ctx.obj
    town, view = gt.town, gt.view(at)
    if rig is not None:
        view.rig(rig)
    index = view.index()
    found = polecats.polecats(town, rig, index=index) if at is None else polecats.as_it_was(view, rig)
    if json:
        put_json([one.as_json() for one in found])
    elif not found:
        hint("nobody works here yet: gt sling WORK RIG makes a polecat")
    else:
        now = town.clock()
        rows = [
            (one.address, one.state, one.bead, one.agent, age(one.since, now), one.title or one.why) for one in found
        ]
        put_lines(
            columns(
                rows, head=("WHO", "STATE", "BEAD", "AGENT", "AGE", "TITLE"), styles={1: style.STATE_STYLE},
                colour=style.wanted(), width=style.width() if style.wanted() else None,
            )
        )  # fmt: skip
    return 1 if problems([*polecats.problems(view, rig), *index.problems]) else 0


@polecat_app.command("list")
def polecat_list(ctx: typer.Context, rig: RigName = None, json: Json = False, at: At = None) -> int:
    """The polecats and what each does now."""
    return agents(ctx, rig, json, at)


@polecat_app.command("show")
def polecat_show(ctx: typer.Context, who: Who, json: Json = False, at: At = None) -> None:
    """One polecat: its state, its work, its worktree, and what of its work is unfinished."""
    from gastown.services.agents import polecats
    from gastown.services.sling import nuke

    gt: Ctx = ctx.obj
    one = polecats.find(gt.town, address.parse(who), gt.view(at))
    # A worktree is only there now.
    left = nuke.unfinished(gt.town, one.address) if at is None else []
    path = polecats.worktree_of(gt.town, one.address) if at is None else None
    if json:
        put_json({**one.as_json(), "worktree": path, "unfinished": left})
        return
    facts = [
        ("state", one.state + (f" ({one.why})" if one.why else "")), ("bead", f"{one.bead or '-'}  {one.title}"),
        ("attempt", one.attempt or ""), ("agent", one.agent), ("machine", one.machine), ("session", one.session),
        ("since", one.since), ("worktree", path), ("unfinished", "; ".join(left)),
    ]  # fmt: skip
    put(one.address)
    put_lines(f"  {name:<11}{safe(value)}" for name, value in facts if value)


@polecat_app.command("nuke")
def polecat_nuke(
    ctx: typer.Context,
    who: Annotated[list[str], typer.Argument(metavar="RIG/NAME…")],
    force: Annotated[bool, typer.Option("--force", help="Though it has work: all of it is saved first.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Remove a polecat's worktree and end its session. Its identity, history and branches stay."""
    from gastown.services.agents import polecats
    from gastown.services.sling import nuke as service

    gt: Ctx = ctx.obj

    def tell(one: polecats.Nuked) -> None:
        said = "its worktree is removed" if one.removed else "had no worktree"
        put(one.address if quiet else f"{one.address}  {said}")
        if one.released:
            say(f"{one.released} is open again")
        if one.saved:
            say(f"saved: {safe(one.saved)}")
        for branch in one.branches:
            say(f"its commits stay on {branch}")

    # A wrong name is met before anything is removed.
    named = [polecats.find(gt.town, address.parse(one)).address for one in who]
    return each(named, lambda one: service.nuke(gt.town, one, force=force), tell, vars, json=json)


@agent_app.command("list")
def agent_list(ctx: typer.Context, json: Json = False) -> int:
    """The presets: built-in ones, and those of this town."""
    import shutil
    from pathlib import Path

    from gastown.runtime.presets import list_presets
    from gastown.ui import style
    from gastown.ui.tables import columns

    gt: Ctx = ctx.obj
    presets, bad = list_presets(Path(gt.town.root))
    rows = []
    for one in presets:
        program = (one.headless or one.form(terminal=True)).command[0]
        there = "{" in program or shutil.which(program) is not None
        rows.append((one.name, "installed" if there else "missing", one.source, one.description))
    if json:
        put_json([dict(zip(("name", "state", "source", "description"), row, strict=True)) for row in rows])
    else:
        put_lines(columns(rows, head=("NAME", "STATE", "FROM", "WHAT"), colour=style.wanted()))
    return 1 if problems(bad) else 0


@agent_app.command("show")
def agent_show(ctx: typer.Context, name: Preset, json: Json = False) -> None:
    """One preset in full."""
    from pathlib import Path

    from gastown.runtime.presets import load_preset
    from gastown.store import yaml

    gt: Ctx = ctx.obj
    preset = load_preset(name, Path(gt.town.root))
    if json:
        put_json({"source": preset.source, **preset.doc})
        return
    say(f"from {preset.source}")
    put_lines(safe(line) for line in yaml.dump(preset.doc).decode().splitlines())


@agent_app.command("test")
def agent_test(ctx: typer.Context, name: Preset, json: Json = False) -> int:
    """Whether an agent is installed and starts; asks it for its version and nothing more."""
    from gastown.services.agents import agenttest

    gt: Ctx = ctx.obj
    found = agenttest.check(gt.town, name)
    if json:
        put_json({"name": name, "ok": found.ok, "checks": [vars(one) for one in found.checks]})
    else:
        for one in found.checks:
            put(f"{'ok' if one.ok else 'FAILED':<7} {safe(one.what)}" + (f": {safe(one.text)}" if one.text else ""))
    return 0 if found.ok else 1
