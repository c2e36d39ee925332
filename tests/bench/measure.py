"""Measuring beside bare Python, by turns, so that a busy or a slow machine weighs on both sides alike.

Whole processes are measured by the processor time they and their children use: what else runs on the machine hardly
moves it. What waits for the disk or for a lock is measured by the clock, and told at the pace of the machine the
targets were set on: it starts bare Python in 11 ms and makes a small file durable in 0.3 ms.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

BASELINE = [sys.executable, "-c", "pass"]
GT = [sys.executable, "-c", "import sys; from gastown.cli.main import main; sys.exit(main())"]
# In seconds, where the targets were set: bare Python; and bare Python with `_FILES` small files made durable.
PYTHON, PACE = 0.011, 0.014
_FILES = 10


@dataclass(frozen=True)
class Row:
    """One line of quality.md: a measured value, its unit, and the most (or least) it may be."""

    name: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None

    @property
    def met(self) -> bool:
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)

    def __str__(self) -> str:
        bound = f"<= {self.most:g}" if self.most is not None else f">= {self.least:g}"
        mark = "" if self.met else "   MISSED"
        return f"{self.name}: {self.value:.2f} {self.unit} (target {bound} {self.unit}){mark}"


def environment(**extra: str) -> dict[str, str]:
    """No GT_*, GIT_* or PYTHON* of the caller (an installed gt is compiled); this checkout on the path."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("GT_", "GIT_", "PYTHON"))}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "PYTHONPATH": os.getcwd()}
    return env | extra


def seconds(argv: Sequence[str], *, cwd: str | None = None, env: dict[str, str] | None = None) -> float:
    """Wall seconds of one run. A command that fails is no measurement."""
    began = time.perf_counter()
    _run(argv, cwd, env, (0,))
    return time.perf_counter() - began


def processor(
    argv: Sequence[str], *, cwd: str | None = None, env: dict[str, str] | None = None, codes: Sequence[int] = (0,)
) -> float:
    """Processor seconds, user's and system's, of one run and all its children."""
    before = _children()
    _run(argv, cwd, env, codes)
    return _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(argv: Sequence[str], cwd: str | None, env: dict[str, str] | None, codes: Sequence[int]) -> None:
    done = subprocess.run(argv, cwd=cwd, env=env or environment(), capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode not in codes:
        raise RuntimeError(f"{argv} ended with {done.returncode}: {done.stderr.decode()}")


def ratio(
    argv: Callable[[int], Sequence[str]],
    *,
    cwd: str | None = None,
    env: dict[str, str] | None = None,
    baseline: Callable[[int], Sequence[str]] = lambda n: BASELINE,
    runs: int = 11,
    codes: Sequence[int] = (0,),
    before: Callable[[], object] | None = None,
) -> float:
    """The median, over pairs of runs, of what `argv(n)` uses to what the baseline does, after one warm-up each."""
    ratios = []
    for n in range(runs + 1):
        if before:
            before()
        base = processor(baseline(n), cwd=cwd, env=env)
        took = processor(argv(n), cwd=cwd, env=env, codes=codes)
        if n:
            ratios.append(took / base)
    return statistics.median(ratios)


def gt_ratio(
    *args: str,
    cwd: str,
    runs: int = 11,
    codes: Sequence[int] = (0,),
    before: Callable[[], object] | None = None,
    **extra: str,
) -> float:
    """`gt args` to `python -c pass`; `{n}` in an argument is the number of the run."""
    return ratio(
        lambda n: [*GT, *(arg.replace("{n}", str(n)) for arg in args)],
        cwd=cwd,
        env=environment(**extra),
        runs=runs,
        codes=codes,
        before=before,
    )


def milliseconds(act: Callable[[int], object], runs: int = 21) -> float:
    """The median of `act(n)` in this process by the clock, each told at the pace of the moment; after a warm-up."""
    act(0)
    taken = []
    for n in range(1, runs + 1):
        base = _beside()
        began = time.perf_counter()
        act(n)
        taken.append((time.perf_counter() - began) / base)
    return statistics.median(taken) * PACE * 1000


def pace() -> float:
    """How many times longer than where the targets were set everything takes on this machine right now."""
    return statistics.median(_beside() for _ in range(15)) / PACE


def _beside() -> float:
    """Seconds of bare Python and of what a change asks of the disk."""
    with tempfile.TemporaryDirectory(prefix="gt-bench-") as folder:
        began = time.perf_counter()
        _run(BASELINE, None, None, (0,))
        for number in range(_FILES):
            with open(os.path.join(folder, str(number)), "wb") as file:
                file.write(b"x" * 500)
                os.fsync(file.fileno())
        return time.perf_counter() - began
