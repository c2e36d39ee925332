"""Mail: sending, answering, reading, threads, searching, marks, the archive. One change each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gastown.model import message as messages
from gastown.model.errors import InvalidFile, NotFound, Refused, UsageError
from gastown.model.incoming import Content
from gastown.model.message import Draft
from gastown.services.mail import mailbox, recipients
from gastown.services.mail.mailbox import Letter
from gastown.services.mail.outbox import Parcel, Sent, post
from gastown.store import maildir
from gastown.store.maildir import FLAGGED, SEEN
from gastown.store.town import Town
from gastown.store.view import View

if TYPE_CHECKING:
    from gastown.store.change import Change

LONGEST_SUBJECT = 500
LARGEST = 25 << 20


@dataclass(frozen=True)
class Outgoing:
    """What a sender wants: recipients as words (addresses, `@town`, `@group` …) and the rest of the message."""

    to: tuple[str, ...]
    subject: str
    body: str
    cc: tuple[str, ...] = ()
    kind: str = "notification"
    priority: str = "normal"
    reply_to: str | None = None
    bead: str | None = None
    attach_bead: bool = False


# -- sending --------------------------------------------------------------------------------------
def send(town: Town, wanted: Outgoing) -> Sent:
    """Deliver a message to everybody meant, in one change, or to nobody.

    Raises NotFound for an unknown recipient, bead or answered message, UsageError for what cannot be sent.
    """
    subject, body = _checked_subject(wanted.subject), _checked_body(wanted.body)
    to = recipients.resolve(town, wanted.to, sender=town.actor)
    cc = [one for one in recipients.resolve(town, wanted.cc, sender=town.actor) if one not in to] if wanted.cc else []
    draft = Draft(
        town.actor, to[0], subject, body, messages.check_kind(wanted.kind), messages.check_priority(wanted.priority),
        wanted.bead, also=tuple(to[1:]), cc=tuple(cc),
    )  # fmt: skip
    if wanted.attach_bead:
        draft = replace(draft, attachments=(_bead_file(town, wanted.bead),))
    elif wanted.bead:
        town.bead(wanted.bead)
    if wanted.reply_to is None:
        return post(town, pack(town, draft))
    answered = mailbox.find(town, town.actor, wanted.reply_to)
    return post(town, pack(town, _answering(draft, answered)), answered=answered)


def reply(town: Town, text: str, body: str, *, everyone: bool = False, priority: str | None = None) -> Sent:
    """Answer a message of one's own mailbox: its sender, with `everyone` also those it was written to.

    Raises NotFound for an unknown message, Refused where its sender is nobody of this town.
    """
    letter = mailbox.find(town, town.actor, text)
    body = _checked_body(body)
    head = letter.head
    if not head.sender or not _is_known(town, head.sender):
        raise Refused(f"{head.sender or 'nobody'} is no address of this town", "gt delivers within a town only")
    others = [one for one in (*head.to, *head.cc) if one not in (town.actor, head.sender)] if everyone else []
    draft = Draft(
        town.actor, head.sender, messages.header_text(messages.reply_subject(head.subject))[:LONGEST_SUBJECT], body,
        "reply", messages.check_priority(priority or head.priority), head.bead,
        cc=tuple(one for one in dict.fromkeys(others) if _is_known(town, one)),
    )  # fmt: skip
    return post(town, pack(town, _answering(draft, letter)), answered=letter)


def _is_known(town: Town, address: str) -> bool:
    try:
        return recipients.known(town, address) == address
    except NotFound:
        return False


def _answering(draft: Draft, letter: Letter) -> Draft:
    head = letter.head
    if not head.message_id:
        return draft
    # All of a long thread in one header would grow without end; its root and its newest hold it together.
    chain = [*head.references, *([head.in_reply_to] if head.in_reply_to and not head.references else [])]
    chain = [one for one in dict.fromkeys(chain) if one != head.message_id and one.isascii() and one.isprintable()]
    if len(chain) > 20:
        chain = [chain[0], *chain[-19:]]
    if not (head.message_id.isascii() and head.message_id.isprintable()):
        return draft
    return replace(draft, in_reply_to=head.message_id, references=(*chain, head.message_id))


def _bead_file(town: Town, bead: str | None) -> tuple[str, bytes]:
    if bead is None:
        raise UsageError("--attach-bead needs a bead", "name it: --bead ID")
    path = town.bead(bead).path
    return path.rpartition("/")[2], town.read(path)


def _checked_subject(subject: str) -> str:
    line = messages.check_header(subject).strip()
    if not line:
        raise UsageError("a message needs a subject", "say it with -s SUBJECT")
    if line.startswith("-"):
        raise UsageError(f"the subject {line!r} looks like an option", "check the quoting")
    if len(line) > LONGEST_SUBJECT:
        raise UsageError(f"a subject of {len(line)} characters is too long (at most {LONGEST_SUBJECT})")
    return line


def _checked_body(body: str) -> str:
    if not body.strip():
        raise UsageError("the message is empty", "give its text with -m TEXT, -F FILE or --stdin")
    if len(body) > LARGEST:
        raise UsageError(f"a message may hold at most {LARGEST >> 20} MiB", "write it to a file, and say where it is")
    return body


def pack(town: Town, draft: Draft) -> Parcel:
    """The message of a draft under a name of its own, ready to be delivered; nothing is written yet."""
    now = town.clock()
    unique = maildir.unique_name(town.machine, now)
    data = messages.compose(draft, town=town.name, message_id=unique, epoch=now)
    to = tuple(dict.fromkeys((draft.to, *draft.also, *draft.cc)))
    sent = Sent(f"{unique}@{town.name}.gt", draft.sender, to, draft.subject, draft.kind, draft.priority, draft.bead)
    return Parcel(sent, unique, data)


# -- reading --------------------------------------------------------------------------------------
def read(town: Town, text: str, *, peek: bool = False) -> tuple[Letter, Content]:
    """A message of one's own mailbox with its text; it counts as read from now on, unless `peek`."""
    letter = mailbox.find(town, town.actor, text)
    content = mailbox.content(town, letter)
    if not peek and (letter.new or "/new/" in letter.paths[0]):
        seen = _each(town, [letter], "read", _seen)
        letter = seen[0] if seen else letter
    return letter, content


def mark(town: Town, texts: Sequence[str], *, add: str = "", remove: str = "") -> list[Letter]:
    """Set and clear Maildir flags of one's own messages; they as they are now."""
    if not set(add) | set(remove):
        raise UsageError("no mark was named", "--read --unread --flag --unflag --delete --undelete")
    found = [mailbox.find(town, town.actor, text) for text in texts]
    return _each(town, found, "marked", lambda change, one: mailbox.move(change, one, add=add, remove=remove))


def archive(town: Town, texts: Sequence[str], *, all_read: bool = False) -> list[Letter]:
    """Move messages to the archive, or with `all_read` everything read that is not flagged."""
    if all_read:
        inside = mailbox.letters(town, town.actor)[0]
        found = [one for one in inside if not one.new and FLAGGED not in one.flags]
    else:
        found = [mailbox.find(town, town.actor, text) for text in texts]
    sub = maildir.ARCHIVE
    return _each(town, found, "archived", lambda change, one: mailbox.move(change, one, add=SEEN, sub=sub))


def mark_seen(town: Town, letters: Iterable[Letter]) -> None:
    """These were shown to their reader."""
    _each(town, list(letters), "read", _seen)


def _seen(change: Change, letter: Letter) -> Letter | None:
    """One that cannot be marked was shown all the same, and is shown again: a sync names it until it is renamed."""
    try:
        return mailbox.move(change, letter, add=SEEN)
    except mailbox.Unfit:
        return letter


def _each(
    town: Town, found: list[Letter], what: str, act: Callable[[Change, Letter], Letter | None]
) -> list[Letter]:
    """Do it to all of them in one change; those that are gone meanwhile are left out."""
    if not found:
        return []
    said = f"“{messages.header_text(found[0].head.subject)[:80]}”" if len(found) == 1 else f"{len(found)} messages"
    verb = f"mail: {town.actor} {what} {said}"
    return town.transact(verb, lambda change: [now for one in found if (now := act(change, one)) is not None])


def thread(view: View, letter: Letter) -> list[Letter]:
    """The conversation a message belongs to, over all mailboxes, each message once, oldest first."""
    everything: dict[str, Letter] = {}
    for address in mailbox.boxes(view):
        for sub in ("", maildir.ARCHIVE):
            for one in mailbox.letters(view, address, sub=sub, trashed=True)[0]:
                if one.id not in everything or one.address == letter.address:
                    everything[one.id] = one
    links = {one_id: _links(one) for one_id, one in everything.items()}
    inside = {letter.id, *_links(letter)}
    while True:
        more = {one for one, linked in links.items() if one not in inside and (linked & inside)}
        more |= {linked for one in inside if one in links for linked in links[one]} - inside
        if not more:
            break
        inside |= more
    found = [one for one_id, one in everything.items() if one_id in inside] or [letter]
    return sorted(found, key=lambda one: (one.date, one.unique))


def _links(letter: Letter) -> set[str]:
    return {one.strip("<>") for one in (*letter.head.references, letter.head.in_reply_to) if one}


def search(view: View, address: str, text: str) -> tuple[list[Letter], list[InvalidFile]]:
    """Messages of a mailbox and its archive with `text` in sender, recipients, subject or text, whatever its case."""
    wanted = text.casefold()
    if not wanted.strip():
        raise UsageError("nothing to search for was named", "gt mail search WORDS")
    found: list[Letter] = []
    problems: list[InvalidFile] = []
    for sub in ("", maildir.ARCHIVE):
        inside, bad = mailbox.letters(view, address, sub=sub)
        problems += bad
        found += [one for one in inside if _has(view, one, wanted)]
    return found, problems


def _has(view: View, letter: Letter, wanted: str) -> bool:
    head = letter.head
    if wanted in "\n".join((head.sender, *head.to, *head.cc, head.subject, head.bead or "")).casefold():
        return True
    return wanted in mailbox.content(view, letter).text.casefold()
