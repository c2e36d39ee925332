"""Three machines work offline, clocks a day apart, on one parent; then they meet, in any order and any way."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gastown.services.sync import unfinished
from gastown.services.sync.sync import sync
from gastown.store.town import Town
from tests.conftest import EPOCH, Clock, git
from tests.sync.ground import Ground, bead, check_clean, note, plain, tree, update

NOTES, CHILDREN = 50, 10
DAY = 86_400
PRIORITIES = (0, 1, 3)  # a new bead has 2


def day(town: Town, number: int, parent: str, shared: list[str], messages: list[str]) -> None:
    """What one machine does: notes, children, titles and priorities, mail; one closes what the others edit."""
    clock = town.clock
    assert isinstance(clock, Clock)
    for count in range(NOTES):
        clock.advance(7)
        note(town, parent, f"note {count} of {number}")
        if count % (NOTES // CHILDREN) == 0:
            bead(town, f"child {count} of {number}", parent=parent)
    for bead_id in shared:
        clock.advance(7)
        title = f"{bead_id} as {number} calls it"
        update(town, bead_id, title=title, priority=PRIORITIES[number], labels=[f"label-{number}"])
    if number == 1:
        with town.change("close") as change:
            one = change.bead(shared[0])
            one.close(at=change.at, by="overseer", reason="done by 1")
            change.save(one)
            change.emit("close", "closed", bead=one.id)
    box = Path(town.root, "mail/mayor")
    targets = ("cur/{}:2,S", ".Archive/cur/{}:2,S", "cur/{}:2,F")
    for place, unique in enumerate(messages):
        target = box / targets[(place + number) % 3].format(unique)
        target.parent.mkdir(parents=True, exist_ok=True)
        (box / "new" / unique).rename(target)
    git("add", "--all", cwd=town.root)
    git("commit", "--quiet", "--message", "mail", cwd=town.root)


def meet(town: Town, way: tuple[str, ...] | None) -> None:
    """Come together with the remote, and send."""
    if way is None:
        sync(town)
        return
    plain(town, *way, code=None)
    if town.repo.under_way():
        unfinished.finish(town)
    plain(town, "push", "--no-verify", code=None)


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(None, id="sync"),
        pytest.param(("pull", "--no-rebase", "--no-edit"), id="pull", marks=pytest.mark.slow),
        pytest.param(("pull", "--rebase"), id="rebase", marks=pytest.mark.slow),
    ],
)
def test_everything_of_all_three_is_there(ground: Ground, way: tuple[str, ...] | None) -> None:
    first = ground.towns["anvil"]
    parent = bead(first, "Parent")
    shared = [bead(first, f"Shared {number}") for number in range(4)]
    for number in range(3):
        with first.change("mail") as change:
            change.deliver("mayor", f"letter {number}", "text\n")
    messages = sorted(first.mail_names("mayor", "new"))
    sync(first)
    names = ("brick", "cobalt")
    towns = [first, *(ground.add(name, Clock(EPOCH + DAY * skew)) for name, skew in zip(names, (1, -1), strict=True))]
    for town in towns:
        sync(town)
    for number, town in enumerate(towns):
        day(town, number, parent, shared, messages)
    order = [*towns, *towns, *towns]
    random.Random(3).shuffle(order)
    for town in order:
        meet(town, way)
    for town in (*towns, *towns):
        sync(town)

    assert len({tree(town) for town in towns}) == 1
    for town in towns:
        check_clean(town)
    texts = [item["text"] for item in first.bead(parent).notes]
    wanted = {f"note {count} of {number}\n" for count in range(NOTES) for number in range(3)}
    assert len([text for text in texts if text in wanted]) == len(wanted) == 150
    children = [row.title for row in first.index().rows if row.parent == parent]
    step = NOTES // CHILDREN
    assert sorted(children) == sorted(f"child {n * step} of {who}" for n in range(CHILDREN) for who in range(3))
    for bead_id in shared:
        one = first.bead(bead_id)
        assert one.labels == ["label-0", "label-1", "label-2"]
        said = "\n".join([f"title {one.title}", f"priority {one.priority}", *(item["text"] for item in one.notes)])
        for number in range(3):
            assert f"{bead_id} as {number} calls it" in said
            assert f"priority {PRIORITIES[number]}" in said or f"not kept: {PRIORITIES[number]}\n" in said
    assert first.bead(shared[0]).closed["reason"] == "done by 1"
    box = Path(first.root, "mail/mayor")
    assert sorted(path.name for path in (box / ".Archive/cur").iterdir() if path.name != ".gitkeep") == sorted(
        f"{unique}:2,FS" for unique in messages
    )
    assert first.mail_names("mayor", "new") == first.mail_names("mayor", "cur") == []
