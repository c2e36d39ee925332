"""Messages as bytes: what is composed is read back the same, and nothing that others drop can hurt."""

from __future__ import annotations

import mailbox as std
from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gastown.model import incoming, message
from gastown.model.errors import UsageError
from gastown.model.message import Draft, compose

WORDS = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=300)
BODY = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r"), max_size=2000)
ADDRESS = st.sampled_from(("overseer", "mayor", "green/amber", "green/refinery"))


def one(subject: str = "s", body: str = "b", **more) -> bytes:
    draft = Draft("mayor", "overseer", subject, body, **more)
    return compose(draft, town="demo", message_id="1.M2P3Q4.anvil", epoch=1795426200.0)


@settings(max_examples=150, deadline=None)
@given(WORDS.map(str.strip).filter(bool), BODY, ADDRESS, st.lists(ADDRESS, min_size=1, max_size=4, unique=True))
def test_what_is_composed_is_read_back(subject: str, body: str, sender: str, to: list[str]) -> None:
    draft = Draft(sender, to[0], subject, body, also=tuple(to[1:]), bead="gr-x7k2m", priority="urgent", kind="task")
    data = compose(draft, town="demo", message_id="1.M2P3Q4.anvil", epoch=1795426200.0)
    said = incoming.summary(data, "demo")
    # Blanks at the edges of lines and folds are not the subject's own.
    assert " ".join(said.subject.split()) == " ".join(subject.split())
    assert (said.sender, said.to, said.date) == (sender, tuple(to), 1795426200.0)
    assert (said.message_id, said.bead, said.priority, said.kind) == (
        "<1.M2P3Q4.anvil@demo.gt>", "gr-x7k2m", "urgent", "task",
    )  # fmt: skip
    assert incoming.content(data).text.rstrip("\n") == body.rstrip("\n")
    # Python's own reader agrees, and nothing in it is broken.
    theirs = message_from_bytes(data, policy=default)
    assert not theirs.defects
    assert theirs["From"].addresses[0].addr_spec.endswith("demo.gt")
    assert b"\r" not in data


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_can_be_read(data: bytes) -> None:
    incoming.summary(data, "demo")
    assert isinstance(incoming.content(data).text, str)


HEADER = st.sampled_from(
    [b"From", b"To", b"Subject", b"Date", b"Message-ID", b"References", b"Content-Type", b"Content-Transfer-Encoding"]
)
VALUE = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"multipart/mixed; boundary=x", b"multipart/mixed", b"text/html; charset=nonsense", b"base64",
         b"=?utf-8?b?!?=",
         b"=?x?q?=ZZ?=", b'"a, b" <a@b>, <', b"quoted-printable", b"message/rfc822", b"Mon, 99 Foo 2026 25:61:61 +9999",
         b"text/plain; charset=\"utf-16", b"=?utf-8?q?a?= =?utf-8?q?b?="]
    ),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(HEADER, VALUE), max_size=8), st.binary(max_size=200))
def test_any_headers_can_be_read(pairs: list[tuple[bytes, bytes]], body: bytes) -> None:
    data = b"".join(name + b": " + value + b"\n" for name, value in pairs) + b"\n--x\n\n" + body + b"\n--x--\n"
    incoming.summary(data, "demo")
    assert isinstance(incoming.content(data).text, str)


def test_nested_parts_without_end_do_not_exhaust_us() -> None:
    head = b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n"
    data = b"Subject: deep\n" + b"".join(head % (n, n) for n in range(3000)) + b"\nbottom\n"
    assert incoming.summary(data, "demo").subject == "deep"
    assert "bottom" in incoming.content(data).text


@pytest.mark.parametrize("bad", ["a\nBcc: all", "a\rb", "a\0b", "a\x1b[31m", "a\x85b", "a\u2028b"])
def test_a_header_cannot_be_broken_out_of(bad: str) -> None:
    with pytest.raises(UsageError):
        one(subject=bad)


def test_words_of_other_programs_are_understood() -> None:
    text = incoming.decode_words
    assert text("=?utf-8?q?h=C3=A9llo_w?= =?UTF-8?B?w7ZybGQ=?=") == "héllo wörld"
    assert text("=?iso-8859-1?Q?=FCber?= plain =?utf-8?q?x?=") == "über plain x"
    assert text("=?utf-8?q?open") == "=?utf-8?q?open"
    assert text("=?no-such?q?=FF?=") == "ÿ"


def test_addresses_are_this_towns_or_left_as_they_are() -> None:
    said = incoming.people('"Toast, the" <toast@greenplace.demo.gt>, mayor@DEMO.gt, Pat <pat@example.org>', "demo")
    assert said == ["greenplace/toast", "mayor", "Pat <pat@example.org>"]
    for foreign in ("mayor@other.gt", "mayor@demo.gt.example.org", "x/y@demo.gt", "a@b.c.demo.gt", "mayor@xdemo.gt"):
        assert incoming.from_mail(foreign, "demo") is None


def test_the_text_part_is_shown_and_the_rest_listed() -> None:
    import email.message

    made = email.message.EmailMessage()
    made["Subject"] = "parts"
    made.set_content("the text\n")
    made.add_alternative("<p>the <b>markup</b></p>", subtype="html")
    made.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="screen \x1b shot.png")
    found = incoming.content(made.as_bytes())
    assert found.text.strip() == "the text"
    assert [(part.type, part.size) for part in found.attachments] == [("image/png", 4)]
    only = b"Content-Type: text/html\n\n<style>x{}</style><p>Hello<br>you</p>"
    assert incoming.content(only).text.split() == ["Hello", "you"]


def test_bytes_that_are_no_utf8_are_read() -> None:
    data = b"From: mayor@demo.gt\nSubject: gr\xfcn\n\nbl\xe4u\n"
    assert incoming.summary(data, "demo").subject == "grün"
    assert incoming.content(data).text == "bläu\n"


def test_what_is_no_message_is_all_text() -> None:
    for data in (b"just words\nand more\n", b"\n\nheaderless\n", b"http//no header\n\nx"):
        assert incoming.summary(data, "demo").subject == ""
        assert incoming.content(data).text.strip()


def test_reply_subject_once() -> None:
    assert message.reply_subject("Re: RE: re: x") == "Re: x"
    assert message.reply_subject("x") == "Re: x"


def test_pythons_maildir_reads_ours(tmp_path) -> None:
    box = std.Maildir(str(tmp_path / "box"))
    key = box.add(one(subject="grün", body="Grüße\n"))
    assert message_from_bytes(box.get_bytes(key), policy=default)["Subject"] == "grün"
