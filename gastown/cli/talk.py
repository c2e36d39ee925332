"""Words for now and calls for help: nudge, broadcast, dnd, escalate; and `sendmail` for mail programs."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gastown.cli.context import Ctx
from gastown.cli.options import At, File, Json, Quiet, RigName, Stdin
from gastown.cli.output import put, put_json, put_lines, read_stdin, say, text_from, text_or_stdin
from gastown.model.bead import Bead
from gastown.model.errors import UsageError
from gastown.model.text import safe
from gastown.services.beads import queries
from gastown.services.mail import escalate as escalations
from gastown.services.mail import nudge as nudges
from gastown.services.mail.nudge import Nudged
from gastown.ui import style
from gastown.ui.tables import columns

_SETTINGS: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
Words = Annotated[list[str] | None, typer.Argument(metavar="MESSAGE", help="The words, or -m, -F, --stdin.")]
Text = Annotated[str | None, typer.Option("-m", "--message", metavar="TEXT", help="The words.")]
Priority = Annotated[str, typer.Option("--priority", "-p", help="urgent normal")]


def _text(words: list[str] | None, message: str | None, file: str | None, stdin: bool) -> str:
    if words and message is not None:
        raise UsageError("the words were given twice", "either as an argument or with -m")
    return text_from(" ".join(words) if words else message, file, stdin) or ""


# -- nudges ---------------------------------------------------------------------------------------
def nudge(
    ctx: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="RIG/NAME or mayor.")],
    words: Words = None,
    message: Text = None,
    file: File = None,
    stdin: Stdin = False,
    mode: Annotated[str, typer.Option("--mode", help="wait (for an idle prompt, else queue), queue, now")] = "wait",
    priority: Priority = "normal",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say something to an agent for its next turn. What must outlive it belongs into a mail."""
    gt: Ctx = ctx.obj
    done = nudges.nudge(gt.town, address, _text(words, message, file, stdin), mode=mode, priority=priority)
    _tell([done], json=json, quiet=quiet, many=False)


def broadcast(
    ctx: typer.Context,
    words: Words = None,
    message: Text = None,
    file: File = None,
    stdin: Stdin = False,
    everybody: Annotated[bool, typer.Option("--all", help="Also who is not at work, and the mayor.")] = False,
    rig: RigName = None,
    priority: Priority = "normal",
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Nudge every worker that is at work."""
    gt: Ctx = ctx.obj
    text = _text(words, message, file, stdin)
    if not text.strip():
        raise UsageError("a broadcast needs words", 'gt broadcast "what all should know"')
    done = nudges.broadcast(gt.town, text, rig=rig, everybody=everybody, priority=priority)
    _tell(done, json=json, quiet=quiet, many=True)
    if not done:
        say("nobody is at work; --all tells idle ones too")
    return 1 if any(one.how == "failed" for one in done) else 0


def _tell(done: list[Nudged], *, json: bool, quiet: bool, many: bool) -> None:
    if json:
        put_json([one.as_json() for one in done] if many else done[0].as_json())
        return
    for one in done:
        put(one.address if quiet else f"{one.address}  {one.how}" + (f"  ({safe(one.why)})" if one.why else ""))


def dnd(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="[on|off|status]", help="Without one: status.")] = "status",
    json: Json = False,
) -> None:
    """Do not disturb: nothing but urgent nudges, on this machine."""
    gt: Ctx = ctx.obj
    if what not in ("on", "off", "status"):
        raise UsageError(f"{what!r} is not on, off or status")
    if what != "status":
        nudges.mute(gt.town.root, gt.town.actor, on=what == "on")
    on = nudges.muted(gt.town.root, gt.town.actor)
    if json:
        put_json({"address": gt.actor, "muted": on})
    else:
        put(f"{gt.actor}: " + ("muted, only urgent nudges get through" if on else "not muted"))


# -- escalations ----------------------------------------------------------------------------------
class _Escalate(TyperGroup):
    """`gt escalate WORDS` is `gt escalate raise WORDS`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["raise", *args]
        return super().parse_args(ctx, args)


escalate = typer.Typer(
    cls=_Escalate, help='Ask for a person\'s judgement: gt escalate "what is in the way".', no_args_is_help=True,
    **_SETTINGS,
)  # fmt: skip
EscalationId = Annotated[str, typer.Argument(metavar="ID", help="The escalation's id.")]


@escalate.command("raise")
def escalate_raise(
    ctx: typer.Context,
    words: Words = None,
    message: Text = None,
    file: File = None,
    stdin: Stdin = False,
    severity: Annotated[str, typer.Option("-s", "--severity", help="critical high medium low")] = escalations.DEFAULT,
    bead: Annotated[str | None, typer.Option("--bead", "-b", metavar="ID", help="The bead it is about.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Raise an escalation: a bead, and mail to the mayor, from high up to the overseer."""
    gt: Ctx = ctx.obj
    text = _text(words, message, file, stdin)
    done = escalations.escalate(gt.town, text, severity=severity, about=gt.resolve(bead) if bead else None)
    if json:
        put_json({**_doc(gt, done.bead), "told": list(done.told), "command": done.command, "trouble": done.trouble})
    else:
        put(done.bead.id if quiet else f"{done.bead.id}  {done.severity}  told {', '.join(done.told)}")
    if done.trouble:
        say(f"warning: {safe(done.trouble)}")


@escalate.command("list")
def escalate_list(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Closed ones too.")] = False,
    json: Json = False,
    at: At = None,
) -> None:
    """Open escalations, the worst first."""
    gt: Ctx = ctx.obj
    view = gt.view(at)
    found = escalations.listed(view, closed=everything)
    if json:
        index = view.index()
        put_json([queries.as_json(one, index) for one in found])
        return
    rows = [(one.id, escalations.severity_of(one), _state(one), one.created_by, one.title) for one in found]
    head = ("ID", "SEVERITY", "STATE", "BY", "TITLE")
    put_lines(columns(rows, head=head, styles={1: {"critical": "red", "high": "yellow"}}, colour=style.wanted()))


def _state(bead: Bead) -> str:
    return "closed" if bead.status == "closed" else "acked" if bead.doc.get("acked") else "open"


@escalate.command("show")
def escalate_show(ctx: typer.Context, escalation: EscalationId, json: Json = False, at: At = None) -> None:
    """One escalation in full."""
    from gastown.ui import beads as render

    gt: Ctx = ctx.obj
    view = gt.view(at)
    bead = escalations.get(view, view.resolve(escalation, gt.actor))
    index = view.index()
    if json:
        put_json(queries.as_json(bead, index))
        return
    put_lines(render.full(bead, index.by_id, [], now=gt.town.clock(), colour=style.wanted()))
    acked = bead.doc.get("acked") or {}
    put(f"  {'severity':<11}{escalations.severity_of(bead)}")
    if acked:
        put(f"  {'acked':<11}{safe(acked.get('at', '?'))} by {safe(acked.get('by', '?'))}")


@escalate.command("ack")
def escalate_ack(ctx: typer.Context, escalation: EscalationId, json: Json = False, quiet: Quiet = False) -> None:
    """Take note of an escalation: it is not raised any more."""
    gt: Ctx = ctx.obj
    bead, changed = escalations.ack(gt.town, gt.resolve(escalation))
    _told(gt, bead, "noted" if changed else "was noted or closed already", json=json, quiet=quiet)


@escalate.command("close")
def escalate_close(
    ctx: typer.Context,
    escalation: EscalationId,
    reason: Annotated[str, typer.Option("--reason", "-r", metavar="TEXT", help="How it ended.")] = "",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Close an escalation with a reason."""
    gt: Ctx = ctx.obj
    why = text_or_stdin(reason, "-r") or ""
    bead, changed = escalations.close(gt.town, gt.resolve(escalation), why)
    _told(gt, bead, "closed" if changed else "was closed already", json=json, quiet=quiet)


def _told(gt: Ctx, bead: Bead, what: str, *, json: bool, quiet: bool) -> None:
    if json:
        put_json(_doc(gt, bead))
    else:
        put(bead.id if quiet else f"{bead.id}  {what}")


def _doc(gt: Ctx, bead: Bead) -> dict[str, Any]:
    return queries.as_json(bead, queries.around(gt.town, bead))


# -- sendmail -------------------------------------------------------------------------------------
class _Sendmail(TyperGroup):
    """Takes the command line as sendmail does: options no other command has, then recipients."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args in (["-h"], ["--help"]):
            return super().parse_args(ctx, args)
        ctx.meta["sendmail"] = args
        return super().parse_args(ctx, [])


sendmail = typer.Typer(cls=_Sendmail, invoke_without_command=True, **_SETTINGS)


@sendmail.callback()
def sendmail_main(ctx: typer.Context) -> None:
    """Deliver a mail message from stdin within the town, for mutt and other mail programs.

    gt sendmail [-t] [ADDRESS…]: with -t also to everybody in To, Cc and Bcc. Other options of sendmail
    are accepted. In mutt: set sendmail="gt sendmail -t".
    """
    from gastown.services.mail import sendmail as service

    words, from_headers = _sendmail_words(ctx.meta["sendmail"])
    service.accept(ctx.obj.town, read_stdin(), words=words, from_headers=from_headers)


def _sendmail_words(args: list[str]) -> tuple[list[str], bool]:
    """(recipients, whether -t was given)."""
    words: list[str] = []
    from_headers, rest = False, list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            words += rest
            break
        if not word.startswith("-"):
            words.append(word)
        elif word in ("-f", "-r", "-F", "-N", "-R", "-O", "-B", "-h", "-C", "-V", "-X"):
            rest = rest[1:]  # takes a value, which says nothing here: the sender is who we are
        elif word == "-t":
            from_headers = True
    return words, from_headers
