"""A night with faults: workers that crash, hang, conflict and break tests by a seed, under a deacon that is killed.

`python -m tests.e2e.night --workers 20 --beads 100 --rigs 2 --seed N` prints what became of every bead, and exits 1 if
one landed twice, was lost without an explanation, or left a process behind.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from gastown.services.sessions import dispatch, powers
from gastown.services.work import shutdown
from gastown.store import layout
from gastown.store.change import Change
from gastown.store.town import Town, open_town

CHECKOUT = Path(__file__).resolve().parents[2]
GATE = "test -z \"$(ls bad-* 2>/dev/null)\" && sh check.sh"
SETTINGS = """
runtime: process

max_polecats: {workers}

deacon:
  rescan: 5s
  quiet: 10s
  kill_quiet_after: 20s
  backoff: 1s
  backoff_most: 5s
  mass_deaths: 1000
  idle: 20s
  closing: 5s
  rescue: 10s
  errands: 6
"""
# What an agent does in its n-th session on a bead, by chance; the rest of the chance is honest work.
FAULTS = {
    "exit": 0.12,  # ends with an error, its edit uncommitted
    "kill": 0.10,  # is killed, and its `gt` with it
    "murder": 0.06,  # as if the machine had killed the whole family, runner too
    "hang": 0.05,  # never ends
    "break": 0.15,  # hands in what the gate refuses
    "half": 0.08,  # commits a part and dies
}
AGENT = '''
import os, random, signal, subprocess, sys, time
bead, seed, attempt, session = sys.argv[1], sys.argv[2], os.environ["GT_ATTEMPT"], os.environ["GT_SESSION"]
note = os.path.join(sys.argv[3], bead)
with open(note, "a") as file:
    file.write(session + "\\n")
with open(note) as file:
    number = len(file.readlines())
chance = random.Random(f"{seed} {bead} {number}")
roll, fault = chance.random(), "work"
for name, share in FAULTS.items():
    if roll < share and number < 4:
        fault = name
        break
    roll -= share
time.sleep(chance.random())
with open(f"done-{bead}.txt", "w") as file:
    file.write(f"{bead} was here\\n")
if chance.random() < 0.3:
    with open("shared.txt", "w") as file:
        file.write(f"{bead} wrote this\\n")
if fault == "exit":
    sys.exit(3)
if fault == "half":
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", "commit", "-qm", "half"], check=True)
    os.kill(os.getpid(), signal.SIGKILL)
if fault == "kill":
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)
if fault == "murder":
    with open(f"/proc/{os.getppid()}/stat") as file:
        runner = int(file.read().rpartition(")")[2].split()[1])
    for pid in (runner, os.getppid(), os.getpid()):
        os.kill(pid, signal.SIGKILL)
if fault == "hang":
    time.sleep(100000)
if fault == "break":
    with open(f"bad-{bead}", "w") as file:
        file.write("broken")
'''


@dataclass
class Count:
    """What became of the night."""

    merged: int = 0
    explained: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    deacons: int = 0
    seconds: float = 0.0
    events: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """For people."""
        kinds = ("session_start", "session_death", "merge_failed", "merged", "recover", "escalation", "rescue")
        return [
            f"merged {self.merged}, explained {len(self.explained)}, wrong {len(self.wrong)}",
            f"deacon started {self.deacons} times, {self.seconds:.0f} s",
            "events: " + ", ".join(f"{kind} {self.events[kind]}" for kind in kinds),
            *(f"explained: {bead}: {why}" for bead, why in self.explained.items()),
            *(f"WRONG: {text}" for text in self.wrong),
        ]


def environment(home: Path) -> dict[str, str]:
    """A sealed environment for everything that is started."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("GT_", "GIT_", "TMUX"))}
    (home / ".gitconfig").write_text("[user]\n\tname = Pat\n\temail = pat@example.org\n[gc]\n\tauto = 0\n")
    return env | {
        "HOME": str(home), "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"), "GIT_CONFIG_NOSYSTEM": "1",
        "PYTHONPATH": str(CHECKOUT), "NO_COLOR": "1",
    }  # fmt: skip


def run(*argv: str, cwd: Path, env: dict[str, str]) -> str:
    """A command that must succeed; its stdout."""
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"{argv} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Night:
    """One town, its rigs and beads, and the deacon that is killed again and again."""

    def __init__(self, place: Path, *, workers: int, beads: int, rigs: int, seed: int) -> None:
        self.place, self.seed, self.count = place, seed, beads
        self.chance = random.Random(seed)
        (place / "home").mkdir(parents=True)
        self.env = environment(place / "home")
        self.gt = [sys.executable, "-P", "-m", "gastown"]
        self.root = place / "town"
        self.rigs = [f"rig{number}" for number in range(rigs)]
        run(*self.gt, "init", str(self.root), cwd=place, env=self.env)
        with open(self.root / "town.yaml", "a") as file:
            file.write(SETTINGS.format(workers=workers))
        self.notes = place / "notes"
        self.notes.mkdir()
        self.agent = place / "agent.py"
        self.agent.write_text(f"FAULTS = {FAULTS!r}\n{AGENT}")
        for rig in self.rigs:
            self._rig(rig)
        self.town: Town = open_town(str(self.root))
        self.beads = self._beads()
        self.deacon: subprocess.Popen[bytes] | None = None
        self.result = Count()

    def _rig(self, name: str) -> None:
        source, bare = self.place / f"src-{name}", self.place / f"{name}.git"
        source.mkdir()
        (source / "check.sh").write_text("sleep 0.2\ntest -f shared.txt\n")
        (source / "shared.txt").write_text("nobody wrote this\n")
        for args in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "start"]):
            run("git", *args, cwd=source, env=self.env)
        run("git", "clone", "-q", "--bare", str(source), str(bare), cwd=self.place, env=self.env)
        run(*self.gt, "rig", "add", name, str(bare), "--gate", f"test={GATE}", cwd=self.root, env=self.env)

    def _beads(self) -> list[str]:
        """All of the work, queued in one change; some of it waits for other work."""

        def body(change: Change) -> list[str]:
            made: dict[str, list[str]] = {rig: [] for rig in self.rigs}
            for number in range(self.count):
                rig = self.rigs[number % len(self.rigs)]
                needs = [self.chance.choice(made[rig])] if made[rig] and self.chance.random() < 0.2 else None
                bead = change.create(rig, title=f"night work {number}", priority=self.chance.randrange(5), needs=needs)
                argv = [sys.executable, str(self.agent), bead.id, str(self.seed), str(self.notes)]
                bead.set("agent", "exec")
                bead.set("command", argv)
                dispatch.enqueue(change, bead, rig, "the night begins")
                made[rig].append(bead.id)
            return [bead for rig in made.values() for bead in rig]

        with self.town.change("create") as change:
            return body(change)

    # -- the deacon --------------------------------------------------------
    def start(self) -> None:
        """Start the deacon as a child of ours."""
        self.result.deacons += 1
        with open(self.place / "deacon.out", "ab") as out:
            self.deacon = subprocess.Popen(
                [*self.gt, "deacon", "run", "--town", str(self.root)], cwd="/", env=self.env, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out,
            )  # fmt: skip

    def kill(self) -> None:
        """Kill it without a word."""
        assert self.deacon is not None
        if self.deacon.poll() not in (None, -signal.SIGKILL):
            self.result.wrong.append(f"the deacon ended by itself with {self.deacon.returncode}")
        self.deacon.kill()
        self.deacon.wait()

    def go(self, until: float) -> Count:
        """Let it be night until every bead has had its end, at most `until` seconds; then look."""
        began = time.monotonic()
        self.start()
        next_kill = time.monotonic() + self.chance.uniform(3, 6)
        while time.monotonic() - began < until and not self.is_over():
            time.sleep(0.25)
            if time.monotonic() > next_kill:
                self.kill()
                self.start()
                next_kill = time.monotonic() + self.chance.uniform(3, 6)
        self.result.seconds = time.monotonic() - began
        self.end()
        self.judge()
        return self.result

    def is_over(self) -> bool:
        """True if nothing can happen any more: all closed, or a person was asked about it or what it waits for."""
        by_id = self.town.index().by_id
        explained = self._explained()
        return all(by_id[bead].status == "closed" or bead in explained for bead in self.beads if bead in by_id)

    def _explained(self) -> dict[str, str]:
        """Why work stands still, by bead: a person was asked, or it waits for work of which that is so."""
        by_id, found = self.town.index().by_id, self._asked()
        grew = True
        while grew:
            grew = False
            for row in by_id.values():
                need = next((one for one in row.needs if one in found), None)
                if need and row.id not in found and row.status != "closed":
                    found[row.id] = f"it waits for {need}, of which a person was asked"
                    grew = True
        return found

    def _asked(self) -> dict[str, str]:
        rows = self.town.index().rows
        return {row.source: row.title for row in rows if row.type == "escalation" and row.source}

    def end(self) -> None:
        """`gt down`, as a person would who sees the deacon."""
        up_by = time.monotonic() + powers.START_TIMEOUT
        while powers.deacon(str(self.root)) is None and time.monotonic() < up_by:
            time.sleep(0.05)
        done = subprocess.run(
            [*self.gt, "down"], cwd=self.root, env=self.env, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if self.deacon is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.deacon.wait(15)
            if self.deacon.poll() is None:
                self.result.wrong.append("gt down left the deacon running")
                self.deacon.kill()
                self.deacon.wait()
        if done.returncode:
            self.result.wrong.append(f"gt down: {done.stdout}{done.stderr}")

    # -- judging -----------------------------------------------------------
    def judge(self) -> None:
        """Every bead exactly once on its target or explained; git sound; nothing left running."""
        wrong, explained = self.result.wrong, self._explained()
        self.result.events = Counter(event["type"] for event in self.town.events())
        index = self.town.index()
        wrong += [str(problem) for problem in index.problems]
        landed = {rig: self._landed(rig) for rig in self.rigs}
        for bead_id in self.beads:
            row = index.by_id.get(bead_id)
            if row is None:
                wrong.append(f"{bead_id} is gone")
                continue
            times = landed[str(row.rig)][bead_id]
            if row.status == "closed" and row.closed_reason == "merged":
                self.result.merged += 1
                if times != 1:
                    wrong.append(f"{bead_id} is merged, and on the target {times} times")
            elif times:
                wrong.append(f"{bead_id} is {row.status}, but on the target")
            elif bead_id in explained:
                self.result.explained[bead_id] = explained[bead_id]
            else:
                wrong.append(f"{bead_id} is {row.status} with {row.assignee}, labels {row.labels}: not explained")
        for text in (
            run("git", "status", "--porcelain", cwd=self.root, env=self.env),
            run("git", "fsck", "--strict", "--no-dangling", cwd=self.root, env=self.env),
        ):
            wrong += [text] if text.strip() else []
        wrong += shutdown.strays(str(self.root))
        if powers.deacon(str(self.root)) or powers.errands(str(self.root)):
            wrong.append("a deacon or an errand of it still runs")
        wrong += [f"stale lock {path}" for path in Path(self.root, ".git").rglob("*.lock")]

    def _landed(self, rig: str) -> Counter[str]:
        """How often the work of each bead was brought onto the target: its file was added by so many commits."""
        out = run(
            "git", "log", "--format=", "--name-only", "--diff-filter=A", "main", cwd=self.place / f"{rig}.git",
            env=self.env,
        )  # fmt: skip
        names = [line for line in out.splitlines() if line.startswith("done-")]
        return Counter(name.removeprefix("done-").removesuffix(".txt") for name in names)


def main(argv: list[str]) -> int:
    """One night; 0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--beads", type=int, default=100)
    parser.add_argument("--rigs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--until", type=float, default=1800.0, help="seconds")
    parser.add_argument("--keep", action="store_true", help="leave the town for looking at")
    wanted = parser.parse_args(argv)
    place = Path(tempfile.mkdtemp(prefix="gt-night-"))
    try:
        night = Night(
            place / "n", workers=wanted.workers, beads=wanted.beads, rigs=wanted.rigs, seed=wanted.seed
        )
        found = night.go(wanted.until)
        print("\n".join(found.lines()))
        if wanted.keep or found.wrong:
            print(f"the town: {night.root}, log {layout.log(str(night.root), 'deacon.log')}")
        return 1 if found.wrong else 0
    finally:
        if not wanted.keep and not sys.exc_info()[0] and not found.wrong:
            shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
