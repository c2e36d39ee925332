"""Mail messages as they are read: whatever lies in a mailbox is shown, and nothing in it can hurt.

Nothing here raises: other programs drop messages too, and a broken one must still be seen. Headers are
read without the email package, which costs more to import than a hundred of them to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gastown.model.address import is_address, parse
from gastown.model.ids import is_id
from gastown.model.message import KINDS, PRIORITIES

# Headers beyond this are not read.
HEAD_BYTES = 65_536
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()


@dataclass(frozen=True)
class Summary:
    """What the headers say. Addresses are canonical where they are of this town, else as written; `date` in seconds."""

    sender: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    subject: str
    date: float | None
    message_id: str
    in_reply_to: str
    references: tuple[str, ...]
    kind: str
    priority: str
    bead: str | None


@dataclass(frozen=True)
class Attachment:
    """A part that is not the text: its name, type and size in bytes."""

    name: str
    type: str
    size: int


@dataclass(frozen=True)
class Content:
    """The text of a message and what hangs on it."""

    text: str
    attachments: tuple[Attachment, ...] = ()


# -- headers --------------------------------------------------------------------------------------
def split(data: bytes) -> tuple[bytes, bytes]:
    """The headers and the body; all of it is body where the first line is no header."""
    first = data.split(b"\n", 1)[0]
    if not first.startswith(b"From ") and (b":" not in first or not first.split(b":", 1)[0].strip().isascii()):
        return b"", data.lstrip(b"\r\n") if not first.strip() else data
    ends = [(at, len(mark)) for mark in (b"\n\n", b"\n\r\n") if (at := data.find(mark)) >= 0]
    if not ends:
        return data, b""
    at, length = min(ends)
    return data[: at + 1], data[at + length :]


def headers(head: bytes) -> list[tuple[str, str]]:
    """(lower-case name, unfolded value) in order; bytes that are no UTF-8 are read as Latin-1."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError:
        text = head.decode("latin-1")
    found: list[tuple[str, str]] = []
    for line in text.split("\n"):
        line = line.rstrip("\r")
        if line[:1] in (" ", "\t") and found:
            name, value = found[-1]
            found[-1] = (name, f"{value} {line.strip()}" if line.strip() else value)
        else:
            name, colon, value = line.partition(":")
            if colon and name and " " not in name:
                found.append((name.lower(), value.strip()))
    return found


def summary(head: bytes, town: str) -> Summary:
    """What the headers at the beginning of `head` say; the rest of the message need not be there. Never raises."""
    fields: dict[str, str] = {}
    for name, value in headers(split(head)[0][:HEAD_BYTES]):
        fields.setdefault(name, value)
    kind, priority, bead = (fields.get(f"x-gt-{key}", "") for key in ("type", "priority", "bead"))
    senders = people(fields.get("from", ""), town)
    return Summary(
        sender=senders[0] if senders else "",
        to=tuple(people(fields.get("to", ""), town)),
        cc=tuple(people(fields.get("cc", ""), town)),
        subject=decode_words(fields.get("subject", "")),
        date=_date(fields.get("date", "")),
        message_id=_ids(fields.get("message-id", ""))[:1][0] if _ids(fields.get("message-id", "")) else "",
        in_reply_to=(_ids(fields.get("in-reply-to", "")) or [""])[0],
        references=tuple(_ids(fields.get("references", ""))),
        kind=kind if kind in KINDS else "notification",
        priority=priority if priority in PRIORITIES else _foreign_priority(fields),
        bead=bead if is_id(bead) else None,
    )


def _foreign_priority(fields: dict[str, str]) -> str:
    """What other mail programs call priority."""
    number, word = fields.get("x-priority", "")[:1], fields.get("importance", "").lower()
    if number in ("1", "2") or word == "high":
        return "high"
    return "low" if number in ("4", "5") or word == "low" else "normal"


def _ids(value: str) -> list[str]:
    """The `<…>` in a header."""
    return [f"<{one.split('>')[0].strip()}>" for one in value.split("<")[1:] if ">" in one]


def people(value: str, town: str) -> list[str]:
    """The addresses in a header: canonical where they are this town's, else as written."""
    found = []
    for one in _entries(value):
        name, open_, rest = one.rpartition("<")
        spec = rest.partition(">")[0].strip() if open_ else one.strip()
        canonical = from_mail(spec, town)
        shown = decode_words(name.strip().strip('"')) if name.strip() else ""
        found.append(canonical or (f"{shown} <{spec}>" if shown else spec))
    return found


def _entries(value: str) -> list[str]:
    """The parts of an address list, split at commas that stand in no quotes and no brackets."""
    entries, now, quoted, depth, escaped = [], "", False, 0, False
    for c in value:
        if c == "," and not quoted and not depth:
            entries.append(now)
            now = ""
            continue
        if c == '"' and not escaped:
            quoted = not quoted
        elif not quoted and c in "<(":
            depth += 1
        elif not quoted and c in ">)":
            depth = max(0, depth - 1)
        escaped = c == "\\" and not escaped
        now += c
    return [one.strip() for one in (*entries, now) if one.strip()]


def from_mail(spec: str, town: str) -> str | None:
    """The canonical address of `toast@greenplace.<town>.gt`; None for anybody else's."""
    user, at, domain = spec.strip().rpartition("@")
    suffix = f"{town}.gt"
    if not at or not domain.lower().endswith(suffix):
        return None
    rig = domain.lower()[: -len(suffix)]
    if rig and (not rig.endswith(".") or "." in rig[:-1]):
        return None
    text = f"{rig[:-1]}/{user}" if rig else user
    return parse(text) if "/" not in user and is_address(text) else None


def decode_words(text: str) -> str:
    """RFC 2047 words as the text they stand for; what cannot be decoded stays as it is."""
    if "=?" not in text:
        return text
    out, rest, after_word = "", text, False
    while rest:
        before, mark, tail = rest.partition("=?")
        parts = tail.split("?", 3)
        word = _word(parts) if mark and len(parts) == 4 and parts[3].startswith("=") else None
        if word is None:
            out, rest, after_word = out + before + mark, tail, False
            continue
        # Blanks between two encoded words belong to the encoding.
        out += word if after_word and not before.strip() else before + word
        rest, after_word = parts[3][1:], True
    return out


def _word(parts: list[str]) -> str | None:
    import binascii

    charset, how, payload = parts[0].split("*")[0], parts[1].lower(), parts[2]
    try:
        raw = payload.encode("ascii")
        if how == "b":
            data = binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))
        elif how == "q":
            data = binascii.a2b_qp(raw, header=True)
        else:
            return None
    except (ValueError, binascii.Error):
        return None
    return _decode(data, charset)


def _decode(data: bytes, charset: str) -> str:
    """Text of a named charset; of an unknown or wrong one, whatever can be read of it."""
    try:
        return data.decode(charset or "utf-8")
    except (LookupError, ValueError):
        pass
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _date(value: str) -> float | None:
    """Epoch seconds of a Date header; None for none that can be understood."""
    import calendar

    words = value.partition(",")[2].split() or value.split()
    try:
        clock = [int(part) for part in words[3].split(":")]
        zone = words[4] if words[4][:1] in "+-" and len(words[4]) == 5 else ""
        offset = (int(zone[1:3]) * 60 + int(zone[3:5])) * 60 * (-1 if zone[0] == "-" else 1)
        month = _MONTHS.index(words[1].lower()) + 1
        when = (int(words[2]), month, int(words[0]), clock[0], clock[1], clock[2] if len(clock) > 2 else 0)
        return float(calendar.timegm((*when, 0, 0, 0)) - offset)
    except (ValueError, IndexError, OverflowError):
        pass
    from email.utils import mktime_tz, parsedate_tz

    try:
        parsed = parsedate_tz(value)
        return float(mktime_tz(parsed)) if parsed else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


# -- bodies ---------------------------------------------------------------------------------------
def content(data: bytes) -> Content:
    """The text of a message: its text/plain part, else what can be read of it, and the other parts. Never raises."""
    head, body = split(data)
    fields = dict(reversed(headers(head)))
    kind = fields.get("content-type", "text/plain").lower()
    if kind.split(";")[0].strip() == "text/plain" and fields.get("content-transfer-encoding", "7bit").lower() in (
        "7bit", "8bit", "binary",
    ):  # fmt: skip
        return Content(_decode(body, _parameter(kind, "charset")).replace("\r\n", "\n"))
    try:
        return _parts(data)
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError):
        return Content(_decode(body, "utf-8").replace("\r\n", "\n"))


def _parameter(value: str, name: str) -> str:
    for part in value.split(";")[1:]:
        key, _, text = part.partition("=")
        if key.strip() == name:
            return text.strip().strip('"')
    return ""


def _parts(data: bytes) -> Content:
    from email import message_from_bytes
    from email.policy import compat32

    texts: list[str] = []
    marked_up: list[str] = []
    others: list[Attachment] = []
    # compat32 takes headers as they are; the newer policies raise on some broken ones.
    for part in message_from_bytes(data, policy=compat32).walk():
        if part.is_multipart():
            continue
        kind, name = part.get_content_type(), decode_words(str(part.get_filename() or ""))
        raw = part.get_payload(decode=True)
        payload = raw if isinstance(raw, bytes) else b""
        attached = bool(name) or "attachment" in str(part.get("Content-Disposition", "")).lower()
        if kind in ("text/plain", "text/html") and not attached:
            text = _decode(payload, str(part.get_content_charset() or "utf-8")).replace("\r\n", "\n")
            (texts if kind == "text/plain" else marked_up).append(text)
        else:
            others.append(Attachment(name or "unnamed", kind, len(payload)))
    text = "\n".join(texts) if texts else "\n".join(_stripped(one) for one in marked_up)
    return Content(text, tuple(others))


def _stripped(html: str) -> str:
    """The text in a piece of HTML, without its scripts and styles."""
    from html.parser import HTMLParser

    class Text(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.found: list[str] = []
            self.skipped = 0

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.skipped += tag in ("script", "style")
            if tag in ("p", "br", "div", "tr", "li"):
                self.found.append("\n")

        def handle_endtag(self, tag: str) -> None:
            self.skipped = max(0, self.skipped - (tag in ("script", "style")))

        def handle_data(self, data: str) -> None:
            if not self.skipped:
                self.found.append(data)

    reader = Text()
    reader.feed(html)
    return "".join(reader.found).strip() + "\n"
