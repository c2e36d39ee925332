"""The quick check of a bead and its schema agree on every value that is tried at every place."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest

from gastown.model.beadcheck import check
from gastown.model.errors import InvalidFile
from gastown.store import schema

PATH = "rigs/gp/beads/2026-11-23/gp-aaaaa.yaml"
AT = "2026-11-23T09:30:00Z"
MARK = {"at": AT, "by": "overseer"}
COMMIT = "a" * 40
FULL: dict[str, Any] = {
    "id": "gp-aaaaa", "title": "All of it", "type": "task", "status": "open", "priority": 2, "created": dict(MARK),
    "assignee": "gp/toast", "machine": "anvil", "parent": "gp-bbbbb", "needs": ["gp-ccccc", "hq-ddddd.1"],
    "labels": ["a"], "description": "x\n", "acceptance": "", "agent": "exec", "command": ["sh", ""],
    "dispatch": {"to": "gp", **MARK}, "branch": "polecat/toast/gp-aaaaa.a1", "fence": 3, "target": "main",
    "source": "gp-eeeee", "worker": "gp/polecats/toast", "commit": COMMIT, "attempts": 0,
    "gates": [{"name": "test", "result": "passed", "seconds": 1.5, "detail": ""}], "tracks": ["gp-fffff"],
    "owner": "mayor", "notify": ["@devs"], "severity": "high", "acked": dict(MARK), "raised": 1,
    "sessions": [{"id": "s-1", "attempt": 1, "agent": "exec", "by": "gp/toast", "machine": "anvil", "started": AT,
                  "ended": AT, "outcome": "done", "resume": "x"}],
    "notes": [{**MARK, "text": "hello\n"}], "conflicts": [], "unknown": {"any": ["thing"]},
}  # fmt: skip
BASES: dict[str, dict[str, Any]] = {
    "full": FULL,
    "small": {"id": "gp-aaaaa", "title": "Little", "created": MARK},
    "closed": {**FULL, "status": "closed", "closed": {**MARK, "reason": "merged", "commit": "abcdef0"}},
    "merge": {**FULL, "type": "merge"},
    "held": {**FULL, "status": "hooked"},
}
VALUES: list[Any] = [
    None, "", " ", "x", "x y", "gp", "gp/toast", "gp/polecats/toast", "gp/polecats/a/b", "gp/mayor", "mayor", "Mayor",
    "../../etc", "gp/", "/gp", "gp-aaaa", "gp-aaaaa.1", "gp-aaaaa.x", "GP-aaaaa", "a" * 33, "a" * 41, COMMIT,
    COMMIT.upper(), "abcdef0", "abcdef", AT, "2026-11-23", "2026-11-23T09:30:00+00:00", "2026-11-23 09:30:00Z",
    "2026-1１-23T09:30:00Z", "open", "closed", "hooked", "in_progress", "merge", "high", "passed", 0, 1, 2, 4, 5, -1,
    1.0, 1.5, True, False, [], ["x"], ["x", "x"], [""], [1], [None], [[]], [{}], ["gp-bbbbb"],
    ["gp-bbbbb", "gp-bbbbb"], {}, MARK, {"at": AT}, {**MARK, "reason": "x"}, {**MARK, "by": ""}, [MARK], [{"id": "s"}],
    [{"name": "x", "result": "passed"}], [{**MARK, "text": "x"}],
]  # fmt: skip


def refused_by_check(doc: dict[str, Any]) -> str:
    try:
        check(doc, PATH)
    except InvalidFile as problem:
        return str(problem)
    return ""


def refused_by_schema(doc: dict[str, Any]) -> str:
    return "; ".join(map(str, schema.validate("bead", doc, PATH)))


def places(doc: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to everything in a document, and to it itself."""
    steps = doc.items() if isinstance(doc, dict) else enumerate(doc) if isinstance(doc, list) else ()
    return list(itertools.chain([here] if here else [], *(places(value, (*here, key)) for key, value in steps)))


def put(doc: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(doc)
    *way, last = place
    inner: Any = changed
    for step in way:
        inner = inner[step]
    if value is KeyError:
        del inner[last]
    else:
        inner[last] = copy.deepcopy(value)
    return changed


@pytest.mark.parametrize("base", BASES)
def test_the_bases_are_fine(base: str) -> None:
    assert refused_by_check(BASES[base]) == refused_by_schema(BASES[base]) == ""


# Where the other bases differ from the full one.
DIFFER = {
    "small": ("title", "created"), "closed": ("status", "closed"), "held": ("status", "assignee"),
    "merge": ("type", "branch", "target", "source", "worker", "commit"),
}  # fmt: skip


@pytest.mark.parametrize("base", BASES)
def test_what_one_refuses_the_other_refuses(base: str) -> None:
    doc = BASES[base]
    for place, value in itertools.product(places(doc), [*VALUES, KeyError]):
        if place == ("id",) or place[0] not in DIFFER.get(base, doc):
            continue  # that the file is named as its bead is not the schema's to say
        changed = put(doc, place, value)
        quick, full = refused_by_check(changed), refused_by_schema(changed)
        assert bool(quick) == bool(full), f"{place} = {value!r}: check says {quick!r}, the schema {full!r}"


def test_every_key_of_the_schema_was_tried() -> None:
    assert set(schema.load_schema("bead")["properties"]) <= {*FULL, "closed"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"assignee": "../../etc"}, "(assignee): assignee is '../../etc' but must be an address such as"),
        ({"command": "make all"}, "(command): command must be a list"),
        ({"status": "closed"}, "(closed): `closed: {at, by, reason}` must stand beside `status: closed`, and only"),
        ({"notes": [{"at": AT, "by": "x"}]}, "(notes): notes holds an item that is wrong: it lacks `text`"),
        ({"sessions": [{"id": "s", "by": 7}]}, "it holds a by that is wrong: by is 7 but must be an address"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], said: str) -> None:
    assert said in refused_by_check({**FULL, **changes})
