"""The small form of the night (`python -m tests.e2e.night` for the large one)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.night import Night

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc"), reason="its agents find their runners in /proc")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 11])
def test_every_bead_lands_once_or_is_explained(tmp_path: Path, seed: int) -> None:
    night = Night(tmp_path / "night", workers=6, beads=15, rigs=2, seed=seed)
    found = night.go(300)
    assert found.wrong == [], "\n".join(found.lines())
    assert found.merged + len(found.explained) == 15
    assert found.merged >= 8
    assert found.deacons > 1
