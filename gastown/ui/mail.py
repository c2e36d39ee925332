"""Mail for people: the inbox, one message in full, a thread, the directory."""

from __future__ import annotations

from collections.abc import Sequence

from gastown.model import times
from gastown.model.incoming import Content
from gastown.model.text import clip, safe, safe_block
from gastown.services.mail.mailbox import Letter
from gastown.ui import style
from gastown.ui.tables import columns

HEAD = ("NR", "", "PRI", "FROM", "AGE", "ID", "SUBJECT")
_PRIORITY = {"urgent": "red", "high": "yellow", "low": "dim"}


# Nobody's message makes the list unreadable. What is cut stands in `gt mail read N`, and in --json.
_SENDER, _ID, _SUBJECT = 60, 100, 300


def table(letters: Sequence[Letter], *, now: float, colour: bool, numbers: bool = True) -> list[str]:
    """Messages as columns: number, mark (N new, R answered, F flagged, else .), priority, sender, age, id, subject."""
    cells = [
        (
            str(one.number) if numbers else one.address, mark(one), one.head.priority,
            clip(one.head.sender or "unknown", _SENDER), times.ago(now - one.date), clip(short_id(one, letters), _ID),
            clip(subject(one), _SUBJECT),
        )
        for one in letters
    ]  # fmt: skip
    width = style.width() if colour else None
    return columns(cells, head=HEAD, styles={2: _PRIORITY, 1: {"N": "bold"}}, colour=colour, width=width)


def mark(letter: Letter) -> str:
    """One letter for the state of a message."""
    if letter.new:
        return "N"
    return next((flag for flag in "FR" if flag in letter.flags), ".")


def subject(letter: Letter) -> str:
    """The subject, or a word for its absence."""
    return letter.head.subject or "(no subject)"


def short_id(letter: Letter, among: Sequence[Letter]) -> str:
    """The beginning of the unique name that names no other message here; what follows the process is rarely needed."""
    beginning = letter.unique.partition("P")[0]
    if beginning == letter.unique or len(beginning) < 10:
        return letter.unique
    same = sum(one.unique.startswith(beginning) for one in among)
    return beginning if same <= 1 else letter.unique


def full(letter: Letter, content: Content, *, colour: bool) -> list[str]:
    """One message: its headers, its attachments, a blank line, its text."""
    head = letter.head
    facts = [
        ("From", head.sender or "unknown"), ("To", ", ".join(head.to)), ("Cc", ", ".join(head.cc)),
        ("Date", times.text(letter.date)), ("Subject", subject(letter)),
        ("Type", f"{head.kind}, priority {head.priority}"), ("Bead", head.bead or ""), ("Id", letter.id),
    ]  # fmt: skip
    lines = [f"{style.paint(f'{name}:', 'bold', colour):<9}{safe(value)}" for name, value in facts if value]
    for one in content.attachments:
        lines.append(f"Attached: {safe(one.name)} ({safe(one.type)}, {one.size} bytes)")
    return [*lines, "", *safe_block(content.text).rstrip("\n").split("\n")]


def count_line(address: str, letters: Sequence[Letter]) -> str:
    """What an inbox holds, in one line."""
    new = sum(one.new for one in letters)
    return f"{address}: {len(letters)} message{'' if len(letters) == 1 else 's'}, {new} new"
