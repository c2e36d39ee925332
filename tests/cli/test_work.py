"""The commands of work as people and agents type them: real processes, their output, exit codes and races."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from gastown.runtime import git, sessions
from gastown.services.sling import sling
from gastown.store.change import Change
from tests.conftest import Ran, gt_argv, run_gt
from tests.services.work_lab import CHECKOUT, Lab, eventually


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def gt(lab: Lab, *args: str, cwd: str | Path | None = None, **options: object) -> Ran:
    return run_gt(*args, cwd=cwd or lab.root, **options)


def at_once(lab: Lab, *calls: list[str]) -> list[Ran]:
    """Run commands at the same time."""
    env = {**os.environ, "PYTHONPATH": CHECKOUT}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    started = [subprocess.Popen([*gt_argv(), *call], cwd=lab.root, env=env, text=True, **pipes) for call in calls]
    said = [one.communicate(timeout=60) for one in started]
    return [Ran(one.returncode, out, err) for one, (out, err) in zip(started, said, strict=True)]


# -- sling ----------------------------------------------------------------------------------------
def test_a_sentence_with_a_command_is_done_and_waited_for(work):
    ran = gt(work, "sling", "Add a licence", "app", "--wait", "--", "sh", "-c", "echo MIT > LICENSE")
    bead, end = ran.lines[-1].split()
    assert end == "merged"
    one = gt(work, "show", bead, "--json").json
    assert one["command"] == ["sh", "-c", "echo MIT > LICENSE"]


def test_options_behind_the_dashes_belong_to_the_command(work):
    ran = gt(work, "sling", "Say it", "--json", "--", "sh", "-c", "echo --json $0 > said", "--force")
    (one,) = ran.json["dispatched"]
    work.ended(one["session"])
    assert work.now(one["bead"]).command[-1] == "--force"


def test_a_mistyped_rig_is_named_before_anything_starts(work, tmp_path):
    git.run(["clone", "-q", "--bare", work.origin, str(tmp_path / "two.git")])
    gt(work, "rig", "add", "two", str(tmp_path / "two.git"))
    ran = gt(work, "sling", "Do this", work.bead().id, "apq", "--", "true", code=6)
    assert "'apq' is no bead and no rig" in ran.err
    assert "did you mean the rig app?" in ran.err
    assert work.events("sling") == []
    assert [row.title for row in work.town.index().rows] == ["Some work"]


def test_json_and_quiet_have_their_shapes(work):
    agent = work.sleeper()
    ids = [work.bead(str(n)).id for n in range(2)]
    ran = gt(work, "sling", *ids, "ap-zzzzz", "app", "--agent", agent, "--json", code=6)
    assert [one["bead"] for one in ran.json["dispatched"]] == ids
    assert set(ran.json["dispatched"][0]) >= {"bead", "to", "attempt", "session"}
    (refused,) = ran.json["refused"]
    assert (refused["work"], refused["code"]) == ("ap-zzzzz", "not_found")
    assert ran.json["queued"] == []
    assert gt(work, "sling", *ids, "app", "-q").lines == ids


def test_a_refusal_says_error_and_hint_and_exits_5(work):
    bead, agent = work.bead(), work.sleeper()
    work.one(bead.id, "app/amber", agent=agent)
    ran = gt(work, "sling", bead.id, "app/birch", "--agent", agent, code=5)
    assert ran.out == ""
    assert ran.err.startswith(f"error: {bead.id} is held by app/amber on ")
    assert "hint: --force" in ran.err


def test_new_work_by_title_with_its_fields(work):
    ran = gt(work, "sling", "--title", "Refactor", "app", "-p", "0", "-l", "auth", "-d", "all of it", "--agent",
             work.sleeper(), "-q")  # fmt: skip
    doc = gt(work, "show", ran.out.strip(), "--json").json
    found = (doc["title"], doc["priority"], doc["labels"], doc["description"])
    assert found == ("Refactor", 0, ["auth"], "all of it\n")


def test_nothing_to_do_and_a_bare_word_are_usage_errors(work):
    assert "what is to be done?" in gt(work, "sling", code=2).err
    assert "no bead and no rig" in gt(work, "sling", "refactor", "app", code=6).err
    assert "--" in gt(work, "sling", "a sentence", "--", code=2).err


# -- races ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("targets", [("app", "app"), ("app/amber", "app/birch"), ("app", "app/birch")])
def test_of_two_slings_of_one_bead_exactly_one_starts(work, targets):
    bead, agent = work.bead(), work.sleeper()
    ran = at_once(work, *(["sling", bead.id, to, "--agent", agent, "--json"] for to in targets))
    reports = [json.loads(one.out) for one in ran]
    started = [one for report in reports for one in report["dispatched"] if not one["unchanged"]]
    assert len(started) == 1, [one.out + one.err for one in ran]
    now = work.now(bead)
    assert len(now.sessions) == 1
    assert len(work.events("session_start")) == 1
    for one, report in zip(ran, reports, strict=True):
        if not report["dispatched"]:
            assert one.code in (3, 5)
            assert report["refused"]
    assert len([path for path in work.tree().parent.iterdir() if not path.name.startswith(".")]) == 1


def test_slings_at_once_never_take_the_same_polecat(work):
    agent = work.sleeper()
    ids = [work.bead(str(n)).id for n in range(4)]
    ran = at_once(work, *(["sling", one, "app", "--agent", agent, "--json"] for one in ids))
    assert {one.code for one in ran} == {0}, [one.err for one in ran]
    assert len({json.loads(one.out)["dispatched"][0]["to"] for one in ran}) == 4
    assert len({work.now(one).assignee for one in ids}) == 4


def test_a_sling_that_is_interrupted_leaves_nothing_half_done(work):
    bead = work.bead()
    work.configure("rigs/app/rig.yaml", setup=["sleep 30"])
    env = {**os.environ, "PYTHONPATH": CHECKOUT}
    call = subprocess.Popen(
        [*gt_argv(), "sling", bead.id, "app", "--agent", work.sleeper()], cwd=work.root, env=env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        # Tests that run in the background of a shell ignore it, and so would their children.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    eventually(lambda: work.now(bead).status == "hooked" and (work.tree() / ".git").exists())
    eventually(lambda: (Path(work.root) / ".gt/log/setup").exists())
    call.send_signal(signal.SIGINT)
    assert call.wait(20) == 130
    assert work.now(bead).status == "open"
    assert not work.tree().exists()


# -- the agent's side -----------------------------------------------------------------------------
def test_the_first_call_from_inside_begins_and_a_look_from_outside_does_not(work):
    bead = work.bead()
    work.one(bead.id, agent=work.sleeper())
    bead = work.now(bead)
    assert gt(work, "hook", "app/amber").out == f"{bead.id}  P2  hooked  Some work\n"
    assert work.now(bead).status == "hooked"
    assert gt(work, "hook", env=work.env(bead)).out == f"{bead.id}  P2  in_progress  Some work\n"
    assert work.now(bead).status == "in_progress"
    doc = gt(work, "hook", "--json", env=work.env(bead)).json
    assert (doc["address"], doc["bead"]["id"]) == ("app/amber", bead.id)
    gt(work, "release", bead.id)
    assert "nothing on the hook" in gt(work, "hook", "app/amber").out
    assert gt(work, "hook", code=2).err.startswith("error: overseer has no hook")


def test_prime_tells_and_a_broken_hook_exits_1(work):
    bead = work.bead("Say \x1b[31mred")
    work.one(bead.id, agent=work.sleeper())
    bead = work.now(bead)
    said = gt(work, "prime", env=work.env(bead)).out
    assert "You are app/amber" in said
    assert "\x1b" not in said
    with open(Path(work.root) / bead.path, "a", encoding="utf-8") as file:
        file.write("\n<<<<<<< ours\n")
    ran = gt(work, "prime", env=work.env(bead), code=1)
    assert "could not read your hook: do not conclude that it is empty" in ran.err


def test_done_by_hand_in_the_worktree_without_any_environment(work):
    bead = work.bead()
    work.one(bead.id, agent=work.sleeper())
    gt(work, "session", "stop", "app/amber")
    (work.tree() / "by-hand").write_text("x\n")
    ran = gt(work, "done", cwd=work.tree())
    assert f"{bead.id}  pushed, and waits to land on main" in ran.out
    assert "committed as wip: + by-hand" in ran.err
    assert "handed in already" in gt(work, "done", cwd=work.tree()).out


def test_done_of_an_older_attempt_is_refused_with_5(work):
    bead, agent = work.bead(), work.sleeper()
    work.one(bead.id, agent=agent)
    old = work.env(work.now(bead))
    gt(work, "release", bead.id)
    work.one(bead.id, "app/amber", agent=agent)
    assert "attempt 1" in gt(work, "done", env=old, code=5).err
    assert work.now(bead).attempt == 2


def test_an_agent_may_not_act_as_another(work):
    bead = work.bead()
    work.one(bead.id, agent=work.sleeper())
    env = work.env(work.now(bead))
    assert gt(work, "done", "--as", "app/birch", env=env, code=5).err.startswith("error: you are app/amber")


def test_heartbeat_writes_no_commit(work):
    bead = work.bead()
    work.one(bead.id, agent=work.sleeper())
    env = work.env(work.now(bead))
    before = len(list(work.town.events()))
    gt(work, "heartbeat", "thinking", env=env)
    gt(work, "heartbeat", env=env)
    assert len(list(work.town.events())) == before


# -- looking, stopping, cleaning up ---------------------------------------------------------------
def test_agents_sessions_peek_log_and_stop(work):
    bead = work.bead()
    done = work.one(bead.id, agent=work.sleeper())
    eventually(lambda: "here" in gt(work, "peek", "app/amber").out)
    assert gt(work, "agents").lines[0].split()[:3] == ["app/amber", "working", bead.id]
    (one,) = gt(work, "polecat", "list", "--json").json
    assert (one["state"], one["session"]) == ("working", done.session)
    assert gt(work, "session", "list").lines[0].split()[:3] == [done.session, "running", "app/amber"]
    assert "here" in gt(work, "session", "log", done.session).out
    assert f"{bead.id} is on its hook" in gt(work, "polecat", "show", "app/amber").out
    assert gt(work, "session", "stop", "--all", "-q").lines == [done.session]
    assert gt(work, "session", "list").out == ""
    assert gt(work, "agents").lines[0].split()[1] == "stalled"
    assert gt(work, "session", "list", "--all", "--json").json[0]["id"] == done.session
    assert gt(work, "session", "ended", done.session).out.split() == [done.session, "over"]


def test_workers_as_they_were(work):
    bead = work.run("echo x > x")
    held = next(row["commit"] for row in gt(work, "log", "--json").json if row["subject"].startswith("sling"))
    assert gt(work, "agents", "--json").json[0]["state"] == "idle"
    for then in (gt(work, "agents", "--json", "--at", held).json[0],
                 gt(work, "polecat", "show", "app/amber", "--json", "--at", held).json):  # fmt: skip
        assert (then["address"], then["state"], then["bead"], then["attempt"]) == ("app/amber", "working", bead.id, 1)
    assert gt(work, "hook", "app/amber", "--at", held).out.split()[0] == bead.id
    assert gt(work, "agents", "--at", "HEAD").lines == ["app/amber  idle  -  -  -  -"]
    first = gt(work, "log", "--json").json[-1]["commit"]
    assert gt(work, "agents", "--at", first).out == ""
    assert "no rig 'app'" in gt(work, "hook", "app/amber", "--at", first, code=6).err


def test_a_session_that_was_killed_is_not_shown_as_running(work):
    bead = work.bead()
    record = work.record(work.one(bead.id, agent=work.sleeper()).session)
    assert gt(work, "status").lines[2].split()[3:5] == ["working", "1"]
    assert f"{record.id} app/amber" in gt(work, "show", bead.id).out
    assert "running" in gt(work, "show", bead.id).out
    os.kill(record.runner.pid, signal.SIGKILL)  # and with it whoever would note the end
    os.kill(record.agent_pid, signal.SIGKILL)
    eventually(lambda: not sessions.alive(record.agent_proc))
    assert f"over, go on with: gt resume {bead.id}" in gt(work, "show", bead.id).out
    assert "working 0  stalled 1" in gt(work, "status").out
    assert "running" in gt(work, "show", bead.id, "--at", "HEAD").out


def test_unsling_release_resume_and_nuke_by_command(work):
    bead = work.bead()
    work.one(bead.id, agent=work.sleeper())
    assert "released from app/amber" in gt(work, "unsling", "app/amber").out
    assert "was open already" in gt(work, "release", bead.id).out
    assert gt(work, "resume", bead.id, code=5).err.startswith("error:")
    again = work.one(bead.id, agent=work.sleeper())
    assert "cannot be used together" in gt(work, "resume", bead.id, "-m", "a", "--stdin", code=2).err
    assert "runs already" in gt(work, "resume", bead.id).out
    ran = gt(work, "polecat", "nuke", "app/amber", code=5)
    assert "is on its hook" in ran.err
    doc = gt(work, "polecat", "nuke", "app/amber", "--force", "--json").json
    assert (doc["removed"], doc["released"]) == (True, bead.id)
    assert work.now(bead).status == "open"
    work.ended(again.session)


def elsewhere(lab: Lab, bead_id: str) -> None:
    """Let another machine have the work."""

    def body(change: Change) -> None:
        found = change.bead(bead_id)
        found.set("machine", "faraway")
        change.save(found)
        change.emit("edit", "machine", bead=bead_id)

    lab.town.transact("edit", body)


def test_of_several_one_that_fails_hides_nothing_of_the_others(work):
    ids = [work.bead(title).id for title in ("one", "two", "three")]
    for bead_id in ids:
        work.one(bead_id, agent=work.sleeper())
    one, two, three = (str(work.now(one).assignee) for one in ids)
    ran = gt(work, "resume", one, two)
    assert [line.split()[0] for line in ran.lines] == ids[:2]
    elsewhere(work, ids[1])
    ran = gt(work, "release", *ids[:2], code=5)
    assert ran.lines == [f"{ids[0]}  released from {one}; its commits: {work.now(ids[0]).branch}"]
    assert f"{ids[1]} is worked on by {two} on machine faraway" in ran.err
    (work.tree(three) / "unsaved").write_text("x\n")
    doc = gt(work, "release", ids[1], ids[2], "--json", code=5).json
    assert (doc[0]["error"]["code"], doc[1]["bead"]) == ("refused", ids[2])


def test_of_several_polecats_it_is_told_where_the_work_of_each_was_saved(work):
    ids = [work.bead(title).id for title in ("one", "two")]
    for bead_id in ids:
        work.one(bead_id, agent=work.sleeper())
    one, two = (str(work.now(one).assignee) for one in ids)
    (work.tree(one) / "unsaved").write_text("x\n")
    with open(Path(work.root) / work.now(ids[1]).path, "a", encoding="utf-8") as file:
        file.write("\n<<<<<<< ours\n")
    assert gt(work, "polecat", "nuke", one, "app/nobody", "--force", code=6).out == ""
    assert work.tree(one).is_dir()
    ran = gt(work, "polecat", "nuke", one, two, "--force", code=1)
    assert ran.lines == [f"{one}  its worktree is removed"]
    assert "saved: " in ran.err
    assert "error: " in ran.err
    assert work.tree(two).is_dir()


def test_presets_are_listed_shown_and_tested(work):
    names = [line.split()[0] for line in gt(work, "agent", "list").lines]
    assert {"exec", "claude", "codex"} <= set(names)
    assert gt(work, "agent", "show", "exec", "--json").json["source"] == "built-in"
    assert gt(work, "agent", "test", "exec").lines[0].startswith("ok")
    ran = gt(work, "agent", "test", "amp", code=None)
    assert ("its version" in ran.out) == ("FAILED  its program" not in ran.out)
    assert ran.code == (0 if "FAILED" not in ran.out else 1)
    assert gt(work, "agent", "test", "nosuch", code=6).err.startswith("error: there is no agent preset")


def test_queued_work_is_said_and_exits_0(work):
    work.configure("town.yaml", max_polecats=0)
    bead = work.bead()
    ran = gt(work, "sling", bead.id, "app", "--agent", work.sleeper())
    assert ran.out.startswith(f"{bead.id}  queued for app: 0 of 0 polecats")
    assert "no deacon runs: `gt up` starts what is queued" in ran.err
    work.configure("town.yaml", max_polecats=1)
    assert [one.bead for one in sling.dispatch_queued(work.town)] == [bead.id]


# -- unknown workers ------------------------------------------------------------------------------
def test_an_unknown_worker_is_never_an_idle_one(work):
    work.run("true")
    for verb in ("hook", "peek", "session stop", "resume"):
        ran = gt(work, *verb.split(), "app/ambre", code=6)
        assert "no worker app/ambre" in ran.err
        assert "did you mean app/amber?" in ran.err
    assert "no rig 'ap'" in gt(work, "hook", "ap/amber", code=6).err


def test_an_unreadable_session_is_not_taken_for_none(work):
    bead = work.bead()
    session = work.one(bead.id, agent=work.sleeper()).session
    path = Path(work.record(session).folder, "session.json")
    whole = path.read_bytes()
    path.write_text("torn")
    assert "no session" not in gt(work, "peek", "app/amber", code=1).err
    path.write_bytes(whole)


def test_a_session_that_cannot_be_read_hides_nothing_else(work):
    bead = work.bead()
    session = work.one(bead.id, agent=work.sleeper()).session
    path = Path(work.record(session).folder, "session.json")
    path.rename(path.with_name("away"))
    path.mkdir()  # what permission denied is to an ordinary user
    try:
        assert f"app/amber  stalled   {bead.id}" in gt(work, "status").out
        assert gt(work, "agents").lines[0].split()[:2] == ["app/amber", "stalled"]
        assert gt(work, "show", bead.id).out.count("unknown: ") == 1
        assert "cannot read session" in gt(work, "session", "list", code=1).err
        assert gt(work, "resume", bead.id, code=None).code != 0
    finally:
        path.rmdir()
        path.with_name("away").rename(path)
