"""The rules of writing beads, called directly."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gastown.model.bead import Bead
from gastown.model.errors import NotFound, Refused, UsageError
from gastown.services.beads import beads
from gastown.services.beads.beads import Draft, Edit
from gastown.store.town import Town
from tests.conftest import git


def head(town: Town) -> str:
    return git("rev-parse", "HEAD", cwd=town.root)


def queued(town: Town) -> tuple[Bead, Bead]:
    """A bead in the merge queue, and its merge bead."""
    work = beads.create(town, Draft("work"))

    def body(change):
        bead = change.bead(work.id)
        for status in ("hooked", "in_progress", "merging"):
            bead.move(status)
        bead.set("assignee", "green/amber")
        change.save(bead)
        fields = {"source": work.id, "branch": "b", "target": "main", "commit": "c" * 40, "worker": "green/amber"}
        merge = change.create(None, title="merge", type="merge", **fields)
        change.emit("merge_queued", "queued", bead=work.id)
        return bead, merge

    return town.transact("done", body)


@given(text=st.text(max_size=600))
@settings(max_examples=200, deadline=None)
def test_a_title_is_one_clean_line_or_refused(text: str) -> None:
    try:
        title = beads.check_title(text)
    except UsageError:
        return
    assert title == " ".join(text.split())
    assert title
    assert not title.startswith("-")
    assert len(title) <= beads.LONGEST_TITLE


@given(text=st.text(min_size=1, max_size=300))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_survives_as_a_note(town: Town, text: str) -> None:
    if not text.strip() or any("\ud800" <= c <= "\udfff" for c in text):
        return
    bead = beads.create(town, Draft("x"))
    beads.note(town, bead.id, text)
    assert town.bead(bead.id).notes[-1]["text"] == text.replace("\r\n", "\n").rstrip("\n") + "\n"


@pytest.mark.parametrize("label", ["", "a b", "a,b", "x" * 65, "a\x1bb", "a\nb"])
def test_labels_that_cannot_be(label: str) -> None:
    with pytest.raises(UsageError):
        beads.check_label(label)


@pytest.mark.parametrize("draft", [
    Draft("x", type="tsk"), Draft("x", type="merge"), Draft("x", priority=5), Draft("x", labels=("a b",)),
    Draft("x", needs=("hq-zzzzz",)), Draft("x", parent="hq-zzzzz"), Draft("x", rig="nowhere"), Draft(" "),
])  # fmt: skip
def test_a_wrong_draft_writes_nothing(town: Town, draft: Draft) -> None:
    before = head(town)
    with pytest.raises((UsageError, NotFound)):
        beads.create(town, draft)
    assert head(town) == before


def test_an_update_that_changes_nothing_makes_no_commit(town: Town) -> None:
    bead = beads.create(town, Draft("same", labels=("a",)))
    before = head(town)
    assert beads.update(town, bead.id, Edit(title="same", add_labels=("a",), priority=2)).changed == ()
    assert head(town) == before


def test_several_fields_are_one_commit(town: Town) -> None:
    bead = beads.create(town, Draft("x"))
    before = head(town)
    done = beads.update(town, bead.id, Edit(title="y", priority=0, description="d"))
    assert done.changed == ("description", "priority", "title")
    assert git("rev-list", "--count", f"{before}..HEAD", cwd=town.root) == "1"


def test_a_wrong_edit_changes_no_other_field(town: Town) -> None:
    bead = beads.create(town, Draft("x"))
    before = head(town)
    with pytest.raises(UsageError):
        beads.update(town, bead.id, Edit(title="y", status="merging"))
    assert head(town) == before
    assert town.bead(bead.id).title == "x"


def test_what_waits_to_be_merged_is_not_closed_by_hand(town: Town) -> None:
    work, merge = queued(town)
    for bead in (work, merge):
        with pytest.raises(Refused, match=merge.id):
            beads.close(town, bead.id, "enough")
    assert beads.close(town, work.id, "enough", force=True).changed
    assert town.bead(merge.id).status == "closed"
    assert git("log", "-1", "--format=", "--name-only", cwd=town.root).count(".yaml") == 2


def test_reopening_frees_the_bead_and_keeps_its_history(town: Town) -> None:
    work, _ = queued(town)
    beads.close(town, work.id, "enough", force=True)
    again = beads.reopen(town, work.id).bead
    assert (again.status, again.assignee, again.closed) == ("open", None, {})
    assert beads.reopen(town, work.id).changed == ()


def test_long_circles_are_found(town: Town) -> None:
    made = [beads.create(town, Draft(f"b{n}")).id for n in range(5)]
    for one, two in pairwise(made):
        beads.add_needs(town, one, [two])
    with pytest.raises(UsageError, match="circle"):
        beads.add_needs(town, made[-1], [made[0]])
    with pytest.raises(UsageError, match="circle"):
        beads.add_needs(town, made[0], [made[0]])


def test_a_need_that_vanished_can_be_removed(town: Town) -> None:
    bead = beads.create(town, Draft("x"))

    def body(change):
        now = change.bead(bead.id)
        now.set("needs", ["hq-gone1"])
        change.save(now)
        change.emit("edit", "x", bead=bead.id)

    town.transact("edit", body)
    assert beads.remove_needs(town, bead.id, ["hq-gone1"]).bead.needs == []
    with pytest.raises(NotFound):
        beads.remove_needs(town, bead.id, ["hq-gone1"])
