"""Names, ids, times, addresses, graph: what is allowed, and what is refused at the door."""

from __future__ import annotations

import itertools
import random
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gastown.model import address, graph, ids, text, times
from gastown.model.errors import UsageError
from gastown.model.row import Row, row_of

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
ID = re.compile(r"[a-z][a-z0-9]{0,7}-[0-9a-z]{4,10}(\.[0-9]+)*")
ODD = st.text(alphabet="ab9-./\\ \n\0é٣A_:~" + string.ascii_lowercase, max_size=40)


@given(ODD)
def test_names_and_ids_are_exactly_those_of_the_design(word):
    assert ids.is_name(word) == (bool(NAME.fullmatch(word)) and word not in ids.RESERVED)
    assert ids.is_id(word) == (bool(ID.fullmatch(word)) and len(word) <= 64)


@given(st.from_regex(ID, fullmatch=True))
def test_every_id_is_known_as_one(word):
    assert ids.is_id(word) == (len(word) <= 64)


def test_new_ids_are_free_and_grow_with_the_town():
    draw = random.Random(7).randrange
    assert len(ids.new_id("gp", 10, lambda _: False, draw)) == 8
    assert len(ids.new_id("gp", 5_000, lambda _: False, draw)) == 9
    assert len(ids.new_id("gp", 100_000, lambda _: False, draw)) == 10
    taken: set[str] = set()
    for _ in range(200):
        taken.add(ids.new_id("gp", 0, taken.__contains__, draw))
    assert len(taken) == 200
    assert all(ids.is_id(one) for one in taken)


def test_children_are_numbered_after_the_highest():
    assert ids.child_id("gp-aaaaa", ["gp-aaaaa.2", "gp-aaaaa.10", "gp-aaaaa.10.4", "gp-bbbbb.99"]) == "gp-aaaaa.11"
    assert ids.child_id("gp-aaaaa", []) == "gp-aaaaa.1"


def test_prefixes_are_short_and_never_taken_twice():
    taken: list[str] = []
    for name in ("green-place", "gas-pump", "tools", "town-hall", "t", "to", "x9-9"):
        prefix = ids.prefix_for_rig(name, taken)
        assert ids.is_prefix(prefix)
        assert prefix not in (*taken, "hq")
        taken.append(prefix)
    assert taken[0] == "gp"


@given(st.integers(0, 4_000_000_000_000))
def test_times_survive_their_text(milliseconds):
    epoch = milliseconds / 1000
    assert times.parse(times.text(epoch)) == int(epoch)
    assert abs(times.parse(times.millis(epoch)) - epoch) <= 0.001


@pytest.mark.parametrize(
    ("span", "seconds"), [("90s", 90), ("15m", 900), ("4h", 14400), ("7d", 604800), ("1h30m", 5400), ("2 hours", 7200)]
)
def test_durations(span, seconds):
    assert times.duration(span) == seconds


@pytest.mark.parametrize("span", ["", "x", "5", "m", "3 parsecs", "-5m", "1h xyz"])
def test_what_is_no_duration(span):
    with pytest.raises(UsageError):
        times.duration(span)


def test_moments_look_back_from_now():
    assert times.moment("2 hours ago", 10_000) == 2_800
    assert times.moment("2h", 10_000) == 2_800
    assert times.moment("1970-01-02", 0) == 86_400


@pytest.mark.parametrize("when", ["9" * 20 + "d", "9" * 400 + "d", "0001-01-01", "0001-01-01T00:00:00+14:00"])
def test_a_moment_before_any_town_is_as_good_as_any_other(when):
    assert times.text(times.moment(when, 10_000)) == "1970-01-01T00:00:00Z"


def test_addresses_have_one_form():
    assert address.parse("greenplace/polecats/toast") == "greenplace/toast"
    assert address.parse("greenplace/crew/ada") == "greenplace/ada"
    assert address.parse("mayor/") == "mayor"
    assert address.parse("greenplace/refinery") == "greenplace/refinery"
    for bad in ("", "nobody", "a/b/c", "../x", "rig/..", "Rig/x", "rig/mayor", "a//b"):
        with pytest.raises(UsageError):
            address.parse(bad)


@given(st.text())
def test_no_control_character_reaches_a_terminal(words):
    line = text.safe(words)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in line)
    assert "\u202e" not in line
    block = text.safe_block(words)
    assert not any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in block)


def _row(bead_id, status="open", needs=(), rig="greenplace", **fields) -> Row:
    doc = {"id": bead_id, "title": "t", "status": status, "needs": list(needs), **fields}
    return row_of(doc, f"rigs/{rig}/beads/2026-11-23/{bead_id}.yaml", rig)


def test_a_need_is_satisfied_by_landed_code_not_by_words():
    merged = {"at": "…", "by": "greenplace/refinery", "reason": "merged", "commit": "9fceb02"}
    rows = {
        row.id: row
        for row in (
            _row("gp-aaaa", "merging"),
            _row("gp-bbbb", "closed", target="main", closed=merged),
            _row("gp-cccc", "closed", target="release", closed=merged),
            _row("gp-dddd", "closed", closed={"at": "…", "by": "overseer", "reason": "done"}),
        )
    }
    wants = _row("gp-eeee", needs=["gp-aaaa", "gp-bbbb", "gp-cccc", "gp-dddd", "gp-gone"], target="main")
    assert graph.blockers(wants, rows) == ["gp-aaaa", "gp-cccc", "gp-gone"]
    assert graph.is_ready(_row("gp-ffff", needs=["gp-bbbb"], target="main"), rows)


def test_many_rows_are_ready_as_one_is():
    done = {"at": "…", "by": "overseer", "reason": "done"}
    rows = [
        _row("gp-aaaa", "closed", closed=done), _row("gp-bbbb"), _row("gp-cccc", needs=["gp-aaaa"]),
        _row("gp-dddd", needs=["gp-bbbb"]), _row("gp-eeee", type="epic"), _row("gp-ffff", "deferred"),
        _row("gp-gggg", needs=["gp-gone"]),
    ]  # fmt: skip
    by_id = {row.id: row for row in rows}
    found = graph.ready(rows, by_id)
    assert [row.id for row in found] == ["gp-bbbb", "gp-cccc"]
    assert found == [row for row in rows if graph.is_ready(row, by_id)]


def test_cycles_are_found():
    needs = {"a": ["b"], "b": ["c", "d"], "c": [], "d": ["a"]}
    assert graph.find_cycle("a", needs.__getitem__) == ["a", "b", "d", "a"]
    assert graph.find_cycle("c", needs.__getitem__) == []


def test_every_knot_of_needs_is_named_once_by_a_circle_in_it():
    needs = {
        "a": ["b"], "b": ["c", "d"], "c": [], "d": ["a"],  # one, with a way out of it
        "e": ["a"], "f": ["e", "g"], "g": ["f"],  # one that waits for the other
        "h": ["h"], "i": ["gone"],
    }  # fmt: skip
    assert graph.circles(needs) == [["a", "b", "d", "a"], ["f", "g", "f"], ["h", "h"]]
    rows = [_row("gp-aaaa", needs=["gp-bbbb"]), _row("gp-bbbb", "closed", needs=["gp-aaaa"])]
    assert graph.need_circles(rows) == []


@given(st.dictionaries(st.integers(0, 8), st.lists(st.integers(0, 8), max_size=3), max_size=9))
def test_circles_are_found_where_a_search_from_each_finds_one(edges):
    needs = {str(one): [str(need) for need in there] for one, there in edges.items()}
    closed = {one for one in needs if graph.find_cycle(one, lambda here: needs.get(here, ()))}
    found = graph.circles(needs)
    assert {one for path in found for one in path} <= closed
    assert bool(found) == bool(closed)
    for path in found:
        assert path[0] == path[-1]
        assert len(set(path)) == len(path) - 1
        assert all(need in needs[one] for one, need in itertools.pairwise(path))
    reached = {one for one in closed if any(_reaches(needs, one, path[0]) and _reaches(needs, path[0], one)
                                            for path in found)}  # fmt: skip
    assert reached == closed, "every knot has its circle"


def _reaches(needs, one, other):
    seen, left = set(), [one]
    while left:
        here = left.pop()
        if here == other:
            return True
        if here not in seen:
            seen.add(here)
            left += needs.get(here, ())
    return False


def test_circles_are_looked_for_in_linear_time():
    def steps(count):
        asked = 0

        class Counted(dict):
            def __getitem__(self, key):
                nonlocal asked
                asked += 1
                return super().__getitem__(key)

            def get(self, key, other=None):
                nonlocal asked
                asked += 1
                return super().get(key, other)

        ring = Counted({f"{n:05}": [f"{(n + 1) % count:05}"] for n in range(count)})
        (path,) = graph.circles(ring)
        assert len(path) == count + 1
        return asked

    assert steps(10_000) <= 10.5 * steps(1_000)
