"""Mail messages as they are written: real RFC 5322, by Python's own email package (model.incoming reads them).

That package is imported where it is needed: most commands that load this module send no mail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gastown.model.address import mail_address, name_of
from gastown.model.errors import UsageError

if TYPE_CHECKING:
    from email.headerregistry import Address

KINDS = ("task", "notification", "reply", "escalation", "handoff", "protocol", "nudge")
PRIORITIES = ("urgent", "high", "normal", "low")


@dataclass(frozen=True)
class Draft:
    """What a sender says; the store adds where and when. `to` and `also` are all named in To."""

    sender: str
    to: str
    subject: str
    body: str
    kind: str = "notification"
    priority: str = "normal"
    bead: str | None = None
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    attachments: tuple[tuple[str, bytes], ...] = ()


def check_header(value: str) -> str:
    """Return `value` if it may stand in a header; raise UsageError for what would break out of its line."""
    if any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u2028\u2029" for c in value):
        raise UsageError(f"a mail header may not hold control characters: {value!r}", "put it into the body")
    return value


def header_text(text: str) -> str:
    """`text` made fit for a header, or a commit's subject: on one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def check_kind(kind: str) -> str:
    """A type of message; raises UsageError."""
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is no type of message", "one of: " + " ".join(KINDS))
    return kind


def check_priority(priority: str) -> str:
    """A priority of a message; raises UsageError."""
    if priority not in PRIORITIES:
        raise UsageError(f"{priority!r} is no priority", "one of: " + " ".join(PRIORITIES))
    return priority


def compose(draft: Draft, *, town: str, message_id: str, epoch: float) -> bytes:
    """The message as bytes. Raises UsageError for a header that would break out of its line."""
    from datetime import UTC, datetime
    from email.message import EmailMessage
    from email.policy import default
    from email.utils import format_datetime

    for value in (draft.subject, draft.kind, draft.priority, draft.bead or "", draft.in_reply_to or ""):
        check_header(value)
    # LF in the file, no folding beyond what the standard asks: people read these with `cat`.
    message = EmailMessage(default.clone(linesep="\n", max_line_length=998))
    message["From"] = mailbox(draft.sender, town)
    message["To"] = tuple(mailbox(one, town) for one in (draft.to, *draft.also))
    if draft.cc:
        message["Cc"] = tuple(mailbox(one, town) for one in draft.cc)
    message["Subject"] = _whole(draft.subject)
    message["Date"] = format_datetime(datetime.fromtimestamp(int(epoch), UTC))
    message["Message-ID"] = f"<{message_id}@{town}.gt>"
    if draft.in_reply_to:
        message["In-Reply-To"] = draft.in_reply_to
    if draft.references:
        message["References"] = " ".join(check_header(one) for one in draft.references)
    message["X-Gt-Type"] = check_kind(draft.kind)
    message["X-Gt-Priority"] = check_priority(draft.priority)
    if draft.bead:
        message["X-Gt-Bead"] = draft.bead
    body = _whole(draft.body)
    message.set_content(body if body.endswith("\n") else body + "\n", cte=_encoding(body))
    for name, data in draft.attachments:
        message.add_attachment(data, maintype="application", subtype="yaml", filename=check_header(name))
    return message.as_bytes()


def _whole(text: str) -> str:
    """Without lone surrogates, which no encoding of mail can carry."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if not text.isascii() else text


def _encoding(body: str) -> str:
    # 8bit keeps the file readable; lines beyond RFC 5322's limit and control characters need quoted-printable.
    plain = all(c in "\t\n" or ord(c) >= 32 for c in body) and "\x7f" not in body
    return "8bit" if plain and all(len(line) < 990 for line in body.encode().split(b"\n")) else "quoted-printable"


def mailbox(address: str, town: str) -> Address:
    """An address with the name that mail programs show."""
    from email.headerregistry import Address

    user, _, domain = mail_address(address, town).partition("@")
    return Address(display_name=name_of(address) if "/" not in address else address, username=user, domain=domain)


def reply_subject(subject: str) -> str:
    """`Re: …`, once."""
    rest = subject.strip()
    while rest[:3].lower() == "re:":
        rest = rest[3:].lstrip()
    return f"Re: {rest}" if rest else "Re:"
