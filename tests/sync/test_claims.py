"""One winner: a bead is worked by one machine; who loses learns it before anything starts, and keeps what was made."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from gastown.deacon.loop import once
from gastown.model import times
from gastown.model.errors import GtError, NotFound, RaceLost, Refused
from gastown.model.row import Row
from gastown.services.beads import beads
from gastown.services.claims import claims
from gastown.services.health import status
from gastown.services.health.standing import Problem
from gastown.services.machines.exchange import exchange
from gastown.services.refinery import refinery
from gastown.services.rigs import rigs
from gastown.services.sessions import dispatch
from gastown.services.settings import trust
from gastown.services.sling import release, sling
from gastown.store.town import Town, open_town
from tests.conftest import PROJECT, Clock, git, gt_argv, run_gt
from tests.services.work_lab import eventually
from tests.sync.lab import RIG, Machines


def test_who_comes_second_is_told_the_holder_and_starts_nothing(machines: Machines) -> None:
    bead = machines.bead()
    first = machines.started(machines.here, bead, "sleep 60")
    lost = machines.refused(machines.there, bead)
    assert (lost.code, lost.exit_code) == ("race_lost", 3)
    assert f"claimed by {first.to} on anvil since" in lost.message
    assert machines.sessions(machines.there) == []
    assert not Path(machines.there.root, "work", RIG).exists() or list(
        Path(machines.there.root, "work", RIG).iterdir()
    ) == [Path(machines.there.root, "work", RIG, ".repo.git")]
    assert machines.here.bead(bead).fence == 1


def test_force_takes_what_is_known_to_be_held_and_nothing_else(machines: Machines) -> None:
    bead = machines.bead()
    machines.started(machines.here, bead, "sleep 60")
    assert machines.refused(machines.there, bead, force=True).code == "race_lost"
    machines.meet()
    machines.started(machines.there, bead, "sleep 60", force=True)
    assert exchange(machines.here).tenure.lost == [bead]
    assert machines.there.bead(bead).fence == 2


def garbage(machines: Machines, kind: str) -> str:
    """Something at the remote that is no claim."""
    remote = machines.ground.remote
    blob = subprocess.run(["git", "hash-object", "-w", "--stdin"], cwd=remote, input=b"x\n", capture_output=True,
                          check=True).stdout.decode().strip()  # fmt: skip
    if kind == "a tag":
        git("tag", "--annotate", "--message", "x", "odd", blob, cwd=remote)
    made = {"a blob": blob, "a tree": "main^{tree}", "a tag": "odd", "a commit": "main"}
    return git("rev-parse", made[kind], cwd=remote)


@pytest.mark.parametrize("kind", ["a blob", "a tree", "a tag", "a commit"])
def test_what_is_no_claim_keeps_its_bead_from_everybody_and_nothing_else(machines: Machines, kind: str) -> None:
    """It is named with the command that removes it, as long as it is there."""
    bead, other = machines.bead(), machines.bead("Other work")
    ref = f"refs/gt/claims/{bead}"
    git("update-ref", ref, garbage(machines, kind), cwd=machines.ground.remote)
    remove = f"git push origin :{ref}"
    for town in (machines.here, machines.there, machines.there):
        found = exchange(town).tenure
        assert ([one.ref for one in found.unreadable], found.trouble) == ([ref], [])
        assert remove in run_gt("sync", cwd=town.root).err
        assert [remove] == [one["command"] for one in run_gt("status", "--json", cwd=town.root).json["problems"]]
        assert remove in run_gt("doctor", cwd=town.root).out
        refused = machines.refused(town, bead)
        assert ref in refused.message
        assert remove in refused.hint
    machines.ended(machines.there, machines.started(machines.there, other))
    assert machines.refused(machines.here, bead, offline=True).code == "claim_unreadable"
    git("push", "--quiet", "--no-verify", "origin", f":{ref}", cwd=machines.here.root)
    machines.meet()
    assert run_gt("status", "--json", cwd=machines.there.root).json["problems"] == []
    machines.started(machines.there, bead)


@pytest.mark.parametrize("name", ["Not.An.Id", "a/b", "ap-abcd/ap-efgh", "\u202e", "refinery.A-B"])
def test_a_claim_with_an_odd_name_is_named_and_does_no_harm(machines: Machines, name: str) -> None:
    bead = machines.bead()
    git("update-ref", f"refs/gt/claims/{name}", "main", cwd=machines.ground.remote)
    found = exchange(machines.there).tenure
    assert [one.ref for one in found.unreadable] == [f"refs/gt/claims/{name}"]
    assert "\u202e" not in run_gt("sync", cwd=machines.there.root).err
    machines.started(machines.there, bead)
    git("update-ref", "-d", f"refs/gt/claims/{name}", cwd=machines.ground.remote)
    assert exchange(machines.there).tenure.unreadable == []


def test_a_claim_of_another_bead_is_none_and_what_is_worked_on_goes_on(machines: Machines) -> None:
    bead = machines.bead()
    done = machines.started(machines.here, bead, "sleep 60")
    mine, remote = f"refs/gt/claims/{bead}", machines.ground.remote
    git("update-ref", "refs/gt/claims/ap-0000", mine, cwd=remote)
    assert [one.why for one in exchange(machines.there).tenure.unreadable] == [f"it is one on {bead}"]
    git("update-ref", "-d", "refs/gt/claims/ap-0000", cwd=remote)
    git("update-ref", mine, "main", cwd=remote)
    found = exchange(machines.here).tenure
    assert ([one.ref for one in found.unreadable], found.lost) == ([mine], [])
    assert machines.here.bead(bead).assignee == done.to


def test_work_made_here_lands_there_and_its_claim_is_given_back(machines: Machines) -> None:
    bead = machines.bead()
    done = machines.started(machines.there, bead)
    assert machines.ended(machines.there, done).status == "merging"
    assert machines.claims() == [bead]
    machines.meet()
    exchange(machines.there)
    report = machines.land(machines.here)
    assert [one[1] for one in report.landed] == [bead], report
    exchange(machines.here)
    found = exchange(machines.there)
    assert found.tenure.given_back == [bead]
    assert machines.claims() == []
    assert machines.there.bead(bead).closed["reason"] == "merged"
    assert "x" in git("ls-tree", "--name-only", "main", cwd=machines.origin).splitlines()


def test_polecats_of_two_machines_never_share_a_name(machines: Machines) -> None:
    one, other = machines.bead("one"), machines.bead("other")
    exchange(machines.here)
    here, there = machines.started(machines.here, one), machines.started(machines.there, other)
    assert here.to != there.to
    assert machines.there.load(f"rigs/app/polecats/{there.to.partition('/')[2]}.yaml")["machine"] == "brick"


def test_offline_nothing_starts_unless_it_is_said(machines: Machines) -> None:
    bead = machines.bead()
    machines.unplug()
    refused = machines.refused(machines.here, bead)
    assert (refused.code, refused.exit_code) == ("offline", 1)
    assert "--offline" in refused.hint
    done = machines.started(machines.here, bead, offline=True)
    assert machines.ended(machines.here, done).status == "merging"
    assert machines.here.bead(bead).fence is None
    waiting = machines.land(machines.here).waiting
    assert "not confirmed" in waiting[0][1] or "cannot be asked" in waiting[0][1]
    machines.plug()
    found = exchange(machines.here)
    assert found.tenure.confirmed == [bead]
    assert machines.here.bead(bead).fence == 1
    assert [one[1] for one in machines.land(machines.here).landed] == [bead]


def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The beads for which the remote is asked from now on."""
    found: list[str] = []
    ask = claims.claim

    def claim(town: Town, bead: str, *args: object, **options: object) -> object:
        found.append(bead)
        return ask(town, bead, *args, **options)

    monkeypatch.setattr(claims, "claim", claim)
    return found


def test_offline_the_remote_is_asked_once_for_a_batch_and_once_for_the_queue(machines: Machines, monkeypatch) -> None:
    works = [machines.bead(), machines.bead()]
    machines.unplug()
    found = asked(monkeypatch)
    report = sling.sling(machines.here, works, RIG, command=["true"], titles=["New"])
    assert [(one.work, one.code) for one in report.refused] == [(one, "offline") for one in (*works, "New")]
    assert found == works[:1]
    assert [row.title for row in machines.here.index().rows] == ["Some work"] * 2
    for one in works:
        with machines.here.change("queue") as change:
            dispatch.enqueue(change, change.bead(one), RIG, "later")
    trust.record(machines.here, "command", works[0], ["true"])
    found.clear()
    agent = {"agent": "exec", "command": ["true"]}
    for one in works:
        trust.record(machines.here, "command", one, ["true"])
        with machines.here.change("edit") as change:
            bead = change.bead(one)
            for key, value in agent.items():
                bead.set(key, value)
            change.save(bead)
    assert sling.dispatch_queued(machines.here) == []
    assert len(found) == 1
    assert {tuple(machines.here.bead(one).labels) for one in works} == {("queued",)}


def test_offline_new_work_is_named_so_that_nobody_makes_it_twice(machines: Machines) -> None:
    machines.unplug()
    (refused,) = machines.sling(machines.here, "Something new").refused
    (made,) = [row.id for row in machines.here.index().rows]
    assert refused.work == "Something new"
    assert refused.message.startswith(f"{made} was created, and not started: offline")
    assert f"gt sling {made} --offline" in refused.hint


def test_held_work_is_not_sent_to_another_machine_before_it_is_released(machines: Machines) -> None:
    bead = machines.bead()
    machines.started(machines.here, bead, "sleep 600")
    refused = machines.refused(machines.here, bead, machine="brick", force=True)
    assert f"{bead} is held by" in refused.message
    assert refused.hint == f"first: gt release {bead}"


def test_what_was_forced_for_another_machine_starts_there(machines: Machines) -> None:
    own = beads.create(machines.here, beads.Draft("The town's own", rig="town")).id
    machines.sling(machines.here, own, "true", machine="brick", force=True)
    exchange(machines.here)
    exchange(machines.there)
    trust.record(machines.there, "command", own, ["sh", "-c", "true"])
    assert [one.bead for one in sling.dispatch_queued(machines.there)] == [own]


def test_offline_work_that_somebody_else_has_goes_on_with_them_and_is_kept(machines: Machines) -> None:
    bead = machines.bead()
    machines.started(machines.there, bead, "sleep 60")
    machines.unplug()
    git("update-ref", "-d", f"refs/gt/claims/{bead}", cwd=machines.here.root)
    mine = machines.started(machines.here, bead, "echo mine > mine", offline=True)
    machines.ended(machines.here, mine)
    machines.plug()
    found = exchange(machines.here)
    assert found.tenure.lost == [bead]
    machines.meet()
    now = machines.here.bead(bead)
    assert (now.machine, now.status) == ("brick", machines.there.bead(bead).status)
    repo = Path(machines.here.root, "work", RIG, ".repo.git")
    kept = git("for-each-ref", "--format=%(refname)", "refs/gt/rescue", cwd=repo)
    assert f"claim-lost-{bead}.a1" in kept
    assert "mine" in git("ls-tree", "--name-only", kept.splitlines()[0], cwd=repo)
    assert any("lost" in str(note["text"]) for note in now.notes)
    events = [one["type"] for one in machines.here.events()]
    assert "claim_lost" in events
    assert machines.land(machines.here).landed == ()


def test_a_lapsed_lease_is_taken_over_and_the_old_holder_cannot_land(machines: Machines, clock) -> None:
    bead, go = machines.bead(), machines.ground.base / "go"
    old = machines.started(machines.there, bead, f"while [ ! -e {go} ]; do sleep 0.05; done; echo old > old")
    machines.meet()
    assert machines.sling(machines.here, bead).dispatched[0].unchanged
    since = times.text(clock.now)
    clock.advance(24 * 3600 + 700)
    report = machines.sling(machines.here, bead, "echo new > new")
    new = report.dispatched[0]
    assert (new.attempt, machines.here.bead(bead).fence) == (2, 2)
    (said,) = [text for text in report.messages if "taken over" in text]
    assert f"{bead} was taken over from {old.to} on brick, who had it since {since}, until " in said
    assert "a session may still work on it there" in said
    machines.ended(machines.here, new)
    go.touch()
    assert machines.ended(machines.there, old).status == "merging"
    lost = exchange(machines.there).tenure.lost
    assert lost == [bead]
    machines.meet()
    now = machines.there.bead(bead)
    assert (now.branch, now.machine) == (machines.here.bead(bead).branch, "anvil")
    old_branch = f"polecat/{old.to.partition('/')[2]}/{bead}.a1"
    repo = Path(machines.there.root, "work", RIG, ".repo.git")
    assert "old" in git("ls-tree", "--name-only", old_branch, cwd=repo)
    assert [one[1] for one in machines.land(machines.here).landed] == [bead]
    assert git("ls-tree", "--name-only", "main", cwd=machines.origin).splitlines() == ["README.md", "new"]


def test_a_clock_that_is_ahead_takes_nothing_away(machines: Machines, clock) -> None:
    bead = machines.bead()
    machines.started(machines.there, bead, "sleep 60")
    ahead = Clock(clock.now + 30 * 3600)
    fast = open_town(machines.here.root, clock=ahead)
    refused = machines.refused(fast, bead)
    assert refused.code == "race_lost"
    assert "by this clock that is over, but it was first seen here 0s ago" in refused.message
    assert release.release(fast, fast.bead(bead)).unchanged
    assert claims.current(fast, bead).machine == "brick"
    exchange(machines.there)
    # Its holder does not renew it in all the time in which it would if it lived.
    exchange(fast)
    ahead.advance(9 * 3600)
    assert machines.started(fast, bead, "true").attempt == 2


def test_a_claim_of_which_nothing_else_has_come_is_taken_away_by_force(machines: Machines) -> None:
    bead = machines.bead()
    claims.claim(machines.there, bead, 1, claimant="app/amber")
    assert "gt release" in machines.refused(machines.here, bead).hint
    assert release.release(machines.here, machines.here.bead(bead), force=True).former == "app/amber on brick"
    assert machines.claims() == []


def test_force_takes_open_work_from_nobody_but_whom_it_was_seen_with(machines: Machines) -> None:
    bead, cedar = machines.bead(), machines.ground.add("cedar")
    claims.claim(machines.there, bead, 1, claimant="app/amber")
    claims.refresh(machines.here)
    assert claims.release(machines.there, bead)
    claims.claim(cedar, bead, 1, claimant="app/birch")
    with pytest.raises(RaceLost, match=f"{bead} is claimed by app/birch on cedar"):
        release.release(machines.here, machines.here.bead(bead), force=True)
    assert claims.current(cedar, bead).machine == "cedar"
    assert machines.refused(machines.here, bead).code == "race_lost"
    # Now it is known here whose it is, and a claim that was renewed meanwhile is still the same.
    claims.claim(cedar, bead, 2, claimant="app/birch")
    assert release.release(machines.here, machines.here.bead(bead), force=True).former == "app/birch on cedar"
    assert machines.claims() == []


def test_force_takes_held_work_from_nobody_but_whom_it_was_seen_with(machines: Machines) -> None:
    bead, cedar = machines.bead(), machines.ground.add("cedar")
    machines.started(machines.there, bead, "sleep 60")
    machines.meet()
    seen = machines.here.bead(bead)
    release.release(machines.there, machines.there.bead(bead))
    exchange(machines.there)
    exchange(machines.there)
    exchange(cedar)
    claims.claim(cedar, bead, 2, claimant="app/birch")
    with pytest.raises(RaceLost, match=f"{bead} is claimed by app/birch on cedar"):
        release.release(machines.here, seen, force=True)
    assert machines.here.bead(bead).held
    assert claims.current(cedar, bead).claimant == "app/birch"
    assert release.release(machines.here, machines.here.bead(bead), force=True).former == "app/birch on cedar"
    assert machines.claims() == []
    with pytest.raises(RaceLost, match="was given to nobody meanwhile"):
        release.release(machines.here, seen, force=True)


def test_who_claims_what_force_has_freed_keeps_it(machines: Machines, monkeypatch) -> None:
    """Between the word that work is free and the end of its claim somebody else may be first."""
    bead, cedar = machines.bead(), machines.ground.add("cedar")
    machines.started(machines.there, bead, "sleep 60")
    machines.meet()

    def then(town: Town) -> None:
        exchange(town)
        exchange(machines.there)  # brick hears that it is free, and gives its claim back
        exchange(cedar)
        claims.claim(cedar, bead, 2, claimant="app/birch")

    monkeypatch.setattr("gastown.services.machines.exchange.exchange", then)
    release.release(machines.here, machines.here.bead(bead), force=True)
    assert claims.current(cedar, bead).claimant == "app/birch"


def test_a_claim_that_the_remote_does_not_let_go_is_told(machines: Machines) -> None:
    bead = machines.bead()
    claims.claim(machines.there, bead, 1, claimant="app/amber")
    claims.refresh(machines.here)
    hook = machines.ground.remote / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not by you >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(GtError, match=f"the remote keeps the claim of app/amber on brick on {bead}") as told:
        release.release(machines.here, machines.here.bead(bead), force=True)
    assert "not by you" in told.value.message


def test_a_holder_whose_clock_is_ahead_holds_no_longer_than_its_lease(machines: Machines, clock) -> None:
    bead = machines.bead()
    fast = open_town(machines.there.root, clock=Clock(clock.now + 90 * 3600))
    machines.started(fast, bead, "sleep 60")
    exchange(fast)
    exchange(machines.here)
    clock.advance(23 * 3600)
    assert not claims.lapsed(machines.here, claims.known(machines.here, bead))
    clock.advance(3600 + 700)
    assert machines.started(machines.here, bead, "true").attempt == 2


def test_what_was_handed_in_under_a_lower_fence_is_never_landed(machines: Machines) -> None:
    bead = machines.bead()
    machines.ended(machines.there, machines.started(machines.there, bead))
    machines.meet()
    claims.claim(machines.here, bead, 2, claimant="app/other", force=True)
    assert machines.land(machines.here).landed == ()
    merge = next(row for row in machines.here.index().rows if row.type == "merge" and row.source == bead)
    assert merge.closed_reason == "claim_lost"
    assert git("ls-tree", "--name-only", "main", cwd=machines.origin) == "README.md"


def handed_in(town: Town, bead: str) -> Row:
    """The merge bead of work, as a machine knows it."""
    return next(row for row in town.index().rows if row.type == "merge" and row.source == bead)


def test_what_was_handed_in_under_another_claim_of_the_same_number_is_never_landed(machines: Machines) -> None:
    """Where a claim went before its bead had come, the next one counts from where it knows."""
    bead = machines.bead()
    machines.ended(machines.there, machines.started(machines.there, bead))
    git("update-ref", "-d", f"refs/gt/claims/{bead}", cwd=machines.ground.remote)
    machines.started(machines.here, bead, "sleep 60")
    assert machines.here.bead(bead).fence == machines.there.bead(bead).fence == 1
    assert machines.land(machines.there).landed == ()
    assert handed_in(machines.there, bead).closed_reason == "claim_lost"
    assert git("ls-tree", "--name-only", "main", cwd=machines.origin) == "README.md"
    machines.meet()
    assert machines.there.bead(bead).assignee == machines.here.bead(bead).assignee
    assert machines.there.bead(bead).machine == "anvil"


def test_work_whose_claim_says_something_else_of_its_own_machine_waits_until_that_is_settled(
    machines: Machines,
) -> None:
    bead = machines.bead()
    machines.ended(machines.here, machines.started(machines.here, bead))
    claims.claim(machines.here, bead, 2, claimant="app/other")
    report = machines.land(machines.here)
    assert report.landed == ()
    assert [why for _, why in report.waiting] == [
        f"the claim on {bead} is app/other on anvil, attempt 2; gt sync settles it"
    ]
    exchange(machines.here)
    held = claims.current(machines.here, bead)
    assert (held.claimant, held.attempt, held.fence) == (machines.here.bead(bead).assignee, 1, 1)
    assert [one[1] for one in refinery.run_once(machines.here, RIG).landed] == [bead]


def test_work_closed_there_is_not_begun_here(machines: Machines) -> None:
    """The claim is free again, but only because the work is done; this clone has not heard of it yet."""
    bead = machines.bead()
    done = machines.started(machines.there, bead)
    machines.ended(machines.there, done)
    exchange(machines.there)
    machines.land(machines.there)
    exchange(machines.there)
    exchange(machines.there)
    assert machines.claims() == []
    assert machines.here.bead(bead).status == "open"
    report = machines.sling(machines.here, bead)
    assert not report.dispatched
    assert [one[0] for one in report.landed] == [bead]
    assert machines.sessions(machines.here) == []
    assert machines.claims() == []


def test_at_a_rewritten_remote_nothing_is_claimed_until_somebody_says_so(machines: Machines) -> None:
    old = git("rev-parse", "main", cwd=machines.ground.remote)
    bead, queued, handed = machines.bead(), machines.bead("Queued"), machines.bead("By another command")
    trust.record(machines.there, "command", queued, ["true"])
    with machines.there.change("queue") as change:
        waits = change.bead(queued)
        waits.set("command", ["true"])
        waits.set("agent", "exec")
        dispatch.enqueue(change, waits, RIG, "it waits")
    git("update-ref", "refs/heads/main", old, cwd=machines.ground.remote)
    for _ in range(3):
        refused = machines.refused(machines.there, bead)
        assert (refused.code, refused.exit_code) == ("refused", 5)
        assert "was rewritten" in refused.message
        assert "gt sync --accept-rewrite" in refused.hint
        assert sling.dispatch_queued(machines.there) == []
        with pytest.raises(Refused, match="was rewritten"):
            claims.claim(machines.there, handed, 1, claimant="app/amber")
    assert machines.claims() == machines.sessions(machines.there) == []
    assert dispatch.QUEUED in machines.there.bead(queued).labels
    exchange(machines.there, accept_rewrite=True)
    machines.started(machines.there, bead)
    assert [one.bead for one in sling.dispatch_queued(machines.there)] == [queued]


def test_a_persons_own_fetch_of_a_rewritten_remote_is_no_leave_to_claim(machines: Machines) -> None:
    old = git("rev-parse", "main", cwd=machines.ground.remote)
    bead = machines.bead()
    git("update-ref", "refs/heads/main", old, cwd=machines.ground.remote)
    git("fetch", "--quiet", "origin", cwd=machines.there.root)
    assert "was rewritten" in machines.refused(machines.there, bead).message
    assert machines.claims() == []


def test_released_elsewhere_by_force_is_told_and_free(machines: Machines) -> None:
    bead = machines.bead()
    machines.started(machines.there, bead, "sleep 60")
    exchange(machines.there)
    exchange(machines.here)
    release.release(machines.here, machines.here.bead(bead), force=True)
    assert machines.claims() == []
    exchange(machines.there)
    assert machines.there.bead(bead).status == "open"
    again = machines.started(machines.here, bead)
    assert machines.ended(machines.here, again).fence == 2


@pytest.mark.parametrize("damage", ["emptied", "removed"])
def test_a_claim_whose_note_is_lost_stays_with_who_works_on_it(machines: Machines, damage: str) -> None:
    bead = machines.bead()
    one = machines.started(machines.here, bead, "sleep 60")
    for note in note_of(machines.here, bead):
        note.write_text("") if damage == "emptied" else note.unlink()
    found = exchange(machines.here).tenure
    assert (found.lost, found.trouble) == ([], [])
    assert machines.here.bead(bead).assignee == one.to
    assert [one.bead for one in claims.held_here(machines.here)] == [bead]
    release.release(machines.here, machines.here.bead(bead))
    machines.meet()
    assert machines.claims() == []
    machines.started(machines.there, bead)


def test_a_claim_of_which_nothing_is_known_here_is_not_taken_for_lost(machines: Machines) -> None:
    """Names alone do not make it ours either: a copied disk has the same."""
    bead = machines.bead()
    one = machines.started(machines.here, bead, "sleep 60")
    # Its worker writes no more of it then.
    eventually(lambda: machines.here.bead(bead).status == "in_progress")
    for note in note_of(machines.here, bead):
        note.unlink()
    home = Path(machines.here.root, ".gt/run")
    (home / "hooks" / one.to.replace("/", "__")).unlink()
    (home / "sessions").rename(home / "elsewhere")
    found = exchange(machines.here).tenure
    (home / "elsewhere").rename(home / "sessions")
    assert found.lost == []
    assert [f"gt release {bead} --force" in error.hint for error in found.trouble] == [True]
    assert machines.here.bead(bead).assignee == one.to


def note_of(town: Town, bead: str) -> list[Path]:
    """Where a clone remembers that it claimed a bead."""
    found = list(Path(town.root).glob(f".g*/**/claims/{bead}.json"))
    assert found
    return found


def test_claims_as_branches_for_hosts_that_hide_other_refs(machines: Machines) -> None:
    with machines.here.change("config") as change:
        doc = change.load("town.yaml")
        doc["sync"] = {"claims": "branches"}
        change.put("town.yaml", doc)
    bead = machines.bead()
    machines.started(machines.here, bead, "sleep 60")
    assert f"refs/heads/gt-claims/{bead}" in git("for-each-ref", "--format=%(refname)", cwd=machines.ground.remote)
    assert machines.refused(machines.there, bead).code == "race_lost"
    exchange(machines.there)
    assert claims.held(machines.there, bead) is not None


def test_a_lease_is_renewed_long_before_it_ends(machines: Machines, clock) -> None:
    bead = machines.bead()
    machines.started(machines.here, bead, "sleep 60")
    before = claims.current(machines.here, bead)
    clock.advance(3 * 3600)
    exchange(machines.here)
    assert claims.current(machines.here, bead) == before
    clock.advance(4 * 3600)
    exchange(machines.here)
    after = claims.current(machines.here, bead)
    assert before is not None
    assert after is not None
    assert (after.until - before.until, after.fence) == (7 * 3600, before.fence)


def test_a_claim_whose_start_was_killed_is_given_back(machines: Machines) -> None:
    bead = machines.bead()
    claims.claim(machines.here, bead, 1, claimant="app/amber")
    assert machines.refused(machines.there, bead).code == "race_lost"
    assert exchange(machines.here).tenure.given_back == [bead]
    machines.started(machines.there, bead, "sleep 60")


def test_a_bead_that_cannot_be_read_keeps_no_other_claim(machines: Machines) -> None:
    here, broken, done = machines.here, machines.bead("Broken"), machines.bead("Done")
    machines.started(here, broken, "sleep 600")
    machines.started(here, done, "sleep 600")
    exchange(here)
    release.release(here, here.bead(done))
    path = Path(here.root, here.bead(broken).path)
    path.write_text(path.read_text() + "labels: [oops\n")
    found = exchange(here).tenure
    assert found.given_back == [done]
    assert machines.claims() == [broken]
    assert {path.name in one.message for one in found.trouble} == {True}


def test_one_machine_runs_a_rigs_refinery(machines: Machines) -> None:
    one, other = machines.bead("one"), machines.bead("other")
    for town, bead in ((machines.here, one), (machines.there, other)):
        machines.ended(town, machines.started(town, bead, f"echo {bead} > {bead}"))
    machines.meet()
    exchange(machines.there)
    assert len(machines.land(machines.here).landed) == 2
    late = machines.bead("late")
    machines.ended(machines.there, machines.started(machines.there, late))
    report = machines.land(machines.there)
    assert report.messages[0].startswith("the refinery of app runs on machine anvil since ")


def asleep(machines: Machines) -> str:
    """Work of brick that waits for the refinery, which anvil became before it fell asleep; its merge bead."""
    machines.ground.clock.now = time.time()  # the sessions and commands of machines have the real one
    first = machines.bead("first")
    machines.ended(machines.here, machines.started(machines.here, first))
    machines.land(machines.here)
    machines.meet()
    late = machines.bead("late")
    machines.ended(machines.there, machines.started(machines.there, late, "echo late > late"))
    exchange(machines.there)
    return next(row.id for row in machines.there.index().rows if row.type == "merge" and row.source == late)


def test_a_sleeping_machine_that_is_the_refinery_is_a_problem_after_minutes(machines: Machines, clock) -> None:
    merge = asleep(machines)
    assert [one for one in problems(machines.there) if one.kind == "refinery"] == []
    since = times.text(clock.now)
    clock.advance(660)
    (problem,) = [one for one in problems(machines.there) if one.kind == "refinery"]
    text = f"1 bead waits to be merged: the refinery of app runs on machine anvil since {since}, last heard of 10m ago"
    assert problem.text.startswith(text)
    assert problem.command == "gt mq run app --force"
    why = f"the refinery of app runs on machine anvil since {since}"
    ((name, later),) = [(p.name, one) for p, one in once(machines.there)[0] if one.subject == "app"]
    assert (name, later.kind) == ("merge queue", "later")
    assert later.why.startswith(why)
    forced = refinery.run_once(machines.there, RIG, force=True)
    assert [one[0] for one in forced.landed] == [merge]
    said = [one["text"] for one in machines.there.events() if one["type"] == "claim" and one.get("rig") == RIG]
    assert said[-1].startswith(f"the refinery of app runs on machine brick now; anvil had it since {since}")
    assert machines.land(machines.here).messages == ()
    assert [one for one in problems(machines.there) if one.kind == "refinery"] == []


def test_the_refinery_of_a_machine_that_sleeps_is_taken_over_when_its_lease_is_over(machines: Machines, clock) -> None:
    merge = asleep(machines)
    clock.advance(1800)
    assert not refinery.due(machines.there, RIG)
    clock.advance(660)
    assert refinery.due(machines.there, RIG)
    (action,) = [one for _, one in once(machines.there)[0] if one.subject == "app"]
    assert action.kind == "refine"
    assert "its hold on it is over, and the next run here takes it over" in action.why
    assert [one[0] for one in machines.land(machines.there).landed] == [merge]


def test_a_queue_that_waits_for_another_machine_says_so_wherever_it_is_asked(machines: Machines, clock) -> None:
    merge = asleep(machines)
    for words in (("mq", "list"), ("mq", "show", merge), ("refinery", "status"), ("mq", "run"), ("deacon", "plan")):
        ran = run_gt(*words, cwd=machines.there.root, code=None)
        assert "the refinery of app runs on machine anvil since " in ran.out + ran.err, words
    assert run_gt("mq", "list", "--json", cwd=machines.there.root).json[0]["why"].startswith("the refinery of app runs")
    ran = run_gt("mq", "run", "app", "--force", cwd=machines.there.root)
    assert ran.lines[-1].startswith("merged ")


def test_work_on_a_machine_that_is_silent_for_long_is_a_problem(machines: Machines, clock) -> None:
    clock.now = time.time()
    bead = machines.bead()
    held = machines.started(machines.there, bead, "sleep 60")
    machines.meet()
    clock.advance(8 * 3600)
    assert [one for one in problems(machines.here) if one.kind == "silent"] == []
    clock.advance(12 * 3600 + 60)
    (problem,) = [one for one in problems(machines.here) if one.kind == "silent"]
    text = f"{bead} is held by {held.to} on machine brick, last heard of 20h ago; its claim lapses at "
    assert problem.text.startswith(text)
    assert problem.command == f"gt sling {bead} --force"
    clock.advance(5 * 3600)
    (problem,) = [one for one in problems(machines.here) if one.kind == "silent"]
    assert "its claim has lapsed" in problem.text
    assert problem.command == f"gt sling {bead}"
    assert not machines.started(machines.here, bead, "true").unchanged


def problems(town: Town) -> list[Problem]:
    """What the status of a machine names."""
    return list(status.status(town, town).problems)


def race(towns: list[Town], beads: list[str]) -> list[str | None]:
    """Every town claims its bead at the same moment; who lost is None."""
    gate, won = threading.Barrier(len(towns)), [None] * len(towns)
    trouble: list[Exception] = []

    def run(number: int) -> None:
        gate.wait()
        try:
            won[number] = claims.claim(towns[number], beads[number], 1, claimant="app/amber").nonce
        except RaceLost:
            pass
        except Exception as error:
            trouble.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(towns))]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not trouble, trouble
    return won


def copies(machines: Machines, count: int) -> list[Town]:
    """Clones that are as alike as can be: one name, one claimant, one clock."""
    found = []
    for number in range(count):
        path = machines.ground.base / f"copy{number}"
        git("clone", "--quiet", str(machines.ground.remote), str(path), cwd=machines.ground.base)
        (path / ".gt").mkdir()
        (path / ".gt" / "machine.yaml").write_text("name: twin\n\nid: 0123456789abcdef\n")
        found.append(open_town(str(path), clock=machines.ground.clock))
    return found


@pytest.mark.parametrize("rounds", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_of_two_alike_racers_exactly_one_wins_each_round(machines: Machines, rounds: int) -> None:
    towns = copies(machines, 2)
    for number in range(rounds):
        won = race(towns, [f"ap-r{number:04d}"] * 2)
        assert sum(one is not None for one in won) == 1, number


def test_sixteen_racers_for_one_bead(machines: Machines) -> None:
    won = race(copies(machines, 16), ["ap-one01"] * 16)
    assert sum(one is not None for one in won) == 1


def test_sixteen_racers_for_sixteen_beads_all_win_at_once(machines: Machines, monkeypatch) -> None:
    pauses: list[int] = []
    monkeypatch.setattr(claims, "_pause", pauses.append)
    towns = copies(machines, 16)
    won = race(towns, [f"ap-b{number:04d}" for number in range(16)])
    assert all(won)
    assert pauses == []


def test_work_for_another_machine_waits_for_its_deacon(machines: Machines) -> None:
    bead = machines.bead()
    report = sling.sling(machines.here, [bead], RIG, command=["sh", "-c", "echo x > x"], machine="brick")
    assert [one.bead for one in report.queued] == [bead]
    assert machines.here.bead(bead).machine == "brick"
    assert sling.dispatch_queued(machines.here) == []
    trust.require(machines.here, "command", bead, ["sh", "-c", "echo x > x"])  # it was written here
    shown = run_gt("show", bead, cwd=machines.here.root).out
    assert "queued     for app on machine brick, by overseer" in shown
    exchange(machines.here)
    exchange(machines.there)
    # Its command came over the wire: it waits, and does nothing, until somebody there has read it.
    assert sling.dispatch_queued(machines.there) == []
    assert "queued" in machines.there.bead(bead).labels
    trust.record(machines.there, "command", bead, ["sh", "-c", "echo x > x"])
    started = sling.dispatch_queued(machines.there)
    assert [one.bead for one in started] == [bead]
    assert machines.ended(machines.there, started[0]).status == "merging"


def test_work_for_another_machine_is_followed_to_its_end(machines: Machines) -> None:
    """The command gives it away and waits; what the other machine does meanwhile is played here by hand."""
    bead = machines.bead()
    ran = subprocess.Popen(
        [*gt_argv(), "sling", bead, RIG, "--machine", "brick", "--wait", "--", "sh", "-c", "echo x > x"],
        cwd=machines.here.root, env={**os.environ, "PYTHONPATH": str(PROJECT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def arrived() -> bool:
        exchange(machines.there)
        return machines.there.bead(bead).machine == "brick"

    eventually(arrived)
    trust.record(machines.there, "command", bead, ["sh", "-c", "echo x > x"])
    machines.ended(machines.there, sling.dispatch_queued(machines.there)[0])
    assert [one[1] for one in machines.land(machines.there).landed] == [bead]
    exchange(machines.there)
    out, _ = ran.communicate(timeout=30)
    assert ran.returncode == 0, out
    assert out.splitlines()[-1].split() == [bead, "merged"]


def test_an_unknown_machine_is_refused_with_the_nearest(machines: Machines) -> None:
    with pytest.raises(NotFound) as error:
        sling.sling(machines.here, [machines.bead()], RIG, machine="brik")
    assert error.value.near == ("brick",)


def test_a_rig_that_lands_in_a_clone_is_worked_on_where_that_clone_is(machines: Machines, git_repo) -> None:
    checkout = git_repo("mine")
    rigs.add(machines.here, rigs.NewRig("mine", str(checkout), prefix="mi"), base=str(machines.ground.base))
    exchange(machines.here)
    exchange(machines.there)
    with pytest.raises(Refused, match="lands in a clone on machine anvil") as error:
        sling.sling(machines.there, ["Do something"], "mine", command=["true"])
    assert "--machine anvil" in error.value.hint
    there = run_gt("rig", "show", "mine", cwd=machines.there.root)
    assert "landed   in the clone on machine anvil; there gt rig show mine says how to pull it" in there.out
    assert "git -C" not in there.out
    assert "doctor" not in there.err
    assert "git -C" in run_gt("rig", "show", "mine", cwd=machines.here.root).out
