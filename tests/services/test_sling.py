"""Giving work to agents: what starts, what waits, what is refused, and that a failed start leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from gastown.model.errors import InvalidFile, NotFound, Refused, UsageError
from gastown.runtime import git, sessions, tmux
from gastown.services.beads import beads, targets
from gastown.services.mail import nudge
from gastown.services.rigs import rigs
from gastown.services.sling import release, scheduler, sling
from gastown.services.sling.sling import dispatch_queued
from gastown.store import layout
from gastown.store.change import Change
from tests.services.work_lab import RIG, Lab, eventually


@pytest.mark.parametrize("runtime", ["process", "tmux"])
def test_a_sentence_becomes_work_that_waits_to_land(work, runtime):
    if runtime == "tmux" and not tmux.available():
        pytest.skip("tmux is not installed")
    done = work.one('Grüße "an" alle', command=work.shell("echo hi > hello.txt"), runtime=runtime)
    assert (done.to, done.attempt) == ("app/amber", 1)
    work.ended(done.session)
    bead = work.now(done.bead)
    assert (bead.title, bead.status, bead.branch) == ('Grüße "an" alle', "merging", f"polecat/amber/{bead.id}.a1")
    assert bead.agent == "exec"
    assert bead.last_session["outcome"] == "done"
    message = git.text(["log", "-1", "--format=%an%n%B", bead.branch], cwd=work.bare)
    assert message.splitlines()[:2] == ["app/amber", 'Grüße "an" alle']
    assert f"Bead: {bead.id}" in message
    assert "Agent: app/amber" in message
    (merge,) = work.merges(bead)
    pushed = git.text(["ls-remote", work.origin, f"refs/heads/{bead.branch}"], cwd=work.root).split()[0]
    assert merge.commit == pushed
    assert not attempts_left(work)
    assert git.text(["status", "--porcelain"], cwd=work.root) == ""


def attempts_left(lab: Lab) -> list[str]:
    home = layout.run(lab.root, "starting")
    return os.listdir(home) if os.path.isdir(home) else []


@pytest.mark.parametrize(
    "title", ["a\nb", "  'quotes' \"and\" $(id) `id` \\", "#1 first", "-- x", "ünïcode 🙂 \x1b[31m"]
)
def test_any_title_survives_the_whole_way(work, title):
    def body(change: Change) -> str:
        return change.create(RIG, title=title).id

    bead_id = work.town.transact("create", body)
    done = work.one(bead_id, command=work.shell("echo x > x"))
    work.ended(done.session)
    bead = work.now(bead_id)
    assert bead.status == "merging", bead.doc
    assert f"Bead: {bead_id}" in git.text(["log", "-1", "--format=%B", bead.branch], cwd=work.bare)


def test_the_agent_finds_itself_in_its_worktree_with_its_environment(work):
    agent = work.agent(
        "import json, os, subprocess, sys\n"
        "facts = {k: v for k, v in os.environ.items() if k.startswith(('GT_', 'GIT_AUTHOR'))}\n"
        "facts['cwd'] = os.getcwd()\n"
        "facts['hook'] = subprocess.run(['gt', 'hook'], capture_output=True, text=True).stdout\n"
        "json.dump(facts, open('facts.json', 'w'))\n"
        "subprocess.run(['git', 'add', '-A']); subprocess.run(['git', 'commit', '-qm', 'facts'])\n"
        "sys.exit(subprocess.run(['gt', 'done']).returncode)\n"
    )
    bead = work.bead()
    done = work.one(bead.id, agent=agent)
    work.ended(done.session)
    now = work.now(bead)
    assert now.status == "merging", now.doc
    import json

    facts = json.loads(git.text(["show", f"{now.branch}:facts.json"], cwd=work.bare))
    assert facts["GT_ACTOR"] == facts["GIT_AUTHOR_NAME"] == "app/amber"
    assert (facts["GT_BEAD"], facts["GT_ATTEMPT"], facts["GT_SESSION"]) == (bead.id, "1", done.session)
    assert os.path.realpath(facts["cwd"]) == os.path.realpath(work.tree())
    assert facts["hook"].split()[:3] == [bead.id, "P2", "in_progress"]


def test_idle_polecats_are_reused_and_names_come_from_the_pool(work):
    agent = work.sleeper()
    names = [work.one(work.bead(str(n)).id, agent=agent).to for n in range(3)]
    assert names == ["app/amber", "app/birch", "app/cedar"]
    first = next(row for row in work.town.index().rows if row.assignee == "app/birch")
    release.release(work.town, work.now(first.id))
    assert work.one(work.bead("again").id, agent=agent).to == "app/birch"


def test_a_second_sling_to_the_same_target_changes_nothing(work):
    bead, agent = work.bead(), work.sleeper()
    first = work.one(bead.id, agent=agent)
    head = git.text(["rev-parse", "HEAD"], cwd=work.root)
    for to in (RIG, "app/amber", "app/polecats/amber"):
        again = work.one(bead.id, to, agent=agent)
        assert again.unchanged
        assert again.session == first.session
    assert git.text(["rev-parse", "HEAD"], cwd=work.root) == head


# -- refusals -------------------------------------------------------------------------------------
def test_what_the_target_has_handed_in_is_not_refused_to_it(work):
    done = work.one("Say hi", command=work.shell("echo hi > hi"))
    work.ended(done.session)
    again = work.one(done.bead, command=work.shell("echo hi > hi"))
    assert (again.unchanged, again.attempt, again.session) == (True, 1, done.session)
    assert len(work.merges(work.now(done.bead))) == 1


def test_what_is_not_there_to_be_done_is_refused(work):
    agent = work.sleeper()
    closed = work.bead()
    beads.close(work.town, closed.id, "no longer wanted")
    assert "no longer wanted" in work.refused(closed.id, agent=agent).message
    deferred = work.bead()
    beads.update(work.town, deferred.id, beads.Edit(status="deferred"))
    assert "--force" in work.refused(deferred.id, agent=agent).hint
    epic = work.bead(type="epic")
    assert work.refused(epic.id, agent=agent).exit_code == 2
    assert work.refused("ap-zzzzz", agent=agent).exit_code == 6
    assert work.refused("nosuchword", agent=agent).exit_code == 6
    assert work.one(deferred.id, agent=agent, force=True).bead == deferred.id


def test_targets_that_are_not_there_are_refused_before_anything(work):
    bead = work.bead()
    with pytest.raises(NotFound, match="no rig 'ap'") as caught:
        work.sling(bead.id, to="ap")
    assert caught.value.near == ("app",)
    with pytest.raises(UsageError):
        work.sling(bead.id, to="app/refinery")
    rigs.park(work.town, RIG, True)
    with pytest.raises(Refused, match="parked"):
        work.sling(bead.id)


def test_without_a_target_new_work_goes_to_the_only_rig_else_they_are_listed(work):
    assert sling.sling(work.town, ["new work"], None, agent=work.sleeper()).dispatched[0].to == "app/amber"
    rigs.add(work.town, rigs.NewRig("tools", str(work.source)), base=work.root)
    with pytest.raises(UsageError, match="app, tools"):
        sling.sling(work.town, ["new work"], None)
    assert sling.sling(work.town, ["new work"], None, agent=work.sleeper(), here=RIG).dispatched


def test_without_a_target_a_bead_goes_to_its_own_rig(work):
    rigs.add(work.town, rigs.NewRig("tools", str(work.source)), base=work.root)
    tool = beads.create(work.town, beads.Draft("x", rig="tools"))
    agent = work.sleeper()
    assert sling.sling(work.town, [work.bead().id], None, agent=agent, here="tools").dispatched[0].to == "app/amber"
    assert sling.sling(work.town, [tool.id], None, agent=agent).dispatched[0].to == "tools/amber"
    with pytest.raises(UsageError, match="app, tools"):
        sling.sling(work.town, [work.bead().id, beads.create(work.town, beads.Draft("y", rig="tools")).id], None)


def test_a_wrong_number_of_slots_is_told_before_anything_is_made(work):
    work.configure("town.yaml", max_polecats="lots")
    with pytest.raises(InvalidFile, match=r"town.yaml \(max_polecats\): max_polecats is 'lots' but must be a whole"):
        sling.sling(work.town, ["new work"], RIG, agent=work.sleeper())
    assert work.town.index().rows == []
    with pytest.raises(InvalidFile, match="max_polecats"):
        scheduler.schedule(work.town)


def test_the_towns_own_are_no_rigs(work):
    with pytest.raises(UsageError, match="'mayor' takes no work"):
        works, target = targets.split(work.town, [work.bead().id, "mayor"])
        sling.sling(work.town, works, target)


def test_another_rigs_bead_needs_force(work):
    rigs.add(work.town, rigs.NewRig("tools", str(work.source)), base=work.root)
    bead = beads.create(work.town, beads.Draft("x", rig="tools"))
    assert "does not belong to rig app" in work.refused(bead.id, agent=work.sleeper()).message
    assert work.one(bead.id, agent=work.sleeper(), force=True).to == "app/amber"


def test_an_agent_must_be_named_installed_and_have_what_it_needs(work):
    bead = work.bead()
    assert "which agent?" in work.refused(bead.id).message
    assert "command" in work.refused(bead.id, agent="exec").message
    assert work.refused(bead.id, agent="nosuch").exit_code == 6
    work.town.transact("config", lambda c: c.put("agents/far.yaml", {"name": "far", "command": ["no-such-program-x"]}))
    assert "not installed" in work.refused(bead.id, agent="far").message
    assert work.now(bead).status == "open"


# -- who holds it ---------------------------------------------------------------------------------
def test_held_by_another_is_refused_with_who_where_and_since(work):
    bead, agent = work.bead(), work.sleeper()
    work.one(bead.id, "app/amber", agent=agent)
    started = work.now(bead).last_session["started"]
    said = work.refused(bead.id, "app/birch", agent=agent)
    for fact in ("app/amber", work.town.machine, started):
        assert fact in said.message
    assert "--force" in said.hint


def test_force_saves_the_holders_work_tells_it_and_fences_it_off(work):
    bead, agent = work.bead(), work.sleeper()
    first = work.one(bead.id, "app/amber", agent=agent)
    (work.tree() / "half.txt").write_text("half done\n")
    second = work.one(bead.id, "app/birch", agent=agent, force=True)
    assert (second.to, second.attempt) == ("app/birch", 2)
    now = work.now(bead)
    assert (now.assignee, now.status, now.branch) == ("app/birch", "hooked", f"polecat/birch/{bead.id}.a2")
    assert [one["outcome"] for one in now.sessions[:-1]] == ["taken_over"]
    assert f"{bead.id} was taken over" in work.mail("app/amber")
    assert "half done" in "".join(p.read_text() for p in Path(layout.rescue(work.root)).glob("*.patch"))
    assert not sessions.alive(work.record(first.session).agent_proc)


def test_what_a_stopped_holder_does_last_is_not_handed_in(work):
    agent = work.agent(
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "subprocess.run('echo x > x; git add -A; git commit -qm x', shell=True)\n"
        "print('here', flush=True)\n"
        "time.sleep(600)\n"
    )
    bead = work.bead()
    first = work.one(bead.id, "app/amber", agent=agent)
    eventually(lambda: "here" in Path(work.record(first.session).log).read_text())
    work.one(bead.id, "app/birch", agent=work.sleeper(), force=True)
    work.ended(first.session)
    now = work.now(bead)
    assert (now.status, now.assignee) == ("hooked", "app/birch")
    assert work.merges(bead) == []


def test_a_holder_that_is_provably_dead_needs_no_force(work):
    bead, agent = work.bead(), work.sleeper()
    first = work.record(work.one(bead.id, "app/amber", agent=agent).session)
    os.kill(first.runner_pid, signal.SIGKILL)
    assert "held by app/amber" in work.refused(bead.id, "app/birch", agent=agent).message
    os.kill(first.agent_pid, signal.SIGKILL)
    eventually(lambda: not sessions.alive(first.agent_proc))
    assert work.one(bead.id, "app/birch", agent=agent).to == "app/birch"


def test_what_cannot_be_known_of_a_holder_is_not_death(work):
    bead, agent = work.bead(), work.sleeper()
    record = work.record(work.one(bead.id, "app/amber", agent=agent).session)
    hidden = record.folder + ".away"
    os.rename(record.folder, hidden)
    try:
        assert "held by" in work.refused(bead.id, "app/birch", agent=agent).message
        assert "nobody knows" in work.refused(bead.id, RIG, agent=agent).message
    finally:
        os.rename(hidden, record.folder)


def test_a_holder_on_another_machine_is_never_judged(work):
    bead = work.bead()

    def body(change: Change) -> None:
        held = change.bead(bead.id)
        held.move("hooked")
        held.set("assignee", "app/amber")
        held.set("machine", "faraway")
        held.set("branch", f"polecat/amber/{bead.id}.a1")
        held.add_session({"id": "s-20261123-aaaa", "attempt": 1, "machine": "faraway", "started": change.at})
        change.save(held)

    work.town.transact("edit", body)
    assert "faraway" in work.refused(bead.id, "app/birch", agent=work.sleeper()).message


# -- capacity -------------------------------------------------------------------------------------
def test_a_batch_over_the_machines_capacity_is_queued_and_dispatched_later(work):
    work.configure("town.yaml", max_polecats=2)
    agent = work.sleeper()
    ids = [work.bead(f"{n}", priority=p).id for n, p in enumerate((2, 2, 3, 0))]
    report = work.sling(*ids, agent=agent)
    assert [one.bead for one in report.dispatched] == ids[:2]
    assert [one.bead for one in report.queued] == ids[2:]
    assert not report.refused
    waiting = work.now(ids[2])
    assert (waiting.status, waiting.labels, waiting.dispatch["to"]) == ("open", ["queued"], "app")
    assert waiting.agent == agent
    assert dispatch_queued(work.town) == []
    release.release(work.town, work.now(ids[0]))
    (started,) = dispatch_queued(work.town)
    assert started.bead == ids[3]
    now = work.now(ids[3])
    assert now.labels == []
    assert now.dispatch == {}
    assert dispatch_queued(work.town) == []


def test_a_rigs_own_limit_queues_too(work):
    work.configure("rigs/app/rig.yaml", polecats={"max": 1})
    report = work.sling(work.bead().id, work.bead().id, agent=work.sleeper())
    assert (len(report.dispatched), len(report.queued)) == (1, 1)
    assert "of the rig" in report.queued[0].reason


def test_queued_work_whose_session_cannot_start_is_tried_three_times_then_a_person_is_asked(work):
    work.configure("town.yaml", max_polecats=0)
    bead = work.bead()
    work.sling(bead.id, agent=work.unstartable())
    work.configure("town.yaml", max_polecats=1)
    for _ in range(2):
        assert dispatch_queued(work.town) == []
        now = work.now(bead)
        assert (now.status, now.labels, now.dispatch["to"]) == ("open", ["queued"], "app")
    assert dispatch_queued(work.town) == []
    now = work.now(bead)
    assert (now.status, now.labels) == ("open", [])
    assert "could not be started" in now.notes[-1]["text"]
    assert [(row.type, row.source) for row in work.town.index().rows if row.id != bead.id] == [("escalation", bead.id)]
    assert dispatch_queued(work.town) == []


def test_queued_work_that_nothing_could_start_leaves_the_queue_at_once_and_a_person_is_asked(work, tmp_path):
    page = f'echo "$GT_SOURCE" >> {tmp_path}/paged'
    work.configure("town.yaml", max_polecats=0, escalation={"commands": {"high": page}})
    bead = work.bead()
    work.sling(bead.id, agent=work.sleeper())
    work.configure("town.yaml", max_polecats=1)
    work.configure(work.now(bead).path, agent="nosuchagent")
    assert dispatch_queued(work.town) == []
    assert work.now(bead).labels == []
    (asked,) = [work.town.bead(row.id) for row in work.town.index().rows if row.type == "escalation"]
    assert asked.doc["source"] == bead.id
    assert "nosuchagent" in asked.doc["description"]
    assert f"gt sling {bead.id}" in asked.doc["description"]
    assert (tmp_path / "paged").read_text() == f"{bead.id}\n"


def queued(work, count=1, **options):
    """Beads that wait for a slot; there are slots now."""
    work.configure("town.yaml", max_polecats=0)
    made = [work.bead() for _ in range(count)]
    assert len(work.sling(*(one.id for one in made), **options).queued) == count
    work.configure("town.yaml", max_polecats=8)
    return made


def escalations(work):
    return [work.town.bead(row.id) for row in work.town.index().rows if row.type == "escalation"]


def test_queued_work_waits_while_a_person_edits_its_rig(work):
    waiting = queued(work, 2, agent=work.sleeper())
    path = Path(work.root, "rigs/app/rig.yaml")
    good = path.read_bytes()
    path.write_bytes(good + b"gates: [oops\n")
    assert dispatch_queued(work.town) == []
    assert escalations(work) == []
    path.write_bytes(good)
    assert {one.bead for one in dispatch_queued(work.town)} == {one.id for one in waiting}


def test_queued_work_waits_while_its_rig_is_parked(work):
    (bead,) = queued(work, agent=work.sleeper())
    work.configure("rigs/app/rig.yaml", parked=True)
    assert dispatch_queued(work.town) == []
    assert (work.now(bead).labels, escalations(work)) == (["queued"], [])
    work.configure("rigs/app/rig.yaml", parked=None)
    assert [one.bead for one in dispatch_queued(work.town)] == [bead.id]


def test_queued_work_waits_for_an_agent_that_is_not_found_and_a_person_is_asked_once(work, monkeypatch, tmp_path):
    program = tmp_path / "bin" / "robot"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    doc = {"name": "robot", "command": ["robot"], "prompt": {"mode": "none"}}
    work.town.transact("config", lambda change: change.put("agents/robot.yaml", doc))
    short = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{program.parent}:{short}")
    waiting = queued(work, 2, agent="robot")
    monkeypatch.setenv("PATH", short)  # as that of a deacon which cron has started
    for _ in range(2):
        assert dispatch_queued(work.town) == []
    assert {tuple(work.now(one).labels) for one in waiting} == {("queued",)}
    (asked,) = escalations(work)
    assert "robot is not found" in asked.title
    assert "there is no command robot" in asked.description
    assert "help" not in asked.title
    assert "robot is not found" in work.mail("overseer")
    monkeypatch.setenv("PATH", f"{program.parent}:{short}")
    assert {one.bead for one in dispatch_queued(work.town)} == {one.id for one in waiting}


def test_what_was_forced_into_the_queue_starts_from_it(work):
    """Work of the town's own, given to a rig, and work that needs other work."""
    own = beads.create(work.town, beads.Draft("The town's own", rig="town"))
    need = work.bead("Not done")
    blocked = work.bead("Blocked", needs=(need.id,))
    work.configure("town.yaml", max_polecats=0)
    agent = work.sleeper()
    for one in (own, blocked):
        assert [found.bead for found in work.sling(one.id, agent=agent, force=True).queued] == [one.id]
        assert work.now(one).dispatch["force"] is True
    work.configure("town.yaml", max_polecats=8)
    assert {(one.bead, one.to.partition("/")[0]) for one in dispatch_queued(work.town)} == {
        (own.id, "app"), (blocked.id, "app"),
    }  # fmt: skip
    assert work.now(own).dispatch == {}


def test_dead_work_of_another_rig_is_queued_for_where_it_was_at_work(work):
    own = beads.create(work.town, beads.Draft("The town's own", rig="town"))
    done = work.one(own.id, agent=work.agent("raise SystemExit(3)"), force=True)
    work.ended(done.session)
    assert scheduler.requeue(work.town, own.id, "it died too often")
    assert work.now(own).dispatch["to"] == "app"
    (again,) = dispatch_queued(work.town)
    assert (again.bead, again.to.partition("/")[0]) == (own.id, "app")


# -- hooks ----------------------------------------------------------------------------------------
def test_an_agent_is_started_with_the_hooks_of_its_preset_and_they_hand_it_its_news(work):
    """The file lies outside the worktree, and the `gt` in it is this one."""
    work.agent("import subprocess, sys\nsubprocess.run(['sh', sys.argv[2]], check=True)\n", "hooked")
    script = str(work.path / "hooked.py")
    hooks = {"supported": True, "file": "x/hooks.sh", "args": ["--load", "{hooks_file}"], "env": {"LOADED": "yes"},
             "text": 'gt mail check --inject --hook context:Turn > "told-$LOADED"\n'}  # fmt: skip
    command = [sys.executable, script, "{hooks_args}"]
    work.configure("agents/hooked.yaml", command=command, hooks=hooks)
    first = work.one(work.bead().id, "app/amber", agent=work.agent("print('done')\n"))
    work.ended(first.session)
    release.release(work.town, work.now(first.bead))
    nudge.nudge(work.town, "app/amber", "mind the gap", mode="queue")
    work.ended(work.one(work.bead("second").id, "app/amber", agent="hooked").session)
    told = json.loads((work.tree() / "told-yes").read_text())["hookSpecificOutput"]
    assert told["hookEventName"] == "Turn"
    assert "mind the gap" in told["additionalContext"]
    assert not list(work.tree().rglob("hooks.sh"))


# -- dependents -----------------------------------------------------------------------------------
def test_a_dependent_is_refused_by_every_route_until_its_blocker_is_on_its_base(work):
    agent = work.sleeper()
    blocker = work.bead("first")
    dependent = work.bead("second", needs=(blocker.id,))
    for to in (RIG, "app/amber", "app/newname"):
        assert blocker.id in work.refused(dependent.id, to, agent=agent).message
    report = work.sling(dependent.id, agent=agent, queue_blocked=True)
    assert [one.bead for one in report.queued] == [dependent.id]
    assert dispatch_queued(work.town) == []
    # Closed as merged, but its commit is nowhere: git is asked.
    work.town.transact("merged", lambda change: close_as_merged(change, blocker.id, "1" * 40))
    assert dispatch_queued(work.town) == []
    assert "is not on main yet" in work.refused(dependent.id, "app/birch", agent=agent).message
    work.town.transact("merged", lambda change: close_as_merged(change, blocker.id, None))
    commit = work.land_elsewhere("first", new="x")
    work.town.transact("merged", lambda change: close_as_merged(change, blocker.id, commit))
    (started,) = dispatch_queued(work.town)
    assert started.bead == dependent.id
    assert (work.tree(started.to) / "new").exists()


def close_as_merged(change: Change, bead_id: str, commit: str | None) -> None:
    bead = change.bead(bead_id)
    if bead.status == "closed":
        bead.move("open")
    if commit:
        bead.set("target", "main")
        bead.close(at=change.at, by="app/refinery", reason="merged", commit=commit)
    change.save(bead)


def test_force_starts_blocked_work_and_a_batch_queues_it(work):
    agent = work.sleeper()
    blocker = work.bead()
    dependent = work.bead(needs=(blocker.id,))
    report = work.sling(blocker.id, dependent.id, agent=agent)
    assert [one.bead for one in report.dispatched] == [blocker.id]
    assert [one.bead for one in report.queued] == [dependent.id]
    assert work.one(dependent.id, agent=agent, force=True).bead == dependent.id


def test_circles_and_unknown_needs_are_refused_even_in_a_batch(work):
    one, two = work.bead(), work.bead()

    def body(change: Change) -> None:
        for bead_id, need in ((one.id, two.id), (two.id, one.id)):
            bead = change.bead(bead_id)
            bead.set("needs", [need])
            change.save(bead)

    work.town.transact("edit", body)
    report = work.sling(one.id, two.id, agent=work.sleeper())
    assert len(report.refused) == 2
    assert "waits for itself" in report.refused[0].message
    lone = work.bead()

    def unknown(change: Change) -> None:
        bead = change.bead(lone.id)
        bead.set("needs", ["ap-zzzzz"])
        change.save(bead)

    work.town.transact("edit", unknown)
    assert "nothing is known" in work.refused(lone.id, agent=work.sleeper(), queue_blocked=True).message


# -- starts that fail -----------------------------------------------------------------------------
def test_a_session_that_cannot_start_undoes_everything(work):
    bead = work.bead()
    report = work.sling(bead.id, agent=work.unstartable())
    assert "could not start" in report.refused[0].message
    now = work.now(bead)
    assert (now.status, now.assignee, now.machine) == ("open", None, None)
    assert now.last_session["outcome"] == "start_failed"
    assert not work.tree().exists()
    assert work.branches() == []
    assert attempts_left(work) == []
    again = work.one(bead.id, agent=work.sleeper())
    assert (again.to, again.attempt) == ("app/amber", 2)


def test_a_setup_that_fails_undoes_everything_and_one_that_works_runs_once(work):
    work.configure("rigs/app/rig.yaml", setup=["echo no; exit 3"])
    bead = work.bead()
    report = work.sling(bead.id, agent=work.sleeper())
    assert "exit 3" in report.refused[0].message
    assert work.now(bead).status == "open"
    assert not work.tree().exists()
    work.configure("rigs/app/rig.yaml", setup=["echo x >> ../setup-ran"])
    for _ in range(2):
        work.one(bead.id, agent=work.sleeper())
        release.release(work.town, work.now(bead))
    assert (work.tree().parent / "setup-ran").read_text() == "x\n"


# -- worktrees ------------------------------------------------------------------------------------
def test_a_reused_worktree_with_unsaved_work_is_saved_first(work):
    agent = work.sleeper()
    bead = work.bead()
    work.one(bead.id, agent=agent)
    release.release(work.town, work.now(bead))
    tree = work.tree()
    (tree / "README.md").write_text("changed by hand\n")
    (tree / "new.txt").write_text("never added\n")
    report = work.sling(work.bead("next").id, agent=agent)
    assert report.dispatched[0].to == "app/amber"
    assert "saved to" in "".join(report.messages)
    assert (tree / "README.md").read_text() == "# app\n"
    assert not (tree / "new.txt").exists()
    patch = "".join(p.read_text() for p in Path(layout.rescue(work.root)).glob("*.patch"))
    assert "changed by hand" in patch
    assert "never added" in patch
    assert work.events("rescue")


def test_files_at_the_place_of_a_worktree_are_never_touched(work):
    tree = work.tree()
    tree.mkdir(parents=True)
    (tree / "mine.txt").write_text("mine\n")
    bead = work.bead()
    assert work.one(bead.id, agent=work.sleeper()).to == "app/birch"
    report = work.sling(work.bead().id, to="app/amber", agent=work.sleeper())
    assert report.refused
    assert (tree / "mine.txt").read_text() == "mine\n"


def test_work_that_is_on_the_target_already_is_closed_not_done_again(work):
    bead = work.bead()
    commit = work.land_elsewhere(f"by hand\n\nBead: {bead.id}", done="x")
    report = work.sling(bead.id, agent=work.sleeper())
    assert report.landed == ((bead.id, commit),)
    now = work.now(bead)
    assert (now.closed["reason"], now.closed["commit"]) == ("merged", commit)
    assert not report.dispatched
    beads.reopen(work.town, bead.id)
    assert "More to do? gt reopen" in report.messages[0]
    assert work.one(bead.id, agent=work.sleeper()).attempt == 1, "and that is all that it takes"


def test_work_opened_again_by_hand_is_not_closed_for_the_same_commit_again(work):
    bead = work.bead()
    commit = work.land_elsewhere(f"the first part\n\nBead: {bead.id}", done="x")
    assert work.sling(bead.id, agent=work.sleeper()).landed == ((bead.id, commit),)
    work.configure(bead.path, status="open", closed=None)
    assert work.one(bead.id, agent=work.sleeper()).attempt == 1


def test_a_part_on_the_target_does_not_close_work_whose_branch_holds_more(work):
    """And its branch, whose commits are nowhere else, stays."""
    bead = work.bead()
    begun = work.one(bead.id, agent=work.sleeper())
    (work.tree() / "more").write_text("x")
    git.run(["add", "-A"], cwd=work.tree())
    git.run(["commit", "-qm", f"more\n\nBead: {bead.id}"], cwd=work.tree(), env=git.author_env("a", "a@b"))
    release.release(work.town, work.now(bead), force=True)
    work.ended(begun.session)
    work.land_elsewhere(f"a first part\n\nBead: {bead.id}", done="x")
    again = work.one(bead.id, agent=work.sleeper())
    assert again.attempt == 2
    assert f"polecat/amber/{bead.id}.a1" in work.branches()


def test_a_worktree_starts_from_the_newest_target(work, tmp_path):
    work.land_elsewhere("newer", newer="x")
    work.one(work.bead().id, agent=work.sleeper())
    assert (work.tree() / "newer").exists()


def test_where_landing_is_local_the_checkout_is_followed_and_left_alone(local_work):
    lab = local_work
    (lab.source / "later").write_text("x")
    lab.commit_source("later")
    (lab.source / "dirty").write_text("uncommitted")
    before = git.text(["status", "--porcelain=v2", "--branch"], cwd=lab.source)
    bead = lab.run("cat later > copy")
    assert bead.status == "merging"
    assert not lab.merges(bead)[0].closed
    assert git.text(["status", "--porcelain=v2", "--branch"], cwd=lab.source) == before
    assert git.text(["branch", "--list", "polecat/*"], cwd=lab.source) == ""


def test_an_unreachable_remote_is_said_and_what_was_fetched_last_is_used(work):
    os.rename(work.origin, work.origin + ".away")
    report = work.sling(work.bead().id, agent=work.sleeper())
    assert report.dispatched
    assert "fetched last" in report.messages[0]


def test_a_dry_run_touches_nothing(work):
    head = git.text(["rev-parse", "HEAD"], cwd=work.root)
    report = work.sling(work.bead().id, "a new sentence", agent=work.sleeper(), dry_run=True)
    assert len(report.dispatched) == 2
    assert not work.tree().exists()
    assert git.text(["log", "--format=%s", f"{head}.."], cwd=work.root).count("sling") == 0


def test_sent_back_work_goes_on_from_its_own_commits_on_the_same_polecat(work):
    agent = work.agent(
        "import subprocess, sys, os\n"
        "open(f'try{os.environ[\"GT_ATTEMPT\"]}', 'w').write('x')\n"
        "subprocess.run(['git', 'add', '-A']); subprocess.run(['git', 'commit', '-qm', 'try'])\n"
        "subprocess.run(['gt', 'done'])\n"
    )
    bead = work.bead()
    done = work.one(bead.id, agent=agent)
    work.ended(done.session)

    def back(change: Change) -> None:
        now = change.bead(bead.id)
        now.move("in_progress")
        change.save(now)

    work.town.transact("merge_failed", back)
    report = sling.restart(work.town, bead.id, reason="gate_failed", context="the gate was red")
    (again,) = report.dispatched
    assert (again.to, again.attempt) == ("app/amber", 2)
    work.ended(again.session)
    now = work.now(bead)
    assert now.status == "merging"
    names = git.text(["ls-tree", "--name-only", str(now.branch)], cwd=work.bare).split()
    assert {"try1", "try2"} <= set(names)
    prompt = Path(layout.run(work.root, "prompts", f"{again.session}.md")).read_text()
    assert "the gate was red" in prompt
    assert "git rebase origin/main" in prompt
    states = [merge.closed.get("reason") for merge in work.merges(bead)]
    assert sorted(map(str, states)) == ["None", "superseded"]
