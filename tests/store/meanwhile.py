"""Doing something while gt writes: before a step of it, whichever."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gastown.services.files import handedits
from gastown.store import files
from gastown.store.town import Town


def at_step(patch: pytest.MonkeyPatch, number: int, act: Callable[[], object], spared: Path) -> Callable[[], bool]:
    """Have `act` done before the change's step `number`; the answer tells if it was reached.

    Not between the last look at the file `spared` and the rename over it, which no program can close.
    """
    steps = 0

    def step() -> None:
        nonlocal steps
        caller = sys._getframe(1)
        if caller.f_code.co_name == "rename" and caller.f_locals["dest"] == str(spared):
            return
        steps += 1
        if steps == number:
            act()

    patch.setattr(files, "fault_point", step)
    return lambda: steps >= number


def adopted(town: Town, path: Path) -> None:
    os.utime(path, (time.time() - 5,) * 2)
    handedits.commit(town, [str(path.relative_to(town.root))])
