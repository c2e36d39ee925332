"""Timing whole processes in pairs, so that a busy machine slows both sides of a ratio alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

BASELINE = [sys.executable, "-c", "pass"]
GT = [sys.executable, "-c", "import sys; from gastown.cli.main import main; sys.exit(main())"]


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
    done = subprocess.run(argv, cwd=cwd, env=env or environment(), capture_output=True, stdin=subprocess.DEVNULL)
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{argv} failed: {done.stderr.decode()}")
    return took


def ratio(
    argv: Callable[[int], Sequence[str]],
    *,
    cwd: str | None = None,
    env: dict[str, str] | None = None,
    baseline: Sequence[str] = BASELINE,
    runs: int = 11,
    before: Callable[[], object] | None = None,
) -> float:
    """The median, over pairs of runs, of `argv(n)` to `baseline`, after one warm-up each."""
    ratios = []
    for n in range(runs + 1):
        if before:
            before()
        base = seconds(baseline, cwd=cwd, env=env)
        took = seconds(argv(n), cwd=cwd, env=env)
        if n:
            ratios.append(took / base)
    return statistics.median(ratios)


def gt_ratio(*args: str, cwd: str, runs: int = 11, before: Callable[[], object] | None = None, **extra: str) -> float:
    """`gt args` to `python -c pass`; `{n}` in an argument is the number of the run."""
    return ratio(
        lambda n: [*GT, *(arg.replace("{n}", str(n)) for arg in args)],
        cwd=cwd,
        env=environment(**extra),
        runs=runs,
        before=before,
    )


def milliseconds(act: Callable[[int], object], runs: int = 21) -> float:
    """The median of `act(n)` in this process, after a warm-up."""
    act(0)
    taken = []
    for n in range(1, runs + 1):
        began = time.perf_counter()
        act(n)
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)
