"""The pool of polecat names."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gastown.model.ids import is_name
from gastown.model.names import DEFAULT_NAMES, next_free


def test_default_names_are_fifty_distinct_names() -> None:
    assert len(DEFAULT_NAMES) == 50
    assert len(set(DEFAULT_NAMES)) == 50
    assert all(is_name(name) and len(name) <= 8 for name in DEFAULT_NAMES)


def test_first_letters_repeat_only_when_the_alphabet_is_used_up() -> None:
    assert len({name[0] for name in DEFAULT_NAMES[:26]}) == 26
    assert len({name[0] for name in DEFAULT_NAMES[26:]}) == 24


def test_first_free_in_pool_order() -> None:
    assert next_free(["zed", "abe"], set()) == "zed"
    assert next_free(["zed", "abe"], {"zed"}) == "abe"


def test_an_exhausted_pool_goes_on_with_numbers() -> None:
    pool = ["zed", "abe"]
    assert next_free(pool, {"zed", "abe"}) == "zed-2"
    assert next_free(pool, {"zed", "abe", "zed-2"}) == "abe-2"
    assert next_free(pool, {"zed", "abe", "zed-2", "abe-2"}) == "zed-3"


def test_an_empty_pool_is_the_default_pool() -> None:
    assert next_free((), {DEFAULT_NAMES[0]}) == DEFAULT_NAMES[1]


def test_numbered_names_stay_within_the_length_of_a_name() -> None:
    long = "a" * 32
    assert next_free([long], {long}) == "a" * 30 + "-2"
    dashed = "a" * 29 + "-bc"
    assert is_name(next_free([dashed], {dashed}))


@settings(max_examples=40)
@given(st.sets(st.sampled_from(DEFAULT_NAMES)), st.integers(0, 120))
def test_every_name_drawn_is_new_and_valid(gone: set[str], draws: int) -> None:
    used = set(gone)
    for _ in range(draws):
        name = next_free(DEFAULT_NAMES, used)
        assert name not in used
        assert is_name(name)
        used.add(name)
