"""mutt and notmuch on a town's Maildirs: they read, flag and answer, gt sees it, and the other way round."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gastown.services.mail import mail, mailbox
from gastown.services.mail.mail import Outgoing
from gastown.store.town import Town, open_town
from tests.conftest import PROJECT, Clock, git

needs_mutt = pytest.mark.skipif(
    not (shutil.which("mutt") and shutil.which("tmux")), reason="mutt or tmux is not installed"
)
needs_notmuch = pytest.mark.skipif(not shutil.which("notmuch"), reason="notmuch is not installed")


def until(true: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Wait for something that another program does."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"still waiting for: {what}"
        time.sleep(0.05)


def boxes(root: str, address: str) -> list[str]:
    """The names of the messages in a mailbox, with their folder."""
    box = Path(root, "mail", address)
    return sorted(f"{one.parent.name}/{one.name}" for one in box.glob("*/*") if not one.name.startswith("."))


@pytest.fixture
def letters(town: Town, clock: Clock) -> Town:
    """Two messages of the mayor for the overseer, a minute apart."""
    mayor = open_town(town.root, actor="mayor", clock=town.clock)
    mail.send(mayor, Outgoing(("overseer",), "Which colour?", "Grün oder blau?\n", priority="high"))
    clock.advance(60)
    mail.send(mayor, Outgoing(("overseer",), "For your files", "Nothing to do.\n"))
    return town


@pytest.fixture
def sendmail(tmp_path: Path) -> str:
    """What stands in a mail program's configuration. A script: mutt starts programs without their folder's name."""
    script = tmp_path / "home" / "gt"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m gastown "$@"\n')
    script.chmod(0o755)
    return f"{script} sendmail -t"


class Mutt:
    """mutt in a terminal of its own."""

    def __init__(self, town: Town, home: Path, box: str, sendmail: str) -> None:
        self.argv = ["tmux", "-L", f"gt-test-{os.getpid()}", "-f", os.devnull]
        editor = home / "editor.sh"
        editor.write_text('#!/bin/sh\nprintf "blue, of course\\n" >> "$1"\n')
        editor.chmod(0o755)
        rc = home / "muttrc"
        rc.write_text(
            f'set folder="{town.root}/mail" sendmail="{sendmail}" editor="{editor}"\n'
            "set from=overseer@demo.gt use_from=yes\n"
            "set autoedit=yes fast_reply=yes include=no delete=yes quit=yes mbox_type=Maildir copy=no record=''\n"
            "set sleep_time=0 wait_key=no recall=no abort_unmodified=no move=no header_cache='' sig_dashes=no\n"
            "unset help mail_check_stats resolve\n"
        )
        env = {"GT_TOWN": town.root, "PYTHONPATH": str(PROJECT), "TERM": "screen", "LC_ALL": "C.UTF-8"}
        env |= {"HOME": str(home), "GIT_CONFIG_GLOBAL": os.environ["GIT_CONFIG_GLOBAL"]}
        words = [f"{key}={value}" for key, value in env.items()]
        command = shlex.join(["env", *words, "mutt", "-n", "-F", str(rc), "-f", str(Path(town.root, "mail", box))])
        subprocess.run([*self.argv, "new-session", "-d", "-s", "mutt", "-x", "120", "-y", "40", command], check=True)

    def screen(self) -> str:
        done = subprocess.run([*self.argv, "capture-pane", "-p", "-t", "mutt"], capture_output=True, text=True)
        return done.stdout

    def press(self, *keys: str, then: str) -> None:
        """Press keys one after the other, then wait until the screen shows `then`."""
        for key in keys:
            subprocess.run([*self.argv, "send-keys", "-t", "mutt", key], check=True)
        self.sees(then)

    def sees(self, text: str) -> None:
        until(lambda: text in self.screen(), f"{text!r} on mutt's screen")

    def ended(self) -> bool:
        return subprocess.run([*self.argv, "has-session", "-t", "mutt"], capture_output=True).returncode != 0

    def close(self) -> None:
        subprocess.run([*self.argv, "kill-server"], capture_output=True)


@pytest.fixture
def mutt(letters: Town, tmp_path: Path, sendmail: str) -> Iterator[Mutt]:
    """mutt on the overseer's mailbox."""
    program = Mutt(letters, tmp_path / "home", "overseer", sendmail)
    try:
        program.sees("Which colour?")
        yield program
    finally:
        program.close()


@needs_mutt
def test_mutt_reads_flags_and_answers(letters: Town, mutt: Mutt) -> None:
    town = letters
    mutt.press("1", "Enter", "Enter", then="Grün oder blau?")  # reads the first message
    mutt.press("F", then="Grün oder blau?")
    mutt.press("r", then="Mutt: Compose")  # the editor ran; this is the compose menu
    mutt.press("y", then="Which colour?")
    mayor = open_town(town.root, actor="mayor")
    until(lambda: mailbox.unread(mayor, "mayor"), "the answer in the mayor's mailbox")
    (answer,) = mailbox.unread(mayor, "mayor")
    assert (answer.head.sender, answer.head.subject, answer.head.kind) == ("overseer", "Re: Which colour?", "reply")
    assert mailbox.content(mayor, answer).text == "blue, of course\n"
    mutt.press("q", then="For your files")
    subprocess.run([*mutt.argv, "send-keys", "-t", "mutt", "q"], check=True)
    until(mutt.ended, "mutt to end")

    found, problems = mailbox.letters(town, "overseer")
    assert not problems
    assert [(one.head.subject, one.flags) for one in found] == [("Which colour?", "FRS"), ("For your files", "")]
    assert answer.head.in_reply_to == found[0].head.message_id
    thread = mail.thread(mayor, answer)
    assert [one.head.subject for one in thread] == ["Which colour?", "Re: Which colour?"]

    # What mutt did is committed as the person's by whoever writes next.
    with town.change("settle") as change:
        assert mailbox.settle_mail(change, "overseer")
    assert git("status", "--short", cwd=town.root) == ""
    assert git("log", "-1", "--format=%an", cwd=town.root) == "Pat Overseer"
    git("fsck", "--strict", cwd=town.root)


@needs_mutt
def test_what_gt_marks_is_seen_by_mutt_while_it_runs(letters: Town, mutt: Mutt) -> None:
    town = letters
    mail.read(town, "1")
    mail.mark(town, ["1"], add="F")
    mail.archive(town, ["2"])
    mail.send(open_town(town.root, actor="mayor"), Outgoing(("overseer",), "Came later", "x\n"))
    # Any key makes mutt look at its mailbox again.
    until(lambda: mutt.press("j", then="Which") or "Came later" in mutt.screen(), "the new message in mutt")
    line = next(one for one in mutt.screen().splitlines() if "Which colour?" in one)
    assert "!" in line.split("Nov")[0]


@needs_mutt
def test_mutt_sends_to_several_and_an_unknown_one_stops_it(town: Town, tmp_path: Path, sendmail: str) -> None:
    rc = tmp_path / "home" / "muttrc"
    rc.write_text(f'set folder="{town.root}/mail" sendmail="{sendmail}" from=overseer@demo.gt copy=no\n')
    env = {**os.environ, "GT_TOWN": town.root, "PYTHONPATH": str(PROJECT)}

    def send(*to: str) -> subprocess.CompletedProcess[str]:
        argv = ["mutt", "-n", "-F", str(rc), "-s", "Grüße", "--", *to]
        return subprocess.run(argv, env=env, input="von mutt\n", text=True, capture_output=True)

    done = send("mayor@demo.gt", "deacon@demo.gt")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(boxes(town.root, "mayor")) == len(boxes(town.root, "deacon")) == 1
    (letter,) = mailbox.unread(town, "mayor")
    assert letter.head.subject == "Grüße"
    assert send("mayor@demo.gt", "nobody@demo.gt").returncode != 0
    assert len(boxes(town.root, "mayor")) == 1


@pytest.fixture
def notmuch(letters: Town, tmp_path: Path) -> Callable[..., str]:
    """`notmuch("new")`: notmuch over all mailboxes, its database outside the town."""
    config = tmp_path / "notmuch.conf"
    (tmp_path / "index").mkdir()
    config.write_text(
        f"[database]\npath={tmp_path / 'index'}\nmail_root={letters.root}/mail\n"
        "[user]\nname=overseer\nprimary_email=overseer@demo.gt\n[new]\ntags=unread;inbox;\n"
        "[maildir]\nsynchronize_flags=true\n"
    )
    env = {**os.environ, "NOTMUCH_CONFIG": str(config)}

    def run(*args: str, stdin: str | None = None) -> str:
        done = subprocess.run(["notmuch", *args], env=env, input=stdin, capture_output=True, text=True)
        assert done.returncode == 0, f"notmuch {args}: {done.stderr}"
        return done.stdout

    run("new", "--quiet")
    return run


@needs_notmuch
def test_notmuch_finds_tags_and_answers(letters: Town, notmuch: Callable[..., str], sendmail: str) -> None:
    town = letters
    assert notmuch("count", "from:mayor", "and", "tag:unread").strip() == "2"
    assert "Grün oder blau?" in notmuch("show", "subject:colour")
    notmuch("tag", "-unread", "+flagged", "--", "subject:colour")
    found, _ = mailbox.letters(town, "overseer")
    assert [one.flags for one in found] == ["FS", ""]

    draft = notmuch("reply", "subject:colour") + "blue\n"
    env = {**os.environ, "GT_TOWN": town.root, "PYTHONPATH": str(PROJECT)}
    subprocess.run(shlex.split(sendmail), env=env, input=draft, text=True, check=True)
    notmuch("new", "--quiet")
    assert notmuch("count", "--output=threads", "subject:colour").strip() == "1"
    assert notmuch("count", "thread:{subject:colour}").strip() == "2"
    (answer,) = mailbox.unread(town, "mayor")
    assert answer.head.in_reply_to == found[0].head.message_id
    assert "blue" in mailbox.content(town, answer).text


@needs_notmuch
def test_notmuch_sees_what_gt_marked(letters: Town, notmuch: Callable[..., str]) -> None:
    mail.mark(letters, ["1"], add="FS")
    mail.archive(letters, ["2"])
    notmuch("new", "--quiet")
    assert notmuch("count", "tag:flagged", "and", "not", "tag:unread").strip() == "1"
    assert notmuch("search", "--output=files", "subject:files").strip().endswith(":2,S")
    assert notmuch("count", "folder:overseer/.Archive").strip() == "1"
