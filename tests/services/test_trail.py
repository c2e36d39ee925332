"""The feed and the history, read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gastown.model.errors import UsageError
from gastown.services.beads import beads
from gastown.services.beads.beads import Draft, Edit
from gastown.services.health import trail
from gastown.services.health.trail import Wanted
from gastown.services.mail import nudge
from gastown.services.refinery import refinery
from gastown.store.town import Town
from tests.conftest import git
from tests.services.work_lab import Lab


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path, landing=request.param)
    yield made
    made.close()


def test_the_newest_few_are_found_however_old(town: Town, clock) -> None:
    old = beads.create(town, Draft("old"))
    clock.advance(100 * 86_400)
    new = beads.create(town, Draft("new"))
    made = Wanted(types=("create",))
    assert [e["bead"] for e in trail.events(town, made, limit=1, now=clock.now)] == [new.id]
    assert [e["bead"] for e in trail.events(town, made, limit=2, now=clock.now)] == [old.id, new.id]
    assert [e["bead"] for e in trail.events(town, made, limit=None, now=clock.now)] == [old.id, new.id]


def test_what_was_done_on_beads_is_found_behind_any_number_of_other_events(town: Town, clock) -> None:
    bead = beads.create(town, Draft("x"))
    for number in range(30):
        nudge.nudge(town, "mayor", f"word {number}", mode="queue")
    told = trail.bead_events(town, rig=None, limit=5, now=clock.now)
    assert [(one["type"], one["bead"]) for one in told] == [("create", bead.id)]
    assert trail.everything(town, town, rig=None, limit=5, now=clock.now) == told


def test_filters(town: Town, clock) -> None:
    bead = beads.create(town, Draft("x"))
    beads.note(town, bead.id, "hello")
    for wanted in (Wanted(types=("note",)), Wanted(types=("note",), bead=bead.id, actor="overseer")):
        assert [e["type"] for e in trail.events(town, wanted, limit=9, now=clock.now)] == ["note"]
    assert trail.events(town, Wanted(actor="mayor"), limit=9, now=clock.now) == []
    with pytest.raises(UsageError, match="nots"):
        trail.check_types(["nots"])


def test_following_sees_whole_lines_once(town: Town) -> None:
    seen = []
    steps = iter(
        [lambda: beads.create(town, Draft("one")), lambda: beads.create(town, Draft("two")), lambda: None, lambda: None]
    )
    for event in trail.follow(town, Wanted(), sleep=lambda _: next(steps)(), rounds=4):
        seen.append(event["text"].split(": ")[1])
    assert seen == ["one", "two"]


def test_a_torn_line_waits_for_its_end(town: Town, clock) -> None:
    segment = next(Path(town.root, "feed").glob("*/*.jsonl"))
    line = '{"ts": "2026-11-23T09:31:00.000Z", "id": "x-1", "type": "note", "actor": "a", "text": "late"}\n'
    parts = iter([line[:20], line[20:], "", ""])

    def grow(_: float) -> None:
        with segment.open("a") as file:
            file.write(next(parts))

    assert [e["text"] for e in trail.follow(town, Wanted(), sleep=grow, rounds=4)] == ["late"]


def test_the_story_of_a_bead_says_what_changed(town: Town) -> None:
    bead = beads.create(town, Draft("x"))
    beads.update(town, bead.id, Edit(title="y", priority=0, add_labels=("red",), description="long"))
    beads.close(town, bead.id, "done")
    last, middle, first = trail.story(town, path=bead.path)
    assert first.changes == ("made",)
    assert set(middle.changes) == {"title: x -> y", "priority: 2 -> 0", "labels: +red", "description added"}
    assert set(last.changes) == {"status: open -> closed", "closed: done"}
    older = trail.story(town, revision="HEAD~1", path=bead.path)
    assert [one.subject for one in older] == [middle.subject, first.subject]


def test_an_unreadable_version_is_said_and_not_hidden(town: Town) -> None:
    bead = beads.create(town, Draft("x"))
    path = Path(town.root, bead.path)
    whole = path.read_text()
    path.write_text("torn: [\n")
    git("commit", "--quiet", "--no-verify", "-am", "oops", cwd=town.root)
    path.write_text(whole)
    beads.note(town, bead.id, "again")
    said = [one.changes for one in trail.story(town, path=bead.path)]
    assert ("the file was not readable",) in said


@pytest.mark.parametrize("lab", ["push", "local"], indirect=True)
def test_what_landed_is_told_from_what_waits(lab) -> None:
    landed = lab.run("echo a > a")
    refinery.run_once(lab.town, "app")
    before = git("rev-parse", "HEAD", cwd=lab.root)
    waiting = lab.run("echo b > b", title="Later work")
    found = {one["bead"]: one["data"] for one in trail.commits(lab.town, lab.town, rig="app")}
    assert {bead: data["landed"] for bead, data in found.items()} == {landed.id: True, waiting.id: False}
    assert found[landed.id]["commit"] == lab.now(landed).closed["commit"]
    then = trail.commits(lab.town, lab.town.at(before), rig="app")
    assert [one["bead"] for one in then if one["data"]["landed"]] == [landed.id]


def test_the_past_has_no_later_commits(work) -> None:
    work.run("echo a > a && git add a && GIT_COMMITTER_DATE=2031-01-01T00:00:00Z git commit -qm late")
    assert "late" in [one["text"] for one in trail.commits(work.town, work.town)]
    assert "late" not in [one["text"] for one in trail.commits(work.town, work.town.at("HEAD"))]
