"""What a mail program hands over to be sent: a whole message, delivered within the town as its sender's."""

from __future__ import annotations

from collections.abc import Sequence

from gastown.model import incoming
from gastown.model.errors import NotFound, Refused, UsageError
from gastown.model.ids import is_id
from gastown.model.message import KINDS
from gastown.services.mail import mail, outbox, recipients
from gastown.services.mail.outbox import Parcel, Sent
from gastown.store import maildir
from gastown.store.town import Town

# What we say ourselves, and what must not be delivered.
_OURS = frozenset(("from", "bcc", "resent-bcc", "return-path", "x-gt-type", "x-gt-priority", "x-gt-bead"))
_TO = ("to", "cc", "bcc")
Block = tuple[str, bytes]


def accept(town: Town, raw: bytes, *, words: Sequence[str] = (), from_headers: bool = True) -> Sent:
    """Deliver the message `raw` to `words`, with `from_headers` also to everybody in To, Cc and Bcc.

    It is the actor's; the overseer may also send as the agent named in From (mutt on an agent's mailbox).
    Threads, MIME parts and the body stay as they are. Raises NotFound if one recipient is unknown: then nobody
    gets it. Raises Refused where an agent sends as another, UsageError for what is no message.
    """
    if len(raw) > mail.LARGEST:
        raise UsageError(f"a message may hold at most {mail.LARGEST >> 20} MiB")
    head, body = incoming.split(raw)
    blocks = _blocks(head.replace(b"\r\n", b"\n"))
    if not blocks:
        raise UsageError("what came on stdin is no mail message: it has no headers", "gt mail send writes one for you")
    if b"\r\n" in head:
        body = body.replace(b"\r\n", b"\n")
    values = {name: _value(block) for name, block in reversed(blocks)}
    named = [*words]
    if from_headers:
        named += [spec for name, block in blocks if name in _TO for spec in _specs(town, _value(block))]
    sender = _sender(town, values.get("from", ""))
    to = recipients.resolve(town, [_word(town, one) for one in named], sender=sender)
    return outbox.post(town, _parcel(town, sender, to, blocks, values, body))


def _blocks(head: bytes) -> list[Block]:
    """(lower-case name, its raw lines with the last line break) of every header; what is none is left out."""
    found: list[Block] = []
    for line in head.split(b"\n"):
        if line[:1] in (b" ", b"\t") and found:
            found[-1] = (found[-1][0], found[-1][1] + line + b"\n")
            continue
        name, colon, _ = line.partition(b":")
        if colon and name and name.isascii() and not any(c <= 32 for c in name):
            found.append((name.decode().lower(), line + b"\n"))
    return found


def _value(block: bytes) -> str:
    found = incoming.headers(block)
    return found[0][1] if found else ""


def _specs(town: Town, value: str) -> list[str]:
    """The addresses in a header, without the names around them."""
    found = []
    for one in incoming.people(value, town.name):
        spec = one.rpartition("<")[2].rstrip("> ") if one.endswith(">") else one
        # `undisclosed-recipients:;` and other empty groups name nobody.
        if not spec.endswith(";"):
            found.append(spec)
    return found


def _word(town: Town, spec: str) -> str:
    """A recipient as `gt mail send` knows it; the lists of the town are written `backend@<town>.gt`."""
    spec = spec.strip().strip("<>")
    user, at, domain = spec.rpartition("@")
    if at and domain.lower() == f"{town.name}.gt" and (user == "town" or user in recipients.groups(town)):
        return f"@{user}"
    return spec


def _sender(town: Town, value: str) -> str:
    named = _specs(town, value)[:1]
    try:
        address = recipients.known(town, named[0]) if named else None
    except NotFound:
        address = None  # the person's own address elsewhere, or what a mail program made up
    if address in (None, town.actor):
        return town.actor
    if town.actor != "overseer":
        raise Refused(f"you are {town.actor} and may not write as {address}", "leave out From, or set it to yourself")
    return str(address)


def _parcel(
    town: Town, sender: str, to: list[str], blocks: list[Block], values: dict[str, str], body: bytes
) -> Parcel:
    from datetime import UTC, datetime
    from email.utils import format_datetime

    from gastown.model.message import mailbox

    now = town.clock()
    unique = maildir.unique_name(town.machine, now)
    said = incoming.summary(b"".join(block for _, block in blocks) + b"\n", town.name)
    message_id = said.message_id or f"<{unique}@{town.name}.gt>"
    kind = values.get("x-gt-type", "")
    kind = kind if kind in KINDS else "reply" if said.in_reply_to else "notification"
    bead = values.get("x-gt-bead", "")
    own = [f"From: {mailbox(sender, town.name)}"]
    kept = [block for name, block in blocks if name not in _OURS]
    if "date" not in values:
        own.append(f"Date: {format_datetime(datetime.fromtimestamp(int(now), UTC))}")
    if not said.message_id:
        kept = [block for name, block in blocks if name not in _OURS and name != "message-id"]
        own.append(f"Message-ID: {message_id}")
    own += [f"X-Gt-Type: {kind}", f"X-Gt-Priority: {said.priority}"] + ([f"X-Gt-Bead: {bead}"] if is_id(bead) else [])
    data = "".join(f"{line}\n" for line in own).encode() + b"".join(kept) + b"\n" + body
    subject = said.subject or "(no subject)"
    sent = Sent(
        message_id.strip("<>"), sender, tuple(to), subject, kind, said.priority, bead if is_id(bead) else None
    )
    return Parcel(sent, unique, data)
