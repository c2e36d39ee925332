"""`sendmail -t`: whole messages from mail programs, delivered as their sender's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gastown.model.errors import GtError, NotFound, Refused, UsageError
from gastown.services.mail import mailbox, recipients, sendmail
from gastown.store.town import Town
from tests.conftest import git
from tests.services.mail_lab import AMBER, BIRCH, as_, staff

HEAD = b"From: Pat <pat@example.org>\nTo: The Mayor <mayor@demo.gt>\nSubject: Hello\n"


@pytest.fixture
def green(town: Town) -> Town:
    return staff(town)


def test_recipients_come_from_the_headers_and_bcc_is_not_told(green: Town) -> None:
    raw = HEAD + b"Cc: amber@green.demo.gt,\n birch@green.demo.gt\nBcc: overseer@demo.gt\n\nbody\n"
    sent = sendmail.accept(green, raw)
    assert sent.to == ("mayor", AMBER, BIRCH, "overseer")
    (letter,) = mailbox.letters(green, "overseer")[0]
    data = mailbox.data_of(green, letter)
    assert b"Bcc" not in data
    assert data.endswith(b"\n\nbody\n")
    assert (letter.head.sender, letter.head.cc) == ("overseer", (AMBER, BIRCH))
    assert git("status", "--short", cwd=green.root) == ""


def test_arguments_are_recipients_too(green: Town) -> None:
    assert sendmail.accept(green, HEAD + b"\nx\n", words=["mayor@demo.gt", "overseer"]).to == ("mayor", "overseer")
    assert sendmail.accept(green, HEAD + b"\nx\n", words=["overseer"], from_headers=False).to == ("overseer",)


def test_a_group_has_a_mail_address(green: Town) -> None:
    recipients.add_to_group(green, "back", [AMBER, BIRCH])
    raw = b"To: back@demo.gt\nSubject: s\n\nx\n"
    assert sendmail.accept(green, raw).to == (AMBER, BIRCH)


def test_one_unknown_recipient_and_nobody_gets_it(green: Town) -> None:
    with pytest.raises(NotFound):
        sendmail.accept(green, HEAD + b"Cc: stranger@example.org\n\nx\n")
    with pytest.raises(UsageError):
        sendmail.accept(green, b"To: undisclosed-recipients:;\nSubject: s\n\nx\n")
    assert mailbox.letters(green, "mayor")[0] == []


def test_the_sender_is_who_sends(green: Town) -> None:
    assert sendmail.accept(as_(green, AMBER), HEAD + b"\nx\n").sender == AMBER
    assert mailbox.letters(green, "mayor")[0][0].head.sender == AMBER
    as_mayor = b"From: mayor@demo.gt\nTo: overseer@demo.gt\nSubject: Hello\n"
    # The person answering from the mayor's mailbox; an agent may not.
    assert sendmail.accept(green, as_mayor + b"\nx\n").sender == "mayor"
    assert git("log", "-1", "--format=%an", cwd=green.root) == "mayor"
    with pytest.raises(Refused):
        sendmail.accept(as_(green, AMBER), as_mayor + b"\nx\n")


def test_threads_parts_and_ids_are_kept_what_we_say_is_ours(green: Town) -> None:
    raw = (
        HEAD
        + b"Message-ID: <own@mutt>\nIn-Reply-To: <a@demo.gt>\nReferences: <r@demo.gt>\n <a@demo.gt>\n"
        + b"X-Gt-Type: nonsense\nX-Gt-Bead: ../x\nX-Priority: 1\nContent-Type: multipart/mixed; boundary=b\n\n"
        + b"--b\nContent-Type: text/plain\n\ntext\n--b--\n"
    )
    sent = sendmail.accept(green, raw)
    (letter,) = mailbox.letters(green, "mayor")[0]
    head = letter.head
    assert (sent.id, letter.id, head.kind, head.priority, head.bead) == ("own@mutt", "own@mutt", "reply", "high", None)
    assert (head.in_reply_to, head.references) == ("<a@demo.gt>", ("<r@demo.gt>", "<a@demo.gt>"))
    assert mailbox.content(green, letter).text.strip() == "text"


def test_crlf_becomes_lf(green: Town) -> None:
    sendmail.accept(green, HEAD.replace(b"\n", b"\r\n") + b"\r\none\r\ntwo\r\n")
    (letter,) = mailbox.letters(green, "mayor")[0]
    assert b"\r" not in mailbox.data_of(green, letter)


@pytest.mark.parametrize("raw", [b"", b"\n", b"just words\n", b"\n\nTo: mayor@demo.gt\n"])
def test_what_is_no_message(green: Town, raw: bytes) -> None:
    with pytest.raises(UsageError):
        sendmail.accept(green, raw)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_stdin_is_sent_or_refused(raw: bytes) -> None:
    blocks = sendmail._blocks(raw)
    assert all(block.endswith(b"\n") and b"\n\n" not in block for _, block in blocks)


def test_hostile_headers_stay_one_message(green: Town) -> None:
    try:
        sendmail.accept(green, b"To: mayor@demo.gt\nSubject: a\x1b[31m\rBcc: overseer\n\nx\n")
    except GtError:
        return
    assert mailbox.letters(green, "overseer")[0] == []
    assert "\x1b" not in git("log", "-1", "--format=%B", cwd=green.root)
