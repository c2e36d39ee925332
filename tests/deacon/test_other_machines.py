"""What the feed of a town says of one machine is not taken for what happens on another."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastown.deacon.memory import Memory
from gastown.deacon.patrols import disk, escalations, recovery
from gastown.deacon.pulse import Pulse
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.services.machines.exchange import exchange
from gastown.services.mail import escalate, mailbox
from gastown.services.sessions import holds
from gastown.store.town import Town
from tests.conftest import Clock
from tests.sync.ground import Ground, bead, update

S = Settings()


def world(town: Town) -> World:
    memory = Memory(town.root)
    memory.update(town.clock())
    return World(town, memory, Pulse(town))


@pytest.fixture
def pair(town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Town, Town]:
    """anvil and brick."""
    ground = Ground(tmp_path, town, monkeypatch)
    return ground.towns["anvil"], ground.add("brick")


def meet(one: Town, other: Town) -> None:
    for town in (one, other, one):
        exchange(town)
        town.refresh()


def raises(town: Town) -> list[escalations.Raise]:
    found = escalations.decide(escalations.gather(world(town)), S, town.clock())
    return [one for one in found if isinstance(one, escalations.Raise)]


def test_an_escalation_is_raised_by_the_machine_it_was_made_on_and_told_once(
    pair: tuple[Town, Town], clock: Clock
) -> None:
    anvil, brick = pair
    made = escalate.escalate(brick, "which way?", severity="high").bead.id
    meet(anvil, brick)
    clock.advance(S.raise_after + 1)
    assert raises(anvil) == []
    (one,) = raises(brick)
    one.apply(brick)
    meet(anvil, brick)
    for later in (1, escalations.TURN):
        clock.advance(later)
        assert raises(anvil) == raises(brick) == []
    assert anvil.bead(made).doc["severity"] == "critical"
    subjects = [one.head.subject for one in mailbox.letters(anvil, "mayor")[0]]
    assert subjects == ["[high] which way?", "[critical] which way?"]


def test_an_escalation_of_a_machine_that_is_silent_is_raised_by_the_next_and_of_a_retired_one_at_once(
    pair: tuple[Town, Town], clock: Clock
) -> None:
    anvil, brick = pair
    made = escalate.escalate(brick, "which way?", severity="high").bead.id
    meet(anvil, brick)
    clock.advance(S.raise_after + escalations.TURN)
    assert [one.subject for one in raises(anvil)] == [made]
    clock.advance(-escalations.TURN)
    assert raises(anvil) == []
    with anvil.change("machine") as change:
        doc = change.load("machines/brick.yaml")
        change.put("machines/brick.yaml", {**doc, "retired": {"at": change.at, "by": "overseer"}})
    assert [one.subject for one in raises(anvil)] == [made]


@pytest.mark.parametrize(
    ("here", "home", "active", "turn"),
    [
        ("b", "b", "abc", 0), ("a", "b", "abc", 1), ("c", "b", "abc", 2), ("a", "gone", "abc", 0),
        ("c", None, "abc", 2), ("retired", "a", "ab", 2), ("alone", "alone", "", 0),
    ],
)  # fmt: skip
def test_whose_turn_it_is(here: str, home: str | None, active: str, turn: int) -> None:
    assert escalations.turn_of(here, home, list(active)) == turn


def test_each_machine_tells_of_its_own_disk(pair: tuple[Town, Town], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "low_disk", lambda root: "only 12 MiB are free")
    anvil, brick = pair
    for town in pair:
        (tell,) = disk.decide(disk.gather(world(town)), S, town.clock())
        tell.apply(town)
        assert disk.decide(disk.gather(world(town)), S, town.clock()) == []
        meet(anvil, brick)


def test_many_deaths_on_one_machine_pause_recovery_there_alone(pair: tuple[Town, Town]) -> None:
    anvil, brick = pair
    mine = [bead(anvil, f"work {number}") for number in range(3)]
    for one in mine:
        with anvil.change("session_death") as change:
            change.emit("session_death", "died", bead=one)
    meet(anvil, brick)
    (told,) = recovery.decide(recovery.gather(world(anvil)), S, anvil.clock())
    assert isinstance(told, recovery.MassDeath)
    assert recovery.decide(recovery.gather(world(brick)), S, brick.clock()) == []
    told.apply(anvil)
    item = {"id": "s-1", "attempt": 1, "agent": "exec", "by": "greenplace/nux", "machine": "brick"}
    item |= {"started": "2026-11-23T09:00:00Z", "ended": "2026-11-23T09:30:00Z", "outcome": "died"}
    held = bead(brick, "theirs")
    update(brick, held, status="in_progress", assignee="greenplace/nux", machine="brick", sessions=[item])
    meet(anvil, brick)
    assert [one.kind for one in recovery.decide(recovery.gather(world(brick)), S, brick.clock())] == ["resume"]
    evidence = recovery.gather(world(anvil))
    assert recovery.decide(evidence, S, anvil.clock()) == []
    assert (len(evidence.deaths), evidence.mass_at) == (3, anvil.clock())
