"""`gt mail`: sending, reading and keeping messages.

The inbox is looked at often, so what only the others need is imported by them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gastown.cli.context import Ctx
from gastown.cli.fast import NO_MAIL
from gastown.cli.options import At, File, Json, Quiet, Stdin
from gastown.cli.output import hint, problems, put, put_json, put_lines, say, text_from
from gastown.model.errors import UsageError
from gastown.model.text import safe
from gastown.services.mail import mailbox
from gastown.services.mail.mailbox import Letter
from gastown.store.maildir import FLAGGED, SEEN, TRASHED
from gastown.ui import mail as render
from gastown.ui import style
from gastown.ui.tables import columns

if TYPE_CHECKING:
    from gastown.services.mail.outbox import Sent

_SETTINGS: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
app = typer.Typer(help="Send, read and keep mail. The mailboxes are Maildirs below mail/.", **_SETTINGS)
group = typer.Typer(help="Groups of recipients, written @NAME.", no_args_is_help=True, **_SETTINGS)
app.add_typer(group, name="group")

Message = Annotated[str, typer.Argument(metavar="MESSAGE", help="Its number in the inbox, or its id or a beginning.")]
Messages = Annotated[list[str], typer.Argument(metavar="MESSAGE…", help="Numbers in the inbox, ids or beginnings.")]
Text = Annotated[str | None, typer.Option("-m", "--message", metavar="TEXT", help="The text.")]
Box = Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help="Whose mailbox; without one your own.")]


@app.command()
def send(
    ctx: typer.Context,
    to: Annotated[list[str], typer.Argument(metavar="ADDRESS…", help="RIG/NAME, mayor, @town, @rig/RIG, @GROUP …")],
    subject: Annotated[str, typer.Option("-s", "--subject", metavar="SUBJECT")] = "",
    message: Text = None,
    file: File = None,
    stdin: Stdin = False,
    kind: Annotated[str, typer.Option("--type", "-t", help="task notification reply escalation …")] = "notification",
    priority: Annotated[str, typer.Option("--priority", "-p", help="urgent high normal low")] = "normal",
    reply_to: Annotated[str | None, typer.Option("--reply-to", metavar="MESSAGE", help="It answers this one.")] = None,
    bead: Annotated[str | None, typer.Option("--bead", "-b", metavar="ID", help="The bead it is about.")] = None,
    cc: Annotated[list[str] | None, typer.Option("--cc", metavar="ADDRESS", help="Repeatable.")] = None,
    attach: Annotated[bool, typer.Option("--attach-bead", help="With the file of the --bead.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Send a message; everybody named gets it, or nobody."""
    from gastown.services.mail import mail
    from gastown.services.mail.mail import Outgoing

    gt: Ctx = ctx.obj
    wanted = Outgoing(
        to=tuple(to),
        subject=subject,
        body=text_from(message, file, stdin) or "",
        cc=tuple(cc or ()),
        kind=kind,
        priority=priority,
        reply_to=reply_to,
        bead=gt.resolve(bead) if bead else None,
        attach_bead=attach,
    )
    _tell_sent(mail.send(gt.town, wanted), json=json, quiet=quiet)


def _tell_sent(sent: Sent, *, json: bool, quiet: bool) -> None:
    if json:
        put_json(sent.as_json())
    else:
        put(sent.id if quiet else f"sent to {', '.join(sent.to)}: {safe(sent.subject)}")


@app.command()
def inbox(
    ctx: typer.Context,
    box: Box = None,
    unread: Annotated[bool, typer.Option("--unread", "-u", help="Only what nobody has read.")] = False,
    archive: Annotated[bool, typer.Option("--archive", help="What was archived.")] = False,
    json: Json = False,
    at: At = None,
) -> int:
    """The messages of a mailbox, oldest first, numbered."""
    gt: Ctx = ctx.obj
    view = gt.view(at)
    address = gt.actor
    if box:
        from gastown.services.mail import recipients

        address = recipients.known(view, box)
    found, bad = mailbox.inbox(view, address, unread=unread, archive=archive)
    if json:
        put_json([one.as_json() for one in found])
    else:
        put_lines(render.table(found, now=gt.town.clock(), colour=style.wanted()))
        if sys.stderr.isatty() or not found:
            say(render.count_line(address, found))
    return 1 if problems(bad) else 0


@app.command()
def read(
    ctx: typer.Context,
    message: Message,
    peek: Annotated[bool, typer.Option("--peek", help="Leave it unread.")] = False,
    json: Json = False,
    at: At = None,
) -> None:
    """A message in full; it counts as read from now on."""
    from gastown.services.mail import mail

    gt: Ctx = ctx.obj
    if at is not None:
        view = gt.view(at)
        letter = mailbox.find(view, gt.actor, message)
        content = mailbox.content(view, letter)
    else:
        letter, content = mail.read(gt.town, message, peek=peek)
    if json:
        attachments = [dict(vars(one)) for one in content.attachments]
        put_json({**letter.as_json(), "body": content.text, "attachments": attachments})
    else:
        put_lines(render.full(letter, content, colour=style.wanted()))


@app.command()
def reply(
    ctx: typer.Context,
    message: Message,
    words: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]", help="The answer, or -m, -F, --stdin.")] = None,
    text: Text = None,
    file: File = None,
    stdin: Stdin = False,
    everyone: Annotated[bool, typer.Option("--all", "-a", help="Also those it was written to.")] = False,
    priority: Annotated[str | None, typer.Option("--priority", "-p", help="urgent high normal low")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Answer a message in its thread; it counts as answered."""
    from gastown.services.mail import mail

    gt: Ctx = ctx.obj
    if words and text is not None:
        raise UsageError("the text was given twice", "either as an argument or with -m")
    body = text_from(" ".join(words) if words else text, file, stdin) or ""
    _tell_sent(mail.reply(gt.town, message, body, everyone=everyone, priority=priority), json=json, quiet=quiet)


@app.command()
def thread(ctx: typer.Context, message: Message, json: Json = False, at: At = None) -> None:
    """The conversation a message belongs to, from all mailboxes, oldest first."""
    from gastown.services.mail import mail

    gt: Ctx = ctx.obj
    view = gt.view(at)
    found = mail.thread(view, mailbox.find(view, gt.actor, message))
    if json:
        put_json([{**one.as_json(), "body": mailbox.content(view, one).text} for one in found])
        return
    for place, one in enumerate(found):
        if place:
            put()
        put_lines(render.full(one, mailbox.content(view, one), colour=style.wanted()))


@app.command()
def search(
    ctx: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="TEXT", help="To be found anywhere in a message.")],
    json: Json = False,
    at: At = None,
) -> int:
    """Messages of your inbox and archive that hold a text."""
    from gastown.services.mail import mail

    gt: Ctx = ctx.obj
    view = gt.view(at)
    found, bad = mail.search(view, gt.actor, " ".join(words))
    if json:
        put_json([one.as_json() for one in found])
    else:
        put_lines(render.table(found, now=gt.town.clock(), colour=style.wanted()))
    return 1 if problems(bad) else 0


Both = Annotated[bool | None, typer.Option("--read/--unread", help="Read, or not.")]
Flag = Annotated[bool | None, typer.Option("--flag/--unflag", help="Keep it in sight.")]
Delete = Annotated[bool | None, typer.Option("--delete/--undelete", help="Out of the inbox.")]


@app.command()
def mark(
    ctx: typer.Context,
    messages: Messages,
    read: Both = None,
    flag: Flag = None,
    delete: Delete = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Set or clear the marks of messages (the Maildir flags S, F and T)."""
    from gastown.services.mail import mail

    gt: Ctx = ctx.obj
    wanted = ((SEEN, read), (FLAGGED, flag), (TRASHED, delete))
    add = "".join(letter for letter, on in wanted if on)
    remove = "".join(letter for letter, on in wanted if on is False)
    _tell_moved(mail.mark(gt.town, messages, add=add, remove=remove), "marked", json=json, quiet=quiet)


@app.command()
def archive(
    ctx: typer.Context,
    messages: Annotated[
        list[str] | None, typer.Argument(metavar="[MESSAGE]…", help="Numbers in the inbox, ids or beginnings.")
    ] = None,
    read: Annotated[bool, typer.Option("--read", help="All that are read and not flagged.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Move messages out of the inbox into the archive (the Maildir++ folder .Archive)."""
    from gastown.services.mail import mail

    gt: Ctx = ctx.obj
    if bool(messages) == read:
        raise UsageError("name messages, or say --read", "gt mail archive 1 2")
    _tell_moved(mail.archive(gt.town, messages or (), all_read=read), "archived", json=json, quiet=quiet)


def _tell_moved(found: list[Letter], what: str, *, json: bool, quiet: bool) -> None:
    if json:
        put_json([one.as_json() for one in found])
        return
    for one in found:
        put(one.id if quiet else f"{what}: {safe(render.subject(one))}")


@app.command()
def check(
    ctx: typer.Context,
    inject: Annotated[bool, typer.Option("--inject", help="Hand nudges and mail over to an agent's prompt.")] = False,
    hook: Annotated[
        str, typer.Option("--hook", metavar="SHAPE", help="With --inject, as JSON: context:EVENT or block; exit 0.")
    ] = "",
    json: Json = False,
) -> int:
    """Is there new mail? Exit 0 if so, 1 if not. With --inject what is printed counts as read."""
    gt: Ctx = ctx.obj
    if hook and (json or not inject):
        raise UsageError("--hook goes with --inject alone", "gt mail check --inject --hook context:UserPromptSubmit")
    if inject:
        return _inject(gt, json=json, hook=hook)
    count = mailbox.unread_count(gt.town, gt.actor)
    if json:
        put_json({"address": gt.actor, "unread": count, "new": bool(count)})
    else:
        put(f"{count} new message{'' if count == 1 else 's'}: gt mail inbox" if count else NO_MAIL)
    return 0 if count else 1


def _inject(gt: Ctx, *, json: bool, hook: str) -> int:
    from gastown.services.beads import hook as hooks
    from gastown.services.mail import digest

    # An unknown shape is refused before anything is handed over.
    nothing = digest.for_hook("", hook) if hook else ""
    if hook == "block" and hooks.read(gt.town, gt.actor) is None:
        put(nothing)  # one without work may end its turn: what came waits for its next
        return 0
    with digest.handing_over(gt.town, gt.actor) as found:
        if json:
            nudges = [{"from": one.sender, "text": one.text, "priority": one.priority} for one in found.nudges]
            put_json({"nudges": nudges, "mail": [one.as_json() for one in found.letters], "more": found.more})
        elif hook:
            put(digest.for_hook(found.text, hook))
        elif not found.empty:
            put(found.text.rstrip("\n"))
        # Only what was really handed over counts as read.
        sys.stdout.flush()
    return 1 if found.empty and not hook else 0


@app.command()
def directory(ctx: typer.Context, json: Json = False, at: At = None) -> None:
    """Everybody who can be written to, with their unread mail; and the groups."""
    from gastown.services.mail import recipients

    gt: Ctx = ctx.obj
    view = gt.view(at)
    rows = [(one.address, one.kind, mailbox.unread_count(view, one.address)) for one in recipients.directory(view)]
    groups = recipients.groups(view)
    if json:
        people = [{"address": address, "kind": kind, "unread": count} for address, kind, count in rows]
        put_json([*people, *({"address": f"@{name}", "kind": "group", "unread": 0} for name in groups)])
        return
    rows += [(f"@{name}", "group", 0) for name in groups]
    put_lines(columns(rows, head=("ADDRESS", "KIND", "UNREAD"), colour=style.wanted()))


# -- groups ---------------------------------------------------------------------------------------
Name = Annotated[str, typer.Argument(metavar="NAME", help="The group's name, with or without its @.")]
Members = Annotated[list[str], typer.Argument(metavar="ADDRESS…", help="Addresses, @crew/RIG, other @groups.")]


@group.command("list")
def group_list(ctx: typer.Context, json: Json = False, at: At = None) -> None:
    """The groups and their members."""
    from gastown.services.mail import recipients

    gt: Ctx = ctx.obj
    found = recipients.groups(gt.view(at))
    if json:
        put_json([{"name": name, "members": members} for name, members in found.items()])
    else:
        put_lines(columns([(f"@{name}", " ".join(members)) for name, members in found.items()]))
        if not found:
            say("hint: none yet: gt mail group add NAME ADDRESS…; @town, @rig/RIG, @polecats/RIG, @crew/RIG always are")


@group.command("show")
def group_show(ctx: typer.Context, name: Name, json: Json = False, at: At = None) -> None:
    """Whom a message to a group would reach now."""
    from gastown.services.mail import recipients

    gt: Ctx = ctx.obj
    members, reached = recipients.group(gt.view(at), name)
    if json:
        put_json({"name": name.removeprefix("@"), "members": members, "reaches": reached})
    else:
        put_lines(safe(one) for one in reached)


@group.command("add")
def group_add(ctx: typer.Context, name: Name, members: Members, json: Json = False) -> None:
    """Make a group, or add members to it."""
    from gastown.services.mail import recipients

    _tell_group(name, recipients.add_to_group(ctx.obj.town, name, members), json=json)


@group.command("remove")
def group_remove(
    ctx: typer.Context,
    name: Name,
    members: Annotated[list[str] | None, typer.Argument(metavar="[ADDRESS]…")] = None,
    json: Json = False,
) -> None:
    """Take members out of a group; without members named, remove it."""
    from gastown.services.mail import recipients

    _tell_group(name, recipients.remove_from_group(ctx.obj.town, name, members or ()), json=json)


def _tell_group(name: str, members: list[str], *, json: bool) -> None:
    name = name.removeprefix("@")
    if json:
        put_json({"name": name, "members": members})
    elif members:
        put(f"@{name}: {' '.join(safe(one) for one in members)}")
    else:
        put(f"@{name} is gone")
    if members and sys.stderr.isatty():
        hint(f"gt mail send @{name} -s SUBJECT -m TEXT")
