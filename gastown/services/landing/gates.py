"""Running a rig's gates on one commit: each ends as passed, failed or could not run; only passed lands.

A gate's environment is the person's own without `GT_*` and `GIT_*`, plus GT_RIG, GT_RUN (the mark by which
what it starts is known), CI=true and PYTHONDONTWRITEBYTECODE=1: bytecode is matched by size and whole second, and a
bisect changes files faster than that.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gastown.model import times
from gastown.model.errors import Refused
from gastown.model.rig import Gate, Rig
from gastown.model.text import clip
from gastown.runtime import marked, processes, shell
from gastown.services.landing import evidence
from gastown.services.settings import trust
from gastown.store import layout, runstate
from gastown.store.town import Town

PASSED, FAILED, COULD_NOT_RUN = "passed", "failed", "could_not_run"
TAIL_LINES = 60
_TAIL_BYTES = 64 * 1024
# A line of a tail is for people, in notes and mail.
_LINE = 1000
Say = Callable[[str], None]


@dataclass(frozen=True)
class GateResult:
    """How one gate ended. `log` is relative to the town, `tail` its last lines, `tries` how often it ran."""

    name: str
    result: str
    reason: str
    seconds: float
    log: str
    tail: str
    tries: int


@dataclass(frozen=True)
class GatesRun:
    """The gates on one commit, up to and with the first that did not pass."""

    commit: str
    results: tuple[GateResult, ...]

    @property
    def bad(self) -> GateResult | None:
        """The gate that did not pass, if one did not."""
        return next((one for one in self.results if one.result != PASSED), None)

    @property
    def verdict(self) -> str:
        """passed, failed or could_not_run; a rig without gates passes."""
        return self.bad.result if self.bad else PASSED

    @property
    def summary(self) -> str:
        """One line: `no gates`, `gates passed: test lint` or which gate ended how."""
        if self.bad:
            ended = "could not run" if self.bad.result == COULD_NOT_RUN else "failed"
            return f"gate {self.bad.name} {ended}: {self.bad.reason}"
        return "gates passed: " + " ".join(one.name for one in self.results) if self.results else "no gates"

    def as_docs(self, at: str) -> list[dict[str, Any]]:
        """As a merge bead keeps it."""
        return [
            {"name": one.name, "result": one.result, "at": at, "commit": self.commit, "log": one.log}
            for one in self.results
        ]


def untrusted(town: Town, rig: Rig) -> GateResult | None:
    """The first command of the rig's gates that nobody on this machine has trusted; asked before anything runs."""
    for gate in rig.gates:
        try:
            require(town, rig, "gate", gate.name, gate.run)
        except Refused as refusal:
            reason = f"not trusted: {refusal.message}" + (f" ({refusal.hint})" if refusal.hint else "")
            return GateResult(gate.name, COULD_NOT_RUN, reason, 0.0, "", "", 0)
    return None


def require(town: Town, rig: Rig, kind: str, name: str, command: str) -> None:
    """Raise Refused unless this command of the rig's file may run on this machine. `kind` is gate or setup."""
    trust.require(town, kind, f"{rig.name}/{name}", command)


def run_gates(town: Town, rig: Rig, worktree: str, commit: str, *, say: Say | None = None) -> GatesRun:
    """Run every gate on what lies checked out in `worktree`, stopping at the first that does not pass."""
    refused = untrusted(town, rig)
    if refused:
        return GatesRun(commit, (refused,))
    results: list[GateResult] = []
    for gate in rig.gates:
        result = _run_gate(town, rig, gate, worktree, commit)
        results.append(result)
        if say:
            say(f"gate {gate.name} {result.result.replace('_', ' ')} in {result.seconds:.1f} s")
        if result.result != PASSED:
            break
    return GatesRun(commit, tuple(results))


def _run_gate(town: Town, rig: Rig, gate: Gate, worktree: str, commit: str) -> GateResult:
    log, shown = _log(town, rig, gate.name, commit)
    seconds, tries, result = 0.0, 0, FAILED
    while result == FAILED and tries <= gate.retries:
        offset = os.path.getsize(log) if os.path.exists(log) else 0
        result, reason, spent = _once(town, rig, gate, worktree, log)
        seconds, tries = seconds + spent, tries + 1
    return GateResult(gate.name, result, reason, seconds, shown, _tail(log, offset), tries)


def _log(town: Town, rig: Rig, gate: str, commit: str) -> tuple[str, str]:
    word = "".join(c if c.isalnum() or c in "-_." else "-" for c in gate)
    name = f"{rig.name}-{commit[:12]}-{word}.log"
    folder = layout.log(town.root, "gates", times.day(town.clock()))
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, name), layout.relative(town.root, os.path.join(folder, name))


def _once(town: Town, rig: Rig, gate: Gate, worktree: str, log: str) -> tuple[str, str, float]:
    with open(log, "ab") as file:
        file.write(f"$ {gate.run}   # {times.text(town.clock())}\n".encode("utf-8", "replace"))
    offset = os.path.getsize(log)
    ended = run_noted(town, rig, gate.name, gate.run, cwd=worktree, log=log, timeout=gate.timeout)
    if ended.timed_out:
        return COULD_NOT_RUN, f"timed out after {gate.timeout:g} s", ended.seconds
    why = evidence.why_not_run(ended.code, _tail(log, offset, lines=0))
    if why:
        return COULD_NOT_RUN, why, ended.seconds
    if ended.code:
        return FAILED, f"exit {ended.code}" if ended.code > 0 else f"killed by signal {-ended.code}", ended.seconds
    return PASSED, "", ended.seconds


def run_noted(
    town: Town, rig: Rig, name: str, command: str, *, cwd: str, log: str, timeout: float
) -> shell.Ended:
    """Run one command of the rig's refinery, as `shell.run`; while it runs that is noted (see `running_note`)."""
    note, mark = running_note(town, rig), marked.new(town.root)
    doc: dict[str, Any] = {"gate": name, "since": town.clock(), "run": mark}

    def started(pid: int) -> None:
        known = {"pid": pid, "start": processes.start_time(pid), **doc}
        runstate.write_json(note, known, durable=False)

    runstate.write_json(note, doc, durable=False)  # by its mark it can be found if we are killed before the next line
    ended = shell.run(command, cwd=cwd, env=environment(rig), log=log, timeout=timeout, on_start=started, mark=mark)
    os.unlink(note)
    return ended


def environment(rig: Rig) -> dict[str, str]:
    """What a rig's gates and setup commands see; see the head of this module."""
    return shell.environment({"GT_RIG": rig.name, "CI": "true", "PYTHONDONTWRITEBYTECODE": "1"})


def running_note(town: Town, rig: Rig) -> str:
    """Where the gate or setup command that runs now is noted, so that a successor can end it if we are killed."""
    return layout.run(town.root, "refinery", f"{rig.name}-gate.json")


def _tail(log: str, offset: int, *, lines: int = TAIL_LINES) -> str:
    """The last `lines` lines (0: all that is kept) of what was written to `log` from `offset` on."""
    with open(log, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        # One that was cut meanwhile may be shorter than it was.
        file.seek(max(offset if offset <= size else 0, size - _TAIL_BYTES))
        text = file.read().decode("utf-8", "replace")
    return "\n".join(clip(line, _LINE) for line in text.splitlines()[-lines:]) if lines else text


# -- the bare target ----------------------------------------------------------------------------
def remembered(town: Town, rig: Rig, target: str) -> GatesRun | None:
    """What the gates said of the bare target commit earlier; None if they were not asked."""
    doc = runstate.read_json(_memory(town, rig, target))
    if not isinstance(doc, dict) or not isinstance(doc.get("results"), list):
        return None
    try:
        return GatesRun(target, tuple(GateResult(**one) for one in doc["results"]))
    except TypeError:
        return None


def remember(town: Town, rig: Rig, run: GatesRun) -> None:
    """Keep what the gates said of a target commit; what could not run is asked again next time."""
    if run.verdict != COULD_NOT_RUN:
        docs = [dict(vars(one)) for one in run.results]
        runstate.write_json(_memory(town, rig, run.commit), {"results": docs}, durable=False)


def forget(town: Town, rig: Rig, target: str) -> None:
    """Ask the gates again at the next occasion (`gt mq retry`)."""
    from gastown.store import files

    files.remove(_memory(town, rig, target))


def digest(rig: Rig) -> str:
    """Changes with the rig's gates: 12 hex digits."""
    facts = [[gate.name, gate.run, gate.timeout, gate.retries] for gate in rig.gates]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _memory(town: Town, rig: Rig, target: str) -> str:
    return layout.cache(town.root, "gates", f"{rig.name}-{target}-{digest(rig)}.json")
