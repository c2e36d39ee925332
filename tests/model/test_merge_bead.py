"""The rules by which two versions of a bead become one (sync.md, One merge function per kind of file)."""

from __future__ import annotations

from typing import Any

import pytest

from gastown.model.bead import check
from gastown.model.merge import Doc, History, Step
from gastown.model.merge_bead import first_id, former_ids, merge_bead, note_renumbered, renumber, same_bead

PATH = "beads/2026-11-23/hq-a1b2c.yaml"
BASE: Doc = {
    "id": "hq-a1b2c", "title": "Old", "type": "task", "status": "open", "priority": 2,
    "created": {"at": "2026-11-23T09:30:00Z", "by": "overseer"},
    "needs": ["hq-aaaa", "hq-bbbb"], "description": "one\ntwo\nthree\n",
}  # fmt: skip
HELD = {"status": "hooked", "assignee": "gp/toast", "machine": "anvil", "branch": "polecat/toast/hq-a1b2c.a1"}
CLOSED = {"status": "closed", "closed": {"at": "2026-11-23T10:00:00Z", "by": "overseer", "reason": "wontfix"}}
MERGED = {"status": "closed", "closed": {**CLOSED["closed"], "reason": "merged", "commit": "9fceb02"}}


def changed(**keys: Any) -> Doc:
    doc = {**BASE, **keys}
    return {key: value for key, value in doc.items() if value is not None}


def did(*states: Doc, at: float = 100.0, by: str = "overseer", start: Doc = BASE) -> History:
    """A history that went through these states, a second each."""
    before = [start, *states[:-1]]
    steps = [Step(at + i, by, old, new) for i, (old, new) in enumerate(zip(before, states, strict=True))]
    return History(at, by, lambda: steps)


def merged(ours: Doc, theirs: Doc, mine: History | None = None, other: History | None = None, **more: Any) -> Doc:
    """Merged, and held to give the same the other way round."""
    mine, other = mine or did(ours, at=100), other or did(theirs, at=200)
    doc, record = merge_bead(BASE, ours, theirs, mine, other, **more)
    again, record_again = merge_bead(BASE, theirs, ours, other, mine, **more)
    assert doc == again
    assert sorted(map(repr, record.settled)) == sorted(map(repr, record_again.settled))
    check(doc, PATH)
    return doc


def test_one_side_changed_then_that_side_wins() -> None:
    assert merged(changed(title="New"), BASE)["title"] == "New"
    assert "extra" not in merged(changed(extra=None), changed(title="New"))
    assert merged(changed(extra={"a": 1}), changed(title="New")) == changed(extra={"a": 1}, title="New")


def test_sets_keep_what_both_added_and_drop_what_either_removed() -> None:
    doc = merged(changed(needs=["hq-aaaa", "hq-cccc"]), changed(needs=["hq-aaaa", "hq-bbbb", "hq-dddd"]))
    assert doc["needs"] == ["hq-aaaa", "hq-cccc", "hq-dddd"]


def test_notes_are_joined_in_order_of_time_and_none_is_lost() -> None:
    one = {"at": "2026-11-23T11:00:00Z", "by": "overseer", "text": "later\n"}
    two = {"at": "2026-11-23T10:00:00Z", "by": "gp/toast", "text": "earlier\n"}
    assert merged(changed(notes=[one, one]), changed(notes=[two]))["notes"] == [two, one, one]


def test_a_session_that_both_sides_touched_is_one() -> None:
    begun, ended = {"id": "s-1", "started": "2026-11-23T10:00:00Z"}, {"ended": "2026-11-23T11:00:00Z"}
    doc = merged(changed(sessions=[{**begun, **ended}]), changed(sessions=[{**begun, "resume": "y"}]))
    assert doc["sessions"] == [{**begun, **ended, "resume": "y"}]


def test_the_later_title_wins_and_the_other_stays_in_a_note() -> None:
    doc = merged(changed(title="Early"), changed(title="Late"))
    assert doc["title"] == "Late"
    assert [note["text"] for note in doc["notes"]] == ["title was changed in two places; not kept: Early\n"]


def test_it_is_the_time_of_the_value_that_counts_not_of_the_last_commit() -> None:
    early, ours = changed(title="Early"), changed(title="Early", priority=0)
    history = History(900, "overseer", lambda: [Step(100, "overseer", BASE, early), Step(900, "overseer", early, ours)])
    assert merged(ours, changed(title="Late"), history, did(changed(title="Late"), at=500))["title"] == "Late"


def test_texts_are_woven_by_lines() -> None:
    doc = merged(changed(description="ONE\ntwo\nthree\n"), changed(description="one\ntwo\nTHREE\n"))
    assert doc["description"] == "ONE\ntwo\nTHREE\n"
    assert "conflicts" not in doc


def test_texts_that_overlap_keep_both_versions_until_someone_chooses() -> None:
    doc = merged(
        changed(description="1\n"), changed(description="2\n"), None, did(changed(description="2\n"), at=200, by="gp/x")
    )
    assert doc["description"] == "2\n"
    assert [(item["key"], item["by"], item["text"]) for item in doc["conflicts"]] == [
        ("description", "overseer", "1\n"), ("description", "gp/x", "2\n")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("weak", "strong"),
    [
        (changed(status="deferred"), changed(**HELD)),
        (changed(**HELD), changed(**HELD | {"status": "in_progress"})),
        (changed(**HELD | {"status": "in_progress"}), changed(**HELD | {"status": "merging"})),
        (changed(**HELD | {"status": "merging"}), changed(**CLOSED)),
        (changed(**CLOSED), changed(**MERGED)),
    ],
)
def test_the_life_cycle_decides_whatever_the_clocks_say(weak: Doc, strong: Doc) -> None:
    doc = merged(weak, strong, did(weak, at=900), did(strong, at=100))
    group = ("status", "assignee", "machine", "branch", "closed")
    assert {key: doc.get(key) for key in group} == {key: strong.get(key) for key in group}


def test_a_later_reopen_that_knew_of_the_closing_wins() -> None:
    reopened = changed(status="open", assignee="gp/toast")
    doc = merged(changed(**CLOSED), reopened, did(changed(**CLOSED), at=100), did(changed(**CLOSED), reopened, at=100))
    assert (doc["status"], "closed" in doc) == ("open", False)


def test_a_confirmed_claim_beats_one_that_is_not() -> None:
    other = HELD | {"assignee": "gp/nux", "machine": "brick", "branch": "polecat/nux/hq-a1b2c.a1"}
    doc = merged(
        changed(**HELD), changed(**other), did(changed(**HELD), at=1), did(changed(**other), at=9),
        confirmed=lambda doc: doc.get("machine") == "anvil",
    )  # fmt: skip
    assert doc["assignee"] == "gp/toast"
    assert "gp/nux" in doc["notes"][0]["text"]


def test_a_bead_that_two_took_keeps_the_run_of_its_holder() -> None:
    mine = changed(**HELD, agent="exec", command=["one"])
    other = changed(**{**HELD, "machine": "brick", "status": "merging"}, agent="exec", command=["two"])
    doc = merged(mine, other, did(mine, at=100), did(other, at=200), confirmed=lambda one: one["machine"] == "anvil")
    assert (doc["machine"], doc["command"]) == ("anvil", ["one"])
    assert [note["text"].split()[0] for note in doc["notes"]] == ["status"]
    doc = merged(mine, changed(command=["two"], title="New"))
    assert (doc["machine"], doc["command"], doc["title"]) == ("anvil", ["two"], "New")


def test_beads_made_on_both_sides_are_told_apart_by_their_creation() -> None:
    other = changed(created={"at": "2026-11-23T09:31:00Z", "by": "overseer"})
    assert not same_bead(BASE, other)
    new_ids = {"hq-a1b2c": "hq-new1", "hq-zzzz": "hq-new2"}
    moved = renumber({**other, "parent": "hq-zzzz", "needs": ["hq-zzzz"]}, new_ids)
    assert (moved["id"], moved["parent"], moved["needs"]) == ("hq-new1", "hq-new2", ["hq-new2"])


def test_the_id_a_bead_was_made_with_is_known_whatever_ways_it_went() -> None:
    doc = dict(BASE)
    assert (first_id(doc), former_ids(doc)) == ("hq-a1b2c", [])
    for old, new in (("hq-a.1", "hq-a.2"), ("hq-a.2", "hq-a.5"), ("hq-a.1", "hq-a.3"), ("hq-a.5", "hq-a.3")):
        note_renumbered(doc, old, new, 0)
    assert first_id({**doc, "id": "hq-a.3"}) == "hq-a.1"
    assert set(former_ids({**doc, "id": "hq-a.3"})) == {"hq-a.1", "hq-a.2", "hq-a.5"}
    # One that kept the id tells of the other's way, not of its own.
    assert (first_id({**doc, "id": "hq-a.1"}), former_ids({**doc, "id": "hq-a.1"})) == ("hq-a.1", [])
    kept = {**BASE, "id": "hq-a.2", "notes": []}
    note_renumbered(kept, "hq-a.2", "hq-a.5", 0)
    assert first_id(kept) == "hq-a.2"
    assert not same_bead({**BASE, "id": "hq-a.1"}, {**BASE, "id": "hq-a.2"})
