"""A text that two places changed in different ways: both versions stay, are shown everywhere, and one is chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gastown.services.sync.sync import sync
from gastown.store.town import Town
from tests.conftest import Clock, Ran, run_gt
from tests.sync.ground import Ground, bead, check_clean, note, tree, update

Gt = Callable[..., Ran]


@pytest.fixture
def torn(ground: Ground, clock: Clock) -> tuple[Town, Town, str]:
    """Two towns that hold one bead with two versions each of its description and its acceptance."""
    here = ground.towns["anvil"]
    made = bead(here, "Torn", description="first\n", acceptance="first\n")
    sync(here)
    there = ground.add("brick")
    update(here, made, description="anvil's \x1b[31m\n", acceptance="a\n")
    clock.advance(60)
    update(there, made, description="brick's\n", acceptance="b\n")
    for town in (there, here, there):
        sync(town)
    return here, there, made


def gt(town: Town, *args: str, **options: Any) -> Ran:
    return run_gt(*args, cwd=town.root, **options)


def test_it_is_shown_until_somebody_chooses(torn: tuple[Town, Town, str]) -> None:
    here, there, made = torn
    for town in (here, there):
        (problem,) = [one for one in gt(town, "status", "--json").json["problems"] if one["kind"] == "conflict"]
        assert problem["subject"] == made
        assert problem["command"] == f"gt bead resolve {made}"
        assert "acceptance and its description" in problem["text"]
        shown = gt(town, "show", made).out
        assert "brick's" in shown
        assert "anvil's" in shown
        assert "\x1b" not in shown
        assert [one["text"] for one in gt(town, "show", made, "--json").json["conflicts"]][:2] == ["a\n", "b\n"]
    listed = gt(here, "bead", "resolve", made)
    assert [line.split()[:2] for line in listed.lines if line[:1].isdigit()] == [
        ["1", "acceptance"], ["2", "acceptance"], ["3", "description"], ["4", "description"],
    ]  # fmt: skip
    assert "\x1b" not in listed.out
    assert gt(here, "bead", "resolve", made, "--json").json[0]["key"] == "acceptance"


def test_one_is_chosen_and_the_choice_travels(torn: tuple[Town, Town, str], clock: Clock) -> None:
    here, there, made = torn
    assert here.bead(made).description == "brick's\n"
    gt(here, "bead", "resolve", made, "3")
    assert "conflict" in [one["kind"] for one in gt(here, "status", "--json").json["problems"]]
    gt(here, "bead", "resolve", made, "--text", "neither")
    assert [one["kind"] for one in gt(here, "status", "--json").json["problems"]] == []
    clock.advance(60)
    note(there, made, "meanwhile")
    for town in (there, here, there):
        sync(town)
    assert tree(here) == tree(there)
    one = there.bead(made)
    assert (one.description, one.acceptance) == ("anvil's \x1b[31m\n", "neither\n")
    assert "conflicts" not in one.doc
    said = [event["text"] for event in there.events() if event["type"] == "edit" and event.get("data", {}).get("key")]
    assert said[-2:] == [f"chose between versions of the {key} of {made}" for key in ("description", "acceptance")]
    check_clean(there)
    again = gt(here, "bead", "resolve", made, "1", code=6)
    assert "no text to choose between" in again.err
    assert "no text to choose between" in gt(here, "bead", "resolve", made).err


def test_what_cannot_be_chosen_changes_nothing(torn: tuple[Town, Town, str]) -> None:
    here, _, made = torn
    before = tree(here)
    for args, said in (
        (("9",), "no version 9 of 4"),
        (("0",), "no version 0 of 4"),
        (("²",), "is no number"),
        (("--text", "both"), "more than one text is open: acceptance, description"),
        (("--text", "x", "--key", "title"), f"title of {made} has no versions"),
        (("1", "--text", "x"), "chosen by its number alone"),
    ):
        assert said in gt(here, "bead", "resolve", made, *args, code=2).err
    assert tree(here) == before


def test_two_who_choose_differently_are_asked_again(torn: tuple[Town, Town, str], clock: Clock) -> None:
    here, there, made = torn
    gt(here, "bead", "resolve", made, "3")
    clock.advance(60)
    gt(there, "bead", "resolve", made, "--key", "description", "--text", "a third")
    for town in (there, here, there):
        sync(town)
    texts = [one["text"] for one in here.bead(made).doc["conflicts"] if one["key"] == "description"]
    assert sorted(texts) == ["a third\n", "anvil's \x1b[31m\n"]
    assert tree(here) == tree(there)


def test_a_conflict_that_a_person_wrote_oddly_is_no_trouble(torn: tuple[Town, Town, str]) -> None:
    here, _, made = torn
    for odd in ({"description": "x"}, [1, "two", {"no": "key"}]):
        update(here, made, conflicts=odd)
        gt(here, "status")
        gt(here, "show", made)
        gt(here, "bead", "resolve", made)
        sync(here)
