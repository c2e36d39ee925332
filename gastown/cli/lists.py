"""Reading beads: ready, blocked, list, show, tree, log. All of them take --at and --json."""

from __future__ import annotations

from typing import Annotated

import typer

from gastown.cli import plain
from gastown.cli.context import Ctx
from gastown.cli.options import At, Json, RigName
from gastown.cli.output import dumps, hint, problems, put, put_json, put_lines, say
from gastown.cli.several import each
from gastown.model import address, graph
from gastown.model.bead import Bead
from gastown.model.text import safe
from gastown.services.beads import queries
from gastown.services.beads.queries import Filter
from gastown.store.index import Index
from gastown.ui import beads as render
from gastown.ui import style

Limit = Annotated[int | None, typer.Option("--limit", "-n", min=0, help="At most this many.")]


def ready(ctx: typer.Context, rig: RigName = None, limit: Limit = None, json: Json = False, at: At = None) -> int:
    """Open work that nothing blocks and nobody holds, the most urgent first."""
    gt: Ctx = ctx.obj
    return plain.ready(gt.view(at), rig, limit, json)


def blocked(ctx: typer.Context, rig: RigName = None, limit: Limit = None, json: Json = False, at: At = None) -> int:
    """Open work that waits, with the beads it waits for."""
    gt: Ctx = ctx.obj
    view = gt.view(at)
    queries.check_filter(view, Filter(rig=rig))
    index = view.index()
    pairs = queries.blocked(index, rig)[:limit]
    if json:
        return plain.rows(view, index, [row for row, _ in pairs], True)
    if not pairs:
        hint("nothing waits for anything; `gt ready` shows what can start")
    named = [(row, [_blocker(need, index) for need in waits]) for row, waits in pairs]
    put_lines(render.blocked_table(named, colour=style.wanted()))
    waiting = {row.id for row, _ in pairs}
    for path in graph.need_circles(index.live) if waiting else ():
        if waiting.isdisjoint(path):
            continue
        say(f"warning: nothing in this circle can ever start: {' needs '.join(path)}")
        hint(f"take one need away: gt bead dep remove {path[0]} {path[1]}")
    return 1 if problems(index.problems) else 0


def _blocker(need: str, index: Index) -> str:
    why = queries.why_blocked(need, index.by_id).replace(" ", "-")
    return f"{need}({why})"


def list_(
    ctx: typer.Context,
    status: Annotated[list[str] | None, typer.Option("--status", "-s", help="Also: ready, blocked.")] = None,
    rig: RigName = None,
    assignee: Annotated[str | None, typer.Option("--assignee", "-a", metavar="ADDRESS")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", "-l", help="Repeatable: all of them.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--type", "-t", help="Repeatable: any of them.")] = None,
    priority: Annotated[list[int] | None, typer.Option("--priority", "-p", help="0 to 4. Repeatable.")] = None,
    parent: Annotated[str | None, typer.Option("--parent", metavar="ID")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    limit: Limit = None,
    sort: Annotated[str, typer.Option("--sort", help="priority created id title status assignee")] = "priority",
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="The other way round.")] = False,
    json: Json = False,
    at: At = None,
) -> int:
    """List beads: what is not closed, the most urgent first, unless options say otherwise."""
    gt: Ctx = ctx.obj
    view = gt.view(at)
    wanted = Filter(
        statuses=tuple(status or ()),
        rig=rig,
        assignee=address.parse(assignee) if assignee else None,
        labels=tuple(label or ()),
        types=tuple(kind or ()),
        priorities=tuple(priority or ()),
        parent=view.resolve(parent, gt.actor) if parent else None,
        all=everything,
        sort=sort,
        reverse=reverse,
    )
    return plain.select(view, wanted, limit, json)


def show(
    ctx: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="Ids, beginnings of their hash, or @last.")],
    json: Json = False,
    at: At = None,
) -> int:
    """Show beads in full: text, needs, sessions, notes, and where their history is."""
    gt: Ctx = ctx.obj
    view = gt.view(at)
    shown: list[Bead] = []

    def tell(bead: Bead) -> None:
        if shown:
            put()
        shown.append(bead)
        index = queries.around(view, bead)
        waits = queries.as_json(bead, index)["blocked_by"]
        stands = _last_session(gt, bead) if view.revision is None else ""
        put_lines(render.full(bead, index.by_id, waits, now=gt.town.clock(), colour=style.wanted(), session=stands))

    return each(
        ids,
        lambda text: view.bead(view.resolve(text, gt.actor)),
        tell,
        lambda bead: queries.as_json(bead, queries.around(view, bead)),
        json=json,
    )


def _last_session(gt: Ctx, bead: Bead) -> str:
    """How the last session of a held bead stands, if it is over and nobody has noted that yet; else ""."""
    if not bead.held or (bead.last_session or {}).get("ended"):
        return ""
    from gastown.services.sessions import attempts

    life = attempts.look(gt.town, bead)
    if life.state == "unknown":
        return f"unknown: {life.why}"
    return f"over, go on with: gt resume {bead.id}" if life.state in attempts.OVER else ""


def tree(
    ctx: typer.Context,
    bead_id: Annotated[str, typer.Argument(metavar="ID")],
    json: Json = False,
    at: At = None,
) -> int:
    """A bead and everything below it."""
    gt: Ctx = ctx.obj
    view = gt.view(at)
    index = view.index()
    node = queries.tree(index, view.resolve(bead_id, gt.actor))
    if json:
        put(dumps(_tree_json(node)))
    else:
        put_lines(render.tree_lines(node, colour=style.wanted()))
    return 1 if problems(index.problems) else 0


def _tree_json(node: queries.Node) -> dict[str, object]:
    row = node.row
    return {
        "id": row.id, "title": row.title, "status": row.status, "priority": row.priority, "assignee": row.assignee,
        "blocked_by": list(node.blocked_by), "children": [_tree_json(child) for child in node.children],
    }  # fmt: skip


def labels(ctx: typer.Context, rig: RigName = None, json: Json = False, at: At = None) -> int:
    """Every label in use, with how many beads carry it."""
    gt: Ctx = ctx.obj
    view = gt.view(at)
    queries.check_filter(view, Filter(rig=rig))
    index = view.index()
    count: dict[str, int] = {}
    for row in index.rows:
        for label in row.labels if queries.in_rig(row, rig) else ():
            count[label] = count.get(label, 0) + 1
    if json:
        put_json([{"label": label, "beads": count[label]} for label in sorted(count)])
    else:
        put_lines(f"{count[label]:>5}  {safe(label)}" for label in sorted(count))
    return 1 if problems(index.problems) else 0
