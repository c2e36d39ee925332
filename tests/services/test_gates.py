"""Gates that cannot be believed: nothing lands, and it says which of these it was. A red target; retry and reject."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from gastown.deacon.patrols import packing
from gastown.model.errors import InvalidFile, Refused, UsageError
from gastown.runtime import marked, processes, shell
from gastown.services.claims import claims
from gastown.services.health import doctor
from gastown.services.landing import gatelogs
from gastown.services.refinery import refinery, sentback
from gastown.store.town import open_town
from tests.services.refinery_lab import RIG, Lab
from tests.store.towns import git as plain_git


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


UNBELIEVABLE = [
    ("no-such-command --all", "was not found"),
    ("./list.txt", "could not be executed"),
    ("echo 'no tests ran in 0.01s'; exit 5", "ran no test"),
    ("echo 'Ran 0 tests in 0.000s'; echo OK", "ran no test"),
    ("sleep 60", "timed out after 0.3 s"),
]


@pytest.mark.parametrize(("command", "said"), UNBELIEVABLE)
def test_a_gate_that_could_not_run_lands_nothing_and_says_so(lab, command, said):
    lab.gate(command, timeout="0.3s" if command.startswith("sleep") else "30s")
    entry = lab.finish({"a": "1"})
    report = lab.run()
    assert (report.landed, report.sent_back) == ((), ()), "it is nobody's fault, and lands nowhere"
    ((merge, why),) = report.could_not_run
    assert merge == entry.id
    assert said in why
    assert "gate test could not run" in why
    assert said in lab.feed("merge_failed")[0]
    assert lab.town.bead(entry.id).gates[-1]["result"] == "could_not_run"
    lab.assert_not_landed(entry)
    lab.gate("true")
    lab.run()
    lab.assert_landed_once(entry)


@pytest.mark.parametrize("key", ["gate", "Gates", "gaets"])
def test_gates_under_a_key_that_nobody_reads_are_not_taken_for_none(lab, key):
    lab.configure(**{key: [{"name": "test", "run": "false"}]})
    entry = lab.finish({"a": "1"})
    report = lab.run()
    ((merge, why),) = report.waiting
    assert (merge, report.landed) == (entry.id, ())
    assert f"`{key}`" in why
    assert "rigs/greenplace/rig.yaml" in why
    assert why.splitlines()[0] in lab.feed("merge_failed")[0]
    lab.assert_not_landed(entry)
    lab.gate("true")
    assert lab.run().landed == (), "nobody knows which of the two is meant"
    lab.unset(key)
    lab.run()
    lab.assert_landed_once(entry)


@pytest.mark.parametrize("wrong", ["", 0, False, {}, "make test"])
def test_gates_of_another_kind_than_a_list_are_not_taken_for_none(lab, wrong):
    entry = lab.finish({"a": "1"})
    lab.configure(gates=wrong)
    with pytest.raises(InvalidFile, match="gates must be a list"):
        lab.run()
    lab.assert_not_landed(entry)
    lab.configure(gates=None)
    lab.run()
    lab.assert_landed_once(entry)


def test_a_change_that_keeps_the_gate_from_running_is_sent_back(lab):
    """The gate runs on the target, so it is the change that took the tests away."""
    lab.gate("test -f empty && { echo 'no tests ran in 0.01s'; exit 5; }; echo '3 passed'")
    bad, good = lab.finish({"empty": "1"}), lab.finish({"a": "1"})
    report = lab.run()
    lab.assert_landed_once(good)
    lab.assert_not_landed(bad)
    assert [back.summary for back in report.sent_back] == [
        "gate test could not run: the test runner ran no test (exit 5)"
    ]


def test_an_untrusted_gate_does_not_run(lab):
    ran = lab.path / "ran"
    lab.gate(f"touch {ran}")
    entry = lab.finish({"a": "1"})
    remote = str(lab.path / "town.git")
    plain_git(lab.root, "clone", "-q", "--bare", lab.root, remote)
    plain_git(lab.root, "remote", "add", "origin", remote)
    claims.claim(lab.town, entry.source, 1, claimant=entry.worker)

    def confirm(change):
        merge = change.bead(entry.id)
        merge.set("fence", 1)
        change.save(merge)
        work = change.bead(entry.source)
        work.set("machine", lab.town.machine)  # as whoever claims it leaves it
        change.save(work)

    lab.town.transact("claim", confirm)
    report = lab.run()
    assert "not trusted" in report.could_not_run[0][1]
    assert "gt trust add" in report.could_not_run[0][1]
    assert not ran.exists()
    lab.assert_not_landed(entry)


def test_a_timed_out_gate_leaves_no_process(lab):
    """Nor one in a session of its own, which the signals to its group do not reach, and which will not hear TERM."""
    near, far = lab.path / "near", lab.path / "far"
    own = f"trap \"\" TERM; echo $$ > {far}; while :; do sleep 1; done"
    lab.gate(f"setsid sh -c '{own}' & sleep 60 & echo $! > {near}; wait", timeout="1s")
    lab.finish({"a": "1"})
    lab.run()
    for pid in (near, far):
        state = Path(f"/proc/{pid.read_text().strip()}/stat")
        assert not state.exists() or state.read_text().split()[2] in "ZX"


def test_what_a_gate_leaves_behind_at_its_own_end_is_named_and_ended_on_request(lab):
    """It may be a server for the next build; nothing that could be another's is touched."""
    pid = lab.path / "pid"
    lab.gate(f"setsid sh -c 'echo $$ > {pid}; exec sleep 300' & until [ -s {pid} ]; do sleep 0.01; done")
    lab.finish({"a": "1"})
    assert lab.child("refinery.run_once(town, RIG)") == 0, lab.child_said
    left = processes.proc(int(pid.read_text()))
    other = marked.new(lab.root)  # as of a command that runs now: we live
    running = subprocess.Popen(["sleep", "300"], env={**os.environ, marked.NAME: other})
    try:
        assert processes.alive(left)
        (found,) = (one for one in doctor.examine(lab.town) if one.check == "gates")
        assert found.text == f"process {left.pid} was left running by a gate or the setup of rig {RIG}: sleep 300"
        assert found.hint == "gt doctor --fix ends it"
        doctor.examine(lab.town, fix=True)
        assert not processes.alive(left)
        assert running.poll() is None
        assert marked.end(other, 1.0)
        assert running.wait(5) == -signal.SIGTERM
    finally:
        running.kill()
        running.wait()


def test_a_gate_that_prints_without_end_keeps_the_end_of_its_log_and_goes_on(lab):
    here = f"find {lab.root}/.gt/log/gates -name '*-test.log' -size +{shell.LOG_MOST >> 20}M"
    noise = f"head -c {2 * shell.LOG_MOST} /dev/zero | tr '\\0' x; echo"
    # It goes on once its log is short: it is cut while the gate runs.
    lab.gate(f"{noise}; while [ -n \"$({here})\" ]; do sleep 0.05; done; echo the end; exit 3", timeout="2m")
    lab.finish({"a": "1"})
    report = lab.run()
    logs = list(Path(lab.root, ".gt/log/gates").rglob("*-test.log"))
    assert logs
    assert all(log.stat().st_size < shell.LOG_MOST for log in logs)
    assert all("the log had grown past 16 MiB" in log.read_text() for log in logs)
    assert all(log.read_text().splitlines()[-1] == "the end" for log in logs)
    assert "exit 3" in why_of(report)


def test_a_line_without_end_does_not_fill_the_notes(lab):
    lab.gate("! test -e a || { head -c 100000 /dev/zero; false; }")
    entry = lab.finish({"a": "1"})
    assert [back.reason for back in lab.run().sent_back] == ["gate_failed"]
    path = lab.town.bead(entry.source).path
    assert len(lab.town.read(path)) < 10_000


def why_of(report) -> str:
    return " ".join([why for _, why in report.waiting] + [back.summary for back in report.sent_back])


def test_logs_of_gates_go_when_they_are_old_or_too_much_in_all(lab, monkeypatch):
    lab.gate("true")
    lab.finish({"a": "1"})
    lab.run()
    top = Path(lab.root, ".gt/log/gates")
    (today,) = top.iterdir()
    now = lab.town.clock()
    for number, (day, age) in enumerate({"2026-11-01": 22, "2026-11-20": 3, "2026-11-21": 2, "mine": 40}.items()):
        (top / day).mkdir()
        (top / day / f"{number}.log").write_text("x" * 1000)
        os.utime(top / day / f"{number}.log", (now - age * 86400, now - age * 86400))
    assert gatelogs.prune(lab.town) == 1
    assert sorted(one.name for one in top.iterdir()) == ["2026-11-20", "2026-11-21", today.name, "mine"]
    monkeypatch.setattr(gatelogs, "MOST", 1500)
    packing.Pack("town", "an hour has gone by").apply(lab.town)
    assert sorted(one.name for one in top.rglob("*.log")) == sorted(["2.log", "3.log", *os.listdir(today)])
    assert gatelogs.prune(lab.town) == 0


def test_what_a_gate_sees_of_the_environment(lab, monkeypatch):
    monkeypatch.setenv("GT_ACTOR", "mayor")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    seen = lab.path / "seen"
    lab.gate(f"env > {seen}")
    lab.finish({"a": "1"})
    lab.run()
    lines = seen.read_text().splitlines()
    assert {f"GT_RIG={RIG}", "CI=true"} <= set(lines)
    assert not [line for line in lines if line.startswith(("GT_ACTOR", "GIT_DIR"))]


def test_a_gates_own_retries(lab):
    count = lab.path / "count"
    lab.gate(f"echo x >> {count}; [ $(wc -l < {count}) -ge 3 ]", retries=2)
    entry = lab.finish({"a": "1"})
    lab.run()
    lab.assert_landed_once(entry)
    assert "flaky" not in lab.feed("merged")[0]


def test_what_is_held_rests_until_something_changes(lab):
    lab.gate("no-such-command")
    assert not refinery.due(lab.town, RIG)
    lab.finish({"a": "1"})
    assert refinery.due(lab.town, RIG)
    lab.run()
    assert not refinery.due(lab.town, RIG)
    lab.gate("true")
    assert refinery.due(lab.town, RIG), "other gates"
    lab.gate("no-such-command")
    assert not refinery.due(lab.town, RIG)
    lab.finish({"b": "1"})
    assert refinery.due(lab.town, RIG), "other work"
    lab.run()
    later = open_town(lab.root, clock=lambda: lab.clock() + 120)
    assert refinery.due(later, RIG), "its cause may be gone"


# -- what surrounds the gates is broken -----------------------------------------------------------
@pytest.mark.parametrize("code", [127, 1])
def test_a_tool_that_is_gone_is_not_blamed_on_the_work(lab, code):
    """Though the target has passed with it before. Each blame would start the worker once more for nothing."""
    up = lab.path / "up"
    up.touch()
    lab.gate(f"[ -f {up} ] || exit {code}; ! ls | grep -q bad")
    bad = lab.finish({"bad": "1"})
    assert [back.bead for back in lab.run().sent_back] == [bad.source]
    up.unlink()
    one, two = lab.finish({"a": "1"}), lab.finish({"b": "1"})
    for _ in range(2):
        report = lab.run()
        assert (report.landed, report.sent_back) == ((), ())
        assert {merge for merge, _ in report.waiting} == {one.id, two.id}
        assert all(lab.status(entry) == ("merging", "open", "") for entry in (one, two))
    up.touch()
    worse = lab.finish({"bad2": "1"})
    report = lab.run()
    lab.assert_landed_once(one, two)
    assert [back.bead for back in report.sent_back] == [worse.source]


def test_what_breaks_while_the_culprit_is_looked_for_is_not_blamed_on_the_work(lab):
    count = lab.path / "count"
    # The stack, once more, the bare target, the first half of the stack; then nothing passes any more.
    lab.gate(f"echo x >> {count}; [ $(wc -l < {count}) -le 4 ] || exit 1; ! ls | grep -q bad")
    entries = [lab.finish({name: "1"}) for name in ("a", "b", "c", "bad")]
    report = lab.run()
    lab.assert_landed_once(*entries[:2])
    assert report.sent_back == ()
    assert {merge for merge, _ in report.waiting} == {entry.id for entry in entries[2:]}
    assert all("it is not the work" in why for _, why in report.waiting)
    count.unlink()
    assert [back.bead for back in lab.run().sent_back] == [entries[3].source]
    lab.assert_landed_once(*entries[:3])


def test_a_red_change_costs_one_run_of_a_target_that_is_known_to_pass(lab):
    runs = lab.path / "runs"
    lab.gate(f"git rev-parse HEAD >> {runs}; ! ls | grep -q bad")
    for name in ("bad1", "bad2"):
        lab.finish({name: "1"})
        assert lab.run().sent_back
    assert runs.read_text().split().count(lab.main()) == 2


def test_a_worktree_that_cannot_be_made_again_holds_what_was_to_be_tested(lab):
    gone = lab.path / "gone"
    lab.configure(setup=[f"[ ! -f {gone} ]"])
    lab.gate(f"[ -f {gone} ] || {{ touch {gone}; rm -rf .git; false; }}")
    entry = lab.finish({"a": "1"})
    report = lab.run()
    assert report.sent_back == ()
    assert "the rig's setup failed" in dict(report.waiting)[entry.id]
    gone.unlink()
    lab.gate("true")
    lab.run()
    lab.assert_landed_once(entry)


# -- a red target ---------------------------------------------------------------------------------
def test_nothing_lands_on_a_red_target_and_it_says_so(lab):
    runs = lab.path / "runs"
    lab.push({"broken": "1"})
    lab.gate(f"git rev-parse HEAD >> {runs}; ! test -f broken")
    one, two = lab.finish({"a": "1"}), lab.finish({"b": "1"})
    report = lab.run()
    assert (report.landed, report.sent_back) == ((), ())
    assert all("main itself is red at " in why for _, why in report.waiting)
    lab.assert_not_landed(one, two)
    lab.run()
    assert runs.read_text().split().count(lab.main()) == 1, "the bare target is asked once"


def test_what_mends_a_red_target_lands_and_then_the_others(lab):
    lab.push({"broken": "1"})
    lab.gate("! grep -q 1 broken && ! test -f bad")
    fix, other, bad = lab.finish({"broken": "0"}), lab.finish({"a": "1"}), lab.finish({"bad": "1"})
    report = lab.run()
    lab.assert_landed_once(fix, other)
    lab.assert_not_landed(bad)
    assert [back.bead for back in report.sent_back] == [bad.source]


def test_the_overseer_may_override_for_this_commit_on_this_target(lab):
    lab.push({"broken": "1"})
    lab.gate("! test -f broken")
    one, two = lab.finish({"a": "1"}), lab.finish({"b": "1"})
    with pytest.raises(Refused, match="not known to be red"):
        sentback.retry(lab.town, one.id, override=True)
    lab.run()
    with pytest.raises(Refused, match="only the overseer"):
        sentback.retry(open_town(lab.root, actor=f"{RIG}/cat1"), one.id, override=True)
    sentback.retry(lab.town, one.id, override=True)
    report = lab.run()
    assert [bead for _, bead, _ in report.landed] == [one.source]
    lab.assert_landed_once(one)
    lab.assert_not_landed(two)
    assert "override" in lab.feed("merged")[0]


def test_an_override_does_not_hold_for_another_target(lab):
    lab.push({"broken": "1"})
    lab.gate("! test -f broken")
    entry = lab.finish({"a": "1"})
    lab.run()
    sentback.retry(lab.town, entry.source, override=True)
    lab.push({"broken": "2"})
    assert lab.run().landed == ()
    lab.assert_not_landed(entry)


# -- retry and reject -----------------------------------------------------------------------------
def test_a_rejection_needs_a_reason_and_reaches_the_worker(lab):
    entry = lab.finish({"a": "1"})
    with pytest.raises(UsageError, match="needs a reason"):
        sentback.reject(lab.town, entry.id, why=" ")
    sentback.reject(lab.town, entry.source, why="not like this")
    assert lab.status(entry) == ("in_progress", "closed", "rejected")
    (message,) = Path(lab.root, "mail", RIG, "cat1", "new").glob("[!.]*")
    assert "not like this" in message.read_text()
    assert "not like this" in lab.town.bead(entry.source).notes[-1]["text"]
    assert lab.run().landed == ()
    with pytest.raises(UsageError, match="closed: rejected"):
        sentback.reject(lab.town, entry.id, why="again")


def test_a_rejected_entry_can_be_tried_again(lab):
    entry = lab.finish({"a": "1"})
    sentback.reject(lab.town, entry.id, why="not now")
    sentback.retry(lab.town, entry.id)
    lab.run()
    lab.assert_landed_once(entry)


def test_what_was_set_aside_is_tried_again_when_a_person_says_so(lab):
    ok = lab.path / "ok"
    lab.gate(f"! test -f bad || test -f {ok}")
    entry = lab.finish({"bad": "1"}, worker="toast")
    for attempt in (2, 3):
        lab.run()
        branch = f"polecat/toast/{entry.source}.a{attempt}"
        entry = lab.hand_in(entry.source, branch, ({"bad": str(attempt)},), f"{RIG}/toast")
    lab.run()
    assert [one.set_aside for one in lab.queue()] == [True]
    ok.touch()
    assert lab.run().landed == ()
    sentback.retry(lab.town, entry.source)
    lab.run()
    lab.assert_landed_once(entry)
