"""What mail programs and people do in mailboxes: committed where git can hold it, else told of once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gastown.deacon import loop
from gastown.deacon.action import Action
from tests.conftest import git, run_gt
from tests.deacon.ground import Ground

TEXT = "Subject: hello\n\nhello\n"


def planned(ground: Ground) -> list[Action]:
    """What the deacon would do about hand edits now, once nothing is being written."""
    for path in (ground.root / "mail").rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (1e9, 1e9))
    ground.town.refresh()
    return [action for patrol, action in loop.once(ground.town)[0] if patrol.name == "hand edits"]


def act(ground: Ground) -> list[str]:
    """Do all of it, in one round; what was done."""
    found = planned(ground)
    for action in found:
        action.apply(ground.town)
    return [action.kind for action in found]


def link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def huge(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate((64 << 20) + 1)


def text(path: Path) -> None:
    path.write_text(TEXT)


@pytest.mark.parametrize(
    ("name", "make", "why"),
    [
        ("1.x.y", link, "is a symbolic link"), ("1.x.y", huge, "is larger than 64 MiB"),
        ("a\\b", text, "a name that leads elsewhere"),
    ],
)  # fmt: skip
def test_a_message_that_git_cannot_hold_is_told_of_once_and_tried_by_nobody(
    ground: Ground, name: str, make: Callable[[Path], None], why: str
) -> None:
    run_gt("mail", "send", "mayor", "-s", "hello", "-m", "text", cwd=ground.root)
    box = ground.root / "mail/mayor"
    make(box / "new" / name)
    message = next(box.glob("new/[0-9]*.M*"))
    message.rename(box / "cur" / f"{message.name}:2,S")
    assert act(ground) == ["adoptmail", "report"]
    (told,) = ground.mail()
    assert why in told
    assert planned(ground) == []
    assert len(git("status", "--porcelain", cwd=ground.root).splitlines()) == 1


def test_a_pipe_in_a_mailbox_is_told_of_and_waited_for_by_nobody(ground: Ground) -> None:
    (ground.root / "mail/mayor/new").mkdir(parents=True, exist_ok=True)
    ground.start()
    os.mkfifo(ground.root / "mail/mayor/new/1.x.y")
    assert "is no ordinary file" in ground.event("invalid_file")["text"]
    assert "adoptmail" not in (ground.root / ".gt/log/deacon.log").read_text()


def test_a_message_that_somebody_wrote_to_is_committed_as_an_edit(ground: Ground) -> None:
    run_gt("mail", "send", "mayor", "-s", "hello", "-m", "text", cwd=ground.root)
    message = next((ground.root / "mail/mayor/new").glob("[0-9]*"))
    message.write_text(message.read_text() + "and more\n")
    assert act(ground) == ["adopt"]
    assert planned(ground) == []
    assert git("status", "--porcelain", cwd=ground.root) == ""


def test_folders_of_a_mail_program_come_and_go(ground: Ground) -> None:
    """Also one without cur/, and one that is removed whole; a file in its place removes no mail."""
    folder = ground.root / "mail/mayor/.Later"
    (folder / "new").mkdir(parents=True)
    text(folder / "new/1.x.y")
    assert act(ground) == ["adoptmail"]
    assert planned(ground) == []
    shutil.rmtree(folder)
    folder.write_text("in the way\n")
    text(ground.root / "mail/mayor/new/2.x.y")
    assert act(ground) == ["adoptmail"]
    assert "mail/mayor/.Later/new/1.x.y" in git("ls-tree", "-r", "--name-only", "HEAD", "mail", cwd=ground.root)
    folder.unlink()
    assert act(ground) == ["adoptmail"]
    assert planned(ground) == []
    assert git("status", "--porcelain", cwd=ground.root) == ""
