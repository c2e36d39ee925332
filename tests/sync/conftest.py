"""The ground of every test here: a town, its remote, other machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastown.store.town import Town
from tests.sync.ground import Ground
from tests.sync.lab import machines  # noqa: F401 - a fixture


@pytest.fixture
def ground(town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    """The town on the machine `anvil` with a bare remote."""
    return Ground(tmp_path, town, monkeypatch)
