"""A bead whose file a person moved or copied to another day's folder is one bead, and lies in one place everywhere."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import pytest

from gastown.services.sync.sync import sync
from gastown.services.sync.unfinished import finish
from gastown.store import layout
from gastown.store.town import Town
from tests.conftest import git
from tests.sync.ground import Ground, bead, check_clean, note, plain, quiet, update

TEXT = "one\n\ntwo\n\nthree\n\nfour\n\nfive\n"


def move(town: Town, bead_id: str, day: str) -> str:
    """`git mv` to another day's folder, committed by hand; the new path."""
    old = str(town.bead_path(bead_id))
    new = f"rigs/greenplace/beads/{day}/{bead_id}.yaml"
    os.makedirs(Path(town.root, new).parent, exist_ok=True)
    plain(town, "mv", old, new)
    plain(town, "commit", "--quiet", "-m", f"{bead_id} moved")
    return new


def copy(town: Town, bead_id: str, day: str) -> str:
    """`cp` to another day's folder, committed by hand; the path of the copy."""
    new = f"rigs/greenplace/beads/{day}/{bead_id}.yaml"
    os.makedirs(Path(town.root, new).parent, exist_ok=True)
    shutil.copy(Path(town.root, str(town.bead_path(bead_id))), Path(town.root, new))
    plain(town, "add", "--all")
    plain(town, "commit", "--quiet", "-m", f"{bead_id} copied")
    return new


def places(town: Town) -> list[str]:
    return [row.path for row in town.index().rows]


def said(town: Town, bead_id: str) -> set[str]:
    return {one["text"] for one in town.bead(bead_id).notes}


def test_a_move_here_and_a_change_there_are_one_bead_in_its_new_place(ground: Ground, clock) -> None:
    here = ground.towns["anvil"]
    one = bead(here, "One", description=TEXT, labels=["a", "b"])
    sync(here)
    there = ground.add("brick")
    clock.advance(60)
    note(here, one, "said before the move")
    new = move(here, one, "2026-11-25")
    update(here, one, description=TEXT.replace("one", "ONE"), labels=["a"])
    note(there, one, "said there")
    update(there, one, description=TEXT.replace("five", "FIVE"), labels=["a", "b", "c"])
    sync(here)
    assert sync(there).new_ids == {}
    quiet(here, there)
    assert places(here) == [new]
    assert said(here, one) == {"said before the move\n", "said there\n"}
    assert here.bead(one).description == TEXT.replace("one", "ONE").replace("five", "FIVE")
    assert here.bead(one).labels == ["a", "c"]


def test_a_reopening_that_came_with_the_move_stands_against_the_close_it_knew(ground: Ground, clock) -> None:
    here = ground.towns["anvil"]
    one = bead(here, "One", status="deferred")
    sync(here)
    there = ground.add("brick")
    before = Path(here.root, str(here.bead_path(one))).read_bytes()
    for town in (here, there):
        with town.change("close") as change:
            found = change.bead(one)
            found.close(at=change.at, by="overseer", reason="done")
            change.save(found)
    clock.advance(60)
    old, new = str(here.bead_path(one)), f"rigs/greenplace/beads/2026-11-25/{one}.yaml"
    os.makedirs(Path(here.root, new).parent)
    plain(here, "mv", old, new)
    Path(here.root, new).write_bytes(before.replace(b"status: deferred", b"status: open"))
    plain(here, "commit", "--quiet", "--all", "-m", "moved and reopened", "--date", f"@{int(clock())}")
    quiet(there, here)
    assert here.bead(one).status == "open"


ORDERS = list(itertools.permutations(range(3)))


@pytest.mark.parametrize("turns", ORDERS)
def test_moves_to_different_days_and_a_copy_end_in_one_place_whoever_syncs_first(
    ground: Ground, clock, turns: tuple[int, ...]
) -> None:
    here = ground.towns["anvil"]
    one, two = bead(here, "One", description=TEXT), bead(here, "Two", description=TEXT)
    kept = str(here.bead_path(two))
    sync(here)
    towns = [here, ground.add("brick"), ground.add("cobalt")]
    clock.advance(60)
    first = move(here, one, "2026-11-25")
    move(towns[1], one, "2026-11-26")
    copy(towns[1], two, "2026-11-22")
    for number, town in enumerate(towns):
        words = ("one", "three", "five")[number]
        for bead_id in (one, two):
            if (number, bead_id) != (1, two):
                note(town, bead_id, f"said of {town.machine}")
                update(town, bead_id, description=TEXT.replace(words, words.upper()))
    for number in turns:
        assert sync(towns[number]).new_ids == {}
    quiet(*towns)
    assert sorted(places(here)) == sorted([first, kept])
    assert said(here, one) == {f"said of {town.machine}\n" for town in towns}
    assert here.bead(one).description == TEXT.replace("one", "ONE").replace("three", "THREE").replace("five", "FIVE")
    assert said(here, two) == {"said of anvil\n", "said of cobalt\n"}
    assert here.bead(two).description == TEXT.replace("one", "ONE").replace("five", "FIVE")


def test_a_bead_that_was_renumbered_once_and_is_moved_keeps_the_id_it_got(ground: Ground, clock) -> None:
    here = ground.towns["anvil"]
    parent = bead(here, "Parent")
    sync(here)
    there = ground.add("brick")
    bead(here, "From anvil", parent=parent)
    clock.advance(60)
    bead(there, "From brick", parent=parent)
    quiet(here, there)
    one = f"{parent}.2"
    before = said(here, one)
    new = move(here, one, "2026-11-25")
    note(there, one, "said there")
    quiet(here, there)
    assert new in places(there)
    assert said(there, one) == before | {"said there\n"}


def test_a_move_and_a_removal_leave_the_bead_where_it_was_moved(ground: Ground) -> None:
    here = ground.towns["anvil"]
    one = bead(here, "One")
    sync(here)
    there = ground.add("brick")
    new = move(here, one, "2026-11-25")
    plain(there, "rm", "--quiet", str(there.bead_path(one)))
    plain(there, "commit", "--quiet", "-m", "gone")
    quiet(there, here)
    assert places(here) == places(there) == [new]


WAYS = [("pull", "--no-rebase", "--no-edit"), ("pull", "--rebase"), ("pull", "--rebase", "--autostash"), ("stash",)]


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize("how", [move, copy])
def test_plain_git_brings_a_moved_bead_and_a_change_together_as_a_sync_does(
    ground: Ground, clock, way: tuple[str, ...], how
) -> None:
    here = ground.towns["anvil"]
    one = bead(here, "One", description=TEXT)
    before = str(here.bead_path(one))
    sync(here)
    there, third = ground.add("brick"), ground.add("cobalt")
    clock.advance(60)
    update(here, one, description=TEXT.replace("one", "ONE"))
    new = how(here, one, "2026-11-25")
    if how is move:
        note(here, one, "said here")
    plain(here, "push", "--quiet")
    edited = Path(there.root, before)
    changed = edited.read_bytes().replace(b"five", b"FIVE")
    edited.write_bytes(changed)
    if way[0] == "stash":
        plain(there, "stash")
        plain(there, "pull", "--no-rebase")
        plain(there, "stash", "pop", code=None)
        if edited.exists():
            plain(there, "add", "--all")
        plain(there, "commit", "--quiet", "--all", "-m", "edited")
    else:
        plain(there, "commit", "--quiet", "--all", "-m", "edited")
        plain(there, *way, code=None)
        if there.repo.under_way():
            finish(there)
    note(third, one, "said elsewhere")
    quiet(there, here, third)
    assert places(there) == [new if how is move else before]
    assert there.bead(one).description == TEXT.replace("one", "ONE").replace("five", "FIVE")
    assert said(there, one) == {"said elsewhere\n"} | ({"said here\n"} if how is move else set())


def test_a_move_that_is_rebased_over_a_change_takes_nothing_of_it_back(ground: Ground, clock) -> None:
    here = ground.towns["anvil"]
    one = bead(here, "One", description=TEXT)
    sync(here)
    there = ground.add("brick")
    clock.advance(60)
    update(here, one, description=TEXT.replace("one", "ONE"), labels=["said"])
    plain(here, "push", "--quiet")
    new = move(there, one, "2026-11-25")
    update(there, one, description=TEXT.replace("five", "FIVE"))
    plain(there, "pull", "--rebase", code=None)
    finish(there)
    quiet(there, here)
    assert places(here) == [new]
    assert here.bead(one).description == TEXT.replace("one", "ONE").replace("five", "FIVE")
    assert here.bead(one).labels == ["said"]


def test_a_move_of_what_was_changed_here_and_there_is_rebased_with_both(ground: Ground, clock) -> None:
    """No file of the new history ever held just what was moved: what was said there stands in each of them."""
    here = ground.towns["anvil"]
    one = bead(here, "One", description=TEXT, labels=["a"])
    sync(here)
    there = ground.add("brick")
    clock.advance(60)
    update(here, one, **{"x-word": "said there"})
    plain(here, "push", "--quiet")
    update(there, one, title="Said here", description="another\n", labels=["a", "b"])
    old = str(there.bead_path(one))
    copy(there, one, "2026-11-25")
    plain(there, "rm", "--quiet", old)
    plain(there, "commit", "--quiet", "--amend", "--no-edit")
    update(there, one, labels=["a"])
    plain(there, "-c", "merge.renames=false", "pull", "--rebase", code=None)
    finish(there)
    quiet(there, here)
    found = here.bead(one)
    assert (found.title, found.description, found.labels) == ("Said here", "another\n", ["a"])
    assert found.doc["x-word"] == "said there"


def test_a_change_that_is_picked_from_where_the_bead_was_moved_takes_nothing_back(ground: Ground, clock) -> None:
    """Both sides gave it the same title, so the change is more like what stands there than like what it began from."""
    here = ground.towns["anvil"]
    one = bead(here, "One", description=TEXT)
    sync(here)
    there = ground.add("brick")
    clock.advance(60)
    update(there, one, title="Better", description=TEXT.replace("three", "tres"))
    move(here, one, "2026-11-25")
    update(here, one, title="Better")
    update(here, one, description=TEXT.replace("three", "THREE"), **{"x-word": "said here"})
    plain(here, "push", "--quiet")
    plain(there, "fetch", "--quiet")
    plain(there, "cherry-pick", "origin/main", code=None)
    finish(there)
    found = there.bead(one)
    texts = {found.description, *(one["text"] for one in found.doc.get("conflicts", ()))}
    assert texts == {TEXT.replace("three", "tres"), TEXT.replace("three", "THREE")}
    quiet(there, here)


def test_a_copy_of_what_only_a_merge_ever_made_takes_nothing_back(ground: Ground, clock) -> None:
    here = ground.towns["anvil"]
    one = bead(here, "One", description=TEXT)
    sync(here)
    there = ground.add("brick")
    clock.advance(60)
    update(here, one, description=TEXT.replace("one", "ONE").replace("two", "TWO"))
    update(there, one, description=TEXT.replace("four", "FOUR").replace("five", "FIVE"))
    sync(there)
    sync(here)
    place = Path(here.root, str(here.bead_path(one)))
    merged = place.read_bytes()
    sync(there)
    update(there, one, title="Said there")
    quiet(there, here)
    new = Path(here.root, f"rigs/greenplace/beads/2026-11-22/{one}.yaml")
    new.parent.mkdir()
    new.write_bytes(merged)
    plain(here, "add", "--all")
    plain(here, "commit", "--quiet", "-m", "an old copy")
    quiet(here, there)
    assert places(here) == [layout.relative(here.root, str(place))]
    assert here.bead(one).title == "Said there"


def test_what_lay_where_a_bead_was_moved_from_is_measured_by_its_own_beginning(ground: Ground, clock) -> None:
    """A rebase had put the like of the moved bead there once, which was joined long ago."""
    here = ground.towns["anvil"]
    one = bead(here, "One", description=TEXT)
    old = str(here.bead_path(one))
    sync(here)
    there, third = ground.add("brick"), ground.add("cobalt")
    clock.advance(60)
    update(here, one, description=TEXT.replace("one", "ONE"))
    sync(here)
    new = copy(here, one, "2026-11-25")
    plain(here, "rm", "--quiet", old)
    plain(here, "commit", "--quiet", "-m", "moved")
    sync(here)
    update(there, one, description=TEXT.replace("one", "ONE"))
    note(there, one, "said there")
    plain(there, "pull", "--rebase", code=None)
    finish(there)
    sync(there)
    update(third, one, labels=["said by the third"])
    plain(third, "pull", "--no-rebase", "--no-edit", code=None)
    finish(third)
    quiet(third, here, there)
    assert places(here) == [new]
    assert here.bead(one).description == TEXT.replace("one", "ONE")
    assert (here.bead(one).labels, said(here, one)) == (["said by the third"], {"said there\n"})


@pytest.mark.parametrize("way", [(), *WAYS[:2]], ids=" ".join)
def test_what_was_said_before_a_move_of_two_commits_stands(ground: Ground, clock, way: tuple[str, ...]) -> None:
    """The deacon may have committed the move when the file lay in both places."""
    here = ground.towns["anvil"]
    one = bead(here, "One", labels=["a"])
    old = str(here.bead_path(one))
    sync(here)
    there = ground.add("brick")
    clock.advance(60)
    update(here, one, title="Said here", labels=["a", "b"])
    new = copy(here, one, "2026-11-25")
    plain(here, "rm", "--quiet", old)
    plain(here, "commit", "--quiet", "-m", "moved")
    sync(here)
    note(there, one, "said there")
    if way:
        plain(there, *way, code=None)
        finish(there)
    quiet(there, here)
    assert places(here) == [new]
    assert (here.bead(one).title, here.bead(one).labels) == ("Said here", ["a", "b"])
    assert said(here, one) == {"said there\n"}


def test_a_note_that_is_rebased_over_a_move_takes_out_no_other_note(ground: Ground, clock) -> None:
    """What was noted elsewhere before the move is nothing that this side ever had."""
    here = ground.towns["anvil"]
    one = bead(here, "One", description=TEXT)
    sync(here)
    there = ground.add("brick")
    clock.advance(60)
    note(here, one, "said elsewhere")
    sync(here)
    move(here, one, "2026-11-25")
    sync(here)
    clock.advance(60)
    note(there, one, "said here")
    plain(there, "pull", "--rebase", code=None)
    finish(there)
    quiet(there, here)
    assert said(here, one) == {"said elsewhere\n", "said here\n"}


@pytest.mark.parametrize("days", [("2026-11-25", "2026-11-26"), ("2026-11-26", "2026-11-25")])
def test_plain_git_brings_two_moves_of_one_bead_together(ground: Ground, clock, days: tuple[str, str]) -> None:
    here = ground.towns["anvil"]
    one = bead(here, "One", description=TEXT)
    sync(here)
    there = ground.add("brick")
    for town, day, word in zip((here, there), days, ("one", "five"), strict=True):
        move(town, one, day)
        update(town, one, description=TEXT.replace(word, word.upper()))
    plain(here, "push", "--quiet")
    plain(there, "pull", "--no-rebase", "--no-edit")
    quiet(there, here)
    assert places(here) == [f"rigs/greenplace/beads/2026-11-25/{one}.yaml"]
    assert here.bead(one).description == TEXT.replace("one", "ONE").replace("five", "FIVE")


def test_what_a_clone_without_gt_made_of_a_move_is_settled_by_the_first_that_knows(ground: Ground, clock) -> None:
    here = ground.towns["anvil"]
    one = bead(here, "One", description=TEXT)
    before = str(here.bead_path(one))
    sync(here)
    there = ground.add("brick")
    git("clone", "--quiet", str(ground.remote), "plain", cwd=ground.base)
    other = Town(str(ground.base / "plain"), "overseer", clock)
    clock.advance(60)
    update(here, one, description=TEXT.replace("one", "ONE"))
    new = move(here, one, "2026-11-25")
    sync(here)
    edited = Path(other.root, before)
    changed = edited.read_bytes().replace(b"five", b"FIVE")
    edited.write_bytes(changed)
    plain(other, "commit", "--quiet", "--all", "-m", "edited")
    config = ("-c", "merge.renames=false", "-c", "pull.twohead=recursive")
    plain(other, *config, "pull", "--quiet", "--no-rebase", "--no-edit", code=None)
    edited.write_bytes(changed)
    plain(other, "add", "--all")
    plain(other, "commit", "--quiet", "-m", "both stay")
    assert edited.exists()
    assert Path(other.root, new).exists()
    plain(other, "push", "--quiet")
    copied = ground.twin(there, "copy")
    for town in (there, copied, here):
        assert sync(town).new_ids == {}
        assert places(town) == [new]
        assert town.bead(one).description == TEXT.replace("one", "ONE").replace("five", "FIVE")
        check_clean(town)
    assert Path(there.root, new).read_bytes() == Path(copied.root, new).read_bytes()
