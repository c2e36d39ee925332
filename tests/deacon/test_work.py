"""Work under a real deacon: given by hand, queued, killed, frozen, ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gastown.model import times
from gastown.runtime import marked, processes, sessions
from gastown.services.sessions import attempts, powers
from gastown.services.work import shutdown
from tests.conftest import git, run_gt
from tests.deacon.ground import Event, Ground

WRITE = ("sh", "-c", "echo done > \"$GT_BEAD.txt\"")


def about(bead: str) -> Callable[[Event], bool]:
    return lambda event: event.get("bead") == bead


def merged(site: Ground, bead: str, repo: Path, seconds: float = 30.0) -> None:
    site.event("merged", about(bead), seconds)
    assert git("show", f"main:{bead}.txt", cwd=repo) == "done"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """The rig's remote."""
    return tmp_path / "app.git"


def waiting_command(tmp_path: Path, then: str = "") -> tuple[str, ...]:
    """A command that waits in its first session of a bead, and works in the next."""
    code = (
        "import os, sys, time\n"
        f"mark = os.path.join({str(tmp_path)!r}, os.environ['GT_BEAD'])\n"
        "if not os.path.exists(mark):\n"
        "    open(mark, 'w').close()\n"
        "    time.sleep(1000)\n"
        "open(os.environ['GT_BEAD'] + '.txt', 'w').write('done\\n')\n" + then
    )
    return (sys.executable, "-c", code)


def live(site: Ground, bead: str) -> sessions.SessionRecord | None:
    """The session that works on a bead, once its command runs."""
    found, _ = attempts.live_sessions(site.town)
    return next((one for one in found.values() if one.bead == bead and one.agent_proc), None)


def test_while_a_person_bisects_the_town_the_deacon_rests_and_work_is_done_once(site: Ground, repo: Path) -> None:
    bead = site.bead()
    go = site.root.parent / "go"
    site.command(bead, "sh", "-c", f'while [ ! -e {go} ]; do sleep 0.05; done; date +%N > "$GT_BEAD.txt"')
    site.start()
    site.queue(bead)
    worker = site.until(lambda: live(site, bead))
    # The first look at older commits comes once the worker lives, as the town knows by then.
    site.until(lambda: site.town.bead(bead).status == "in_progress")
    git("bisect", "start", "HEAD", "HEAD~4", cwd=site.root)
    log = site.root / ".gt/log/deacon.log"
    site.until(lambda: "the deacon rests: a bisect is under way" in log.read_text())
    head = git("rev-parse", "HEAD", cwd=site.root)
    go.touch()
    site.until(lambda: "waiting until the town" in sessions.log_tail(worker.log, 5))
    assert git("rev-parse", "HEAD", cwd=site.root) == head, "nothing was written at the older commit"
    git("bisect", "reset", cwd=site.root)
    site.event("merged", about(bead), 30.0)
    assert git("log", "--format=%s", "main", cwd=repo).split() == ["work", "first"]
    assert not site.events("session_death")


def test_an_assignee_set_by_hand_starts_it_and_it_lands(site: Ground, repo: Path) -> None:
    bead = site.bead()
    site.command(bead, *WRITE)
    site.start()
    site.edit(bead, "agent: exec", "assignee: app/birch\n\nagent: exec")
    assert site.event("sling", about(bead))["data"]["to"] == "app/birch"
    merged(site, bead, repo)


def test_work_given_by_hand_to_who_is_at_other_work_waits_for_them(site: Ground, repo: Path, tmp_path: Path) -> None:
    """Nobody is sent to start what cannot start: that takes the room of what can."""
    go = tmp_path / "go"
    first, second, third = site.bead("first"), site.bead("second"), site.bead("third")
    site.command(first, "sh", "-c", f'while [ ! -e {go} ]; do sleep 0.05; done; date +%N > "$GT_BEAD.txt"')
    for bead in (second, third):
        site.command(bead, *WRITE)
    site.start()
    for bead in (first, second, third):
        site.edit(bead, "agent: exec", "assignee: app/birch\n\nagent: exec")
        site.event("sling" if bead == first else "queue", about(bead))
    why = "2 queued: who it is for is at other work"
    site.until(lambda: [one["why"] for one in plan(site, "app") if one["patrol"] == "queue"] == [why])
    assert "dispatch app" not in Path(site.root, ".gt/log/deacon.log").read_text()
    go.touch()
    for bead in (second, third):
        site.event("merged", about(bead), 40.0)
    to = [event["data"]["to"] for event in site.events("sling")]
    assert to == ["app/birch"] * 3


def test_status_hooked_by_hand_is_a_sling_too(site: Ground, repo: Path) -> None:
    bead = site.bead()
    site.command(bead, *WRITE)
    site.start()
    site.edit(bead, "status: open", "status: hooked")
    site.event("invalid_file", about(bead))  # hooked, but by whom?
    site.edit(bead, "agent: exec", "assignee: app/birch\n\nagent: exec")
    merged(site, bead, repo)


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("app/nosuch", "nobody known"), ("else/amber", "no rig"), ("nonsense", "must be an address"),
        ("parked/amber", "parked"),
    ],
)
def test_work_given_to_nobody_is_told_and_kept(site: Ground, git_repo: Callable[..., Path], to: str, why: str) -> None:
    if to.startswith("parked"):
        site.rig(git_repo("parked", {"README.md": "x\n"}, bare=True), "parked")
        run_gt("rig", "park", "parked", cwd=site.root)
    bead = site.bead()
    site.start()
    site.edit(bead, "status: open", f"status: open\n\nassignee: {to}")
    told = site.until(lambda: list(filter(about(bead), site.events("note") + site.events("invalid_file"))))
    assert why in told[0]["text"]
    site.until(lambda: any(why in one for one in site.mail()))
    assert f"assignee: {to}\n" in site.file(bead).read_text()
    assert git("log", "--format=%s", "--grep=sling", cwd=site.root) == ""


def test_work_for_another_machine_is_told_and_kept(site: Ground) -> None:
    bead = site.bead()
    site.start()
    site.edit(bead, "status: open", "status: open\n\nassignee: app/birch\n\nmachine: faraway")
    assert "machine faraway" in site.event("note", about(bead))["text"]
    assert site.town.bead(bead).machine == "faraway"


def plan(site: Ground, bead: str) -> list[dict[str, object]]:
    return [one for one in run_gt("deacon", "plan", "--json", cwd=site.root).json if one["subject"] == bead]


def given_problem(site: Ground, bead: str) -> dict[str, str]:
    found = run_gt("status", "--json", cwd=site.root).json["problems"]
    return next(one for one in found if one["kind"] == "given" and one["subject"] == bead)


def test_work_given_where_no_agent_is_named_starts_as_soon_as_one_is(site: Ground) -> None:
    (site.root / "agents").mkdir(exist_ok=True)
    (site.root / "agents/shy.yaml").write_text("name: shy\ncommand: [sleep, '1000']\n")
    bead = site.bead()
    site.start()
    site.edit(bead, "status: open", "status: open\n\nassignee: app/birch")
    site.event("note", about(bead))
    problem = given_problem(site, bead)
    assert "it does not start for app/birch: which agent?" in problem["text"]
    assert problem["command"] == "gt config set agent NAME"
    (later,) = plan(site, bead)
    assert (later["action"], "which agent?" in str(later["why"])) == ("later", True)
    run_gt("config", "set", "agent", "shy", cwd=site.root)
    assert site.event("sling", about(bead))["data"]["to"] == "app/birch"
    assert len([one for one in site.mail() if bead in one]) == 1


def test_work_given_to_an_agent_nobody_trusts_starts_as_soon_as_somebody_does(site: Ground, tmp_path: Path) -> None:
    (site.root / "agents").mkdir(exist_ok=True)
    bead = site.bead()
    git("clone", "-q", "--bare", str(site.root), str(tmp_path / "town.git"), cwd=tmp_path)
    run_gt("sync", "--remote", str(tmp_path / "town.git"), cwd=site.root)
    # As a pull leaves it: nobody here has written it.
    (site.root / "agents/shy.yaml").write_text("name: shy\ncommand: [sleep, '1000']\n")
    git("add", "agents", cwd=site.root)
    git("commit", "-qm", "from elsewhere", cwd=site.root)
    site.start()
    site.edit(bead, "status: open", "status: open\n\nassignee: app/birch\n\nagent: shy")
    site.event("note", about(bead))
    problem = given_problem(site, bead)
    number = problem["command"].split()[-1]
    assert "the agent of shy is not trusted on this machine: sleep 1000" in problem["text"]
    assert problem["command"] == f"gt trust show {number}"
    run_gt("trust", "add", number, cwd=site.root)
    assert site.event("sling", about(bead))["data"]["to"] == "app/birch"


def test_what_is_said_of_work_that_began_to_start_and_could_not_is_true(site: Ground) -> None:
    (site.root / "agents").mkdir(exist_ok=True)
    (site.root / "agents/shy.yaml").write_text("name: shy\ncommand: [sleep, '1000']\n")
    run_gt("config", "set", "agent", "shy", cwd=site.root)
    run_gt("rig", "config", "app", "setup", "[exit 3]", cwd=site.root)
    bead = site.bead()
    site.start()
    site.edit(bead, "status: open", "status: open\n\nassignee: app/birch")
    site.event("note", about(bead))
    assert site.town.bead(bead).assignee is None
    (letter,) = [one for one in site.mail() if bead in one]
    assert "exit 3" in letter
    assert f"it is open and nobody's now: gt sling {bead}" in letter


def test_queued_work_starts_when_its_need_has_landed(site: Ground, repo: Path) -> None:
    first = site.bead("first")
    second = site.bead("second", needs=[first])
    for bead in (first, second):
        site.command(bead, *WRITE)
        site.queue(bead)
    site.start()
    merged(site, second, repo)
    order = [event["bead"] for event in site.events("merged")]
    assert order == [first, second]


def test_a_paused_scheduler_starts_nothing(site: Ground, repo: Path) -> None:
    run_gt("scheduler", "pause", "lunch", cwd=site.root)
    bead = site.bead()
    site.command(bead, *WRITE)
    site.queue(bead)
    site.start()
    status = run_gt("scheduler", "status", "--json", cwd=site.root).json
    assert "lunch" in status["holds"][0]
    assert status["rigs"][0]["waiting"] == [bead]
    assert site.events("sling") == []
    run_gt("scheduler", "resume", cwd=site.root)
    merged(site, bead, repo)


@pytest.mark.parametrize("who", ["agent", "runner"])
def test_a_killed_worker_is_back_within_ten_seconds_and_its_work_lands(
    site: Ground, repo: Path, tmp_path: Path, who: str
) -> None:
    bead = site.bead()
    site.command(bead, *waiting_command(tmp_path))
    site.queue(bead)
    site.start()
    record = site.until(lambda: (tmp_path / bead).exists() and live(site, bead))
    killed = time.time()
    victims = [record.agent_proc] if who == "agent" else [record.runner, record.agent_proc]
    for proc in victims:
        os.kill(proc.pid, signal.SIGKILL)
    again = site.event("recover", about(bead), seconds=10.0)
    assert again["data"]["session"] != record.id
    assert time.time() - killed < 10
    merged(site, bead, repo)
    assert len(site.events("session_death")) == 1


def test_work_that_fails_again_and_again_is_given_to_a_person(site: Ground, tmp_path: Path) -> None:
    bead = site.bead()
    site.command(bead, "sh", "-c", "exit 3")
    site.queue(bead)
    with open(site.root / "town.yaml", "a") as file:
        file.write("  backoff_most: 1s\n  mass_deaths: 50\n")
        file.write(f"escalation:\n  commands:\n    high: echo $GT_SOURCE >> {tmp_path}/paged\n")
    git("commit", "-qam", "faster", cwd=site.root)
    site.start()
    raised = site.event("escalation", lambda one: one["data"].get("source") == bead, seconds=60)
    assert len(site.events("session_start")) == 4
    assert len(site.events("release")) == 1
    held = site.town.bead(bead)
    assert held.held
    site.until(lambda: any(raised["bead"] in one for one in site.mail()))
    site.until((tmp_path / "paged").exists)


def test_an_escalation_that_nobody_answers_is_raised_twice_and_pages(ground: Ground, tmp_path: Path) -> None:
    with open(ground.root / "town.yaml", "a") as file:
        file.write("  raise_after: 1s\nescalation:\n  commands:\n")
        file.writelines(f"    {one}: echo {one} >> {tmp_path}/paged\n" for one in ("medium", "high"))
    git("commit", "-qam", "faster", cwd=ground.root)
    made = run_gt("escalate", "-s", "low", "which way?", "--json", cwd=ground.root).json["id"]
    ground.start()
    ground.until(lambda: len(ground.events("escalation_raise")) == 2)
    ground.until(lambda: (tmp_path / "paged").exists() and (tmp_path / "paged").read_text() == "medium\nhigh\n")
    bead = ground.town.bead(made)
    assert (bead.doc["severity"], bead.priority, bead.doc["raised"]) == ("high", 1, 2)


STARTING = """
import signal, sys
from gastown.deacon.sole import sole
from gastown.services.sessions import powers
with sole(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
    powers.say_running(sys.argv[1], "watching files")
    signal.pause()
"""


def test_down_ends_a_deacon_that_has_not_said_yet_who_it_is(site: Ground) -> None:
    argv = [sys.executable, "-c", STARTING, str(site.root)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "held\n"
        ended: list[powers.Deacon | None] = []
        stopping = threading.Thread(target=lambda: ended.append(powers.stop(str(site.root))))
        stopping.start()
        child.stdin.write("\n")
        child.stdin.close()
        stopping.join()
        if not any(ended):
            child.kill()
    assert [one.proc.pid for one in ended if one] == [child.pid]
    assert child.returncode == -signal.SIGTERM


def test_down_leaves_nothing_and_up_goes_on(site: Ground, repo: Path, tmp_path: Path) -> None:
    bead = site.bead()
    site.command(bead, *waiting_command(tmp_path))
    site.queue(bead)
    started = run_gt("up", "--json", cwd=site.root).json
    assert started["started"]
    assert not run_gt("up", "--json", cwd=site.root).json["started"]
    record = site.until(lambda: (tmp_path / bead).exists() and live(site, bead))
    ran = run_gt("down", cwd=site.root)
    assert record.address in ran.out
    assert powers.deacon(str(site.root)) is None
    assert shutdown.strays(str(site.root)) == []
    assert sessions.liveness(record) == "exited"
    assert site.town.bead(bead).last_session["outcome"] == "down"  # type: ignore[index]
    assert run_gt("deacon", "status", cwd=site.root, code=1).out.startswith("no deacon")
    run_gt("up", cwd=site.root)
    merged(site, bead, repo)
    assert site.events("session_death") == []


def test_down_ends_what_a_gate_of_ours_left_running(site: Ground) -> None:
    """Known by its mark, whose gt is gone; what a living gt waits for is its to end."""
    make = "import sys; from gastown.runtime import marked; print(marked.new(sys.argv[1]))"
    argv = [sys.executable, "-c", make, str(site.root)]
    over = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    marks = (over, marked.new(str(site.root)))
    left, waited_for = (subprocess.Popen(["sleep", "100"], env={**os.environ, marked.NAME: one}) for one in marks)
    try:
        run_gt("down", cwd=site.root)
        assert left.wait(5) == -signal.SIGTERM
        assert waited_for.poll() is None
    finally:
        for child in (left, waited_for):
            child.kill()
            child.wait()


def test_down_names_what_it_cannot_prove_is_ours(site: Ground) -> None:
    import subprocess

    other = subprocess.Popen(["sleep", "100"], env={**os.environ, "GT_TOWN": str(site.root)})
    try:
        ran = run_gt("down", cwd=site.root, code=1)
        assert f"process {other.pid}" in ran.err
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_estop_freezes_agents_and_thaw_lets_them_go_on(site: Ground, repo: Path, tmp_path: Path) -> None:
    bead, other = site.bead("one"), site.bead("two")
    site.command(bead, *waiting_command(tmp_path))
    site.command(other, *WRITE)
    site.queue(bead)
    site.start()
    record = site.until(lambda: (tmp_path / bead).exists() and live(site, bead))
    assert run_gt("estop", "wait", "--json", cwd=site.root).json["sessions"] == [record.address]
    assert record.agent_proc is not None

    def state() -> str:
        return Path(f"/proc/{record.agent_proc.pid}/stat").read_text().rpartition(")")[2].split()[0]  # type: ignore[union-attr]

    if os.path.isdir("/proc"):
        assert state() == "T"
    site.queue(other)
    assert "gt estop: wait" in run_gt("deacon", "status", cwd=site.root).out
    assert site.events("sling", site.mark)[1:] == []
    run_gt("thaw", cwd=site.root)
    if os.path.isdir("/proc"):
        assert state() != "T"
    merged(site, other, repo)
    assert run_gt("thaw", cwd=site.root).out == "nothing was stopped\n"


def test_a_bead_closed_while_its_session_runs_ends_it(site: Ground, tmp_path: Path) -> None:
    bead = site.bead()
    site.command(bead, *waiting_command(tmp_path))
    site.queue(bead)
    site.start()
    record = site.until(lambda: (tmp_path / bead).exists() and live(site, bead))
    run_gt("close", bead, "-r", "not wanted", "--force", cwd=site.root, code=None)
    if site.town.bead(bead).status != "closed":
        run_gt("release", bead, cwd=site.root)
    site.until(lambda: sessions.liveness(record) == "exited")
    assert site.town.bead(bead).status in ("closed", "open")


def test_plan_names_times_as_everything_does(site: Ground) -> None:
    bead = site.bead("young")
    site.edit(bead, "title: young", "title: being written")
    os.utime(site.file(bead), (time.time() + 30, time.time() + 30))  # not finished yet
    found = run_gt("deacon", "plan", "--json", cwd=site.root).json
    later = [times.parse(one["at"]) for one in found if one["action"] == "later"]
    assert later
    assert all(abs(at - time.time()) < 60 for at in later)


def test_plan_says_what_would_be_done_and_does_nothing(site: Ground) -> None:
    bead = site.bead()
    site.command(bead, *WRITE)
    site.queue(bead)
    site.edit(bead, "title: work", "title: better")
    os.utime(site.file(bead), (time.time() - 5, time.time() - 5))  # not being written any more
    head = git("rev-parse", "HEAD", cwd=site.root)
    found = run_gt("deacon", "plan", "--json", cwd=site.root).json
    planned = {(one["patrol"], one["action"]) for one in found}
    assert {("hand edits", "adopt"), ("queue", "dispatch")} <= planned
    assert all(one["why"] for one in found)
    assert git("rev-parse", "HEAD", cwd=site.root) == head
    assert site.town.bead(bead).status == "open"
    assert "dispatch" in run_gt("deacon", "plan", cwd=site.root).out


def test_urgent_mail_reaches_an_agent_that_works(site: Ground, tmp_path: Path) -> None:
    bead = site.bead()
    site.command(bead, *waiting_command(tmp_path))
    site.queue(bead)
    site.start()
    record = site.until(lambda: (tmp_path / bead).exists() and live(site, bead))
    run_gt("mail", "send", record.address, "-s", "no hurry", "-m", "x", cwd=site.root)
    run_gt("mail", "send", record.address, "-s", "old plan is off", "-m", "x", "--priority", "urgent", cwd=site.root)
    event = site.event("nudge")
    assert "old plan is off" in event["text"]
    (waits,) = site.until(lambda: list(site.root.glob(f".gt/run/nudges/{record.address}/*.json")))
    # The agent may tidy up before it reads what it was told of.
    own = ("--as", record.address, "mail")
    run_gt(*own, "archive", "1", cwd=site.root)
    (named,) = re.findall(r"gt mail read ([^)]+)", json.loads(waits.read_text())["text"])
    assert run_gt(*own, "read", named, "--json", cwd=site.root).json["subject"] == "old plan is off"


def test_agents_can_be_frozen_and_ended_while_town_yaml_is_broken(site: Ground, tmp_path: Path) -> None:
    bead = site.bead()
    site.command(bead, *waiting_command(tmp_path))
    run_gt("sling", bead, "app", cwd=site.root)
    agent = site.until(lambda: live(site, bead)).agent_proc
    site.start()
    with open(site.root / "town.yaml", "a") as file:
        file.write("<<<<<<< ours\nname: [\n")
    broken = (site.root / "town.yaml").read_bytes()
    assert "unresolved git conflict" in run_gt("list", cwd=site.root, code=1).err
    assert "stopped: app/" in run_gt("estop", "look first", cwd=site.root).out
    assert "look first" in run_gt("deacon", "status", cwd=site.root).out
    assert run_gt("deacon", "status", "--json", cwd=site.root).json["since"].endswith("Z")
    assert processes.alive(agent)
    assert Path(f"/proc/{agent.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    assert "goes on: app/" in run_gt("thaw", cwd=site.root).out
    assert run_gt("scheduler", "pause", cwd=site.root).out == "paused\n"
    assert "stopped app/" in run_gt("down", cwd=site.root).out
    assert not processes.alive(agent)
    assert (site.root / "town.yaml").read_bytes() == broken


def test_an_agent_whose_bead_was_removed_is_told_and_the_branch_with_its_work_is_named(
    site: Ground, tmp_path: Path
) -> None:
    bead = site.bead()
    script = "git commit -q --allow-empty -m made && echo more > left && touch $0 && sleep 1000"
    site.command(bead, "sh", "-c", script, str(tmp_path / "made"))
    site.start()
    run_gt("sling", bead, "app", cwd=site.root)
    site.until(lambda: (tmp_path / "made").exists())
    record = site.until(lambda: live(site, bead))
    git("rm", "-q", "--cached", str(site.town.bead_path(bead)), cwd=site.root)
    site.file(bead).unlink()
    git("commit", "-qm", "gone", cwd=site.root)
    where = f"{bead} was removed; what was committed for it stays on branch {record.branch} in work/app/.repo.git"
    assert where in site.event("nudge", about(bead))["text"]
    ended = site.event("session_end", about(bead))
    assert where in ended["text"]
    assert ended["data"]["branch"] == record.branch
    site.event("rescue", lambda one: "saved to .gt/rescue/" in one["text"])
    site.until(lambda: live(site, bead) is None)
    assert len([one for one in site.events("session_end") if about(bead)(one)]) == 1
    said = run_gt("doctor", cwd=site.root, code=None).out
    assert f"{bead} was removed, and 1 commit made for it are on branch {record.branch} alone" in " ".join(said.split())
