"""Random histories of up to five clones end in one file, valid and canonical; no note and no value is lost."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gastown.model.bead import KEYS, Bead, check
from gastown.store import yaml as yaml_store
from gastown.store.filemerge import Meta, Revision, merge_file

PATH = "beads/2026-11-23/hq-a1b2c.yaml"
FIRST = Bead(
    {
        "id": "hq-a1b2c", "title": "t0", "type": "task", "status": "open", "priority": 2,
        "created": {"at": "2026-11-23T09:30:00Z", "by": "overseer"},
        "description": "".join(f"line {n}\n" for n in range(12)),
    },
    PATH,
)  # fmt: skip


@dataclass(eq=False)
class Node:
    """A commit: merges have two parents."""

    data: bytes
    epoch: float
    parents: tuple[Node, ...] = ()
    past: set[Node] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.past = {self}.union(*(one.past for one in self.parents))


def meta(tip: Node, other: Node) -> Meta:
    def revisions() -> list[Revision]:
        alone = [one for one in tip.past - other.past if len(one.parents) == 1]
        return [Revision(one.epoch, "overseer", one.parents[0].data, one.data) for one in alone]

    return Meta(tip.epoch, "overseer", revisions=revisions)


def base_of(one: Node, other: Node) -> Node:
    """The merge base; several are merged first, as git's recursive strategy does."""
    common = one.past & other.past
    best = sorted((c for c in common if not any(c in d.past and c is not d for d in common)), key=lambda c: c.data)
    found = best[0]
    for more in best[1:]:
        found = join(found, more)
    return found


def join(one: Node, other: Node) -> Node:
    if other in one.past:
        return one
    if one in other.past:
        return other
    base = base_of(one, other)
    merged = merge_file(PATH, base.data, one.data, other.data, mine=meta(one, other), other=meta(other, one))
    turned = merge_file(PATH, base.data, other.data, one.data, mine=meta(other, one), other=meta(one, other))
    assert merged.data == turned.data
    assert merged.aside is None
    return Node(merged.data, max(one.epoch, other.epoch), (one, other))


def act(bead: Bead, rng: random.Random, number: int, said: dict[str, set[str]]) -> None:
    """One change, of any kind; what it writes is remembered by kind."""
    kind = rng.choice(["note", "title", "priority", "label", "unlabel", "need", "text", "unknown", "status", "map"])
    at = f"2026-11-23T{10 + number // 60:02d}:{number % 60:02d}:00Z"
    if kind == "note":
        bead.add_note(at, "overseer", f"note {number}")
        said["note"].add(f"note {number}\n")
    elif kind == "title":
        bead.set("title", f"t{number}")
        said["title"].add(f"t{number}")
    elif kind == "priority":
        bead.set("priority", rng.randrange(5))
    elif kind == "label":
        bead.set("labels", [*bead.labels, f"l{number}"])
    elif kind == "unlabel" and bead.labels:
        bead.set("labels", bead.labels[1:])
    elif kind == "need":
        bead.set("needs", [*bead.needs, f"hq-n{number:03d}"])
    elif kind == "text":
        lines = bead.description.splitlines(keepends=True)
        lines[rng.randrange(len(lines))] = f"edit {number}\n"
        bead.set("description", "".join(lines))
    elif kind == "unknown":
        bead.set(f"x-{rng.randrange(3)}", number)
    elif kind == "map":
        bead.set("x-map", {**bead.doc.get("x-map", {}), f"k{rng.randrange(3)}": number})
    elif kind == "status":
        move(bead, rng, at, number)


def move(bead: Bead, rng: random.Random, at: str, number: int) -> None:
    if bead.status == "open":
        bead.move("hooked")
        bead.set("assignee", f"gp/w{number}")
        bead.set("branch", f"polecat/w{number}/{bead.id}.a1")
    elif bead.status == "closed":
        bead.move("open")
        bead.set("assignee", None)
    elif rng.random() < 0.5:
        bead.close(at=at, by="overseer", reason="done")
    elif bead.status == "hooked":
        bead.move("in_progress")


@given(st.integers(2, 5), st.integers(0, 2**32), st.integers(5, 30))
@settings(max_examples=40, deadline=None)
def test_all_clones_end_alike(clones: int, seed: int, steps: int) -> None:
    rng = random.Random(seed)
    root = Node(yaml_store.dump(FIRST.doc, KEYS), 0.0)
    tips = [root] * clones
    said: dict[str, set[str]] = {"note": set(), "title": {"t0"}}
    for number in range(1, steps + 1):
        who = rng.randrange(clones)
        if rng.random() < 0.3:
            tips[who] = join(tips[who], tips[rng.randrange(clones)])
            continue
        bead = Bead(yaml_store.load(tips[who].data, PATH), PATH)
        act(bead, rng, number, said)
        skew = rng.choice([0, 0, -86400, 86400])
        tips[who] = Node(yaml_store.dump(bead.doc, KEYS), number * 60.0 + skew, (tips[who],))
    check_end(tips, rng, said)


def check_end(tips: list[Node], rng: random.Random, said: dict[str, set[str]]) -> None:
    order = list(tips)
    rng.shuffle(order)
    end = order[0]
    for one in order[1:]:
        end = join(end, one)
    assert all(join(end, one) is end for one in tips)
    doc: dict[str, Any] = yaml_store.load(end.data, PATH)
    check(doc, PATH)
    assert yaml_store.is_canonical(end.data, KEYS)
    notes = [note["text"] for note in doc.get("notes", ())]
    assert said["note"] <= set(notes)
    assert len(set(notes)) == len(notes)
    assert doc["title"] in said["title"]


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_three_concurrent_edits_give_the_same_in_every_order(seed: int) -> None:
    """Associative for everything but the text of overlapping edits, which asks a person anyway."""
    rng = random.Random(seed)
    root = Node(yaml_store.dump(FIRST.doc, KEYS), 0.0)
    tips = []
    for number in range(1, 4):
        bead = Bead(yaml_store.load(root.data, PATH), PATH)
        kind = rng.choice(["title", "note", "label", "priority", "x"])
        if kind == "note":
            bead.add_note(f"2026-11-23T10:0{number}:00Z", "overseer", f"n{number}")
        elif kind == "label":
            bead.set("labels", [f"l{number}"])
        else:
            bead.set(kind, number % 5 if kind == "priority" else f"v{number}")
        tips.append(Node(yaml_store.dump(bead.doc, KEYS), rng.choice([1.0, 2.0, 3.0]), (root,)))
    a, b, c = tips
    assert join(join(a, b), c).data == join(a, join(b, c)).data == join(join(c, a), b).data
