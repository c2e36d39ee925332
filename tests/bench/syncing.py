"""How long a sync takes, beside what git alone takes for the same: fetch, merge, push.

gt's side is measured inside this process, as the deacon syncs: what is compared is the work, not how long
Python takes to start (`startup` measures that). git's side is git's own commands, which start in a millisecond each.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gastown.services.machines import clone
from gastown.services.sync import settle, sync
from gastown.store.town import Town, open_town
from tests.bench.measure import Row, environment
from tests.bench.towns import town_of
from tests.store.towns import git

X = "x git"
CHANGED = 50
RUNS = 7


def syncing(folder: Path, large: bool) -> Iterator[Row]:
    """50 beads changed on both sides of 10,000; nothing to do; one change here, one there."""
    place = Apart(folder / "apart", 10_000)
    merge = "git merge -q --no-edit origin/main"
    ours, theirs = place.race(
        "here", "there", f"git fetch -q && {merge} && git push -q", lambda report: report.merged and not report.settled
    )
    yield Row(f"sync, {CHANGED} changed on both sides of 10000 beads", _ratio(ours, theirs), X, most=5)
    ours, theirs = place.race("here", "base", "git fetch -q && git push -q", lambda report: report.pushed == CHANGED)
    yield Row(f"sync, {CHANGED} changed here", _ratio(ours, theirs), X, most=5)
    follow = "git fetch -q && git merge -q --ff-only origin/main"
    ours, theirs = place.race("base", "there", follow, lambda report: report.pulled == CHANGED)
    yield Row(f"sync, {CHANGED} changed there", _ratio(ours, theirs), X, most=5)
    town = place.open("base", "base")
    for name, watched, most, beside, command in (
        ("as the deacon does", True, 1.5, "x git fetch", "git fetch -q"),
        ("and a look at all files", False, 1.5, "x git fetch and status", "git fetch -q && git status --porcelain"),
    ):
        pairs = [(_sync(town, lambda report: not report.pushed, watched=watched), _git(town.root, command))
                 for _ in range(4 * RUNS)]  # fmt: skip
        ratio = statistics.median(mine / git_s for mine, git_s in pairs)
        yield Row(f"sync, nothing to do, {name}, 10000 beads", ratio, beside, most=most)


def many(folder: Path, large: bool) -> Iterator[Row]:
    """Two machines that sync again and again; packing is the deacon's job, every so often."""
    count = 1_000 if large else 200
    first = town_of(folder / "many" / "here", 1_000)
    remote = folder / "many" / "remote.git"
    git(folder, "init", "-q", "--bare", "-b", "main", str(remote))
    clone.attach_remote(first, str(remote))
    towns = [first, _second(folder / "many" / "there", first)]
    taken: list[float] = []
    for number in range(count):
        for town in towns:
            _note(town, f"gp-{number % 500:05d}", f"sync {number} at {town.machine}")
            taken.append(_sync(town, lambda report: True))
        if number % 50 == 49:
            for town in towns:
                git(town.root, "-c", "gc.autoDetach=false", "-c", "gc.auto=1000", "maintenance", "run", "--auto")
    edge = max(20, count // 10)
    yield Row(f"sync time, the last {edge} of {count} rounds to the first",
              statistics.median(taken[-edge:]) / statistics.median(taken[:edge]), "x", most=1.5)  # fmt: skip
    grown = _size(first)
    for town in towns:
        sync.sync(town)
    git(first.root, "gc", "-q")
    packed = _size(first)
    yield Row(f"repository after {count} rounds, packed as the deacon does, to `git gc`", grown / packed, "x", most=2)
    stray = [path for path in Path(first.root, ".gt").rglob("*") if path.is_file()]
    yield Row("files of gt's own after it", len(stray), "files", most=40)


# -- ground -----------------------------------------------------------------------------------------
class Apart:
    """A clone and its remote with the commits `base`, `here` and `there`: on each side 50 beads changed since."""

    def __init__(self, place: Path, count: int) -> None:
        self.here, self.remote, self.saved = place / "here", place / "remote.git", place / "saved"
        town = town_of(self.here, count)
        settle.after(town)  # as after any sync; a clone's first one looks at every bead once
        git(self.here, "branch", "base")
        git(place, "clone", "-q", "--bare", "here", "remote.git")
        git(self.here, "remote", "add", "origin", str(self.remote))
        for side in ("there", "here"):
            git(self.here, "reset", "-q", "--hard", "base")
            self._change(town, side)
            git(self.here, "branch", side)
        git(self.here, "push", "-q", "origin", "there:refs/keep/there")
        git(self.here, "branch", "-q", "-D", "there")
        git(self.here, "push", "-q", "origin", "base:main")
        git(self.here, "branch", "-q", "-u", "origin/main")
        git(self.here, "reflog", "expire", "--expire=now", "--all")
        git(self.here, "gc", "-q", "--prune=now")
        self.saved.mkdir()
        for name in (".git", ".gt"):
            shutil.copytree(self.here / name, self.saved / name, symlinks=True)
        shutil.copytree(self.remote, self.saved / "remote.git", symlinks=True)

    def _change(self, town: Town, side: str) -> None:
        for number in range(CHANGED):
            bead_id = f"gp-{number * 101:05d}"
            with town.change("edit") as change:
                bead = change.bead(bead_id)
                if side == "here":
                    bead.add_note(change.at, "overseer", "note here")
                else:
                    bead.set("title", f"title {number} there")
                change.save(bead)
                if side == "here":
                    change.emit("note", f"noted {bead_id}", bead=bead_id)

    def open(self, ours: str, theirs: str) -> Town:
        """Both as they were, ours at one commit and the remote at another that is not fetched yet."""
        git(self.here, "reset", "-q", "--hard", "here")
        for name, target in ((".git", self.here), (".gt", self.here), ("remote.git", self.remote.parent)):
            shutil.rmtree(target / name)
            shutil.copytree(self.saved / name, target / name, symlinks=True)
        git(self.here, "update-index", "-q", "--refresh")
        git(self.here, "reset", "-q", "--hard", ours)
        git(self.remote, "update-ref", "refs/heads/main", "refs/keep/there" if theirs == "there" else "main")
        os.sync()
        return open_town(str(self.here))

    def race(
        self, ours: str, theirs: str, command: str, expected: Callable[[sync.SyncReport], object]
    ) -> tuple[list[float], list[float]]:
        """Seconds of our syncs and of git's commands for the same, by turns."""
        taken: tuple[list[float], list[float]] = [], []
        for _ in range(RUNS):
            taken[1].append(_git(self.open(ours, theirs).root, command))
            tree = git(self.here, "rev-parse", "HEAD:rigs")
            taken[0].append(_sync(self.open(ours, theirs), expected))
            if git(self.here, "rev-parse", "HEAD:rigs") != tree:
                raise RuntimeError("the two did not come to the same")
        return taken


def _second(root: Path, first: Town) -> Town:
    shutil.copytree(first.root, root, symlinks=True)
    (root / ".gt/machine.yaml").write_text("name: brick\n")
    return open_town(str(root))


def _note(town: Town, bead_id: str, text: str) -> None:
    with town.change("note") as change:
        bead = change.bead(bead_id)
        bead.add_note(change.at, "overseer", text)
        change.save(bead)
        change.emit("note", f"noted {bead_id}", bead=bead_id)


def _git(root: str, command: str) -> float:
    began = time.perf_counter()
    subprocess.run(["sh", "-c", command], cwd=root, env=environment(), check=True, capture_output=True)
    return time.perf_counter() - began


def _sync(town: Town, expected: Callable[[sync.SyncReport], object], *, watched: bool = False) -> float:
    began = time.perf_counter()
    report = sync.sync(town, watched=watched)
    took = time.perf_counter() - began
    if not expected(report):
        raise RuntimeError(f"not the sync that was meant: {report}")
    return took


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(ours) / statistics.median(theirs)


def _size(town: Town) -> int:
    return sum(path.stat().st_size for path in Path(town.repo.git_dir, "objects").rglob("*") if path.is_file())
