"""Lines of two sides are woven together, or it is said that they overlap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gastown.model.merge_text import merge_lines

BASE = "one\ntwo\nthree\nfour\nfive\n"
texts = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "d\n"]), max_size=8).map("".join)


@pytest.mark.parametrize(
    ("ours", "theirs", "merged"),
    [
        (BASE.replace("one", "1"), BASE.replace("five", "5"), "1\ntwo\nthree\nfour\n5\n"),
        (BASE.replace("two\n", ""), BASE + "six\n", "one\nthree\nfour\nfive\nsix\n"),
        (BASE.replace("two", "2"), BASE.replace("two", "2"), BASE.replace("two", "2")),
        (BASE.replace("two", "2"), BASE.replace("two", "zwei"), None),
        (BASE + "six\n", BASE + "seven\n", None),
        (BASE.replace("two\n", ""), BASE.replace("two", "2"), None),
    ],
)
def test_lines_of_both_sides(ours: str, theirs: str, merged: str | None) -> None:
    assert merge_lines(BASE, ours, theirs) == merged
    assert merge_lines(BASE, theirs, ours) == merged


@given(texts, texts, texts)
def test_it_does_not_matter_which_side_is_ours(base: str, ours: str, theirs: str) -> None:
    merged = merge_lines(base, ours, theirs)
    assert merged == merge_lines(base, theirs, ours)
    assert merge_lines(base, ours, base) == ours
    assert merge_lines(base, ours, ours) == ours
    if merged is not None and base not in (ours, theirs) and ours != theirs:
        # Merging one side in again changes nothing: its changes are there.
        again = merge_lines(ours, ours, merged)
        assert again == merged
