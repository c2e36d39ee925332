"""Writing beads: create, update, note, close, reopen, dependencies, labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from gastown.cli.context import Ctx
from gastown.cli.options import At, File, Json, Quiet, Stdin
from gastown.cli.output import put, put_json, text_from, text_or_stdin
from gastown.cli.several import each
from gastown.model.bead import Bead
from gastown.model.errors import UsageError
from gastown.model.text import safe
from gastown.services.beads import beads, queries
from gastown.services.beads.beads import Draft, Edit, Written

_SETTINGS: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
dep = typer.Typer(help="What a bead waits for.", no_args_is_help=True, **_SETTINGS)
label = typer.Typer(help="Labels of beads.", no_args_is_help=True, **_SETTINGS)

Ids = Annotated[list[str], typer.Argument(metavar="ID…", help="Ids, beginnings of their hash, or @last.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="An id, the beginning of its hash, or @last.")]


def _tell(gt: Ctx, bead: Bead, what: str, *, json: bool, quiet: bool) -> None:
    """What was written: a line, the id alone, or the bead as it is now."""
    if json:
        put_json(queries.as_json(bead, queries.around(gt.town, bead)))
    else:
        put(bead.id if quiet else f"{bead.id}  {safe(what)}")


def _write(
    gt: Ctx, ids: list[str], write: Callable[[str], Written], said: Callable[[Written], str], *, json: bool, quiet: bool
) -> int:
    """Write beads one after the other, and tell of each as `_tell` does. An unknown id stops all before the first."""
    return each(
        [gt.resolve(one) for one in ids],
        write,
        lambda done: _tell(gt, done.bead, said(done), json=False, quiet=quiet),
        lambda done: queries.as_json(done.bead, queries.around(gt.town, done.bead)),
        json=json,
    )


def create(
    ctx: typer.Context,
    title: Annotated[list[str], typer.Argument(metavar="TITLE", help="What is to be done, on one line.")],
    description: Annotated[str | None, typer.Option("-d", "--description", metavar="TEXT")] = None,
    file: File = None,
    stdin: Stdin = False,
    kind: Annotated[str, typer.Option("--type", "-t", help="task bug feature chore epic decision")] = "task",
    priority: Annotated[int | None, typer.Option("--priority", "-p", help="0 (critical) to 4; 2 is ordinary.")] = None,
    labels: Annotated[list[str] | None, typer.Option("--label", "-l", help="Repeatable.")] = None,
    parent: Annotated[str | None, typer.Option("--parent", metavar="ID", help="It becomes a child of ID.")] = None,
    need: Annotated[list[str] | None, typer.Option("--need", metavar="ID", help="It waits for ID. Repeatable.")] = None,
    rig: Annotated[str | None, typer.Option("--rig", help="Its rig; `town` for the town itself.")] = None,
    acceptance: Annotated[str | None, typer.Option("--acceptance", metavar="TEXT", help="When it is done.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a bead: one unit of work.

    Its rig is the one given, its parent's, the one you stand in, or the town's only one.
    """
    gt: Ctx = ctx.obj
    town = gt.town
    draft = Draft(
        title=" ".join(title),
        type=kind,
        priority=priority,
        description=text_from(description, file, stdin, option="-d") or "",
        acceptance=text_or_stdin(acceptance, "--acceptance") or "",
        labels=tuple(labels or ()),
        needs=tuple(gt.resolve(one) for one in need or ()),
        parent=gt.resolve(parent) if parent else None,
        rig=rig,
    )
    bead = beads.create(town, draft, here=gt.rig_here)
    _tell(gt, bead, bead.title, json=json, quiet=quiet)


def update(
    ctx: typer.Context,
    ids: Ids,
    title: Annotated[str | None, typer.Option("--title")] = None,
    description: Annotated[str | None, typer.Option("-d", "--description", metavar="TEXT", help='"" empties.')] = None,
    file: File = None,
    stdin: Stdin = False,
    kind: Annotated[str | None, typer.Option("--type", "-t")] = None,
    priority: Annotated[int | None, typer.Option("--priority", "-p", help="0 (critical) to 4.")] = None,
    status: Annotated[str | None, typer.Option("--status", "-s", help="open or deferred")] = None,
    add: Annotated[list[str] | None, typer.Option("--label", "-l", help="Add a label. Repeatable.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--unlabel", help="Remove a label. Repeatable.")] = None,
    parent: Annotated[str | None, typer.Option("--parent", metavar="ID", help='"" for none.')] = None,
    acceptance: Annotated[str | None, typer.Option("--acceptance", metavar="TEXT")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Change fields of beads. Work is given with `gt sling`, ended with `gt close`."""
    gt: Ctx = ctx.obj
    edit = Edit(
        title=title,
        type=kind,
        priority=priority,
        description=text_from(description, file, stdin, option="-d"),
        acceptance=text_or_stdin(acceptance, "--acceptance"),
        parent=gt.resolve(parent) if parent else parent,
        status=status,
        add_labels=tuple(add or ()),
        remove_labels=tuple(remove or ()),
    )
    if edit == Edit():
        raise UsageError("nothing to change was named", "`gt update --help` lists the fields")

    def said(done: Written) -> str:
        return f"changed {', '.join(done.changed)}" if done.changed else "unchanged"

    return _write(gt, ids, lambda one: beads.update(gt.town, one, edit), said, json=json, quiet=quiet)


def note(
    ctx: typer.Context,
    bead_id: Id,
    text: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]")] = None,
    message: Annotated[str | None, typer.Option("-m", "--message", metavar="TEXT")] = None,
    file: File = None,
    stdin: Stdin = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add a note to a bead; from the command line, a file or stdin."""
    gt: Ctx = ctx.obj
    if text and message is not None:
        raise UsageError("the text was given twice", "either as an argument or with -m")
    body = text_from(" ".join(text) if text else message, file, stdin)
    bead = beads.note(gt.town, gt.resolve(bead_id), body or "")
    _tell(gt, bead, "noted", json=json, quiet=quiet)


def close(
    ctx: typer.Context,
    ids: Ids,
    reason: Annotated[str | None, typer.Option("--reason", "-r", metavar="TEXT", help="Why it is closed.")] = None,
    file: File = None,
    stdin: Stdin = False,
    force: Annotated[bool, typer.Option("--force", help="Although its branch waits to be merged.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Close beads with a reason."""
    gt: Ctx = ctx.obj
    why = text_from(reason, file, stdin, option="-r") or ""

    def said(done: Written) -> str:
        return ("closed: " if done.changed else "was closed already: ") + str(done.bead.closed.get("reason", ""))

    return _write(gt, ids, lambda one: beads.close(gt.town, one, why, force=force), said, json=json, quiet=quiet)


def reopen(ctx: typer.Context, ids: Ids, json: Json = False, quiet: Quiet = False) -> int:
    """Open closed beads again."""
    gt: Ctx = ctx.obj

    def said(done: Written) -> str:
        return "reopened" if done.changed else f"was {done.bead.status} already"

    return _write(gt, ids, lambda one: beads.reopen(gt.town, one), said, json=json, quiet=quiet)


@dep.command("add")
def dep_add(
    ctx: typer.Context,
    bead_id: Id,
    needs: Annotated[list[str], typer.Argument(metavar="NEED…", help="What it waits for.")],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Let a bead wait for others. Circles are refused."""
    gt: Ctx = ctx.obj
    written = beads.add_needs(gt.town, gt.resolve(bead_id), [gt.resolve(one) for one in needs])
    _tell(gt, written.bead, _needs(written.bead), json=json, quiet=quiet)


@dep.command("remove")
def dep_remove(
    ctx: typer.Context,
    bead_id: Id,
    needs: Annotated[list[str], typer.Argument(metavar="NEED…", help="What it no longer waits for.")],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Let a bead no longer wait for others."""
    gt: Ctx = ctx.obj
    found = gt.town.bead(gt.resolve(bead_id))
    # A need that is no bead any more must be removable too.
    wanted = [one if one in found.needs else gt.resolve(one) for one in needs]
    written = beads.remove_needs(gt.town, found.id, wanted)
    _tell(gt, written.bead, _needs(written.bead), json=json, quiet=quiet)


@dep.command("list")
def dep_list(ctx: typer.Context, bead_id: Id, json: Json = False, at: At = None) -> None:
    """What a bead waits for, and what waits for it."""
    gt: Ctx = ctx.obj
    view = gt.view(at)
    index = view.index()
    bead = view.bead(view.resolve(bead_id, gt.actor))
    dependents = sorted(row.id for row in index.rows if bead.id in row.needs)
    if json:
        put_json({"id": bead.id, "needs": bead.needs, "needed_by": dependents})
        return
    for kind, ids in (("needs", bead.needs), ("needed-by", dependents)):
        for one in ids:
            row = index.by_id.get(one)
            put(f"{kind}  {one}  {row.status if row else 'unknown'}  {safe(row.title) if row else '-'}")


def _needs(bead: Bead) -> str:
    return "needs " + (", ".join(bead.needs) or "nothing")


Labels = Annotated[list[str], typer.Argument(metavar="LABEL…")]


@label.command("add")
def label_add(ctx: typer.Context, bead_id: Id, names: Labels, json: Json = False, quiet: Quiet = False) -> None:
    """Add labels to a bead."""
    _relabel(ctx.obj, bead_id, Edit(add_labels=tuple(names)), json=json, quiet=quiet)


@label.command("remove")
def label_remove(ctx: typer.Context, bead_id: Id, names: Labels, json: Json = False, quiet: Quiet = False) -> None:
    """Remove labels from a bead."""
    _relabel(ctx.obj, bead_id, Edit(remove_labels=tuple(names)), json=json, quiet=quiet)


def _relabel(gt: Ctx, bead_id: str, edit: Edit, *, json: bool, quiet: bool) -> None:
    bead = beads.update(gt.town, gt.resolve(bead_id), edit).bead
    _tell(gt, bead, "labels: " + (", ".join(bead.labels) or "none"), json=json, quiet=quiet)
