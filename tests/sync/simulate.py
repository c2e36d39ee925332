"""`python -m tests.sync.simulate [--machines N] [--rounds N] [--seed N] [--runs N]`: a town on real clones.

Machines whose clocks are up to a day apart do everything at random that people, agents, mail programs and editors do,
and meet their remote by `gt sync`, by plain git, or are killed at it. Then quiet: everybody syncs until nothing moves.
All must hold the same then, and every act must be accounted for. Exits 1, with the story, where one is not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from gastown.model.errors import GtError
from gastown.services.files import lint
from gastown.services.machines.clone import attach_remote, clone
from gastown.services.machines.init import make_town
from gastown.services.mail import mailbox
from gastown.services.sync import unfinished
from gastown.services.sync.sync import sync
from gastown.store import change, layout
from gastown.store.town import Town, open_town
from tests.sync.acts import RIG_FILE, Actor
from tests.sync.ledger import Ledger, check

PROJECT = Path(__file__).resolve().parents[2]
RIG = b"name: greenplace\n\nprefix: gp\n\ngit: /nowhere\n\nbranch: main\n\nlanding: local\n"
DAY = 86_400
QUIET_PASSES = 12
KILLED = """
import sys
from gastown.services.sync import sync
from gastown.store.town import open_town
sync.sync(open_town(sys.argv[1], clock=lambda: float(sys.argv[2])))
"""


class Violation(Exception):
    """Something is lost, doubled or broken; its text says what."""


class Machine:
    """One clone with a clock of its own that no other machine ever shows the same second of.

    Two beads that two machines make by one hand in one second under one id are one by the rules (sync.md).
    """

    def __init__(self, world: World, number: int, root: str) -> None:
        self.world, self.number = world, number
        self.skew = 0 if number == 0 else world.rng.randint(-DAY, DAY)
        self.town = open_town(root, clock=self.clock)
        self.hands = Actor(self.town, world.ledger, world.rng)

    def clock(self) -> float:
        count = len(self.world.names)
        now = int(self.world.now + self.skew)
        return float(now - now % count + self.number)

    def git(self, *args: str) -> int:
        """A git command as a person types it; its exit code."""
        stamp = f"@{int(self.clock())} +0000"
        env = {**os.environ, "GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp, "GIT_EDITOR": "true"}
        done = subprocess.run(["git", *args], cwd=self.town.root, env=env, capture_output=True, text=True)
        lines = (done.stdout + done.stderr).splitlines()
        told = [line for line in lines if "CONFLICT" in line or "error" in line] or lines[-1:]
        self.world.said.append(f"    git {' '.join(args)}: {done.returncode} {' / '.join(told)[:600]}")
        return done.returncode

    def dirty(self) -> list[str]:
        args = ["git", "status", "--porcelain", "--untracked-files=all"]
        return subprocess.run(args, cwd=self.town.root, capture_output=True, text=True).stdout.splitlines()

    # -- meeting the remote ------------------------------------------------------------------------
    def meet(self) -> str:
        """By one of the ways there are, at random; its name."""
        ways: list[tuple[Callable[[], None], int]] = [
            (self.sync, 6), (self.killed_sync, 4), (self.pull, 4), (self.rebase, 4), (self.commit, 3),
            (self.stash, 2), (self.pick, 1),
        ]  # fmt: skip
        way = self.world.rng.choices([one for one, _ in ways], [weight for _, weight in ways])[0]
        way()
        return way.__name__

    def sync(self) -> None:
        sync(self.town)

    def killed_sync(self) -> None:
        fault = self.world.rng.randint(1, 300)
        env = {**os.environ, "GT_FAULT": str(fault)}
        argv = [sys.executable, "-c", KILLED, self.town.root, str(self.clock())]
        done = subprocess.run(argv, env=env, capture_output=True, text=True)
        self.world.said.append(f"    killed at {fault}: {done.returncode}")
        if done.returncode not in (0, -9):
            raise Violation(f"a sync ended with {done.returncode}: {done.stderr}")

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "by hand")

    def pull(self) -> None:
        if self.world.rng.random() < 0.7:
            self.commit()
        self._afterwards(self.git("pull", "--no-rebase", "--no-edit"))
        self._push()

    def rebase(self) -> None:
        if self.world.rng.random() < 0.7:
            self.commit()
        loose = self.dirty()
        auto = ["--autostash"] if loose and all(line.startswith(" M") for line in loose) else []
        self._afterwards(self.git("pull", "--rebase", *auto))
        self._unstash()
        self._push()

    def stash(self) -> None:
        """Edits that lie there go aside, the others' come, and the edits come back."""
        loose = self.dirty()
        if not loose or not all(line.startswith(" M") for line in loose):
            return self.pull()
        if self.git("stash") == 0:
            self._afterwards(self.git("pull", "--no-rebase", "--no-edit"))
            self._unstash()

    def pick(self) -> None:
        self.commit()
        self.git("fetch")
        self._afterwards(self.git("cherry-pick", "origin/main"))

    def _unstash(self) -> None:
        if subprocess.run(["git", "stash", "list"], cwd=self.town.root, capture_output=True).stdout.strip():
            if self.git("stash", "pop") != 0:
                unfinished.finish(self.town)
                self.git("stash", "drop")
            self.git("reset", "--quiet")

    def _afterwards(self, code: int) -> None:
        """What stopped git is settled, or given up."""
        what = self.town.repo.under_way()
        if code == 0 or not what:
            return
        if self.world.rng.random() < 0.75:
            unfinished.finish(self.town)
            self.world.said.append(f"    gt sync --continue finished the {what}")
        else:
            self.git(what, "--abort")

    def _push(self) -> None:
        if not self.town.repo.under_way() and self.world.rng.random() < 0.7:
            self.git("push", *(["--no-verify"] if self.world.rng.random() < 0.8 else []))


class World:
    """A town, its bare remote, and its machines."""

    def __init__(self, base: Path, machines: int, seed: int) -> None:
        self.base, self.rng = base, random.Random(seed)
        self.ledger = Ledger()
        self.now = float(int(time.time()) // DAY * DAY + DAY // 2)
        self.said: list[str] = []
        self.met: Counter[str] = Counter()
        self.names = [f"m{number}" for number in range(machines)]
        self.machines = [Machine(self, number, root) for number, root in enumerate(self._clones())]

    def _clones(self) -> Iterator[str]:
        remote = str(self.base / "remote.git")
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", remote], check=True)
        for name in self.names:
            root = str(self.base / name)
            with _named(name):
                if name == self.names[0]:
                    town = open_town(make_town(root, name="demo").root)
                    with town.change("rig_add") as made:
                        made.write(RIG_FILE, RIG)
                    attach_remote(town, remote)
                else:
                    clone(remote, root)
            yield root

    def live(self, rounds: int) -> None:
        """Rounds of acts and meetings."""
        for number in range(rounds):
            machine = self.rng.choice(self.machines)
            for _ in range(self.rng.randint(1, 5)):
                self.now += self.rng.choice([0, 1, self.rng.randint(1, 90)])
                self.said.append(f"{number} {machine.town.machine}: {machine.hands.act()}")
            self.now += self.rng.choice([0, 1, self.rng.randint(1, 90)])
            if self.rng.random() < 0.7:
                self.said.append(f"{number} {machine.town.machine} meets the remote")
                way = machine.meet()
                self.said.append(f"{number} {machine.town.machine}: {way}")
                self.met[way] += 1

    def quiet(self) -> None:
        """Everybody finishes what is half done and syncs until nothing moves."""
        for machine in self.machines:
            unfinished.finish(machine.town)
        for number in range(QUIET_PASSES):
            heads = set()
            for machine in self.machines:
                self.now += 7
                report = sync(machine.town)
                self.said.append(f"quiet {number} {machine.town.machine}: {report}"[:600])
                heads.add(report.head)
            if len(heads) == 1:
                return
        raise Violation(f"after {QUIET_PASSES} passes the machines still differ: {sorted(heads)}")

    def judge(self) -> None:
        """Raise Violation for whatever is not as it must be."""
        wrong = []
        towns = [machine.town for machine in self.machines]
        trees = {town.machine: _out(town, "rev-parse", "HEAD^{tree}") for town in towns}
        if len(set(trees.values())) != 1:
            wrong.append(f"the trees differ: {trees}")
        for town in towns:
            wrong += [f"{town.machine}: {one}" for one in _broken(town)]
        wrong += check(self.ledger, towns[0])
        if wrong:
            raise Violation("\n".join(wrong))


def _broken(town: Town) -> list[str]:
    """What is wrong with one clone by itself."""
    wrong = []
    for args in (("status", "--porcelain"), ("fsck", "--no-dangling", "--no-progress")):
        out = _out(town, *args)
        wrong += [f"git {args[0]}: {out}"] if out else []
    wrong += [f"lint: {one}" for one in lint.problems(town, lint.all_paths(town))]
    marked = _out(town, "grep", "-lE", "^(<<<<<<<|>>>>>>>) ")
    wrong += [f"conflict marks in {marked}"] if marked else []
    ids = Counter(town.bead_ids())
    wrong += [f"the id {one} means {count} beads" for one, count in ids.items() if count > 1]
    left = [str(path) for path in Path(town.root).rglob("*") if path.name.endswith((layout.TEMP_SUFFIX, ".lock"))]
    wrong += [f"left behind: {path}" for path in left if f"/{layout.LOCAL}/" not in path]
    with town.change("mail") as looking:
        unsettled = [path for box in mailbox.boxes(town) for path in mailbox.moves(looking, box)]
    return wrong + [f"mail that nobody committed: {path}" for path in unsettled]


def _out(town: Town, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=town.root, capture_output=True, text=True)
    return (done.stdout + (done.stderr if done.returncode > 1 else "")).strip()


@contextlib.contextmanager
def _seeded(rng: random.Random) -> Iterator[None]:
    """Ids of beads come from the seed too."""
    real = change._draw
    change._draw = rng.randrange
    try:
        yield
    finally:
        change._draw = real


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """As on a machine of that name."""
    real = platform.node
    platform.node = lambda: name
    try:
        yield
    finally:
        platform.node = real


def simulate(base: Path, *, machines: int, rounds: int, seed: int) -> tuple[World, str]:
    """One town's life. Returns it and what is wrong with its end ("" if nothing)."""
    world = World(base, machines, seed)
    try:
        with _seeded(world.rng):
            world.live(rounds)
        world.quiet()
        world.judge()
    except (Violation, GtError) as error:
        return world, f"{type(error).__name__}: {error}"
    return world, ""


def fast_folder() -> Path:
    """A new folder in memory where there is some: thousands of fsyncs wait for no disk there."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    return Path(tempfile.mkdtemp(prefix="gt-simulate-", dir=memory))


def sealed(home: Path) -> None:
    """No git configuration but this, and our own package for hooks and drivers."""
    home.mkdir(parents=True, exist_ok=True)
    (home / ".gitconfig").write_text("[user]\n\tname = Pat Overseer\n\temail = pat@example.org\n")
    for key in [key for key in os.environ if key.startswith(("GT_", "GIT_"))]:
        del os.environ[key]
    os.environ |= {
        "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "PYTHONPATH": str(PROJECT),
    }  # fmt: skip


def main() -> int:
    """Run the towns that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.sync.simulate", description=__doc__)
    parser.add_argument("--machines", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="the first of them")
    parser.add_argument("--runs", type=int, default=1, help="how many towns, each with the next seed")
    parser.add_argument("--keep", type=Path, help="a new folder for the towns; a broken one is left there")
    parser.add_argument("--story", action="store_true", help="tell every act, also where all is well")
    args = parser.parse_args()
    where = args.keep or fast_folder()
    sealed(where / "home")
    acts = failed = 0
    began = time.monotonic()
    for seed in range(args.seed, args.seed + args.runs):
        base = where / f"seed-{seed}"
        base.mkdir(parents=True)
        start = time.monotonic()
        world, wrong = simulate(base, machines=args.machines, rounds=args.rounds, seed=seed)
        acts += world.ledger.acts
        failed += bool(wrong)
        if wrong or args.story:
            print("\n".join(world.said))
        ways = ", ".join(f"{way} {count}" for way, count in sorted(world.met.items()))
        print(f"seed {seed}: {args.machines} machines, {args.rounds} rounds, {world.ledger.acts} acts, "
              f"{time.monotonic() - start:.1f} s ({ways})", flush=True)  # fmt: skip
        if wrong:
            print(f"seed {seed} FAILED:\n{wrong}", flush=True)
        elif not args.keep:
            shutil.rmtree(base)
    print(f"{args.runs * args.rounds} rounds, {acts} acts, {time.monotonic() - began:.0f} s, {failed} failed")
    if not failed and not args.keep:
        shutil.rmtree(where)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
