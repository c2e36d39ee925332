"""What lists answer: filters, order, readiness; now and in the past."""

from __future__ import annotations

import pytest

from gastown.model.errors import NotFound, UsageError
from gastown.services.beads import beads, queries
from gastown.services.beads.beads import Draft, Edit
from gastown.services.beads.queries import Filter
from gastown.store.town import Town


def test_order_is_priority_then_age_then_id(town: Town, clock) -> None:
    late = beads.create(town, Draft("late", priority=1))
    clock.advance(-100)
    early = beads.create(town, Draft("early", priority=1))
    urgent = beads.create(town, Draft("urgent", priority=0))
    assert [row.id for row in queries.ready(town.index())] == [urgent.id, early.id, late.id]


def test_containers_are_never_ready(town: Town) -> None:
    beads.create(town, Draft("epic", type="epic"))
    assert queries.ready(town.index()) == []


def test_unknown_needs_block_and_are_named(town: Town) -> None:
    bead = beads.create(town, Draft("x"))

    def body(change):
        now = change.bead(bead.id)
        now.set("needs", ["hq-gone1"])
        change.save(now)
        change.emit("edit", "x", bead=bead.id)

    town.transact("edit", body)
    index = town.index()
    assert [(row.id, waits) for row, waits in queries.blocked(index)] == [(bead.id, ["hq-gone1"])]
    assert queries.why_blocked("hq-gone1", index.by_id) == "unknown"
    assert queries.as_json(town.bead(bead.id), queries.around(town, town.bead(bead.id)))["blocked_by"] == ["hq-gone1"]


def test_a_small_index_answers_as_the_whole_one(town: Town) -> None:
    one = beads.create(town, Draft("one"))
    two = beads.create(town, Draft("two", needs=(one.id,), parent=one.id))
    for bead in (one, two):
        assert queries.as_json(bead, queries.around(town, bead)) == queries.as_json(bead, town.index())


def test_filters_together(town: Town) -> None:
    keep = beads.create(town, Draft("keep", type="bug", labels=("a", "b"), priority=1))
    beads.create(town, Draft("other", type="bug", labels=("a",), priority=1))
    wanted = Filter(types=("bug", "task"), labels=("a", "b"), priorities=(0, 1), statuses=("ready",))
    assert [row.id for row in queries.select(town.index(), wanted)] == [keep.id]
    assert queries.select(town.index(), Filter(assignee="green/amber")) == []


@pytest.mark.parametrize("wanted", [
    Filter(statuses=("opn",)), Filter(types=("bgu",)), Filter(priorities=(9,)), Filter(sort="size"), Filter(rig="no"),
])  # fmt: skip
def test_a_filter_that_cannot_match_is_refused(town: Town, wanted: Filter) -> None:
    with pytest.raises((UsageError, NotFound)) as caught:
        queries.check_filter(town, wanted)
    assert caught.value.hint or wanted.priorities


def test_a_circle_of_parents_is_cut(town: Town) -> None:
    one, two = beads.create(town, Draft("one")), beads.create(town, Draft("two"))
    beads.update(town, two.id, Edit(parent=one.id))

    def body(change):
        bead = change.bead(one.id)
        bead.set("parent", two.id)
        change.save(bead)
        change.emit("edit", "by hand", bead=one.id)

    town.transact("edit", body)
    node = queries.tree(town.index(), one.id)
    assert [child.row.id for child in node.children] == [two.id]
    assert node.children[0].children == ()


def test_the_past_is_answered_the_same_way(town: Town) -> None:
    one = beads.create(town, Draft("one"))
    beads.close(town, one.id, "done")
    past = town.at("HEAD~1")
    assert [row.id for row in queries.ready(past.index())] == [one.id]
    assert queries.ready(town.index()) == []
    assert queries.load_rows(past, past.index().rows)[0].status == "open"
