"""The order of the merge queue and the search for culprits."""

from __future__ import annotations

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from gastown.model.bisect import find_culprits
from gastown.model.queue import Entry, in_order, next_batch


def entry(name: str, **fields) -> Entry:
    base = Entry(
        id=name,
        source="",
        title=name,
        branch="b",
        commit="c",
        target="main",
        worker="",
        priority=2,
        created="2026-11-23T09:00:00Z",
    )
    return dataclasses.replace(base, **fields)


def ids(entries: list[Entry]) -> list[str]:
    return [one.id for one in entries]


def test_priority_comes_before_age_and_age_before_id():
    late = entry("a", created="2026-11-23T10:00:00Z")
    early = entry("b", created="2026-11-23T09:00:00Z")
    urgent = entry("c", priority=0, created="2026-11-23T11:00:00Z")
    assert ids(in_order([late, early, urgent])) == ["c", "b", "a"]


def test_a_failed_attempt_loses_its_place():
    failed = entry("a", failures=1, created="2026-11-23T08:00:00Z")
    fresh = entry("b")
    assert ids(in_order([failed, fresh])) == ["b", "a"]
    assert ids(in_order([failed, entry("b", priority=4)])) == ["a", "b"]


def test_a_convoy_member_is_as_old_as_its_convoy():
    member = entry("z", created="2026-11-23T12:00:00Z", convoy_since="2026-11-20T00:00:00Z")
    assert ids(in_order([entry("a"), member])) == ["z", "a"]


def test_a_batch_shares_the_target_of_its_head_and_skips_what_is_held():
    queue = [
        entry("a", held="its branch is gone"),
        entry("b", set_aside=True),
        entry("c", target="next"),
        entry("d"),
        entry("e", target="next"),
    ]
    assert ids(next_batch(queue, 5)) == ["c", "e"]
    assert ids(next_batch(queue, 1)) == ["c"]
    assert next_batch([queue[0]], 5) == []


@given(st.lists(st.booleans(), min_size=1, max_size=9).filter(any))
@settings(max_examples=150)
def test_every_culprit_is_found_and_nobody_else(bad):
    suspects = tuple(range(len(bad)))
    green: list[tuple[int, ...]] = [()]

    def is_green(stack: tuple[int, ...]) -> bool:
        result = not any(bad[one] for one in stack)
        if result:
            green.append(stack)
        return result

    good, culprits = find_culprits(suspects, is_green)
    assert culprits == tuple(one for one in suspects if bad[one])
    assert good == tuple(one for one in suspects if not bad[one])
    assert good in green, "what lands was itself tested"


@given(st.integers(2, 9), st.data())
@settings(max_examples=60)
def test_of_a_clashing_pair_only_the_later_is_blamed(count, data):
    first = data.draw(st.integers(0, count - 2))
    second = data.draw(st.integers(first + 1, count - 1))
    good, culprits = find_culprits(tuple(range(count)), lambda stack: not {first, second} <= set(stack))
    assert culprits == (second,)
    assert len(good) == count - 1


def test_one_culprit_among_five_costs_few_runs():
    runs: list[tuple[int, ...]] = []

    def is_green(stack: tuple[int, ...]) -> bool:
        runs.append(stack)
        return 3 not in stack

    assert find_culprits((0, 1, 2, 3, 4), is_green) == ((0, 1, 2, 4), (3,))
    assert len(runs) <= 4
