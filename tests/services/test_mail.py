"""Sending, reading, answering, marks, the archive; hand moves; broken messages."""

from __future__ import annotations

import mailbox as std
import os
from pathlib import Path

import pytest

from gastown.model.errors import InvalidFile, NotFound, Refused, UsageError
from gastown.services.mail import digest, mail, mailbox
from gastown.services.mail.mail import Outgoing
from gastown.store import maildir
from gastown.store.town import Town
from tests.conftest import Clock, git
from tests.services.mail_lab import AMBER, BIRCH, as_, drop, staff, write


@pytest.fixture
def green(town: Town) -> Town:
    return staff(town)


def subjects(town: Town, address: str, **more) -> list[str]:
    return [one.head.subject for one in mailbox.letters(town, address, **more)[0]]


def theirs(box: std.Maildir) -> list[str]:
    """The messages Python's Maildir sees (older ones take .gitkeep for one)."""
    return [key for key in sorted(box.keys()) if not key.startswith(".")]


def clean(town: Town) -> bool:
    git("fsck", "--strict", cwd=town.root)
    return git("status", "--short", cwd=town.root) == ""


# -- sending --------------------------------------------------------------------------------------
def test_several_recipients_get_one_message_each_in_one_commit(green: Town) -> None:
    before = int(git("rev-list", "--count", "HEAD", cwd=green.root))
    sent = write(green, f"{AMBER} mayor", cc=(BIRCH, AMBER))
    assert sent.to == (AMBER, "mayor", BIRCH)
    copies = [mailbox.letters(green, one)[0] for one in sent.to]
    assert [len(one) for one in copies] == [1, 1, 1]
    assert len({one[0].head.message_id for one in copies}) == 1
    assert copies[0][0].head.to == (AMBER, "mayor")
    assert copies[0][0].head.cc == (BIRCH,)
    assert int(git("rev-list", "--count", "HEAD", cwd=green.root)) == before + 1
    assert clean(green)


def test_nobody_gets_anything_if_one_is_unknown(green: Town) -> None:
    with pytest.raises(NotFound, match="green/ambre") as error:
        write(green, f"mayor {AMBER[:-2]}re")
    assert AMBER in error.value.hint
    assert subjects(green, "mayor") == []


def test_what_cannot_be_sent(green: Town) -> None:
    for subject, body in (("", "x"), ("  ", "x"), ("-m", "x"), ("s", " \n"), ("x" * 501, "x"), ("a\nBcc: mayor", "x")):
        with pytest.raises(UsageError):
            write(green, "mayor", subject, body)
    with pytest.raises(UsageError):
        write(green, "mayor", kind="spam")
    with pytest.raises(UsageError):
        write(green, "mayor", priority="asap")
    with pytest.raises(NotFound):
        write(green, "mayor", bead="gr-nope1")
    with pytest.raises(NotFound):
        write(green, "mayor", reply_to="99")
    assert [subjects(green, one) for one in mailbox.boxes(green) if subjects(green, one)] == []


def test_a_bead_is_named_and_attached(green: Town) -> None:
    bead = green.transact("create", lambda change: change.create("green", title="Mend it"))
    write(green, "mayor", bead=bead.id, attach_bead=True)
    (letter,) = mailbox.letters(green, "mayor")[0]
    assert letter.head.bead == bead.id
    content = mailbox.content(green, letter)
    assert [one.name for one in content.attachments] == [f"{bead.id}.yaml"]
    assert content.text == "text\n"


def test_sending_is_a_feed_event_and_a_commit_of_the_senders(green: Town) -> None:
    write(as_(green, AMBER), "mayor", "Done with it")
    assert git("log", "-1", "--format=%an|%s", cwd=green.root) == "green/amber|mail: green/amber to mayor: Done with it"
    event = list(green.events())[-1]
    assert (event["type"], event["actor"], event["data"]["to"]) == ("mail", AMBER, ["mayor"])


# -- reading --------------------------------------------------------------------------------------
def test_reading_marks_as_read_and_peeking_does_not(green: Town) -> None:
    write(green, "mayor")
    mayor = as_(green, "mayor")
    assert mail.read(mayor, "1", peek=True)[0].new
    letter, content = mail.read(mayor, "1")
    assert (letter.flags, content.text) == ("S", "text\n")
    assert letter.paths[0].startswith("mail/mayor/cur/")
    assert mailbox.unread(green, "mayor") == []
    assert mailbox.unread_count(green, "mayor") == 0
    assert clean(green)


def test_list_count_and_notice_agree(green: Town, clock: Clock) -> None:
    for number in range(4):
        clock.advance(1)
        write(green, "mayor", f"m{number}", priority=("normal", "low", "urgent", "high")[number])
    mayor = as_(green, "mayor")
    mail.mark(mayor, ["1"], add="S")
    mail.mark(mayor, ["2"], add="T")
    assert subjects(green, "mayor") == ["m0", "m2", "m3"]
    assert [one.head.subject for one in mailbox.unread(green, "mayor")] == ["m2", "m3"]
    assert mailbox.unread_count(green, "mayor") == 2
    with digest.handing_over(mayor, "mayor") as told:
        assert [one.head.subject for one in told.letters] == ["m2", "m3"]


def test_a_message_is_found_by_number_id_and_beginning(green: Town, clock: Clock) -> None:
    first = write(green, "mayor", "one")
    clock.advance(5)
    write(green, "mayor", "two")
    unique = first.id.partition("@")[0]
    for text in ("1", first.id, f"<{first.id}>", unique, unique[:17]):
        assert mailbox.find(green, "mayor", text).head.subject == "one"
    with pytest.raises(UsageError, match="any of 2"):
        mailbox.find(green, "mayor", unique[:8])
    with pytest.raises(NotFound, match="has 2 messages"):
        mailbox.find(green, "mayor", "3")
    for text in ("", "nothing", "../../town.yaml"):
        with pytest.raises(NotFound):
            mailbox.find(green, "mayor", text)


def test_the_past_can_be_read(green: Town) -> None:
    write(green, "mayor")
    mail.archive(as_(green, "mayor"), ["1"])
    then = green.at("HEAD~1")
    (letter,) = mailbox.letters(then, "mayor")[0]
    assert letter.new
    assert mailbox.content(then, letter).text == "text\n"
    assert subjects(green, "mayor") == []


# -- answering ------------------------------------------------------------------------------------
def test_a_thread_holds_together_and_the_answered_is_marked(green: Town, clock: Clock) -> None:
    write(green, f"{AMBER} {BIRCH}", "Plan", priority="high")
    clock.advance(5)
    mail.reply(as_(green, AMBER), "1", "yes\n", everyone=True)
    clock.advance(5)
    mail.reply(as_(green, BIRCH), "2", "no\n")
    clock.advance(5)
    write(green, AMBER, "Unrelated")
    letter = mailbox.find(green, AMBER, "1")
    assert letter.flags == "RS"
    thread = mail.thread(green, letter)
    assert [(one.head.sender, one.head.subject) for one in thread] == [
        ("overseer", "Plan"), (AMBER, "Re: Plan"), (BIRCH, "Re: Plan"),
    ]  # fmt: skip
    assert [one.head.sender for one in mailbox.letters(green, "overseer")[0]] == [AMBER]
    assert mailbox.letters(green, BIRCH)[0][1].head.kind == "reply"
    assert clean(green)


def test_a_stranger_cannot_be_answered(green: Town) -> None:
    for sender in (b"Pat <pat@example.org>", b"", b"green/nobody <nobody@green.demo.gt>"):
        path = drop(green, "mayor", "100.x.y", b"From: " + sender + b"\nSubject: hi\n\nx\n")
        with pytest.raises(Refused):
            mail.reply(as_(green, "mayor"), "1", "hello")
        path.unlink()


# -- marks ----------------------------------------------------------------------------------------
def test_marks_are_maildir_flags(green: Town) -> None:
    write(green, "mayor")
    mayor = as_(green, "mayor")
    mail.mark(mayor, ["1"], add="SF")
    box = std.Maildir(str(Path(green.root, "mail", "mayor")), create=False)
    assert [box[key].get_flags() for key in theirs(box)] == ["FS"]
    mail.mark(mayor, ["1"], remove="S")
    assert mailbox.letters(green, "mayor")[0][0].new
    unique = mailbox.letters(green, "mayor")[0][0].unique
    mail.mark(mayor, ["1"], add="T")
    assert subjects(green, "mayor") == []
    mail.mark(mayor, [unique], remove="T")
    assert subjects(green, "mayor") == ["Hello"]
    assert clean(green)


def test_the_archive_is_a_maildir_folder(green: Town) -> None:
    for subject in ("alpha", "beta", "gamma"):
        write(green, "mayor", subject)
    mayor = as_(green, "mayor")
    mail.mark(mayor, ["1"], add="S")
    mail.mark(mayor, ["2"], add="SF")
    assert [one.head.subject for one in mail.archive(mayor, [], all_read=True)] == ["alpha"]
    assert subjects(green, "mayor") == ["beta", "gamma"]
    assert subjects(green, "mayor", sub=maildir.ARCHIVE) == ["alpha"]
    box = std.Maildir(str(Path(green.root, "mail", "mayor")), create=False)
    assert box.list_folders() == ["Archive"]
    assert len(theirs(box.get_folder("Archive"))) == 1
    assert [one.head.subject for one in mail.search(green, "mayor", "ALPH")[0]] == ["alpha"]
    assert len(mail.search(green, "mayor", "TEXT")[0]) == 3
    assert clean(green)


# -- other programs -------------------------------------------------------------------------------
def test_what_others_moved_is_seen_at_once_and_committed_as_the_persons(green: Town) -> None:
    write(green, "mayor", "a")
    write(green, "mayor", "b")
    write(green, "mayor", "c")
    box = std.Maildir(str(Path(green.root, "mail", "mayor")), create=False)
    keys = {box[key]["Subject"]: key for key in theirs(box)}
    seen = box[keys["a"]]
    seen.set_subdir("cur")
    seen.set_flags("SR")
    box[keys["a"]] = seen
    box.remove(keys["b"])
    box.add(b"From: mayor@demo.gt\nSubject: d\n\nby hand\n")
    first = mailbox.letters(green, "mayor")[0][0]
    assert (first.head.subject, first.flags) == ("a", "RS")
    assert sorted(subjects(green, "mayor")) == ["a", "c", "d"]

    mail.mark(as_(green, "mayor"), ["1"], add="F")
    assert git("log", "-2", "--format=%an|%s", cwd=green.root).splitlines() == [
        "mayor|mail: mayor marked “a”",
        "Pat Overseer|hand_edit: mail of mayor: 1 moved or flagged, 1 added, 1 removed",
    ]
    assert clean(green)
    with green.change("settle") as change:
        assert mailbox.settle_mail(change) == []


def test_settling_all_leaves_the_files_alone(green: Town) -> None:
    write(green, f"mayor {AMBER}")
    for address in ("mayor", AMBER):
        (letter,) = mailbox.letters(green, address)[0]
        path = Path(green.root, letter.paths[0])
        path.rename(path.parent.parent / "cur" / f"{path.name}:2,")
    before = {one: os.stat(one).st_mtime_ns for one in Path(green.root, "mail").rglob("*:2,*")}
    assert len(before) == 2
    with green.change("settle") as change:
        assert len(mailbox.settle_mail(change)) == 4
    assert {one: os.stat(one).st_mtime_ns for one in before} == before
    assert clean(green)


def test_two_files_of_one_name_are_one_message_with_the_flags_of_both(green: Town) -> None:
    write(green, "mayor")
    (letter,) = mailbox.letters(green, "mayor")[0]
    data = Path(green.root, letter.paths[0]).read_bytes()
    for flags in ("S", "F"):
        drop(green, "mayor", f"{letter.unique}:2,{flags}", data, "cur")
    (one,) = mailbox.letters(green, "mayor")[0]
    assert (one.flags, one.new, len(one.paths)) == ("FS", False, 3)
    assert mailbox.unread_count(green, "mayor") == 0
    mail.mark(as_(green, "mayor"), ["1"], add="R")
    (one,) = mailbox.letters(green, "mayor")[0]
    assert (one.flags, len(one.paths)) == ("FRS", 1)
    assert clean(green)


BROKEN = {
    "empty": b"",
    "headerless": b"no headers at all, just words\n",
    "latin": b"From: mayor@demo.gt\nSubject: gr\xfcn\n\nbl\xe4u\n",
    "nul": b"Subject: a\0b\n\n\0\0\n",
    "long": b"Subject: " + b"x" * 200_000 + b"\n\nbody\n",
    "escapes": b"From: \x1b[2J <x@y>\nSubject: \x1b]0;title\x07 \xe2\x80\xae\n\n\x1b[31mred\n",
    "multipart": b"Subject: m\nContent-Type: multipart/mixed\n\nno boundary\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_message_is_shown_and_hides_no_other(green: Town, name: str) -> None:
    write(green, "mayor", "whole")
    drop(green, "mayor", "100.broken.x", BROKEN[name])
    mayor = as_(green, "mayor")
    found, problems = mailbox.letters(green, "mayor")
    assert (len(found), problems) == (2, [])
    letter, _ = mail.read(mayor, "1")
    assert not letter.new
    mail.archive(mayor, ["1"])
    assert subjects(green, "mayor") == ["whole"]
    assert clean(green)


def test_what_is_no_file_is_named_and_followed_nowhere(green: Town, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("Subject: secret\n\nsecret\n")
    write(green, "mayor", "whole")
    new = Path(green.root, "mail", "mayor", "new")
    (new / "100.link.x").symlink_to(secret)
    os.mkfifo(new / "100.pipe.x")
    (new / "100.folder.x").mkdir()
    found, problems = mailbox.letters(green, "mayor")
    assert [one.head.subject for one in found] == ["whole"]
    assert sorted(one.path.rpartition("/")[2] for one in problems) == ["100.folder.x", "100.link.x", "100.pipe.x"]
    with pytest.raises(InvalidFile):
        mailbox.unread(green, "mayor")
    with green.change("settle") as change:
        mailbox.settle_mail(change)
    assert "secret" not in git("log", "-p", cwd=green.root)


def test_five_megabytes_are_listed_by_their_head_and_read_whole(green: Town) -> None:
    body = "0123456789abcdef" * 64 + "\n"
    write(green, "mayor", "large", body * 5000)
    mayor = as_(green, "mayor")
    (letter,) = mailbox.letters(mayor, "mayor")[0]
    assert letter.size > 5_000_000
    with digest.handing_over(mayor, "mayor") as told:
        assert len(told.text) < 4000
        assert f"gt mail read {letter.unique}" in told.text
    assert mail.read(mayor, "1")[1].text == body * 5000


# -- handing over ---------------------------------------------------------------------------------
def test_handing_over_quotes_orders_and_tells_once(green: Town, clock: Clock) -> None:
    for priority in ("low", "normal", "urgent", "high"):
        clock.advance(1)
        write(green, AMBER, f"is {priority}", "do this\n> and that\n\x1b[31m", priority=priority)
    amber = as_(green, AMBER)
    with digest.handing_over(amber, AMBER) as told:
        text = told.text
    assert [word for word in text.split() if word in ("urgent,", "(urgent,", "(high,", "(normal,", "(low,")] == [
        "(urgent,", "(high,", "(normal,", "(low,",
    ]  # fmt: skip
    assert "\n> do this\n> > and that\n" in text
    assert "\x1b" not in text
    with digest.handing_over(amber, AMBER) as again:
        assert again.empty
        assert again.text == ""


def test_what_could_not_be_printed_is_told_again(green: Town) -> None:
    write(green, AMBER)
    amber = as_(green, AMBER)
    with pytest.raises(BrokenPipeError), digest.handing_over(amber, AMBER):
        raise BrokenPipeError
    with digest.handing_over(amber, AMBER) as told:
        assert len(told.letters) == 1


def test_a_flood_is_handed_over_in_portions(green: Town) -> None:
    for number in range(digest.MOST + 3):
        write(green, AMBER, f"m{number}")
    amber = as_(green, AMBER)
    with digest.handing_over(amber, AMBER) as first:
        assert (len(first.letters), first.more) == (digest.MOST, 3)
    with digest.handing_over(amber, AMBER) as second:
        assert (len(second.letters), second.more) == (3, 0)


def test_outgoing_words_are_resolved_before_anything_is_written(green: Town) -> None:
    with pytest.raises(UsageError):
        mail.send(green, Outgoing((), "s", "b"))
