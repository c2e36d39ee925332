"""`gt mq` and `gt refinery`: the merge queue, seen and run."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from gastown.cli.context import Ctx
from gastown.cli.options import At, File, Json, Quiet, Stdin
from gastown.cli.output import hint, problems, put, put_json, put_lines, say, text_from
from gastown.model import times
from gastown.model.errors import NotFound, RaceLost, UsageError
from gastown.model.queue import Entry
from gastown.model.text import safe, safe_block
from gastown.services.beads import queries
from gastown.services.health import silence
from gastown.services.landing import held, queue
from gastown.services.refinery import refinery, sentback
from gastown.services.refinery.refinery import RefineryReport, Step
from gastown.store import layout
from gastown.store.town import Town
from gastown.store.view import View
from gastown.ui import style
from gastown.ui.tables import columns

_SETTINGS: dict[str, Any] = {
    "add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False,
}  # fmt: skip
mq_app = typer.Typer(help="The merge queue: what waits to land, and why.", **_SETTINGS)
refinery_app = typer.Typer(help="The refinery: it lands what waits in the merge queue.", **_SETTINGS)
WATCH_PAUSE = 1.0

Rig = Annotated[str | None, typer.Argument(metavar="[RIG]", help="This rig only; else every rig.")]
Force = Annotated[
    bool, typer.Option("--force", help="Also where another machine is the refinery: it is taken from there.")
]
MergeId = Annotated[str, typer.Argument(metavar="ID", help="A merge bead, or the work bead it carries.")]


def _rigs(view: View, rig: str | None) -> list[str]:
    """The rig asked for, or all usable ones; unusable ones are named on stderr."""
    if rig:
        return [view.rig(rig).name]
    found, broken = view.rigs()
    problems(broken)
    return [one.name for one in found]


def _waiting(view: View, town: Town, rig: str) -> list[tuple[int, Entry, str]]:
    """(position, entry, why it waits) of one rig's queue."""
    notes = held.known(town, rig) if view.revision is None else {}
    return [
        (position, entry, refinery.why_waiting(entry, str(notes.get(entry.id, {}).get("reason", ""))))
        for position, entry in enumerate(queue.entries(view, rig), start=1)
    ]


def _json(view: View, position: int, entry: Entry, why: str) -> dict[str, Any]:
    bead = view.bead(entry.id)
    doc = queries.as_json(bead, queries.around(view, bead))
    return {**doc, "position": position, "state": refinery.state(entry), "failures": entry.failures, "why": why}


def _elsewhere(view: View, town: Town, rig: str) -> str:
    """Which other machine runs the rig's refinery, as last heard; "" if none does, and for the past."""
    return silence.why_waiting(town, town.rig(rig)) if view.revision is None else ""


@mq_app.command("list")
def list_(ctx: typer.Context, rig: Rig = None, json: Json = False, at: At = None) -> int:
    """What waits to be merged, first to land first."""
    gt: Ctx = ctx.obj
    view = gt.view(at)
    rows = [(name, *one) for name in _rigs(view, rig) for one in _waiting(view, gt.town, name)]
    away = {name: _elsewhere(view, gt.town, name) for name in dict.fromkeys(row[0] for row in rows)}
    if json:
        put_json([_json(view, position, entry, why or away[name]) for name, position, entry, why in rows])
        return 0
    now = gt.town.clock()
    head = ("RIG", "POS", "ID", "BEAD", "PRIO", "AGE", "FAILED", "STATE", "WORKER", "TITLE")
    table = [
        (name, position, entry.id, entry.source, f"P{entry.priority}", times.ago(now - times.parse(entry.created)),
         entry.failures, refinery.state(entry), entry.worker, entry.title)
        for name, position, entry, _ in rows
    ]  # fmt: skip
    put_lines(columns(table, head=head, colour=style.wanted()))
    for _, _, entry, why in rows:
        if why:
            say(f"{entry.id} waits: {safe(why)}")
    for name, why in away.items():
        if why:
            say(f"{name} waits: {safe(why)}")
    if not rows:
        say("nothing waits to be merged")
    return 0


@mq_app.command("show")
def show(ctx: typer.Context, merge_id: MergeId, json: Json = False, at: At = None) -> None:
    """One entry: its branch and commit, why it waits, what its gates said."""
    gt: Ctx = ctx.obj
    view = gt.view(at)
    bead = view.bead(_merge_of(view, view.resolve(merge_id, gt.actor)))
    rig = layout.rig_of_path(bead.path) or ""
    here = [one for one in _waiting(view, gt.town, rig) if one[1].id == bead.id] if bead.status != "closed" else []
    away = _elsewhere(view, gt.town, rig) if here else ""
    if json:
        around = queries.around(view, bead)
        put_json(_json(view, *here[0][:2], here[0][2] or away) if here else queries.as_json(bead, around))
        return
    facts: list[tuple[str, object]] = [
        ("id", bead.id), ("title", bead.title), ("bead", bead.source), ("status", bead.status),
        ("branch", bead.branch), ("commit", bead.commit), ("target", bead.target), ("worker", bead.worker),
        ("attempts", bead.attempts or None),
    ]  # fmt: skip
    for position, entry, why in here:
        why = why or away or "it is next in its turn"
        facts += [("state", refinery.state(entry)), ("position", position), ("why", why)]
    if bead.closed:
        facts += [("closed", bead.closed.get("reason")), ("landed", bead.closed.get("commit"))]
    facts += [(f"gate {one.get('name')}", f"{one.get('result')}  {one.get('log', '')}") for one in bead.gates]
    for key, value in facts:
        if value is not None:
            put(f"{safe(key):<10} " + safe_block(value).rstrip().replace("\n", "\n" + " " * 11))


def _merge_of(view: View, bead_id: str) -> str:
    """The merge bead of a work bead (the open one, else the newest), or the id itself if it is one."""
    rows = view.index().rows
    if any(row.id == bead_id and row.type == "merge" for row in rows):
        return bead_id
    mine = [row for row in rows if row.type == "merge" and row.source == bead_id]
    if not mine:
        raise NotFound(f"{bead_id} never was in the merge queue", "gt mq list shows what is")
    return max(mine, key=lambda row: (row.status != "closed", row.created, row.id)).id


@mq_app.command("retry")
def retry(
    ctx: typer.Context,
    merge_id: MergeId,
    override: Annotated[
        bool, typer.Option("--override", help="Let this very commit land on the target commit that is red now.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Try an entry again that was set aside, sent back, rejected or held."""
    gt: Ctx = ctx.obj
    bead = sentback.retry(gt.town, gt.resolve(merge_id), override=override)
    _tell(gt, bead.id, f"{bead.id} is in the merge queue again", json=json, quiet=quiet)


@mq_app.command("reject")
def reject(
    ctx: typer.Context,
    merge_id: MergeId,
    reason: Annotated[str | None, typer.Option("-r", "--reason", metavar="WHY", help="The worker reads it.")] = None,
    file: File = None,
    stdin: Stdin = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take an entry out of the queue; its work goes back to the worker, who gets the reason by mail."""
    gt: Ctx = ctx.obj
    why = text_from(reason, file, stdin, option="-r") or ""
    bead = sentback.reject(gt.town, gt.resolve(merge_id), why=why)
    _tell(gt, bead.id, f"rejected {bead.id} ({bead.source or bead.branch})", json=json, quiet=quiet)


def _tell(gt: Ctx, bead_id: str, text: str, *, json: bool, quiet: bool) -> None:
    bead = gt.town.bead(bead_id)
    if json:
        put_json(queries.as_json(bead, queries.around(gt.town, bead)))
    else:
        put(bead_id if quiet else safe(text))


@mq_app.command("run")
def run_queue(ctx: typer.Context, rig: Rig = None, force: Force = False, json: Json = False) -> int:
    """Land what can land now. Exits 1 if something was sent back or still waits."""
    gt: Ctx = ctx.obj
    return _once(gt, rig, force=force, json=json)


@refinery_app.command("run")
def run(
    ctx: typer.Context,
    rig: Rig = None,
    once: Annotated[bool, typer.Option("--once", help="Try what waits once, and end (the default).")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until interrupted.")] = False,
    force: Force = False,
    json: Json = False,
) -> int:
    """Land what waits: stack, run the gates, push, verify. Exits 1 if something was sent back or still waits."""
    gt: Ctx = ctx.obj
    if once and watch:
        raise UsageError("--once and --watch cannot be used together")
    if watch and force:
        raise UsageError("--force takes the refinery once, and --watch would take it again and again", "leave out one")
    if not watch:
        return _once(gt, rig, force=force, json=json)
    while True:
        for name in _rigs(gt.town, rig):
            if refinery.due(gt.town, name):
                try:
                    _print(refinery.run_once(gt.town, name, on_step=_step))
                except RaceLost as lost:
                    say(safe(lost.message))
        time.sleep(WATCH_PAUSE)


def _once(gt: Ctx, rig: str | None, *, force: bool, json: bool) -> int:
    reports = [refinery.run_once(gt.town, name, force=force, on_step=_step) for name in _rigs(gt.town, rig)]
    if json:
        put_json([_report(one) for one in reports])
    else:
        for one in reports:
            _print(one)
        if not any(one.landed or one.sent_back or one.waiting for one in reports):
            say("nothing waits to be merged")
    return 1 if any(one.sent_back or one.waiting for one in reports) else 0


def _step(step: Step) -> None:
    if step.kind not in ("merged", "sent_back", "waiting"):
        say(f"{safe(step.rig)}: {safe(step.text)}")


def _print(report: RefineryReport) -> None:
    for merge, bead, commit in report.landed:
        put(safe(f"merged {bead or merge} {commit[:12]}"))
    for back in report.sent_back:
        word = "set-aside" if back.escalation else "sent-back"
        put(safe(f"{word} {back.bead or back.merge} attempt {back.attempts}: {back.summary}"))
    for merge, why in report.waiting:
        put(safe(f"waits {merge}: {why}"))
    if any(back.escalation for back in report.sent_back):
        hint("somebody has to look: gt mq list")


def _report(report: RefineryReport) -> dict[str, Any]:
    return {
        "rig": report.rig,
        "landed": [{"merge": merge, "bead": bead, "commit": commit} for merge, bead, commit in report.landed],
        "sent_back": [vars(one) for one in report.sent_back],
        "could_not_run": [{"merge": merge, "why": why} for merge, why in report.could_not_run],
        "waiting": [{"merge": merge, "why": why} for merge, why in report.waiting],
        "messages": list(report.messages),
    }


@refinery_app.command("status")
def status(ctx: typer.Context, rig: Rig = None, json: Json = False) -> int:
    """Per rig: who runs its refinery now, what waits, what is held."""
    gt: Ctx = ctx.obj
    rows: list[dict[str, Any]] = []
    for name in _rigs(gt.town, rig):
        waiting = _waiting(gt.town, gt.town, name)
        states = [refinery.state(entry) if not why or entry.set_aside else "held" for _, entry, why in waiting]
        rows.append({
            "rig": name, "running": refinery.running(gt.town, name) or _elsewhere(gt.town, gt.town, name),
            "queued": states.count("queued"), "held": states.count("held"), "set_aside": states.count("set-aside"),
            "gates": [gate.name for gate in gt.town.rig(name).gates],
        })  # fmt: skip
    if json:
        put_json(rows)
        return 0
    head = ("RIG", "QUEUED", "HELD", "SET-ASIDE", "GATES", "RUNNING")
    table = [
        (one["rig"], one["queued"], one["held"], one["set_aside"], ",".join(one["gates"]) or "no-gates", one["running"])
        for one in rows
    ]
    put_lines(columns(table, head=head, colour=style.wanted()))
    return 0
