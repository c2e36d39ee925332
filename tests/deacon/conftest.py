"""The ground of the deacon's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gastown.store.town import Town
from tests.deacon.ground import Ground


@pytest.fixture
def ground(town: Town) -> Iterator[Ground]:
    """A town without a rig."""
    made = Ground(Path(town.root))
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def site(ground: Ground, git_repo: Callable[..., Path]) -> Ground:
    """A town with the rig `app`."""
    ground.rig(git_repo("app", {"README.md": "app\n"}, bare=True))
    return ground
