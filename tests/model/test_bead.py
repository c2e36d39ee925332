"""The life of a bead: allowed moves, attempts, notes, and files that cannot be used."""

from __future__ import annotations

import itertools

import pytest

from gastown.model.bead import STATUSES, TRANSITIONS, Bead, check, next_attempt, parse_branch, work_branch
from gastown.model.errors import InvalidFile, UsageError

PATH = "rigs/greenplace/beads/2026-11-23/gp-x7k2m.yaml"


def bead(**fields) -> Bead:
    created = {"at": "2026-11-23T09:00:00Z", "by": "overseer"}
    return Bead({"id": "gp-x7k2m", "title": "t", "status": "open", "created": created, **fields}, PATH)


@pytest.mark.parametrize(("now", "then"), list(itertools.product(STATUSES, STATUSES)))
def test_moves(now, then):
    one = bead(status=now)
    if then in TRANSITIONS[now]:
        one.move(then)
        assert one.status == then
    else:
        with pytest.raises(UsageError) as caught:
            one.move(then)
        assert all(allowed in caught.value.hint for allowed in TRANSITIONS[now])


def test_reopening_forgets_how_it_was_closed():
    one = bead()
    one.close(at="2026-11-23T09:30:00Z", by="overseer", reason="merged", commit="9fceb02")
    check(one.doc, PATH)
    one.move("open")
    assert not one.closed
    check(one.doc, PATH)


def test_attempts_are_never_reused():
    one = bead(branch=work_branch("toast", "gp-x7k2m.3", 2), sessions=[{"id": "s", "attempt": 4}])
    assert parse_branch(one.branch) == ("toast", "gp-x7k2m.3", 2)
    assert one.attempt == 2
    assert next_attempt(one) == 5
    assert next_attempt(bead()) == 1
    assert parse_branch("main") == ("", "", 0)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"id": "../../x"}, "id"),
        ({"id": "gp-other"}, "id"),
        ({"title": " "}, "title"),
        ({"status": "done"}, "status"),
        ({"type": "story"}, "type"),
        ({"priority": 7}, "priority"),
        ({"priority": True}, "priority"),
        ({"status": "hooked"}, "assignee"),
        ({"status": "closed"}, "closed"),
        ({"closed": {"at": "x"}}, "closed"),
        ({"needs": "gp-aaaa"}, "needs"),
        ({"needs": ["../x"]}, "needs"),
        ({"notes": ["x"]}, "notes"),
        ({"labels": [1]}, "labels"),
        ({"description": 5}, "description"),
    ],
)
def test_what_cannot_be_used_is_named(change, key):
    with pytest.raises(InvalidFile) as caught:
        check({**bead().doc, **change}, PATH)
    assert caught.value.key == key
    assert PATH in str(caught.value)


def test_unknown_keys_are_fine():
    check({**bead().doc, "x-mine": {"anything": [1]}}, PATH)
