"""Nudges: the queue, who takes one, expiry, muting, other machines, and typing only at an idle prompt."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gastown.model.errors import GtError, NotFound, UsageError
from gastown.runtime import sessions
from gastown.runtime.sessions import SessionRecord, SessionSpec
from gastown.runtime.starting import start
from gastown.runtime.tmux import Server
from gastown.services.mail import digest, mailbox, nudge
from gastown.services.mail.nudge import Nudge
from gastown.services.sessions import attempts, keyboard
from gastown.store import files
from gastown.store.town import Town
from tests.conftest import PROJECT, Clock
from tests.services.mail_lab import AMBER, BIRCH, PAT, as_, staff


@pytest.fixture
def green(town: Town) -> Town:
    return staff(town)


def told(town: Town, address: str) -> list[str]:
    """What an agent is told at its next turn."""
    with digest.handing_over(as_(town, address), address) as found:
        return [*(one.text for one in found.nudges), *(one.head.subject for one in found.letters)]


def test_a_nudge_waits_for_the_next_turn_and_is_told_once(green: Town) -> None:
    assert nudge.nudge(green, AMBER, "look at the roof").how == "queued"
    nudge.nudge(green, AMBER, "it rains in", priority="urgent")
    assert [one.text for one in nudge.waiting(green.root, AMBER, green.clock())] == ["it rains in", "look at the roof"]
    assert told(green, AMBER) == ["it rains in", "look at the roof"]
    assert told(green, AMBER) == []
    assert os.listdir(nudge.folder(green.root, AMBER)) == []
    event = list(green.events())[-2]
    assert (event["type"], event["data"]["to"]) == ("nudge", {AMBER: "queued"})


def test_nudges_expire(green: Town, clock: Clock) -> None:
    nudge.nudge(green, AMBER, "soon stale")
    nudge.nudge(green, AMBER, "lasts longer", priority="urgent")
    clock.advance(31 * 60)
    assert told(green, AMBER) == ["lasts longer"]
    nudge.nudge(green, AMBER, "again", priority="urgent")
    clock.advance(2 * 3600 + 1)
    assert told(green, AMBER) == []


def test_the_queue_has_an_end_and_expired_ones_make_room(green: Town, clock: Clock) -> None:
    for number in range(nudge.MOST):
        nudge.put(green.root, AMBER, Nudge("overseer", str(number), "normal", clock()))
    with pytest.raises(GtError, match="50 nudges wait"):
        nudge.nudge(green, AMBER, "one too many")
    clock.advance(3600)
    nudge.nudge(green, AMBER, "fresh")
    assert told(green, AMBER) == ["fresh"]


def test_what_was_claimed_by_a_reader_that_died_is_told_later(green: Town, clock: Clock) -> None:
    nudge.nudge(green, AMBER, "hear me")
    assert len(nudge.take(green.root, AMBER, clock())) == 1
    assert told(green, AMBER) == []
    clock.advance(61)
    assert told(green, AMBER) == ["hear me"]


def test_a_torn_file_in_the_queue_hides_no_other(green: Town) -> None:
    nudge.nudge(green, AMBER, "whole")
    files.fill(os.path.join(nudge.folder(green.root, AMBER), "00000000000000-torn.json"), b'{"from": "x"')
    assert told(green, AMBER) == ["whole"]


TAKER = """
import sys
from gastown.services.mail import nudge
print("ready", flush=True)
sys.stdin.readline()
taken = nudge.take(sys.argv[1], "green/amber", float(sys.argv[2]))
for one in taken:
    print(one.text)
nudge.drop(taken)
"""


def test_readers_at_once_tell_each_nudge_once(green: Town, clock: Clock) -> None:
    for number in range(40):
        nudge.put(green.root, AMBER, Nudge("overseer", f"n{number}", "normal", clock()))
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    argv = [sys.executable, "-c", TAKER, green.root, str(clock())]
    pipe = subprocess.PIPE
    readers = [subprocess.Popen(argv, env=env, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for one in readers:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    lines = [line for one in readers for line in one.communicate("go\n")[0].split()]
    assert sorted(lines) == sorted(f"n{number}" for number in range(40))


def test_the_muted_hear_only_what_is_urgent(green: Town) -> None:
    assert nudge.mute(green.root, AMBER, on=True)
    assert not nudge.mute(green.root, AMBER, on=True)
    assert nudge.nudge(green, AMBER, "psst").how == "muted"
    assert nudge.nudge(green, AMBER, "fire", priority="urgent").how == "queued"
    nudge.mute(green.root, AMBER, on=False)
    assert nudge.nudge(green, AMBER, "psst").how == "queued"
    assert told(green, AMBER) == ["fire", "psst"]


def test_what_is_no_nudge(green: Town) -> None:
    for text, more in ((" ", {}), ("x", {"mode": "loud"}), ("x", {"priority": "high"}), ("x" * 5000, {})):
        with pytest.raises(UsageError):
            nudge.nudge(green, AMBER, text, **more)
    with pytest.raises(UsageError, match="is code"):
        nudge.nudge(green, "green/refinery", "hello")
    with pytest.raises(NotFound):
        nudge.nudge(green, "green/nobody", "hello")
    with pytest.raises(GtError, match="no session"):
        nudge.nudge(green, AMBER, "hello", mode="now")
    assert told(green, AMBER) == []


def held_elsewhere(town: Town, address: str) -> None:
    def body(change) -> None:
        bead = change.create("green", title="Far away", assignee=address, machine="faraway")
        bead.move("hooked")
        change.save(bead)

    town.transact("sling", body)


def test_to_another_machine_a_nudge_travels_as_mail(green: Town, clock: Clock) -> None:
    held_elsewhere(green, AMBER)
    assert nudge.nudge(green, AMBER, "over there", priority="urgent").how == "mailed"
    (letter,) = mailbox.unread(green, AMBER)
    assert (letter.head.kind, letter.head.priority) == ("nudge", "urgent")
    with digest.handing_over(as_(green, AMBER), AMBER) as found:
        assert "Nudge from overseer (urgent)" in found.text
    nudge.nudge(green, AMBER, "too late")
    clock.advance(31 * 60)
    assert told(green, AMBER) == []
    assert mailbox.unread(green, AMBER) == []


def test_a_person_is_nudged_by_mail(green: Town) -> None:
    assert nudge.nudge(as_(green, AMBER), "overseer", "come and see").how == "mailed"
    assert len(mailbox.unread(green, "overseer")) == 1


def test_a_broadcast_reaches_who_is_at_work(green: Town) -> None:
    held_elsewhere(green, AMBER)
    assert [(one.address, one.how) for one in nudge.broadcast(green, "all hear")] == [(AMBER, "mailed")]
    done = nudge.broadcast(as_(green, BIRCH), "really all", everybody=True)
    assert [(one.address, one.how) for one in done] == [("mayor", "queued"), (AMBER, "mailed"), (PAT, "queued")]
    assert [one.address for one in nudge.broadcast(green, "rig", rig="green", everybody=True)] == [AMBER, BIRCH, PAT]


# -- typing ---------------------------------------------------------------------------------------
PRESET = """
name: {name}

terminal:
  command:
    - python3
  idle:
    screen: '(?m)^ready> ?$'
    absent: working
    lines: 5
    stable: 0.1s
  paste:
    pause: 0.1s

hooks:
  supported: {hooks}
"""
AGENT = """
import sys, time, pathlib
here = pathlib.Path(sys.argv[1])
while True:
    print("ready> ", end="", flush=True)
    line = sys.stdin.readline()
    if not line:
        break
    (here / "heard").open("a").write(line)
    print("working", flush=True)
    while (here / "busy").exists():
        time.sleep(0.02)
    print("\\n" * 10, flush=True)
"""
needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Agent:
    """An agent in a terminal that shows a prompt while it is idle."""

    def __init__(self, town: Town, folder: Path, preset: str) -> None:
        self.folder = folder
        argv = (sys.executable, "-c", AGENT, str(folder))
        env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
        spec = SessionSpec("s-20261123-0a1b", AMBER, argv, str(folder), env, agent=preset)
        socket = attempts.socket(town)
        self.record: SessionRecord = start(spec, "tmux", run=attempts.run_dir(town), socket=socket, now=time.time())
        self.until(lambda: "ready>" in Server(socket).capture(self.record.id, 5))

    def until(self, true) -> None:
        deadline = time.monotonic() + 15
        while not true():
            assert time.monotonic() < deadline, sessions.peek(self.record)
            time.sleep(0.02)

    def heard(self) -> str:
        path = self.folder / "heard"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def agent(green: Town, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Agent]:
    name = getattr(request, "param", "plain")
    preset = PRESET.format(name=name, hooks="true" if name == "hooked" else "false")
    Path(green.root, "agents", f"{name}.yaml").write_text(preset.lstrip())
    (tmp_path / "there").mkdir()
    one = Agent(green, tmp_path / "there", name)
    try:
        yield one
    finally:
        sessions.stop(one.record, 0.5)
        Server(attempts.socket(green)).kill_server()


@needs_tmux
def test_an_agent_without_hook_is_typed_to_at_its_prompt(green: Town, agent: Agent) -> None:
    assert nudge.nudge(green, AMBER, "mind the \x1b[A gap", mode="now").how == "typed"
    agent.until(lambda: agent.heard())
    assert agent.heard() == "[nudge from overseer] mind the  [A gap\n"
    assert nudge.waiting(green.root, AMBER, green.clock()) == []


@needs_tmux
def test_nothing_is_typed_while_it_works(green: Town, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyboard, "WAIT", 0.5)
    (agent.folder / "busy").touch()
    nudge.nudge(green, AMBER, "first", mode="now")
    agent.until(lambda: agent.heard())
    with pytest.raises(GtError, match="busy"):
        nudge.nudge(green, AMBER, "second", mode="now")
    assert nudge.nudge(green, AMBER, "third", mode="wait").how == "queued"
    assert agent.heard() == "[nudge from overseer] first\n"
    assert told(green, AMBER) == ["third"]


@needs_tmux
@pytest.mark.parametrize("agent", ["hooked"], indirect=True)
def test_nothing_is_typed_to_an_agent_with_a_hook(green: Town, agent: Agent) -> None:
    assert nudge.nudge(green, AMBER, "by the hook").how == "queued"
    with pytest.raises(GtError, match="by a hook"):
        nudge.nudge(green, AMBER, "now", mode="now")
    assert agent.heard() == ""
    assert [one.address for one in nudge.broadcast(green, "at work")] == [AMBER]
