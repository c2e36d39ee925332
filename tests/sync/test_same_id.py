"""Beads made with one id in several places: every one is kept, and what is said of each goes on reaching it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from gastown.model.merge_bead import note_renumbered, renumber
from gastown.services.sync import references
from gastown.services.sync.sync import sync, take
from gastown.services.sync.unfinished import finish
from gastown.store.moves import beside
from gastown.store.orders import for_path
from gastown.store.town import Town
from gastown.store.yaml import rewrite
from tests.conftest import git
from tests.sync.ground import Ground, bead, note, plain, quiet, update


def titled(town: Town, title: str) -> str:
    """The id of the one bead with a title."""
    (found,) = [row.id for row in town.index().rows if row.title == title]
    return found


def texts(town: Town, title: str) -> set[str]:
    return {one["text"] for one in town.bead(titled(town, title)).notes}


def test_what_is_said_of_a_bead_reaches_it_after_it_was_renumbered_elsewhere(ground: Ground, clock) -> None:
    here = ground.towns["anvil"]
    parent = bead(here, "Parent")
    other = bead(here, "Other")
    sync(here)
    there = ground.add("brick")
    ours = bead(here, "From anvil", parent=parent)
    clock.advance(60)
    theirs = bead(there, "From brick", parent=parent, description="one\n\ntwo\n\nthree\n")
    assert ours == theirs == f"{parent}.1"
    sync(there)  # brick's is known to all under the id that it will lose
    assert sync(here).new_ids == {f"{parent}.1": f"{parent}.2"}
    clock.advance(60)
    note(there, theirs, "said before brick knew")
    update(there, theirs, description="one\n\ntwo\n\nTHREE\n")
    update(there, other, needs=[theirs])
    below = bead(there, "Below it", parent=theirs)
    update(here, f"{parent}.2", description="ONE\n\ntwo\n\nthree\n")
    quiet(here, there)
    assert titled(here, "From anvil") == f"{parent}.1"
    assert titled(here, "From brick") == f"{parent}.2"
    assert "said before brick knew\n" in texts(here, "From brick")
    assert "said before brick knew\n" not in texts(here, "From anvil")
    assert here.bead(f"{parent}.2").description == "ONE\n\ntwo\n\nTHREE\n"
    assert here.bead(other).needs == [f"{parent}.2"]
    assert titled(here, "Below it") == f"{parent}.2.1" != below
    assert here.bead(f"{parent}.2.1").parent == f"{parent}.2"


@pytest.mark.parametrize("way", [(), ("pull", "--no-rebase", "--no-edit"), ("pull", "--rebase")], ids=" ".join)
def test_two_beads_made_in_one_second_by_one_hand_are_two(ground: Ground, clock, way: tuple[str, ...]) -> None:
    """Everybody is the overseer, and a script on each machine made its child at the full hour."""
    here = ground.towns["anvil"]
    parent = bead(here, "Parent")
    sync(here)
    there = ground.add("brick")
    sync(here)
    clock.advance(60)
    for town in (here, there):
        made = bead(town, f"From {town.machine}", parent=parent, description=f"{town.machine}'s\n")
        note(town, made, f"said on {town.machine}")
    sync(there)
    if way:
        plain(here, *way)
    quiet(here, there)
    for name in (town.machine for town in (here, there)):
        one = here.bead(titled(here, f"From {name}"))
        assert (one.description, one.doc["created"]["machine"]) == (f"{name}'s\n", name)
        assert f"said on {name}\n" in texts(here, f"From {name}")
    assert {row.id for row in here.index().rows} == {parent, f"{parent}.1", f"{parent}.2"}


@pytest.mark.parametrize("way", [("pull", "--no-rebase", "--no-edit"), ("pull", "--rebase")], ids=" ".join)
def test_a_child_follows_a_bead_that_had_to_give_up_two_ids(ground: Ground, clock, way: tuple[str, ...]) -> None:
    """One merge brings the first new id, which another bead here has already: it gets a second one at once."""
    here = ground.towns["anvil"]
    parent, other = bead(here, "Parent"), bead(here, "Other")
    sync(here)
    clocks = [type(clock)(), type(clock)()]
    there, third = ground.add("brick", clocks[0]), ground.add("cedar", clocks[1])
    clock.advance(2 * 86_400)
    bead(here, "Moved", parent=parent)
    sync(here)
    sync(third)
    for one in clocks:
        one.advance(86_400)
    bead(there, "First", parent=parent)
    bead(third, "Second", parent=parent)
    below = bead(third, "Below", parent=f"{parent}.1")
    update(third, other, needs=[f"{parent}.1"])
    sync(there)
    plain(third, *way)
    quiet(third, there, here)
    home = titled(here, "Moved")
    assert (titled(here, "First"), home) == (f"{parent}.1", f"{parent}.3")
    assert (here.bead(titled(here, "Below")).parent, here.bead(other).needs) == (home, [home])
    assert here.bead(titled(here, "Below")).id != below


RIDES = pytest.mark.parametrize("way", [("pull", "--no-rebase", "--no-edit"), ("pull", "--rebase")], ids=" ".join)


@RIDES
@pytest.mark.parametrize("apart", [60, 86_400])
def test_what_a_bead_needs_follows_where_both_of_them_get_new_ids(
    ground: Ground, clock, way: tuple[str, ...], apart: int
) -> None:
    here = ground.towns["anvil"]
    parent = bead(here, "Parent")
    sync(here)
    early = type(clock)()
    there = ground.add("brick", early)
    sync(here)
    clock.advance(86_400)
    moved = bead(here, "Moved", parent=parent)
    sync(here)
    early.advance(60)
    assert bead(there, "First", parent=parent) == moved
    sync(there)
    clock.advance(apart)
    bead(here, "Second", parent=parent, needs=[moved])
    plain(here, *way)
    quiet(here, there)
    ids = [titled(here, title) for title in ("First", "Moved", "Second")]
    assert ids == [f"{parent}.1", f"{parent}.2", f"{parent}.3"]
    assert here.bead(ids[2]).needs == [ids[1]]


@pytest.mark.parametrize("way", [(), ("pull", "--no-rebase", "--no-edit"), ("pull", "--rebase")], ids=" ".join)
def test_each_of_two_children_lies_below_its_own_parent(ground: Ground, clock, way: tuple[str, ...]) -> None:
    """Each side gives up an id: one that of a parent, the other that of the child below its own."""
    here = ground.towns["anvil"]
    parent = bead(here, "Parent")
    sync(here)
    later = type(clock)()
    there = ground.add("brick", later)
    sync(here)
    first = bead(there, "First", parent=parent)
    clock.advance(86_400)
    bead(here, "Second", parent=parent)
    bead(here, "Below second", parent=first)
    later.advance(86_400 + 60)
    bead(there, "Below first", parent=first)
    sync(there)
    if way:
        plain(here, *way, code=None)
        finish(here)
    quiet(here, there)
    assert (titled(here, "First"), titled(here, "Second")) == (f"{parent}.1", f"{parent}.2")
    for title in ("First", "Second"):
        assert here.bead(titled(here, f"Below {title.lower()}")).parent == titled(here, title)


def test_a_rebase_that_leaves_out_a_merge_leaves_no_reference_behind(ground: Ground, clock) -> None:
    """What followed in the merge is made anew from the commit before it, by the id that is another bead's now."""
    here = ground.towns["anvil"]
    parent, other = bead(here, "Parent"), bead(here, "Other")
    sync(here)
    there = ground.add("brick")
    sync(here)
    bead(there, "First", parent=parent)
    clock.advance(60)
    moved = bead(here, "Moved", parent=parent)
    sync(here)
    sync(there)
    clock.advance(60)
    update(here, other, needs=[moved])
    bead(here, "Below", parent=moved)
    take(here)
    assert here.bead(other).needs == [f"{parent}.2"]
    clock.advance(60)
    note(there, parent, "said meanwhile")
    sync(there)
    plain(here, "pull", "--rebase")
    quiet(here, there)
    assert (here.bead(other).needs, here.bead(titled(here, "Below")).parent) == ([f"{parent}.2"], f"{parent}.2")


ORDERS = list(itertools.permutations(range(3)))
EVERY = [
    pytest.param(order, turns, marks=() if number % 7 == 1 else pytest.mark.slow)
    for number, (order, turns) in enumerate(itertools.product(ORDERS, [(0, 1, 2), (1, 0, 2), (2, 1, 0)]))
]


@pytest.mark.parametrize(("order", "turns"), EVERY)
def test_three_machines_give_one_number_to_six_children(ground: Ground, clock, order, turns) -> None:
    """Whoever made theirs first, whoever syncs first: one town in the end, every child once, every note on its bead."""
    here = ground.towns["anvil"]
    parent = bead(here, "Parent")
    sync(here)
    towns = [here, ground.add("brick"), ground.add("cobalt")]
    for number in order:
        clock.advance(60)
        first = bead(towns[number], f"first of {number}", parent=parent)
        clock.advance(60)
        bead(towns[number], f"second of {number}", parent=parent, needs=[first])
    for number in turns:
        sync(towns[number])
        for town, who in zip(towns, range(3), strict=True):
            note(town, titled(town, f"first of {who}"), f"{number}: {who} speaks of its own")
    quiet(*towns)
    titles = [row.title for row in here.index().rows if row.parent == parent]
    assert sorted(titles) == sorted(f"{what} of {who}" for who in range(3) for what in ("first", "second"))
    for who in range(3):
        said = {f"{number}: {who} speaks of its own\n" for number in range(3)}
        assert said <= texts(here, f"first of {who}")
        assert here.bead(titled(here, f"second of {who}")).needs == [titled(here, f"first of {who}")]
        for other in range(3):
            if other != who:
                assert not any("speaks of its own" in text and f"{who} speaks" not in text
                               for text in texts(here, f"first of {who}"))  # fmt: skip


def test_three_days_and_three_plain_pulls_give_three_children(ground: Ground, clock) -> None:
    """One id in three folders: git sees nothing, and each of them is another bead."""
    here = ground.towns["anvil"]
    parent = bead(here, "Parent")
    sync(here)
    towns = [here, ground.add("brick"), ground.add("cobalt")]
    for number, town in enumerate(towns):
        assert bead(town, f"child {number}", parent=parent) == f"{parent}.1"
        note(town, f"{parent}.1", f"said of {number}")
        clock.advance(86_400)
    first, second, third = towns
    for town in (second, third):
        git("fetch", "--quiet", town.root, f"HEAD:refs/heads/from-{town.machine}", cwd=first.root)
    # No hook of ours runs: nothing is settled before all three lie there.
    for name in ("from-brick", "from-cobalt"):
        plain(first, "-c", "core.hooksPath=/nowhere", "merge", "--no-edit", name)
    assert len([one for one in first.bead_ids() if one == f"{parent}.1"]) == 3
    quiet(*towns)
    assert [titled(here, f"child {number}") for number in range(3)] == [f"{parent}.{number}" for number in (1, 2, 3)]
    for number in range(3):
        assert f"said of {number}\n" in texts(here, f"child {number}")


@pytest.mark.parametrize("apart", [60, 86_400], ids=["one day", "a day each"])
def test_a_bead_that_two_machines_renumbered_differently_is_one_in_the_end(ground: Ground, clock, apart) -> None:
    here = ground.towns["anvil"]
    parent = bead(here, "Parent")
    other = bead(here, "Other")
    sync(here)
    towns = {name: ground.add(name) for name in ("brick", "cobalt")}
    bead(here, "anvil's first", parent=parent)
    clock.advance(apart)
    bead(towns["brick"], "brick's first", parent=parent)
    bead(towns["brick"], "brick's second", parent=parent)
    clock.advance(apart)
    bead(towns["cobalt"], "the one", parent=parent, description="a\n\nb\n")
    git("fetch", "--quiet", towns["cobalt"].root, "HEAD:refs/heads/cobalt", cwd=here.root)
    git("fetch", "--quiet", towns["cobalt"].root, "HEAD:refs/heads/cobalt", cwd=towns["brick"].root)
    plain(here, "merge", "--no-edit", "cobalt")
    plain(towns["brick"], "merge", "--no-edit", "cobalt")
    assert (titled(here, "the one"), titled(towns["brick"], "the one")) == (f"{parent}.2", f"{parent}.3")
    clock.advance(60)
    for town, old in ((here, "a"), (towns["brick"], "b")):
        note(town, titled(town, "the one"), f"said at {town.machine}")
        update(town, titled(town, "the one"), description="a\n\nb\n".replace(old, town.machine))
        update(town, other, **{f"x-{town.machine}": 1}, needs=[titled(town, "the one")])
    quiet(here, *towns.values())
    one = here.bead(titled(here, "the one"))
    assert {"said at anvil\n", "said at brick\n"} <= {note["text"] for note in one.notes}
    assert one.description == "anvil\n\nbrick\n"
    assert here.bead(other).needs == [one.id]
    assert len({row.id for row in here.index().rows if row.parent == parent}) == 4


def test_a_removal_by_hand_never_hits_the_bead_that_kept_the_number(ground: Ground, clock) -> None:
    here = ground.towns["anvil"]
    parent = bead(here, "Parent")
    sync(here)
    there = ground.add("brick")
    bead(here, "From anvil", parent=parent)
    clock.advance(60)
    theirs = bead(there, "From brick", parent=parent)
    sync(there)
    sync(here)
    Path(there.root, str(there.bead_path(theirs))).unlink()
    quiet(there, here)
    # That it was renumbered is a change, and a change is kept against a removal.
    assert sorted(row.title for row in here.index().rows if row.parent) == ["From anvil", "From brick"]


def called(town: Town, old: str, new: str) -> None:
    """Give a bead another id, as a settled sync does."""
    path, fresh = str(town.bead_path(old)), renumber(town.bead(old).doc, {old: new})
    note_renumbered(fresh, old, new, 1e9)
    with town.change("sync") as change:
        change.write(beside(path, new), rewrite(None, fresh, for_path(path), path))
        change.remove(path)
        change.emit("sync", "renumbered")


@pytest.mark.parametrize("meant", ["First", "Second"])
def test_an_id_of_nobody_is_followed_by_who_meant_the_bead_that_had_it(ground: Ground, meant: str) -> None:
    """The bead that has it at the time is removed, by one who does not know that something speaks of it."""
    here = ground.towns["anvil"]
    first, second = bead(here, "First"), bead(here, "Second")
    new = f"{first}.9"
    if meant == "First":
        speaks = bead(here, "Speaks", needs=[first])
    called(here, first, new)
    called(here, second, first)
    if meant == "Second":
        speaks = bead(here, "Speaks", needs=[first])
    Path(here.root, str(here.bead_path(first))).unlink()
    git("commit", "-qam", "gone", cwd=here.root)
    here.refresh()
    here.transact("sync", lambda change: references.replace(change, {first: new}))
    assert here.bead(speaks).needs == [new if meant == "First" else first]
