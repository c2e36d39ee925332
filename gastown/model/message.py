"""Mail messages: real RFC 5322, written and read by Python's own email package."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from email.utils import format_datetime

from gastown.model.address import mail_address, name_of
from gastown.model.errors import UsageError

KINDS = ("task", "notification", "reply", "escalation", "handoff", "protocol", "nudge")
PRIORITIES = ("urgent", "high", "normal", "low")
# LF in the file, no folding beyond what the standard asks: people read these with `cat`.
_POLICY = default.clone(linesep="\n", max_line_length=998)


@dataclass(frozen=True)
class Draft:
    """What a sender says; the store adds where and when."""

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


def compose(draft: Draft, *, town: str, message_id: str, epoch: float) -> bytes:
    """The message as bytes. Raises UsageError for a header that would break out of its line."""
    from datetime import datetime

    for value in (draft.subject, draft.kind, draft.priority, draft.bead or ""):
        if any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise UsageError(f"a mail header may not hold control characters: {value!r}", "put it into the body")
    if draft.kind not in KINDS:
        raise UsageError(f"{draft.kind!r} is no type of message", "one of: " + " ".join(KINDS))
    if draft.priority not in PRIORITIES:
        raise UsageError(f"{draft.priority!r} is no priority", "one of: " + " ".join(PRIORITIES))
    message = EmailMessage(_POLICY)
    message["From"] = _mailbox(draft.sender, town)
    message["To"] = _mailbox(draft.to, town)
    if draft.cc:
        message["Cc"] = tuple(_mailbox(one, town) for one in draft.cc)
    message["Subject"] = draft.subject
    message["Date"] = format_datetime(datetime.fromtimestamp(int(epoch), UTC))
    message["Message-ID"] = f"<{message_id}@{town}.gt>"
    if draft.in_reply_to:
        message["In-Reply-To"] = draft.in_reply_to
    if draft.references:
        message["References"] = " ".join(draft.references)
    message["X-Gt-Type"] = draft.kind
    message["X-Gt-Priority"] = draft.priority
    if draft.bead:
        message["X-Gt-Bead"] = draft.bead
    message.set_content(draft.body if draft.body.endswith("\n") else draft.body + "\n", cte=_encoding(draft.body))
    return message.as_bytes()


def _encoding(body: str) -> str:
    # 8bit keeps the file readable; lines beyond RFC 5322's limit need quoted-printable.
    return "8bit" if all(len(line.encode()) < 990 for line in body.splitlines()) else "quoted-printable"


def _mailbox(address: str, town: str) -> Address:
    user, _, domain = mail_address(address, town).partition("@")
    return Address(display_name=name_of(address) if "/" not in address else address, username=user, domain=domain)
