"""Every patrol's decision, by tables: evidence in, actions out, no I/O."""

from __future__ import annotations

import pytest

from gastown.deacon import edited
from gastown.deacon.action import Action, Later
from gastown.deacon.edited import Edit
from gastown.deacon.errand import actions, make
from gastown.deacon.patrols import (
    assigned,
    deaths,
    disk,
    escalations,
    hand_edits,
    idle,
    lost,
    mail,
    merging,
    packing,
    queue,
    quiet,
    recovery,
    snapshots,
    syncing,
    unbegun,
)  # fmt: skip
from gastown.deacon.patrols.recovery import Stalled
from gastown.deacon.patrols.sessions import Seen
from gastown.deacon.settings import Settings

NOW = 1_000_000.0
S = Settings()


def kinds(found: list[Action]) -> list[str]:
    return [one.kind for one in found]


# -- recovery -------------------------------------------------------------------------------------
def stalled(outcome: str = "died", failures: int = 1, ago: float = 0.0, **more: object) -> Stalled:
    return Stalled("gp-aaaaa", "gp/toast", "s-1", outcome, NOW - ago, failures, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (stalled(), "resume"),
        (stalled("failed"), "resume"),
        (stalled("exited"), "resume"),
        (stalled("interrupted"), "resume"),
        (stalled("start_failed"), "resume"),
        (stalled(failures=2, ago=29), "later"),
        (stalled(failures=2, ago=31), "resume"),
        (stalled(failures=3, ago=59), "later"),
        (stalled(failures=3, ago=61), "release"),
        (stalled(failures=4), "escalate"),
        (stalled(failures=9), "escalate"),
        (stalled(failures=9, asked=True), None),
        (stalled(failures=1, asked=True), None),
        (stalled("stopped", failures=0), None),
        (stalled("escalated", failures=0), None),
        (stalled("deferred", failures=0), None),
        (stalled("done", failures=0), None),
        (stalled("done", failures=0, sent_back=True), "restart"),
        (stalled("down", failures=0), "resume"),
    ],
)
def test_recovery_of_one_bead(one: Stalled, wanted: str | None) -> None:
    found = recovery.decide(recovery.Evidence((one,)), S, NOW)
    assert kinds(found) == ([wanted] if wanted else [])


@pytest.mark.parametrize(
    ("count", "seconds"), [(0, 0), (1, 0), (2, 30), (3, 60), (4, 120), (6, 480), (7, 600), (40, 600)]
)
def test_pauses_double_up_to_ten_minutes(count: int, seconds: float) -> None:
    assert recovery.pause(count, S) == seconds


def item(outcome: str, minute: int, *, lived: int = 1) -> dict[str, str]:
    started, ended = (f"2026-11-23T09:{one:02d}:00Z" for one in (minute, minute + lived))
    return {"outcome": outcome, "started": started, "ended": ended}


@pytest.mark.parametrize(
    ("sessions", "count"),
    [
        ([], 0),
        ([item("died", 1)], 1),
        ([item("died", 1), item("failed", 3), item("exited", 5)], 3),
        ([item("died", 1), item("done", 3), item("exited", 5)], 1),
        ([item("died", 1), item("down", 3), item("exited", 5)], 2),
        ([item("died", 1), item("died", 3, lived=31), item("died", 40)], 2),
        ([item("done", 1)], 0),
    ],
)
def test_failures_are_counted_from_the_sessions_of_the_bead(sessions: list[dict[str, str]], count: int) -> None:
    assert recovery.failures(sessions) == count


def test_what_a_person_was_asked_about_does_not_count_again() -> None:
    sessions = [item("died", 1), item("died", 3), item("died", 30)]
    assert recovery.failures(sessions, since="2026-11-23T09:20:00Z") == 1


def test_many_deaths_at_once_pause_recovery_and_are_told_once() -> None:
    died = tuple((NOW - second, f"gp-{second}") for second in (1, 20, 50))
    first = recovery.decide(recovery.Evidence((stalled(),), died), S, NOW)
    assert kinds(first) == ["massdeath", "later"]
    told = recovery.Evidence((stalled(),), died, mass_at=NOW)
    assert kinds(recovery.decide(told, S, NOW + 10)) == ["later"]
    assert kinds(recovery.decide(told, S, NOW + 301)) == ["resume"]


def test_three_deaths_of_one_bead_are_no_mass_death() -> None:
    died = tuple((NOW - second, "gp-aaaaa") for second in (1, 20, 50))
    assert kinds(recovery.decide(recovery.Evidence((stalled(),), died), S, NOW)) == ["resume"]


def test_nothing_is_recovered_while_all_is_stopped() -> None:
    assert recovery.decide(recovery.Evidence((stalled(),), holds="estop"), S, NOW) == []


# -- deaths ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("state", "finishing", "acts"),
    [
        ("exited", False, True), ("dead", False, True), ("interrupted", False, True), ("exited", True, False),
        ("running", False, False), ("starting", False, False), ("unknown", False, False), ("elsewhere", False, False),
    ],
)  # fmt: skip
def test_only_what_is_provably_over_is_noted(state: str, finishing: bool, acts: bool) -> None:
    found = deaths.decide([deaths.Ended("gp-aaaaa", "s-1", "gp/toast", state, finishing)], S, NOW)
    assert bool(found) == acts


# -- queue ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("room", "holds", "kind", "why"),
    [
        (queue.Room("gp", ("gp-1",), 2), "", "dispatch", "1 queued, 2 slots free"),
        (queue.Room("gp", ("gp-1",), 0), "", "later", "1 queued: no slot is free"),
        (queue.Room("gp", ("gp-1",), 2, parked=True), "", "later", "1 queued: the rig is parked"),
        (queue.Room("gp", ("gp-1",), 2), "paused", "later", "1 queued: paused"),
        (queue.Room("gp", (), 2, engaged=("gp-1", "gp-2")), "", "later", "2 queued: who it is for is at other work"),
        (queue.Room("gp", ("gp-1",), 2, engaged=("gp-2",)), "", "dispatch", "1 queued, 2 slots free"),
    ],
)
def test_queue(room: queue.Room, holds: str, kind: str, why: str) -> None:
    """What waits is planned too, with the reason: `gt deacon plan` shows it."""
    found = queue.decide(queue.Evidence((room,), holds), S, NOW)
    assert [(one.kind, one.subject, one.why) for one in found] == [(kind, "gp", why)]


def test_a_command_nobody_agreed_to_is_told_once_and_waits() -> None:
    new, told = queue.Untrusted("gp-1", "make"), queue.Untrusted("gp-1", "make", NOW - 5)
    assert [one.kind for one in queue.decide(queue.Evidence(untrusted=(new,)), S, NOW)] == ["telluntrusted"]
    (later,) = queue.decide(queue.Evidence(untrusted=(told,)), S, NOW)
    assert (later.kind, later.why) == ("later", "nobody here has agreed to its command (gt trust list)")


# -- hand edits -----------------------------------------------------------------------------------
def edit(old: dict[str, object] | None, new: dict[str, object] | None, age: float = 10, **more: object) -> Edit:
    docs = [None if doc is None else {"id": "gp-aaaaa", "title": "t", **doc} for doc in (old, new)]
    return Edit("rigs/gp/beads/2026-11-23/gp-aaaaa.yaml", "bead", "m", age, *docs, **more)  # type: ignore[arg-type]


ALPHA = {"assignee": "gp/alpha"}


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (edit({"status": "open"}, {"status": "deferred"}), "adopt"),
        (edit({"status": "open"}, {"status": "hooked", **ALPHA}), "adopt"),
        (edit(None, {"status": "open"}), "adopt"),
        (edit({"status": "open"}, None, gone=True), "adopt"),
        (edit(None, None, problem="line 3: no"), "report"),
        (edit({"status": "open"}, {"status": "deferred"}, age=0.01), "later"),
    ],
)
def test_good_edits_are_committed_and_bad_ones_reported(one: Edit, wanted: str) -> None:
    assert kinds(hand_edits.decide(hand_edits.Evidence((one,)), S, NOW)) == [wanted]


def test_a_refused_edit_is_reported_once_for_each_content() -> None:
    one = edit({"status": "merging"}, {"status": "open"}, problem="it cannot become open")
    key = edited.key_of(one.path, one.mark)
    assert hand_edits.decide(hand_edits.Evidence((one,), told=frozenset((key,))), S, NOW) == []


def test_nothing_is_committed_while_git_is_at_work() -> None:
    found = hand_edits.decide(hand_edits.Evidence((edit(None, {}),), git_at_work="MERGE_HEAD"), S, NOW)
    assert kinds(found) == ["later"]
    assert getattr(found[0], "at", 0) == NOW + 2
    just = hand_edits.Evidence((edit(None, {}),), git_at_work="index.lock", git_since=NOW - 0.1)
    (later,) = hand_edits.decide(just, S, NOW)
    assert getattr(later, "at", 0) < NOW + 0.5


def test_valid_edits_go_into_one_commit_and_invalid_ones_stay_out() -> None:
    good, bad = edit(None, ALPHA), Edit("town.yaml", "town", "m", 10, problem="no")
    adopt, report = sorted(hand_edits.decide(hand_edits.Evidence((good, bad)), S, NOW), key=lambda one: one.kind)
    assert isinstance(adopt, hand_edits.Adopt)
    assert adopt.paths == (good.path,)
    assert report.subject == "town.yaml"


# -- given by hand --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (assigned.Given("gp-1", "gp/alpha"), ["sling"]),
        (assigned.Given("gp-1", "gp/alpha", holds="estop"), ["later"]),
        (assigned.Given("gp-1", "gp/nobody", problem="unknown"), ["tell"]),
        (assigned.Given("gp-1", "gp/nobody", problem="unknown", told=NOW - 5), []),
        (assigned.Given("gp-1", "gp/alpha", tried=NOW - 30), ["later"]),
        (assigned.Given("gp-1", "gp/alpha", tried=NOW - 601), ["sling"]),
        (assigned.Given("gp-1", "gp/alpha", left=True), ["letgo"]),
        (assigned.Given("gp-1", "gp/alpha", written=NOW - 5), ["later"]),
        (assigned.Given("gp-1", "gp/alpha", written=NOW - 50), []),
    ],
)
def test_given(one: assigned.Given, wanted: list[str]) -> None:
    assert kinds(assigned.decide([one], S, NOW)) == wanted


# -- sessions -------------------------------------------------------------------------------------
def seen(*, beat: float = 0, mine: bool = True, status: str = "in_progress", **more: object) -> Seen:
    facts: dict[str, object] = {"started": NOW - 5000, "runtime": "process", **more}
    return Seen("s-1", "gp/toast", "gp-1", status, mine, beat=NOW - beat, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("beat", "nudged", "limit", "wanted"),
    [
        (899, False, None, []), (901, False, None, ["nudgequiet"]), (901, True, None, []), (9e6, True, None, []),
        (50, False, 60.0, []), (70, False, 60.0, ["endquiet"]), (1000, True, 2000.0, []),
    ],
)  # fmt: skip
def test_quiet_is_nudged_once_and_killed_only_if_the_town_says_so(
    beat: float, nudged: bool, limit: float | None, wanted: list[str]
) -> None:
    found = quiet.decide([quiet.Quiet(seen(beat=beat), nudged)], Settings(kill_quiet_after=limit), NOW)
    assert kinds(found) == wanted


@pytest.mark.parametrize(
    ("sent", "since", "acts"), [(0, 119, False), (0, 121, True), (1, 119, False), (1, 121, True), (2, 9999, False)]
)
def test_the_first_prompt_is_sent_again_at_most_twice(sent: int, since: float, acts: bool) -> None:
    one = unbegun.Unbegun(seen(started=NOW - 100_000 if sent else NOW - since, began=False), sent, NOW - since)
    assert bool(unbegun.decide([one], S, NOW)) == acts


@pytest.mark.parametrize(
    ("told", "wanted"), [(None, ["telllost", "later"]), (NOW - 59, ["later"]), (NOW - 61, ["end"])]
)
def test_a_session_that_lost_its_work_is_told_then_ended(told: float | None, wanted: list[str]) -> None:
    assert kinds(lost.decide([lost.Lost(seen(mine=False, status="closed"), told)], S, NOW)) == wanted


@pytest.mark.parametrize(("handed_in", "acts"), [(899, False), (901, True)])
def test_idle_sessions_are_ended(handed_in: float, acts: bool) -> None:
    one = seen(beat=2000, mine=False, status="merging", handed_in=NOW - handed_in)
    assert bool(idle.decide([one], S, NOW)) == acts


# -- the rest -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("priority", "fresh", "wanted"),
    [
        ("urgent", True, ["nudgeurgent"]), ("high", True, ["nudgemail"]), ("normal", True, []), ("urgent", False, []),
        ("low", True, []),
    ],
)  # fmt: skip
def test_mail(priority: str, fresh: bool, wanted: list[str]) -> None:
    one = mail.News("mail/gp/toast/new/1", "gp/toast", "mayor", "s", priority, "1", fresh)
    assert kinds(mail.decide([one], S, NOW)) == wanted


@pytest.mark.parametrize(("priority", "fresh"), [("normal", True), ("normal", False), ("urgent", False)])
def test_a_nudge_from_another_machine_is_no_mail(priority: str, fresh: bool) -> None:
    one = mail.News("mail/gp/toast/new/1", "gp/toast", "mayor", "s", priority, "1", fresh, "1")
    (found,) = mail.decide([one], S, NOW)
    assert isinstance(found, mail.HandOver)
    assert (found.to, found.unique) == ("gp/toast", "1")


def test_one_refinery_for_each_queue_that_is_due() -> None:
    queues = (merging.Queue("a", True), merging.Queue("b", False), merging.Queue("c", True, runner="process 7"))
    assert [one.subject for one in merging.decide(merging.Evidence(queues), S, NOW)] == ["a"]
    assert merging.decide(merging.Evidence(queues, holds="estop"), S, NOW) == []


@pytest.mark.parametrize(
    ("raised", "waited", "turn", "wanted"),
    [
        (0, 14_399, 0, []), (0, 14_400, 0, ["raise"]), (1, 14_401, 0, ["raise"]), (2, 99_999, 0, []),
        (0, 14_401, 1, []), (0, 18_000, 1, ["raise"]), (0, 18_001, 2, []),
    ],
)  # fmt: skip
def test_escalations_are_raised_twice_at_most(raised: int, waited: float, turn: int, wanted: list[str]) -> None:
    assert kinds(escalations.decide([escalations.Waiting("hq-1", NOW - waited, raised, turn)], S, NOW)) == wanted


def test_disk_snapshots_and_packing_wait_for_their_time() -> None:
    assert kinds(disk.decide(disk.Disk("full", None), S, NOW)) == ["telldisk"]
    assert disk.decide(disk.Disk("full", NOW - 60), S, NOW) == []
    assert disk.decide(disk.Disk("", None), S, NOW) == []
    assert kinds(snapshots.decide(snapshots.Evidence(("gp/a",), 0), S, NOW)) == ["snapshot"]
    assert kinds(snapshots.decide(snapshots.Evidence(("gp/a",), NOW - 10), S, NOW)) == ["later"]
    assert snapshots.decide(snapshots.Evidence((), 0), S, NOW) == []
    assert kinds(packing.decide(NOW - 3601, S, NOW)) == ["pack"]
    assert kinds(packing.decide(NOW - 10, S, NOW)) == ["later"]


@pytest.mark.parametrize(
    ("remote", "last", "wanted"), [(None, 0.0, []), ("url", NOW - 61, ["sync", "later"]), ("url", NOW - 59, ["later"])]
)
def test_the_remote_is_met_every_minute(remote: str | None, last: float, wanted: list[str]) -> None:
    assert kinds(syncing.decide(syncing.Evidence(remote, last), S, NOW)) == wanted


def test_every_slow_action_survives_the_way_to_its_errand() -> None:
    slow = [one for one in actions().values() if one.slow]
    assert len(slow) >= 12
    for kind in slow:
        action = kind("subject", "because")
        assert make(action.as_json()) == action
    one = queue.Dispatch("gp", "2 queued", ready=("gp-1", "gp-2"))
    assert make({**one.as_json(), "ready": ["gp-1", "gp-2"]}) == one
    assert isinstance(make(Later("x", "y", at=3.0).as_json()), Later)
