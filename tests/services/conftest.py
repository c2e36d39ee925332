"""The lab in which work is slung, for every test of the services of work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.work_lab import Lab


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Lab]:
    """A town whose rig lands by pushing."""
    lab = Lab(tmp_path)
    yield lab
    lab.close()


@pytest.fixture
def local_work(tmp_path: Path) -> Iterator[Lab]:
    """A town whose rig is a person's own checkout."""
    lab = Lab(tmp_path, landing="local")
    yield lab
    lab.close()
