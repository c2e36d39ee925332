"""Where a message lies after two sides moved it; the union of two copies of one feed segment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gastown.model.merge_feed import merge_feed
from gastown.model.merge_maildir import Place, merge_place, parse, path_of

BOX, NAME = "mail/gp/toast", "1795426200.M1P2Q3.anvil"
NEW = f"{BOX}/new/{NAME}"


def place(path: str | None) -> Place | None:
    found = parse(path) if path else None
    return found[2] if found else None


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        (NEW, f"{BOX}/cur/{NAME}:2,S", f"{BOX}/cur/{NAME}:2,F", f"{BOX}/cur/{NAME}:2,FS"),
        (NEW, f"{BOX}/cur/{NAME}:2,S", f"{BOX}/.Archive/cur/{NAME}:2,", f"{BOX}/.Archive/cur/{NAME}:2,S"),
        (NEW, f"{BOX}/.Archive/new/{NAME}", NEW, f"{BOX}/.Archive/new/{NAME}"),
        (NEW, None, f"{BOX}/cur/{NAME}:2,", None),
        (NEW, None, f"{BOX}/cur/{NAME}:2,F", f"{BOX}/cur/{NAME}:2,F"),
        (f"{BOX}/cur/{NAME}:2,S", None, f"{BOX}/cur/{NAME}:2,S", None),
        (None, NEW, None, NEW),
    ],
)
def test_where_a_message_lies(base: str | None, ours: str | None, theirs: str | None, merged: str | None) -> None:
    for one, other in ((ours, theirs), (theirs, ours)):
        found = merge_place(place(base), place(one), place(other))
        assert (path_of(BOX, NAME, found) if found else None) == merged


def test_what_is_a_message() -> None:
    assert parse(NEW) == (BOX, NAME, Place(False, False))
    assert parse("mail/mayor/.Archive/cur/1.2.x:2,RS") == ("mail/mayor", "1.2.x", Place(True, True, frozenset("RS")))
    for path in ("mail/.groups.yaml", f"{BOX}/new/.gitkeep", f"{BOX}/tmp/x", "beads/new/x", "mail/new/x"):
        assert parse(path) is None


def line(n: int) -> bytes:
    return b'{"ts": "2026-11-23T09:30:0%d.000Z", "id": "anvil-0001-00000%d", "type": "note", "text": ""}\n' % (n, n)


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)))
def test_feed_segments_are_joined(ours: list[int], theirs: list[int]) -> None:
    one, other = (b"".join(map(line, side)) for side in (ours, theirs))
    assert merge_feed(one, other) == merge_feed(other, one) == b"".join(map(line, sorted({*ours, *theirs})))


def test_two_events_with_one_id_are_both_kept() -> None:
    one, other = line(1), line(1).replace(b'"text": ""', b'"text": "x"')
    assert merge_feed(one, other).count(b"\n") == 2
