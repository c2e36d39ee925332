"""A town on three machines for a while, in small (`python -m tests.sync.simulate` for the large form)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.sync import simulate
from tests.sync.ledger import check


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the machines lie."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    folder = simulate.fast_folder()
    yield folder
    shutil.rmtree(folder)


def live(base: Path, seed: int, rounds: int, machines: int = 3) -> simulate.World:
    world, wrong = simulate.simulate(base, machines=machines, rounds=rounds, seed=seed)
    assert wrong == "", "\n".join([*world.said, f"seed {seed}: {wrong}"])
    assert world.ledger.acts > rounds
    return world


@pytest.mark.parametrize("seed", [7, 19])
def test_nothing_is_lost(place: Path, seed: int) -> None:
    live(place, seed, 15)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "machines"), [(23, 3), (31, 3), (110, 4), (17, 5)])
def test_nothing_is_lost_for_longer(place: Path, seed: int, machines: int) -> None:
    live(place, seed, 100, machines)


def test_the_account_notices_what_is_missing(place: Path) -> None:
    world = live(place, 5, 8)
    town = world.machines[0].town
    assert check(world.ledger, town) == []
    born = next(iter(world.ledger.created))
    for tell, words in (
        (lambda: world.ledger.created.update({"2020-01-01T00:00:00Z": "a bead"}), "'a bead'"),
        (lambda: world.ledger.notes.add((born, "never heard")), "'never heard'"),
        (lambda: world.ledger.values.add((born, "title", "another title")), "'another title'"),
        (lambda: world.ledger.labels.add((born, "a-label")), "a-label"),
        (lambda: world.ledger.lines.add((born, "a line")), "'a line'"),
        (lambda: world.ledger.settings.add(("town.yaml", "x-one", "a setting")), "'a setting'"),
        (lambda: world.ledger.mail.update({"<no@where>": "a letter"}), "'a letter'"),
    ):
        tell()
        assert any(words in one for one in check(world.ledger, town)), words


def test_as_a_command_it_tells_its_seed_and_what_it_did() -> None:
    argv = [sys.executable, "-m", "tests.sync.simulate", "--rounds", "2", "--machines", "2", "--seed", "3"]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert "seed 3: 2 machines, 2 rounds" in done.stdout
    assert "0 failed" in done.stdout
