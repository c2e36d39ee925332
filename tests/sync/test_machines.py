"""Several machines and one town: who is seen, who is retired, what a name stands for, and words that travel."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gastown.model import times
from gastown.model.errors import GtError, InvalidFile, NotFound, Refused
from gastown.runtime import sessions, starting
from gastown.runtime.sessions import SessionSpec
from gastown.services.claims import claims, fences
from gastown.services.health import status
from gastown.services.machines import clocks, machine, rename
from gastown.services.machines.exchange import exchange
from gastown.services.mail import arrivals, mailbox, nudge
from gastown.services.remote import news
from gastown.services.sessions import attempts, dispatch
from gastown.services.sling import retire, scheduler  # fmt: skip
from gastown.services.sync.sync import has_news, sync
from gastown.store import identity, layout
from gastown.store.town import Town, open_town
from gastown.ui import status as render
from tests.conftest import PROJECT, Clock, git, gt_argv, run_gt
from tests.sync.ground import Ground, bead, check_clean, note, tree, update

TOAST = "greenplace/toast"
SID = "s-20261123-0a1b"


def staff(town: Town, *names: str) -> None:
    """Polecats of the rig."""
    with town.change("spawn") as change:
        for name in names:
            mark = {"at": change.at, "by": "overseer"}
            doc = {"name": name, "kind": "polecat", "rig": "greenplace", "created": mark}
            change.put(layout.worker_file("greenplace", "polecats", name), doc)
        change.emit("spawn", "staff")


def work(town: Town, title: str, where: str, who: str = TOAST, **fields: object) -> str:
    """A bead that somebody works on there, with an open session."""
    made = bead(town, title, assignee=who, machine=where, **{"status": "hooked", **fields})
    item = {"id": SID, "attempt": 1, "agent": "exec", "by": who, "machine": where, "started": times.text(town.clock())}
    update(town, made, branch=f"polecat/{who.partition('/')[2]}/{made}.a1", sessions=[item])
    return made


def both(ground: Ground) -> tuple[Town, Town]:
    """anvil and brick, with the polecats toast and nux, in step."""
    here = ground.towns["anvil"]
    staff(here, "toast", "nux")
    sync(here)
    there = ground.add("brick")
    sync(there)
    sync(here)
    return here, there


def test_the_list_tells_the_age_of_the_newest_news(ground: Ground, clock: Clock) -> None:
    here, there = ground.towns["anvil"], ground.add("brick")
    clock.advance(1800)
    bead(here)
    sync(here)
    sync(there)
    clock.advance(120)
    ages = {one.name: machine.heard_of(there, one) for one in machine.machines(there, "brick")[0]}
    assert ages["anvil"] == clock.now - 120
    assert "seen      now" not in run_gt("machine", "show", "anvil", cwd=there.root).out


def test_clocks_that_differ_are_named_by_whoever_sees_it(ground: Ground, clock: Clock) -> None:
    here, _ = both(ground)
    clock.now = time.time()
    there = open_town(str(ground.base / "brick"), clock=Clock(clock.now + 30 * 3600))
    bead(there, "By a clock that is ahead")
    exchange(there)
    assert [one.text for one in clocks.ahead(here)] == []
    ran = run_gt("sync", cwd=here.root)
    assert "warning: machine brick wrote what is dated " in ran.err
    assert "30h from now" in ran.err or "1d from now" in ran.err
    (problem,) = [one for one in status.status(here, here).problems if one.kind == "clock"]
    assert problem.subject == "brick"
    assert "its clock is ahead, or this one's is behind" in problem.text
    assert "machine brick wrote" in run_gt("doctor", cwd=here.root, code=None).out
    listed = next(line for line in run_gt("machine", "list", cwd=here.root).lines if line.startswith("brick"))
    assert listed.endswith("1d ahead of this clock")
    right = open_town(there.root, clock=clock)
    assert [one.here for one in clocks.ahead(right)] == [True]
    clock.advance(29 * 3600 + 60)
    assert clocks.ahead(here) == []


def test_it_is_told_where_a_rigs_refinery_runs(ground: Ground) -> None:
    there = ground.add("brick")
    source = bead(there, status="merging", assignee=TOAST, machine="anvil", branch="b")
    with there.change("create") as change:
        made = change.create("greenplace", title="Lands", type="merge", source=source, branch="b", target="main",
                             worker=TOAST, commit="9fceb02d0ae598e95dc970b74767f19372d61af8")  # fmt: skip
        change.emit("create", "made", bead=made.id)
    for words in (("refinery", "status"), ("mq", "show", made.id)):
        assert "the refinery of greenplace runs on machine anvil" in run_gt(*words, cwd=there.root).out


def test_a_sling_of_what_another_machine_holds_says_which(ground: Ground) -> None:
    here, there = ground.towns["anvil"], ground.add("brick")
    staff(here, "toast")
    with here.change("config") as change:
        change.put("rigs/greenplace/rig.yaml", {**change.load("rigs/greenplace/rig.yaml"), "landing": "push"})
    made = work(here, "At anvil", "anvil")
    sync(here)
    sync(there)
    ran = run_gt("sling", made, "greenplace", "--", "true", cwd=there.root, code=None)
    assert f"{made} is worked on by {TOAST} on machine anvil" in ran.out + ran.err


def test_a_setting_that_cannot_be_used_stops_no_sync_and_is_named(ground: Ground) -> None:
    here, there = ground.towns["anvil"], ground.add("brick")
    exchange(there)
    exchange(here)
    with here.change("config") as change:
        change.put(layout.TOWN_FILE, {**change.load(layout.TOWN_FILE), "max_polecats": "lots"})
    exchange(here)
    exchange(there)
    bead(there, "Goes on")
    exchange(there)
    with pytest.raises(InvalidFile, match="max_polecats"):
        machine.capacity(there)
    ran = run_gt("scheduler", "status", cwd=there.root, code=None)
    assert "town.yaml (max_polecats): max_polecats is 'lots' but must be a whole number" in ran.err


def test_a_machine_whose_file_cannot_be_read_starts_nothing_and_says_why(ground: Ground) -> None:
    here = ground.towns["anvil"]
    Path(here.root, "machines/anvil.yaml").write_text("name: [oops\n")
    (why,) = scheduler.schedule(here).holds
    assert "machines/anvil.yaml" in why
    ran = run_gt("scheduler", "status", cwd=here.root)
    assert "machines/anvil.yaml" in ran.out


# -- seen -----------------------------------------------------------------------------------------
def test_a_machine_is_seen_hourly_and_never_for_its_own_sake(ground: Ground, clock: Clock) -> None:
    here, there = both(ground)

    def commits() -> int:
        return int(git("rev-list", "--count", "HEAD", cwd=here.root))

    clock.advance(3 * 3600)
    before = commits()
    assert not machine.keep_seen(here)
    assert (commits(), has_news(here.repo)) == (before, False)
    bead(here)
    assert machine.keep_seen(here)
    assert not machine.keep_seen(here)
    assert commits() == before + 2
    sync(here)
    clock.advance(3599)
    bead(here)
    assert not machine.keep_seen(here)
    clock.advance(1)
    assert machine.keep_seen(here)
    sync(here)
    sync(there)
    assert there.load("machines/anvil.yaml")["seen"] == times.text(clock.now)
    check_clean(here)


def test_a_meeting_tells_it_along_with_what_is_sent(ground: Ground, clock: Clock) -> None:
    here, there = both(ground)
    exchange(here)
    clock.advance(3 * 3600)
    before = git("rev-parse", "HEAD", cwd=here.root)
    exchange(here)
    assert git("rev-parse", "HEAD", cwd=here.root) == before
    bead(here)
    exchange(here)
    exchange(there)
    assert there.load("machines/anvil.yaml")["seen"] == times.text(clock.now)


def test_a_new_capacity_is_told_with_what_is_sent_next(ground: Ground) -> None:
    here, _ = both(ground)
    assert here.load("machines/anvil.yaml")["capacity"] == 8
    run_gt("config", "set", "max_polecats", "3", cwd=here.root)
    here.refresh()
    assert machine.keep_seen(here)
    assert here.load("machines/anvil.yaml")["capacity"] == 3


def test_without_a_remote_nobody_asks(town: Town, clock: Clock) -> None:
    clock.advance(86_400)
    with town.change("x") as change:
        change.create(None, title="x")
    assert not machine.keep_seen(town)


def test_list_and_show(ground: Ground, clock: Clock) -> None:
    here, _ = both(ground)
    made = work(here, "Away", "brick")
    sync(here)
    rows = [line.split() for line in run_gt("machine", "list", cwd=here.root).lines]
    assert [row[:5] for row in rows] == [["anvil", "here", "active", "8", "0"], ["brick", "-", "active", "8", "1"]]
    assert rows[0][5] == "now"
    assert rows[1][6] == "ago"
    shown = run_gt("machine", "show", "brick", "--json", cwd=here.root).json
    assert (shown["held"], shown["state"], shown["here"], shown["capacity"]) == ([made], "active", False, 8)


# -- retired --------------------------------------------------------------------------------------
@pytest.fixture
def rig(ground: Ground, git_repo: Callable[..., Path]) -> Path:
    """The rig's remote, cloned on anvil."""
    remote = git_repo("greenplace", bare=True)
    here = ground.towns["anvil"]
    with here.change("rig_add") as change:
        change.write("rigs/greenplace/rig.yaml", (
            f"name: greenplace\n\nprefix: gp\n\ngit: {remote}\n\nbranch: main\n\nrefinery:\n  machine: brick\n"
        ).encode())  # fmt: skip
    run_gt("doctor", "--fix", cwd=here.root)
    here.refresh()
    return remote


def handed_in(town: Town, title: str, where: str, commit: str) -> str:
    """A bead that waits to be merged, and its merge bead."""
    made = work(town, title, where, "greenplace/nux", status="merging")
    branch = f"polecat/nux/{made}.a1"
    with town.change("done") as change:
        change.create("greenplace", title=title, type="merge", branch=branch, commit=commit, target="main",
                      source=made, worker="greenplace/nux")  # fmt: skip
        change.emit("done", title)
    return made


def test_what_a_retired_machine_held_is_free_again(ground: Ground, rig: Path) -> None:
    ground.clock.now = time.time()  # as of who joins
    here, there = both(ground)
    held = work(here, "Held", "brick")
    begun = work(here, "Begun", "brick", "greenplace/nux", status="in_progress")
    mine = work(here, "Mine", "anvil", "greenplace/max")
    waits = bead(here, "Addressed")
    with here.change("queue") as change:
        dispatch.enqueue(change, change.bead(waits), "greenplace", "for brick", machine="brick")
    tip = git("rev-parse", "main", cwd=rig)
    safe = handed_in(here, "Safe", "brick", tip)
    git("branch", f"polecat/nux/{safe}.a1", "main", cwd=rig)
    lost = handed_in(here, "Lost", "brick", "f" * 40)
    sync(here)
    sync(there)
    claims.claim(there, held, 1, claimant=TOAST)
    claims.claim(there, safe, 1, claimant="greenplace/nux")
    claims.claim(there, fences.subject(there.rig("greenplace")), 1, claimant="greenplace/refinery")
    sync(here)
    done = retire.retire(here, "brick")
    assert set(done.released) == {held, begun}
    assert done.unaddressed == (waits,)
    assert done.rigs == ("greenplace",)
    assert set(done.merging) == {safe, lost}
    assert [one for one, _ in done.missing] == [lost]
    assert done.claims == (held, "refinery.greenplace")
    assert claims.current(here, held) is None
    assert claims.current(here, safe) is not None  # by it the refinery knows whose work it lands
    assert not has_news(here.repo)  # who held it hears of it with the next sync
    for one in (held, begun):
        now = here.bead(one)
        assert (now.status, now.assignee, now.machine) == ("open", None, None)
        assert (now.last_session or {})["outcome"] == "released"
        assert "Machine brick" in now.notes[-1]["text"]
    assert here.bead(mine).machine == "anvil"
    assert here.bead(safe).status == "merging"
    assert here.bead(waits).machine is None
    assert waits in [row.id for row in dispatch.waiting(here.index(), "anvil")]
    assert here.rig("greenplace").refinery_machine is None
    assert {event["bead"] for event in here.events() if event["type"] == "release"} == {held, begun}
    assert [one.head.bead for one in mailbox.letters(here, TOAST)[0]] == [held]
    problems = status.status(here, here).problems
    # What anvil itself holds has no session here; nothing but that and the lost branch is wrong.
    assert [(one.kind, lost in one.text) for one in problems] == [("stalled", False), ("merge", True)]
    again = retire.retire(here, "brick")
    assert (again.already, again.released, again.unaddressed) == (True, (), ())
    check_clean(here)


def test_a_rig_that_lies_on_a_retired_machine_is_a_problem(ground: Ground) -> None:
    ground.clock.now = time.time()  # as of who joins
    here, _ = both(ground)
    with here.change("edit") as change:
        doc = change.load("rigs/greenplace/rig.yaml")
        change.put("rigs/greenplace/rig.yaml", {**doc, "refinery": {"machine": "brick"}})
    done = retire.retire(here, "brick")
    assert (done.rigs, done.stranded) == ((), ("greenplace",))
    assert here.rig("greenplace").refinery_machine == "brick"
    (problem,) = status.status(here, here).problems
    assert (problem.kind, problem.subject) == ("machine", "greenplace")
    assert "lies on machine brick, which was retired" in problem.text


def test_a_retired_machine_that_comes_back_is_told_and_may_join_again(ground: Ground) -> None:
    ground.clock.now = time.time()  # the command has the real one
    here, there = both(ground)
    made = work(here, "Held", "brick")
    sync(here)
    sync(there)
    note(there, made, "brick works on")
    out = run_gt("machine", "retire", "brick", "--json", cwd=here.root).json
    assert out["released"] == [made]
    sync(here)
    sync(there)
    sync(here)
    assert there.bead(made).status == "open"
    assert "brick works on\n" in [one["text"] for one in there.bead(made).notes]
    found = status.status(there, there)
    assert [(one.kind, one.subject, one.command) for one in found.problems] == [
        ("machine", "brick", "gt machine join")
    ]
    assert "was retired at" in found.problems[0].text
    with pytest.raises(Refused, match="machine brick was retired"):
        machine.require_active(there)
    with pytest.raises(Refused, match="machine brick was retired"):
        machine.require_active(here, "brick")
    machine.require_active(here)
    assert any("was retired" in why for why in scheduler.stops(there))
    bead(there)
    assert not machine.keep_seen(there)
    run_gt("machine", "join", cwd=there.root)
    assert "takes part already" in run_gt("machine", "join", cwd=there.root).out
    machine.require_active(there)
    assert scheduler.stops(there) == []
    sync(there)
    sync(here)
    machine.require_active(here, "brick")
    assert tree(here) == tree(there)


def test_what_may_not_be_retired(ground: Ground) -> None:
    here, _ = both(ground)
    assert "is the machine you are on" in run_gt("machine", "retire", "anvil", cwd=here.root, code=5).err
    assert "did you mean brick?" in run_gt("machine", "retire", "brik", cwd=here.root, code=6).err
    run_gt("machine", "retire", "anvil", "--force", cwd=here.root)
    with pytest.raises(Refused):
        machine.require_active(here)


def test_a_claim_that_somebody_else_has_by_now_stays(ground: Ground) -> None:
    here, there = both(ground)
    made = work(here, "Held", "brick")
    sync(here)
    sync(there)
    claims.claim(there, made, 1, claimant=TOAST)
    sync(here)
    claims.release(there, made)
    mine = claims.claim(here, made, 2, claimant=TOAST)
    other = ground.add("cobalt")
    assert retire.retire(other, "brick").claims == ()
    now = claims.current(here, made)
    assert now is not None
    assert now.nonce == mine.nonce


def test_offline_the_claims_stand_and_are_named(ground: Ground) -> None:
    here, there = both(ground)
    made = work(here, "Held", "brick")
    sync(here)
    sync(there)
    claims.claim(there, made, 1, claimant=TOAST)
    sync(here)
    os.rename(ground.remote, ground.base / "gone")
    done = retire.retire(here, "brick")
    assert done.released == (made,)
    assert [one for one, _ in done.standing] == [made]
    os.rename(ground.base / "gone", ground.remote)
    assert retire.retire(here, "brick").claims == (made,)


def test_what_a_machine_said_last_is_heard_before_it_is_judged(ground: Ground) -> None:
    here, there = both(ground)
    made = work(there, "Begun before it died", "brick")
    claims.claim(there, made, 1, claimant=TOAST)
    exchange(there)
    done = retire.retire(here, "brick")
    assert (done.released, done.claims, done.unmet) == ((made,), (made,), "")
    assert here.bead(made).status == "open"
    assert claims.current(here, made) is None


def test_that_a_machine_was_judged_without_its_last_words_is_said(ground: Ground) -> None:
    here, _ = both(ground)
    os.rename(ground.remote, ground.base / "gone")
    ran = run_gt("machine", "retire", "brick", cwd=here.root)
    assert "what brick said last may not be here" in ran.err
    assert "again later: gt machine retire brick" in ran.err


def test_work_held_on_a_retired_machine_is_a_problem_until_it_is_released(ground: Ground) -> None:
    ground.clock.now = time.time()  # as of who joins
    here, there = both(ground)
    made = work(there, "Begun meanwhile", "brick")
    retire.retire(here, "brick")
    sync(there)
    sync(here)
    (problem,) = status.status(here, here).problems
    assert (problem.kind, problem.subject, problem.command) == ("machine", made, "gt machine retire brick")
    assert f"held by {TOAST} on machine brick, which was retired" in problem.text
    run_gt("machine", "retire", "brick", cwd=here.root)
    here.refresh()
    assert status.status(here, here).problems == ()


def test_work_for_a_machine_that_has_another_name_by_now_is_a_problem(ground: Ground) -> None:
    ground.clock.now = time.time()  # as of who joins
    here, there = both(ground)
    waits = bead(here, "Addressed")
    with here.change("queue") as change:
        dispatch.enqueue(change, change.bead(waits), "greenplace", "for brick", machine="brick")
    assert status.status(here, here).problems == ()
    rename.rename(there, "cobalt")
    exchange(there)
    exchange(here)
    exchange(there)
    for one in (here, there):
        (problem,) = status.status(one, one).problems
        assert (problem.kind, problem.subject, problem.command) == ("machine", waits, f"gt release {waits}")
        assert "waits for machine brick, and there is none" in problem.text
    run_gt("release", waits, cwd=here.root)
    here.refresh()
    assert here.bead(waits).machine is None
    assert status.status(here, here).problems == ()


# -- renamed --------------------------------------------------------------------------------------
def test_all_that_names_a_machine_follows_its_new_name_in_one_change(ground: Ground) -> None:
    here, there = both(ground)
    held = work(here, "Held", "anvil")
    merging = work(here, "Merging", "anvil", "greenplace/nux", status="merging")
    away = work(here, "Away", "brick", "greenplace/max")
    waits = bead(here, "Addressed")
    with here.change("queue") as change:
        dispatch.enqueue(change, change.bead(waits), "greenplace", "for anvil")
    with here.change("edit") as change:
        change.put("rigs/greenplace/rig.yaml", {**change.load("rigs/greenplace/rig.yaml"),
                                                "refinery": {"machine": "anvil"}})  # fmt: skip
        path = layout.worker_file("greenplace", "polecats", "toast")
        change.put(path, {**change.load(path), "machine": "anvil"})
    sync(here)
    claims.claim(here, held, 1, claimant=TOAST)
    before = git("rev-parse", "HEAD", cwd=here.root)
    old = here.load("machines/anvil.yaml")
    done = rename.rename(here, "cobalt")
    assert git("rev-list", "--count", f"{before}..HEAD", cwd=here.root) == "1"
    assert (done.how, set(done.beads), done.rigs, done.workers) == (
        "renamed", {held, merging, waits}, ("greenplace",), (TOAST,),
    )  # fmt: skip
    assert here.machine == "cobalt"
    assert [here.bead(one).machine for one in (held, merging, away)] == ["cobalt", "cobalt", "brick"]
    assert (here.bead(held).last_session or {})["machine"] == "cobalt"
    assert here.bead(waits).machine == "cobalt"
    assert here.rig("greenplace").refinery_machine == "cobalt"
    assert here.load(path)["machine"] == "cobalt"
    new = here.load("machines/cobalt.yaml")
    assert not here.exists("machines/anvil.yaml")
    assert new["created"] == old["created"]
    assert new["id"] != old["id"]
    claim = claims.current(here, held)
    assert claim is not None
    assert (claim.machine, claim.fence) == ("cobalt", 1)
    assert attempts.look(here, here.bead(away)).state == "elsewhere"
    note(here, held, "as cobalt")
    sync(here)
    sync(there)
    sync(here)
    assert tree(here) == tree(there)
    assert sorted(one.name for one in machine.machines(there, "brick")[0]) == ["brick", "cobalt"]
    assert [name for name in os.listdir(Path(here.root, "feed/2026-11-23")) if name.startswith("cobalt-")]
    for one in (here, there):
        check_clean(one)


def test_claims_that_could_not_be_renamed_are_renamed_by_the_next_meeting(ground: Ground) -> None:
    here, _ = both(ground)
    held = work(here, "Held", "anvil")
    exchange(here)
    before = claims.current(here, held)
    assert before is not None
    assert before.machine == "anvil"
    os.rename(ground.remote, ground.base / "gone")
    done = rename.rename(here, "cobalt")
    assert [one for one, _ in done.claims] == [held]
    os.rename(ground.base / "gone", ground.remote)
    assert exchange(here).tenure.trouble == []
    now = claims.current(here, held)
    assert now is not None
    assert (now.machine, now.fence) == ("cobalt", before.fence)
    exchange(here)
    assert here.bead(held).status == "hooked"


def test_an_open_town_knows_its_new_name(ground: Ground) -> None:
    """A deacon that was started before goes on under the new name."""
    here, _ = both(ground)
    old = open_town(here.root, clock=here.clock)
    assert old.machine == "anvil"
    rename.rename(here, "cobalt")
    note(old, bead(old), "x")
    assert old.machine == "cobalt"
    assert len([event for event in old.events() if event["id"].startswith("cobalt-")]) == 2


@pytest.mark.parametrize(("new", "code"), [("brick", 5), ("anvil", 0), ("Brick", 2), ("mayor", 2), ("a/b", 2)])
def test_names_that_cannot_be(ground: Ground, new: str, code: int) -> None:
    here, _ = both(ground)
    before = git("rev-parse", "HEAD", cwd=here.root)
    run_gt("machine", "rename", new, cwd=here.root, code=code)
    assert git("rev-parse", "HEAD", cwd=here.root) == before
    assert here.machine == "anvil"


# -- status ---------------------------------------------------------------------------------------
def shown(town: Town) -> str:
    return "\n".join(render.lines(status.status(town, town), now=town.clock(), colour=False))


def test_the_status_says_where_whose_and_how_old(ground: Ground, clock: Clock) -> None:
    here, there = both(ground)
    away, mine = work(here, "Away", "brick"), work(here, "Mine", "anvil", "greenplace/nux")
    sync(here)
    sync(there)
    claims.claim(there, away, 1, claimant=TOAST)
    sync(here)
    clock.advance(185)
    for number in range(2):
        bead(here, str(number))
    text = shown(here)
    assert "last met 3m ago, 2 commits to send" in text
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("  greenplace/")}
    assert lines[TOAST].split()[1:3] == ["on", "brick"]
    assert "unconfirmed" not in lines[TOAST]
    assert lines["greenplace/nux"].endswith("unconfirmed")
    doc = run_gt("status", "--json", cwd=here.root).json
    assert doc["news"]["unsent"] == 2
    workers = {one["address"]: one for one in doc["rigs"][0]["workers"]}
    assert (workers[TOAST]["machine"], workers[TOAST]["state"], workers[TOAST]["confirmed"]) == (
        "brick", "foreign", True,
    )  # fmt: skip
    assert (workers["greenplace/nux"]["bead"], workers["greenplace/nux"]["confirmed"]) == (mine, False)
    assert run_gt("status", "--json", "--at", "HEAD", cwd=here.root).json["news"] is None


def test_how_much_waits_is_counted_through_merges(ground: Ground, clock: Clock) -> None:
    here, there = both(ground)
    found = news.news(here)
    assert found is not None
    assert (found.unsent, found.met) == (0, clock.now)
    for number in range(3):
        bead(there, str(number))
        clock.advance(1)
        bead(here, str(number))
    sync(there)
    git("fetch", "-q", cwd=here.root)
    git("-c", "user.name=a", "-c", "user.email=a@b", "merge", "-q", "--no-edit", "origin/main", cwd=here.root)
    wanted = int(git("rev-list", "--count", "origin/main..HEAD", cwd=here.root))
    found = news.news(here)
    assert found is not None
    assert found.unsent == wanted == 4
    os.unlink(layout.run(here.root, "met"))
    assert "never met, 4 commits to send" in shown(here)
    for number in range(120):
        bead(here, str(number))
    assert "100+ commits to send" in shown(here)


# -- words that travel ----------------------------------------------------------------------------
@pytest.fixture
def agent(ground: Ground) -> Iterator[tuple[Town, Town]]:
    """toast works on brick, with a real process; both towns have the real clock."""
    for town in both(ground):
        ground.towns[town.machine] = open_town(town.root)
    here, there = ground.towns["anvil"], ground.towns["brick"]
    made = work(here, "Away", "brick", status="in_progress")
    sync(here)
    sync(there)
    spec = SessionSpec(SID, TOAST, ["sleep", "300"], str(ground.base), dict(os.environ), bead=made, attempt=1,
                       rig="greenplace", agent="exec")  # fmt: skip
    record = starting.start(spec, run=attempts.run_dir(there), socket="none", runtime="process", now=time.time())
    try:
        yield here, there
    finally:
        sessions.stop(record, 0.5)


def test_a_nudge_for_an_agent_elsewhere_is_handed_over_there(agent: tuple[Town, Town], clock: Clock) -> None:
    here, there = agent
    sent = run_gt("nudge", TOAST, "look at the roof", "--json", cwd=here.root).json
    assert (sent["how"], sent["why"]) == ("mailed", "works on machine brick")
    late = open_town(here.root, clock=clock)  # long ago
    nudge.nudge(late, TOAST, "stale news")
    nudge.nudge(late, TOAST, "stale and urgent", priority="urgent")
    sync(here)
    deacon = subprocess.Popen(
        [*gt_argv(), "deacon", "run", "--town", there.root], env={**os.environ, "PYTHONPATH": str(PROJECT)}, cwd="/",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 40
        while len(handed := [one for one in there.events() if one["type"] == "nudge" and "message" in one["data"]]) < 3:
            assert time.monotonic() < deadline, Path(layout.log(there.root, "deacon.log")).read_text()
            time.sleep(0.05)
    finally:
        deacon.send_signal(signal.SIGTERM)
        deacon.communicate(timeout=20)
    assert sorted(one["data"]["to"][TOAST] for one in handed) == ["expired", "expired", "queued"]
    assert [(one.text, one.sender) for one in nudge.waiting(there.root, TOAST, time.time())] == [
        ("look at the roof", "overseer")
    ]
    as_toast = {"GT_ACTOR": TOAST, "GT_TOWN": there.root}
    told = run_gt("mail", "check", "--inject", cwd=there.root, env=as_toast).out
    assert told.count("look at the roof") == 1
    assert "Nudge from overseer" in told
    assert "stale" not in told
    run_gt("mail", "check", "--inject", cwd=there.root, env=as_toast, code=1)
    sync(there)
    sync(here)
    assert all(not one.new for one in mailbox.letters(here, TOAST)[0])


def test_a_nudge_is_told_once_by_whichever_reader_is_first(agent: tuple[Town, Town]) -> None:
    here, there = agent
    nudge.nudge(here, TOAST, "once")
    nudge.nudge(here, TOAST, "an hour old, urgent", priority="urgent")
    sync(here)
    sync(there)
    uniques = [one.unique for one in mailbox.letters(there, TOAST)[0]]
    told = run_gt("mail", "check", "--inject", cwd=there.root, env={"GT_ACTOR": TOAST, "GT_TOWN": there.root}).out
    assert told.count("> once") == 1
    assert [arrivals.hand_over(there, TOAST, one) for one in uniques] == ["gone", "gone"]
    assert nudge.waiting(there.root, TOAST, time.time()) == []


def test_an_urgent_nudge_lives_for_two_hours(ground: Ground, clock: Clock) -> None:
    here, there = both(ground)
    work(here, "Away", "brick")
    sync(here)
    sync(there)
    for priority, advance, how in (
        ("normal", 1799, "queued"), ("normal", 1801, "expired"), ("urgent", 7199, "queued"),
        ("urgent", 7201, "expired"),
    ):  # fmt: skip
        nudge.nudge(here, TOAST, f"{priority} {advance}", priority=priority)
        sync(here)
        sync(there)
        (letter,) = [one for one in mailbox.letters(there, TOAST)[0] if one.new]
        clock.advance(advance)
        assert arrivals.hand_over(there, TOAST, letter.unique) == how
        nudge.drop(nudge.take(there.root, TOAST, clock.now))


def test_a_nudge_that_must_be_now_is_not_sent_by_mail(ground: Ground) -> None:
    here, _ = both(ground)
    work(here, "Away", "brick")
    with pytest.raises(GtError, match="it works on machine brick"):
        nudge.nudge(here, TOAST, "now", mode="now")
    assert mailbox.letters(here, TOAST)[0] == []


@pytest.mark.parametrize(
    "command",
    [("peek", TOAST), ("attach", TOAST), ("session", "stop", TOAST), ("session", "log", TOAST), ("peek", SID)],
)
def test_of_an_agent_elsewhere_it_is_said_where(ground: Ground, command: tuple[str, ...]) -> None:
    here, _ = both(ground)
    made = work(here, "Away", "brick")
    err = run_gt(*command, cwd=here.root, code=6).err
    assert f"{TOAST} works on machine brick (on {made}: Away)" in err
    assert "gt machine retire brick" in err


def test_releasing_work_of_another_machine_says_where_it_is(ground: Ground) -> None:
    here, _ = both(ground)
    made = work(here, "Away", "brick")
    assert "on machine brick" in run_gt("release", made, cwd=here.root, code=5).err
    run_gt("release", made, "--force", cwd=here.root)
    assert here.bead(made).status == "open"


def test_an_unknown_machine_has_no_state(ground: Ground) -> None:
    here, _ = both(ground)
    with pytest.raises(NotFound):
        machine.require_active(here, "nowhere")
    assert identity.standing(here.root, here.clock()).own


def test_a_machine_that_has_not_synced_yet_is_asked_for_with_what_to_do(ground: Ground) -> None:
    here = ground.towns["anvil"]
    made = bead(here, "For the other")
    ran = run_gt("sling", made, "--machine", "brick", "--", "true", cwd=here.root, code=6)
    assert "no machine 'brick'" in ran.err
    assert "one that has just joined is known here once it has synced: gt sync there, then here" in ran.err
