"""What lands, what is sent back, what waits: real git, real gates."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastown.runtime import clones, git
from gastown.services.agents import worksite
from gastown.services.refinery import attempt, refinery
from gastown.services.settings import config
from gastown.store import flock
from tests.services.refinery_lab import RIG, Lab
from tests.store.towns import git as plain_git


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


@pytest.mark.parametrize("merge", ["rebase", "squash", "merge"])
def test_a_batch_lands_as_one_stack_and_is_recorded(tmp_path, merge):
    lab = Lab(tmp_path, merge=merge)
    lab.gate("test -f list.txt")
    one, two = lab.finish({"a": "1"}, {"a": "2"}), lab.finish({"b": "1"})
    report = lab.run()
    assert [bead for _, bead, _ in report.landed] == [one.source, two.source]
    # A merge keeps the worker's own commits and adds its merge commit; a squash has one commit.
    lab.assert_landed_once(one, commits={"rebase": 2, "squash": 1, "merge": 3}[merge])
    lab.assert_landed_once(two, commits={"rebase": 1, "squash": 1, "merge": 2}[merge])
    assert lab.file("a") == "2"
    assert lab.kinds().count("pushed") == 1
    assert plain_git(lab.root, "status", "--porcelain") == ""
    assert plain_git(lab.root, "fsck", "--strict", "--no-dangling") == ""


def test_who_worked_is_told_and_the_branches_go(lab):
    entry = lab.finish({"a": "1"})
    lab.run()
    assert "no gates" in lab.feed("merged")[0]
    (message,) = Path(lab.root, "mail", RIG, "cat1", "new").glob("[!.]*")
    assert f"Subject: merged: {entry.source}" in message.read_text()
    assert git.run(["for-each-ref", "refs/heads/polecat", "refs/remotes/origin/polecat"], cwd=lab.bare).out == b""
    assert git.run(["for-each-ref", "refs/heads/polecat"], cwd=lab.origin).out == b""
    tree = Path(lab.root, "work", RIG, "cat1")
    assert git.text(["rev-parse", "HEAD"], cwd=tree) == lab.main(), "the worker's worktree stays, on what landed"


@pytest.mark.parametrize("merge", ["rebase", "squash", "merge"])
def test_a_landing_that_somebody_took_back_in_the_town_is_recorded_again(tmp_path, merge):
    """The work is on the target, whatever a `git revert` made the town say; its branch is gone as it should be."""
    lab = Lab(tmp_path, merge=merge)
    entry = lab.finish({"a": "1"}, {"a": "2"})
    lab.run()
    landed = plain_git(lab.root, "log", "--format=%H", "--grep=^merged", "-1")
    plain_git(lab.root, "-c", "user.name=a", "-c", "user.email=a@b", "revert", "--no-edit", landed)
    lab.town.refresh()
    assert lab.status(entry)[:2] == ("merging", "open")
    lab.run()
    lab.assert_landed_once(entry, commits={"rebase": 2, "squash": 1, "merge": 3}[merge])


def test_a_landed_branch_is_put_away_under_the_lock_that_gives_worktrees_their_next_work(lab, monkeypatch):
    """Else a worker that is given work at that moment is switched back, or its commits seem to be nowhere."""
    look, got = clones.branch_checked_out_at, []

    def spy(repo, branch):
        with flock.hold(Path(repo, "gt.lock"), timeout=0) as handle:
            got.append(handle)
        return look(repo, branch)

    monkeypatch.setattr(clones, "branch_checked_out_at", spy)
    lab.finish({"a": "1"})
    lab.run()
    assert got
    assert set(got) == {None}, "nobody else could have it"


def test_a_worktree_is_given_its_next_work_while_its_last_branch_lands(lab, monkeypatch):
    """Between the look at what is unsaved in it and the switch its branch goes; nothing of that is unsaved work."""
    lab.finish({"a": "1"})
    lab.push({"b": "1"})  # so that other commits land than were handed in
    save = worksite.save

    def land_after_it(*args):
        found = save(*args)
        if not lab.feed("merged"):
            lab.run()
        return found

    monkeypatch.setattr(worksite, "save", land_after_it)
    rig = lab.town.rig(RIG)
    site = worksite.prepare(lab.town, rig, "cat1", "polecat/cat1/next.a1", "refs/remotes/origin/main")
    assert lab.feed("merged")
    assert (site.fresh, site.rescued) == (False, "")
    assert git.text(["symbolic-ref", "--short", "HEAD"], cwd=site.path) == "polecat/cat1/next.a1"


def test_what_lies_in_the_workers_worktree_stays(lab):
    lab.finish({"a": "1"})
    tree = Path(lab.root, "work", RIG, "cat1")
    (tree / "list.txt").write_text("begun after gt done")
    (tree / "new").write_text("untracked")
    lab.push({"list.txt": "changed elsewhere\n"})
    lab.run()
    assert (tree / "list.txt").read_text() == "begun after gt done"
    assert (tree / "new").read_text() == "untracked"
    assert git.run(["for-each-ref", "refs/heads/polecat"], cwd=lab.bare).out == b""


def test_an_empty_queue_does_nothing(lab):
    before = git.text(["rev-parse", "HEAD"], cwd=lab.root)
    report = lab.run()
    assert (report.landed, report.waiting, report.messages) == ((), (), ())
    assert git.text(["rev-parse", "HEAD"], cwd=lab.root) == before


def test_a_conflict_is_sent_back_with_both_sides_and_the_rest_lands(lab):
    one = lab.finish({"list.txt": "one\ntwo\nthree\nfrom one\n"})
    two = lab.finish({"list.txt": "one\ntwo\nthree\nfrom two\n"})
    three = lab.finish({"c": "1"})
    report = lab.run()
    lab.assert_landed_once(one, three)
    lab.assert_not_landed(two)
    (back,) = report.sent_back
    assert (back.bead, back.reason, back.attempts) == (two.source, "conflict", 1)
    merge = lab.town.bead(two.id)
    assert (merge.closed["reason"], merge.attempts) == ("conflict", 1)
    note = lab.town.bead(two.source).notes[-1]["text"]
    assert "conflict with main in list.txt" in note
    assert "from one" in note
    assert "from two" in note
    assert lab.file("list.txt").endswith("from one"), "no line of what has landed is dropped"


def test_a_conflict_of_the_second_commit_alone_is_sent_back(lab):
    entry = lab.finish({"a": "1"}, {"list.txt": "one\ntwo\nthree\nmine\n"})
    lab.push({"list.txt": "one\ntwo\nthree\ntheirs\n"})
    report = lab.run()
    assert [(back.bead, back.reason) for back in report.sent_back] == [(entry.source, "conflict")]
    assert lab.kinds().count("stacked") == 1


def test_a_try_that_changes_nothing_is_not_repeated_for_ever(lab, monkeypatch):
    entry = lab.finish({"a": "1"})
    lab.gate("true")
    monkeypatch.setattr(attempt, "_judge", lambda *_: None)
    ((waits, why),) = lab.run().waiting
    assert waits == entry.id
    assert "has changed nothing" in why
    monkeypatch.undo()
    assert [one for one, _, _ in lab.run().landed] == [entry.id]


BAD = "! ls | grep -q bad"


@pytest.mark.parametrize("bad", [{2}, {0, 3}, {0, 1, 2, 3, 4}, {4}])
def test_bisect_lands_the_good_and_sends_the_culprits_back(lab, bad):
    lab.gate(BAD)
    entries = [lab.finish({f"bad{n}" if n in bad else f"good{n}": "1"}) for n in range(5)]
    report = lab.run()
    good = [entry for n, entry in enumerate(entries) if n not in bad]
    culprits = [entry for n, entry in enumerate(entries) if n in bad]
    lab.assert_landed_once(*good)
    lab.assert_not_landed(*culprits)
    assert sorted(back.bead for back in report.sent_back) == sorted(entry.source for entry in culprits)
    for entry in culprits:
        work = lab.town.bead(entry.source)
        assert lab.town.bead(entry.id).closed["reason"] == "gate_failed"
        assert "gate test failed: exit 1" in work.notes[-1]["text"]
    assert len(lab.feed("bisect")) == 1


def test_what_is_red_only_together_sends_back_the_later(lab):
    lab.gate("! (test -f a && test -f b)")
    one, two, three = lab.finish({"a": "1"}), lab.finish({"b": "1"}), lab.finish({"c": "1"})
    report = lab.run()
    lab.assert_landed_once(one, three)
    assert [back.bead for back in report.sent_back] == [two.source]


def test_what_lands_was_tested_as_it_lands(lab):
    tested = lab.path / "tested"
    lab.gate(f"git rev-parse HEAD >> {tested}; {BAD}")
    for n in range(4):
        lab.finish({f"bad{n}" if n == 1 else f"good{n}": "1"})
    lab.run()
    assert lab.main() in tested.read_text().split()


def test_a_flaky_gate_gets_one_more_chance(lab):
    once = lab.path / "once"
    lab.gate(f"test -f {once} || {{ touch {once}; exit 1; }}")
    entry = lab.finish({"a": "1"})
    assert lab.run().sent_back == ()
    lab.assert_landed_once(entry)
    assert "flaky" in lab.feed("merged")[0]


def test_the_failures_last_sixty_lines_reach_the_note(lab):
    lab.gate("i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo line $i of the failure; done; ! test -f bad")
    entry = lab.finish({"bad": "1"})
    lab.run()
    note = lab.town.bead(entry.source).notes[-1]["text"]
    assert "line 100 of the failure" in note
    assert "line 41 of the failure" in note
    assert "line 40 of the failure" not in note


def test_after_three_attempts_a_person_is_asked_and_others_go_on(lab, tmp_path):
    config.set_value(lab.town, "escalation.commands.high", f'echo "$GT_SOURCE" >> {tmp_path}/paged')
    lab.gate(BAD)
    entry = lab.finish({"bad": "1"}, worker="toast")
    for number in (1, 2):
        lab.run()
        assert lab.status(entry) == ("in_progress", "closed", "gate_failed")
        branch = f"polecat/toast/{entry.source}.a{number + 1}"
        entry = lab.hand_in(entry.source, branch, ({"bad": str(number)},), f"{RIG}/toast")
    other = lab.finish({"good": "1"})
    report = lab.run()
    lab.assert_landed_once(other)
    lab.assert_not_landed(entry)
    assert lab.status(entry) == ("merging", "open", "")
    assert [one.set_aside for one in lab.queue()] == [True]
    (back,) = [one for one in report.sent_back if one.bead == entry.source]
    escalation = lab.town.bead(back.escalation)
    assert (escalation.type, escalation.doc["severity"], escalation.status) == ("escalation", "high", "open")
    assert list(Path(lab.root, "mail", "overseer", "new").glob("[!.]*"))
    assert (tmp_path / "paged").read_text() == f"{entry.source}\n"
    assert "gt mq retry" in report.waiting[0][1]
    assert lab.run().sent_back == (), "it is not tried again by itself"


def test_what_is_on_the_target_already_is_closed_with_the_commit_that_holds_it(lab):
    entry = lab.finish({"a": "1"})
    lab.push({"z": "first"})
    git.run(["fetch", "-q", "origin"], cwd=lab.other)
    git.run(["cherry-pick", entry.commit], cwd=lab.other, env=git.author_env("Ada", "ada@x"))
    git.run(["push", "-q", "origin", "HEAD:main"], cwd=lab.other)
    holder = lab.main()
    lab.push({"a": "changed since"})
    lab.run()
    lab.assert_landed_once(entry)
    assert lab.town.bead(entry.source).closed["commit"] == holder
    assert "pushed" not in lab.kinds()


def test_work_whose_like_was_reverted_on_the_target_lands_and_is_not_just_said_to(lab):
    """Two made the same change; the first landed, and a person took that back. The second is on no target then."""
    lab.configure(batch=1)
    first, second = lab.finish({"new": "1"}), lab.finish({"new": "1"}, priority=3)
    reverted: list[str] = []

    def revert(step):
        if step.kind == "merged" and not reverted:
            git.run(["fetch", "-q"], cwd=lab.other)
            git.run(["reset", "-q", "--hard", "origin/main"], cwd=lab.other)
            git.run(["revert", "--no-edit", "HEAD"], cwd=lab.other, env=git.author_env("Ada", "ada@x"))
            git.run(["push", "-q", "origin", "HEAD:main"], cwd=lab.other)
            reverted.append(lab.main())

    lab.run(revert)
    assert reverted
    lab.assert_landed_once(first, second)
    assert lab.file("new") == "1"
    assert plain_git(lab.origin, "rev-parse", "main~1") == reverted[0]


@pytest.mark.parametrize("merge", ["rebase", "squash", "merge"])
def test_two_that_differ_in_white_space_alone_are_a_conflict(tmp_path, merge):
    lab = Lab(tmp_path, merge=merge)
    lab.push({"code": "a()\n  b()\nc()\n"})
    deeper, flat = lab.finish({"code": "a()\n    b()\nc()\n"}), lab.finish({"code": "a()\nb()\nc()\n"})
    report = lab.run()
    assert [(one.bead, one.reason) for one in report.sent_back] == [(flat.source, "conflict")]
    lab.assert_landed_once(deeper, commits=2 if merge == "merge" else 1)
    lab.assert_not_landed(flat)
    assert git.text(["rev-parse", flat.branch], cwd=lab.bare) == flat.commit
    assert lab.file("code") == "a()\n    b()\nc()"


def test_an_older_attempt_does_not_land(lab):
    entry = lab.finish({"a": "1"})

    def body(change):
        work = change.bead(entry.source)
        work.move("in_progress")
        work.set("branch", f"polecat/other/{entry.source}.a2")
        work.set("assignee", f"{RIG}/other")
        change.save(work)
        change.emit("claim", "taken over")

    lab.town.transact("claim", body)
    lab.run()
    lab.assert_not_landed(entry)
    assert lab.status(entry) == ("in_progress", "closed", "superseded")
    assert git.run(["rev-parse", entry.branch], cwd=lab.bare).text == entry.commit, "its work is kept"


def test_one_refinery_of_a_rig_at_a_time(lab):
    lab.gate("true")
    lab.finish({"a": "1"})
    lost: list[str] = []

    def again(step):
        if step.kind == "gate":
            code = lab.child("from gastown.model.errors import RaceLost\n"
                             "try:\n    refinery.run_once(town, RIG)\n"
                             "except RaceLost as error:\n    print(error); sys.exit(3)\n")  # fmt: skip
            lost.append(f"{code} {lab.child_said}")

    lab.run(again)
    assert lost[0].startswith("3 the refinery of greenplace is run by process ")
    assert refinery.running(lab.town, RIG) == ""


def test_priority_decides_and_dirt_in_the_refinerys_worktree_does_not(lab):
    lab.configure(batch=1)
    later, urgent = lab.finish({"a": "1"}), lab.finish({"b": "1"}, priority=0)
    tree = Path(lab.root, "work", RIG, "refinery")
    report = lab.run(lambda step: (tree / "list.txt").write_text("dirt") if step.kind == "merged" else None)
    assert [bead for _, bead, _ in report.landed] == [urgent.source, later.source]
    assert lab.file("list.txt") == "one\ntwo\nthree"
