"""A key one letter off a known one is a slip; a key of one's own is not."""

from __future__ import annotations

import itertools

import pytest

from gastown.model import bead, rig, slips


@pytest.mark.parametrize(
    ("key", "known", "meant"),
    [
        ("gate", rig.KEYS, "gates"),
        ("Gates", rig.KEYS, "gates"),
        ("gaets", rig.KEYS, "gates"),
        ("setups", rig.KEYS, "setup"),
        ("poelcat", rig.KEYS, "polecats"),
        ("need", bead.KEYS, "needs"),
        ("NEEDS", bead.KEYS, "needs"),
        ("asignees", bead.KEYS, "assignee"),
        ("Id", bead.KEYS, "id"),
    ],
)
def test_a_slip_is_known_as_the_key_that_was_meant(key: str, known: tuple[str, ...], meant: str) -> None:
    assert slips.meant(key, known) == meant


@pytest.mark.parametrize("key", ["x-gate", "X_gates", "estimate", "story_points", "comment", "due", "url", "ids", ""])
def test_a_key_of_ones_own_is_no_slip(key: str) -> None:
    assert not slips.meant(key, rig.KEYS)
    assert not slips.meant(key, bead.KEYS)


def test_no_known_key_is_a_slip_of_another() -> None:
    for known in (rig.KEYS, bead.KEYS):
        assert not any(slips.meant(key, known) for key in known)


def test_letters_are_counted_as_a_person_mistypes_them() -> None:
    """Each one slip of a word is one slip, whatever it is."""
    word = "polecats"
    for at, letter in itertools.product(range(len(word)), "qz"):
        for wrong in (word[:at] + word[at + 1 :], word[:at] + letter + word[at:], word[:at] + letter + word[at + 1 :]):
            assert slips.meant(wrong, [word]) == word
    assert slips.meant("oplecats", [word]) == word
    assert slips.meant("oplecatss", [word]) == word
    assert not slips.meant("oplecatsss", [word])
