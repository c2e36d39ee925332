"""Work changing hands: sling, unsling, release, resume, and the agent's side: hook, prime, done, heartbeat."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gastown.cli import worktold as told
from gastown.cli.context import Ctx
from gastown.cli.options import At, DryRun, File, Json, Quiet, Stdin
from gastown.cli.output import put, put_json, say, text_from, text_or_stdin
from gastown.cli.several import each
from gastown.model import address
from gastown.model.bead import Bead
from gastown.model.errors import UsageError
from gastown.model.text import safe, safe_block

Agent = Annotated[str | None, typer.Option("--agent", metavar="PRESET", help="`gt agent list` shows them.")]
Runtime = Annotated[str | None, typer.Option("--runtime", help="tmux or process; else as town.yaml says.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="ID|ADDRESS…", help="Beads, or who has them.")]
# So long `gt done` waits for a person who has led the town away from its branch, in seconds.
_PATIENCE = 60.0


def sling(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="WORK… [TARGET] [-- CMD ARG…]")] = None,
    agent: Agent = None,
    force: Annotated[bool, typer.Option("--force", help="Also if held, blocked, deferred, another rig's.")] = False,
    queue: Annotated[bool, typer.Option("--queue", help="What is blocked starts when its needs have landed.")] = False,
    runtime: Runtime = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to the end; 0 only if all was merged.")] = False,
    machine: Annotated[str | None, typer.Option("--machine", metavar="NAME", help="Where it is worked on.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Start without asking the remote who has it.")] = False,
    dry_run: DryRun = False,
    title: Annotated[list[str] | None, typer.Option("--title", help="New work of this title. Repeatable.")] = None,
    priority: Annotated[int | None, typer.Option("--priority", "-p", help="Of new work: 0 to 4.")] = None,
    kind: Annotated[str, typer.Option("--type", "-t", help="Of new work.")] = "task",
    description: Annotated[str | None, typer.Option("-d", "--description", metavar="TEXT", help="Of new work.")] = None,
    file: File = None,
    stdin: Stdin = False,
    acceptance: Annotated[str | None, typer.Option("--acceptance", metavar="TEXT", help="Of new work.")] = None,
    labels: Annotated[list[str] | None, typer.Option("--label", "-l", help="Of new work. Repeatable.")] = None,
    need: Annotated[list[str] | None, typer.Option("--need", metavar="ID", help="New work waits for ID.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Give WORK to an agent and start it: bead ids, or a sentence, of which a bead is made.

    TARGET is a rig (an idle polecat, else a new one) or RIG/NAME; without one the beads' own rig, for new work the rig
    you stand in, or the only one. What stands behind -- is a command that does the work, without any agent.
    """
    from gastown.services.beads import beads, targets
    from gastown.services.sling import sling as service

    gt: Ctx = ctx.obj
    town = gt.town
    typed, command = split_command(list(words or ()), sys.argv)
    works, target = targets.split(town, typed) if not title or len(typed) > 1 else _lone(gt, typed)
    if not works and not title:
        raise UsageError("what is to be done?", 'gt sling ID [TARGET], or gt sling "a sentence" [TARGET]')
    new = beads.Draft(
        title="", type=kind, priority=priority, description=text_from(description, file, stdin, option="-d") or "",
        acceptance=text_or_stdin(acceptance, "--acceptance") or "", labels=tuple(labels or ()),
        needs=tuple(gt.resolve(one) for one in need or ()),
    )  # fmt: skip
    report = service.sling(
        town, works, target, agent=agent, command=command, force=force, runtime=runtime, queue_blocked=queue,
        titles=tuple(title or ()), new=new, here=gt.rig_here, dry_run=dry_run, offline=offline, machine=machine,
        on_step=None if json or quiet else lambda text: say(safe(text)),
    )  # fmt: skip
    if machine and report.queued and not dry_run:
        told.send_off(gt)
    if wait and not dry_run:
        return told.follow(gt, report, json=json, quiet=quiet)
    if json:
        put_json(report.as_json())
    else:
        told.sling(report, quiet=quiet, dry_run=dry_run)
        if report.queued and not quiet and not machine:
            told.who_starts_it(town.root)
    return report.refused[0].exit_code if report.refused else 0


def split_command(words: list[str], argv: list[str]) -> tuple[list[str], list[str] | None]:
    """What was typed before `--`, and the command behind it (None: there was no `--`).

    typer passes on the words without their `--`; where it stood can only be seen in the raw command line.
    """
    if "--" not in argv:
        return words, None
    command = argv[argv.index("--") + 1 :]
    if not command:
        raise UsageError("there is no command behind --", "gt sling WORK -- CMD ARG…")
    if words[-len(command) :] != command:
        return words, None
    return words[: -len(command)], command


def _lone(gt: Ctx, typed: list[str]) -> tuple[list[str], str | None]:
    """With --title a single word may be the target alone."""
    if typed and (typed[0] in gt.town.rig_names() or "/" in typed[0]):
        return [], typed[0]
    return typed, None


def release(
    ctx: typer.Context,
    names: Names = None,
    force: Annotated[bool, typer.Option("--force", help="Also work on another machine.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Put held work back to open. Uncommitted work is saved, the branch stays, the session ends."""
    from gastown.services.sling import release as service
    from gastown.services.work import resume as finding

    gt: Ctx = ctx.obj
    if not names:
        raise UsageError("which work?", "gt release ID, or RIG/NAME; `gt agents` shows who has what")

    def tell(one: service.Released) -> None:
        said = "was open already" if one.unchanged else f"released from {one.former or 'the queue'}"
        put(one.bead if quiet else f"{one.bead}  {said}" + (f"; its commits: {one.branch}" if one.branch else ""))
        if one.saved:
            say(f"in the worktree of {one.former}: {safe(one.saved)}")

    def act(bead_id: str) -> service.Released:
        return service.release(gt.town, finding.find(gt.town, bead_id), force=force)

    return each([finding.find(gt.town, one).id for one in names], act, tell, vars, json=json)


def unsling(
    ctx: typer.Context,
    names: Names = None,
    force: Annotated[bool, typer.Option("--force", help="Also work on another machine.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Take work off an agent's hook (your own, if you name none): the same as `gt release`."""
    gt: Ctx = ctx.obj
    return release(ctx, names or ([gt.actor] if address.is_worker(gt.actor) else None), force, json, quiet)


def resume(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="ID|ADDRESS… [-- CMD ARG…]", help="Beads, or who has them.")],
    agent: Agent = None,
    runtime: Runtime = None,
    force: Annotated[bool, typer.Option("--force", help="Though nobody knows whether the old session lives.")] = False,
    message: Annotated[str | None, typer.Option("-m", "--message", metavar="TEXT", help="Tell the agent.")] = None,
    file: File = None,
    stdin: Stdin = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Start a new session for held work whose session is over: same attempt, same branch, same worktree.

    What stands behind -- is a command that does the work from now on.
    """
    from gastown.services.work import resume as service

    gt: Ctx = ctx.obj
    names, command = split_command(names, sys.argv)
    if not names:
        raise UsageError("which work?", "gt resume ID, or RIG/NAME; `gt agents` shows what is stalled")
    words = text_from(message, file, stdin) or ""

    def act(bead_id: str) -> service.Resumed:
        return service.resume(
            gt.town, service.find(gt.town, bead_id), agent=agent, runtime=runtime, force=force, context=words,
            command=command or (), say=lambda text: say(safe(text)),
        )  # fmt: skip

    def tell(one: service.Resumed) -> None:
        said = f"session {one.session} " + ("runs already" if one.unchanged else "works on it")
        said = f"is merged already, at {one.landed[:12]}" if one.landed else said
        put(one.bead if quiet else f"{one.bead}  {one.to}  {said}")

    return each([service.find(gt.town, one).id for one in names], act, tell, vars, json=json)


# -- the agent's side -----------------------------------------------------------------------------
def _inside(gt: Ctx, bead: Bead | None) -> bool:
    """True in the session that was started for this very bead."""
    return bead is not None and gt.env.get("GT_ACTOR") == gt.actor and gt.env.get("GT_BEAD") == bead.id


def _attempt(gt: Ctx) -> int | None:
    text = gt.env.get("GT_ATTEMPT", "")
    return int(text) if text.isascii() and text.isdigit() and gt.as_option is None else None


def _own_bead(gt: Ctx) -> str | None:
    return gt.env.get("GT_BEAD") or None if gt.as_option is None else None


def _alive(gt: Ctx, bead: Bead | None) -> Bead | None:
    """The first call from inside the session: the agent lives, and has begun."""
    from gastown.services.beads import hook
    from gastown.services.sessions import heartbeat

    if bead is None or not _inside(gt, bead):
        return bead
    heartbeat.beat(gt.town.root, gt.actor)
    return hook.begin(gt.town, gt.actor, bead)


def _who(gt: Ctx, named: str | None) -> str:
    who = address.parse(named) if named else gt.actor
    if not address.is_worker(who):
        raise UsageError(f"{who} has no hook", "gt hook RIG/NAME; `gt agents` shows who has what")
    return who


def hook(
    ctx: typer.Context,
    who: Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help="Somebody else's.")] = None,
    json: Json = False,
    at: At = None,
) -> None:
    """What is on your hook, in one line."""
    from gastown.services.beads import hook as service
    from gastown.store.layout import rig_of_path
    from gastown.ui.lines import empty_hook_line, hook_line

    gt: Ctx = ctx.obj
    name = _who(gt, who)
    view = gt.view(at)
    bead = service.read(gt.town, name) if at is None else service.find(view, name)
    if name == gt.actor and at is None:
        bead = _alive(gt, bead)
    elif bead is None:
        from gastown.services.agents import polecats

        polecats.require(view, name)
    if json:
        doc = {**bead.doc, "path": bead.path, "rig": rig_of_path(bead.path)} if bead else None
        put_json({"address": name, "bead": doc})
    elif bead is None:
        put(empty_hook_line(name))
    else:
        put(hook_line(bead.id, bead.status, bead.priority, bead.title))


def prime(
    ctx: typer.Context,
    json: Json = False,
) -> None:
    """Who you are, what is on your hook with all of it, and what to do next."""
    from gastown.services.agents import prime as service
    from gastown.services.beads import hook as hooks

    gt: Ctx = ctx.obj
    town = gt.town
    bead = _alive(gt, hooks.read(town, gt.actor)) if address.is_worker(gt.actor) else None
    primed = service.build(town, gt.actor, bead)
    if json:
        doc = bead.doc if bead else None
        put_json({"address": primed.address, "bead": doc, "unread": primed.unread, "text": primed.text})
    else:
        sys.stdout.write(safe_block(primed.text))


def heartbeat(
    ctx: typer.Context,
    text: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]", help="What you are doing.")] = None,
) -> None:
    """Say that you are alive. Written on this machine only."""
    from gastown.services.sessions import heartbeat as service

    gt: Ctx = ctx.obj
    service.beat(gt.root, gt.actor, " ".join(text or ()))


def done(
    ctx: typer.Context,
    status: Annotated[str, typer.Option("--status", help="completed, escalated or deferred")] = "completed",
    no_changes: Annotated[str | None, typer.Option("--no-changes", metavar="WHY", help="Nothing changed.")] = None,
    message: Annotated[str | None, typer.Option("-m", "--message", metavar="TEXT", help="A note on the bead.")] = None,
    file: File = None,
    stdin: Stdin = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Hand in the work on your hook; uncommitted work is committed first."""
    from gastown.services.files import footing
    from gastown.services.sling import release as sessions
    from gastown.services.work import done as service

    gt: Ctx = ctx.obj
    words = text_from(message, file, stdin)
    footing.wait_home(gt.town.repo, lambda text: say(safe(text)), _PATIENCE)
    report = service.done(
        gt.town, gt.actor, status=status.lower(), no_changes=no_changes, message=words, bead_id=_own_bead(gt),
        attempt=_attempt(gt),
    )  # fmt: skip
    if json:
        put_json({**vars(report), "wip": list(report.wip)})
    elif quiet:
        put(report.bead)
    else:
        told.done(report)
    sid = gt.env.get("GT_SESSION")
    if sid and gt.as_option is None:
        sys.stdout.flush()
        sessions.end_after_done(gt.town, sid)


def exec_work(ctx: typer.Context) -> int:
    """Run the command of the bead on your hook, commit what it changed, hand it in. For the exec agent."""
    from gastown.services.work import execwork as service

    gt: Ctx = ctx.obj

    def tell(text: str) -> None:
        put(safe(text))
        sys.stdout.flush()

    ended = service.exec_work(gt.town, gt.actor, bead_id=_own_bead(gt), attempt=_attempt(gt), say=tell)
    if isinstance(ended, int):
        say(f"the command ended with {ended}")
        return ended
    told.done(ended)
    return 0
