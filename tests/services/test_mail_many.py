"""Many senders at once: nothing lost, nothing doubled, each in its own name; a killed one harms nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gastown.services.mail import mailbox, outbox
from gastown.store import layout
from gastown.store.town import Town
from tests.conftest import PROJECT, git
from tests.services.mail_lab import AMBER, staff, write

SENDER = """
import sys
from gastown.services.mail import mail
from gastown.services.mail.mail import Outgoing
from gastown.store.town import open_town
town = open_town(sys.argv[1], actor=sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(sys.argv[4])):
    print(mail.send(town, Outgoing(("mayor", "deacon"), f"{sys.argv[3]}-{n}", "x")).id, flush=True)
"""


def senders(town: Town, actors: list[str], each: int) -> list[subprocess.Popen[str]]:
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    pipe = subprocess.PIPE
    started = []
    for number, actor in enumerate(actors):
        argv = [sys.executable, "-c", SENDER, town.root, actor, str(number), str(each)]
        started.append(subprocess.Popen(argv, env=env, stdin=pipe, stdout=pipe, text=True))
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    return started


@pytest.mark.parametrize("actors", [["overseer"] * 8, ["overseer", AMBER, "green/birch", "green/pat"] * 2])
def test_eight_senders_lose_and_double_nothing(town: Town, actors: list[str]) -> None:
    staff(town)
    each = 6
    started = senders(town, actors, each)
    told = [line for one in started for line in one.communicate("go\n")[0].split()]
    assert all(one.returncode == 0 for one in started)
    assert len(set(told)) == len(told) == 8 * each
    wanted = sorted(f"{who}-{n}" for who in range(8) for n in range(each))
    for address in ("mayor", "deacon"):
        found, problems = mailbox.letters(town, address)
        assert not problems
        assert sorted(one.head.subject for one in found) == wanted
        assert {one.id for one in found} == set(told)
        assert {one.head.sender for one in found} == set(actors)
    events = [one for one in town.events() if one["type"] == "mail"]
    assert sorted(one["data"]["message"] for one in events) == sorted(told)
    assert git("status", "--short", cwd=town.root) == ""
    git("fsck", "--strict", cwd=town.root)
    # Every commit holds the mail of its author alone.
    for line in git("log", "--format=%an|%s", cwd=town.root).splitlines():
        author, _, subject = line.partition("|")
        if subject.startswith("mail: "):
            assert subject.startswith(f"mail: {'overseer' if author == 'Pat Overseer' else author} to ")


def test_senders_killed_at_work_leave_whole_messages_and_no_lock(town: Town) -> None:
    staff(town)
    started = senders(town, ["overseer"] * 6, 30)
    for one in started:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    told: list[str] = []
    for number, one in enumerate(started):
        assert one.stdout is not None
        told += [one.stdout.readline().strip() for _ in range(number + 1)]
        one.send_signal(signal.SIGKILL)
        told += one.stdout.read().split("\n")[:-1]
        one.wait()
        one.stdin.close()
        one.stdout.close()
    write(town, "mayor deacon", "after all")
    found = {one.id for one in mailbox.letters(town, "mayor")[0]}
    assert {one for one in told if one} <= found
    assert found == {one["data"]["message"] for one in town.events() if one["type"] == "mail"}
    assert {one.id for one in mailbox.letters(town, "deacon")[0]} == found
    assert git("status", "--short", cwd=town.root) == ""
    git("fsck", "--strict", cwd=town.root)


def test_a_parcel_of_a_dead_process_is_not_sent_later(town: Town) -> None:
    home = Path(layout.run(town.root, "outbox", "overseer"))
    home.mkdir(parents=True)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    sent = outbox.Sent("1@demo.gt", "overseer", ("mayor",), "from beyond", "notification", "normal", None)
    packed = outbox._pack(outbox.Parcel(sent, "1.M1P1Q1.x", b"Subject: from beyond\n\nx\n"))
    (home / "1.M1P1Q1.x").write_bytes(packed.replace(b'"pid": %d' % os.getpid(), b'"pid": %d' % dead.pid))
    (home / "torn").write_bytes(b'{"pid"')
    write(town, "mayor", "alive")
    assert [one.head.subject for one in mailbox.letters(town, "mayor")[0]] == ["alive"]


def test_what_waits_of_a_living_process_goes_along_once(town: Town) -> None:
    home = Path(layout.run(town.root, "outbox", "overseer"))
    home.mkdir(parents=True)
    sent = outbox.Sent("2@demo.gt", "overseer", ("mayor",), "waits", "notification", "normal", None)
    packed = outbox._pack(outbox.Parcel(sent, "2.M1P1Q1.x", b"Subject: waits\n\nx\n"))
    for _ in range(2):
        (home / "2.M1P1Q1.x").write_bytes(packed)
        write(town, "mayor", "mine")
    assert sorted(one.head.subject for one in mailbox.letters(town, "mayor")[0]) == ["mine", "mine", "waits"]
