"""`gt machine`: who shares this town, taking one out of it, giving this one another name."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gastown.cli.context import Ctx
from gastown.cli.options import At, Json
from gastown.cli.output import problems, put, put_json, put_lines, say
from gastown.model import times
from gastown.model.text import safe
from gastown.services.machines import machine as machines
from gastown.services.machines.machine import Machine
from gastown.store.view import View
from gastown.ui import style
from gastown.ui.tables import columns

app = typer.Typer(
    help="The machines that share this town.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_STATES = {"active": "green", "retired": "dim"}
# What was written so few seconds from now was written now.
_SKEW = 60.0


@app.command("list")
def list_(ctx: typer.Context, json: Json = False, at: At = None) -> int:
    """Every machine: whether it is this one, takes part, how much it may run, what it holds, when it was seen."""
    gt: Ctx = ctx.obj
    view = gt.view(at)
    index = view.index()
    found, broken = machines.machines(view, gt.town.machine, index.rows)
    if json:
        put_json([one.as_json() for one in found])
    else:
        now = gt.town.clock()
        rows = [
            (one.name, "here" if one.here else "-", one.state, one.doc.get("capacity"), len(one.held),
             _seen(view, one, now))
            for one in found
        ]  # fmt: skip
        head = ("NAME", "HERE", "STATE", "CAPACITY", "HELD", "SEEN")
        put_lines(columns(rows, head=head, styles={2: _STATES}, colour=style.wanted()))
    return 1 if problems([*broken, *index.problems]) else 0


def _seen(view: View, one: Machine, now: float) -> str:
    at = machines.heard_of(view, one)
    if one.here or at is None:
        return "now" if one.here else "-"
    return f"{times.ago(now - at)} ago" if at - now < _SKEW else f"{times.ago(at - now)} ahead of this clock"


@app.command("show")
def show(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="This one if left out.")] = None,
    json: Json = False,
    at: At = None,
) -> None:
    """One machine's facts, and the beads it holds."""
    gt: Ctx = ctx.obj
    view = gt.view(at)
    found = machines.machine(view, name or gt.town.machine, gt.town.machine, view.index().rows)
    if json:
        put_json(found.as_json())
        return
    seen = _seen(view, found, gt.town.clock())
    facts: dict[str, Any] = {**found.as_json(), "held": " ".join(found.held), "seen": seen}
    for key, value in facts.items():
        shown = value.get("at") if isinstance(value, dict) else value
        put(f"{key:<10}{'-' if shown in (None, '') else safe(shown)}")


@app.command("retire")
def retire(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The machine that will not come back.")],
    force: Annotated[bool, typer.Option("--force", help="Also the machine you are on.")] = False,
    json: Json = False,
) -> None:
    """Take a machine out of the town: what it held is open again. It may join again: gt machine join."""
    from gastown.services.sling import retire as service

    gt: Ctx = ctx.obj
    done = service.retire(gt.town, name, force=force)
    if json:
        put_json(
            {
                **vars(done), "missing": [{"bead": bead, "reason": why} for bead, why in done.missing],
                "standing": [{"bead": bead, "reason": why} for bead, why in done.standing],
            }
        )  # fmt: skip
        return
    put(f"{done.machine}  {'was retired before' if done.already else 'retired'}")
    told = (
        ("released", done.released), ("for any machine now", done.unaddressed), ("claim taken away", done.claims),
        ("its refinery runs on any machine now", done.rigs),
        (f"its repository lies on {name}: give it one that others can push to", done.stranded),
    )  # fmt: skip
    for word, names in told:
        for one in names:
            put(f"  {one}  {word}")
    for one in done.merging:
        why = dict(done.missing).get(one)
        put(f"  {one}  " + (f"cannot be merged: {safe(why)}" if why else "stays in the merge queue"))
    if done.unmet:
        say(f"warning: what {name} said last may not be here, for the town could not be synced: {safe(done.unmet)}")
        say(f"hint: again later: gt machine retire {name}")
    for one, why in done.standing:
        say(f"the claim on {one} stands until its lease ends ({safe(why)}); again later: gt machine retire {name}")


@app.command("rename")
def rename(
    ctx: typer.Context,
    new: Annotated[str, typer.Argument(metavar="NEW", help="What this machine shall be called.")],
    json: Json = False,
) -> None:
    """Give this machine another name; its work follows. A copied folder or disk becomes a machine of its own."""
    from gastown.services.machines import rename as service

    gt: Ctx = ctx.obj
    done = service.rename(gt.town, new)
    if json:
        put_json({**vars(done), "claims": [{"bead": bead, "reason": why} for bead, why in done.claims]})
        return
    said = {
        "renamed": f"was {done.old}", "apart": f"a machine of its own now; {done.old} keeps what it has",
        "unchanged": "is this machine's name already",
    }  # fmt: skip
    put(f"{done.new}  {said[done.how]}")
    for one in (*done.beads, *(f"refinery of {rig}" for rig in done.rigs), *done.workers):
        put(f"  {one}")
    if done.aside:
        say(f"sessions, claims and other state of {done.old} were put aside: {safe(done.aside)}")
    for one, why in done.claims:
        say(f"the claim on {one} still names {done.old} ({safe(why)}); it is renewed with a later sync")


@app.command("join")
def join(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Which machine this folder was, if it has lost its .gt and its name."),
    ] = None,
    here: Annotated[
        bool, typer.Option("--here", help="This folder is the machine now: it was moved here, or restored.")
    ] = False,
    json: Json = False,
) -> None:
    """Let this machine take part again: after it was retired, or has lost what says which one it is."""
    gt: Ctx = ctx.obj
    if name is not None:
        from gastown.services.machines import homecoming

        homecoming.return_as(gt.town, name)
        changed = True
    else:
        changed = machines.rejoin(gt.town, here=here)
    if json:
        put_json({"machine": gt.town.machine, "changed": changed})
    else:
        put(f"{gt.town.machine}  " + ("takes part in the town" if changed else "takes part already"))
