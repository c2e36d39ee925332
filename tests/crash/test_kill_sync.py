"""kill -9 at every step of a sync: a valid town at once, and the next sync comes to what an unharmed one comes to."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gastown.services.sync.sync import sync
from gastown.store.town import Town
from tests.conftest import PROJECT, Clock, git
from tests.services.work_lab import eventually
from tests.sync.ground import Ground, bead, check_clean, contents, note, plain, update

# Every step of the fullest one in CI, a sample of the others; by hand the quick run takes fewer still.
SLOW = pytest.mark.slow
ACT = """
import sys
from gastown.services.sync import sync
from gastown.store.town import open_town
sync.sync(open_town(sys.argv[1], clock=lambda: float(sys.argv[2])))
"""
REFRESH = """
import sys
from gastown.services.sync import townhooks
from gastown.store.town import open_town
townhooks.refresh(open_town(sys.argv[1], clock=lambda: float(sys.argv[2])), finished=True)
"""


@pytest.fixture
def ground(town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    return Ground(tmp_path, town, monkeypatch)


def run(script: str, town: Town, clock: Clock, fault: int) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "GT_FAULT": str(fault), "PYTHONPATH": str(PROJECT)}
    argv = [sys.executable, "-c", script, town.root, str(clock.now)]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120)


def apart(ground: Ground, clock: Clock) -> Town:
    """A clone and its remote that both went on: all that a sync has to decide."""
    here = ground.towns["anvil"]
    parent, torn, gone = (bead(here, title, description="a\n\nb\n") for title in ("Parent", "Torn", "Gone"))
    with here.change("mail") as change:
        change.deliver("mayor", "hello", "text\n")
    sync(here)
    there = ground.add("brick")
    unique = here.mail_names("mayor", "new")[0]
    for town, place in ((there, ".Archive/cur/{}:2,"), (here, "cur/{}:2,S")):
        clock.advance(60)
        bead(town, f"child of {town.machine}", parent=parent)
        note(town, parent, f"from {town.machine}")
        update(town, torn, description=f"{town.machine}\n", title=f"{town.machine}'s")
        box = Path(town.root, "mail/mayor")
        (box / place.format(unique)).parent.mkdir(parents=True, exist_ok=True)
        (box / "new" / unique).rename(box / place.format(unique))
    sync(there)
    edited = Path(here.root, str(here.bead_path(gone)))
    edited.write_text(edited.read_text().replace("title: Gone", "title: Edited"))
    os.utime(edited, (time.time() - 5,) * 2)
    return here


def behind(ground: Ground, clock: Clock) -> Town:
    """A clone that only has to follow: many files, one of them edited beneath."""
    here = ground.towns["anvil"]
    first = bead(here, "First")
    sync(here)
    there = ground.add("brick")
    for number in range(8):
        bead(there, f"bead {number}")
    update(there, first, title="Renamed")
    git("rm", "--quiet", str(there.bead_path(bead(there, "made and removed"))), cwd=there.root)
    git("commit", "--quiet", "--message", "removed", cwd=there.root)
    sync(there)
    return here


def check_whole(town: Town, before: set[str]) -> None:
    """Right after the kill: every bead can be read, none that was here is missing, git's objects are whole."""
    index = town.index()
    assert index.problems == []
    assert before <= {row.created + row.created_by for row in index.rows}
    # A fetch that outlived its gt goes on, and fsck takes what is written while it looks for missing.
    eventually(lambda: not at_work(town.root))
    assert git("fsck", "--no-dangling", "--no-progress", cwd=town.root) == ""


def at_work(root: str) -> list[str]:
    """The processes that work in a town still."""
    pids = os.listdir("/proc") if os.path.isdir("/proc") else []
    return [pid for pid in pids if pid.isdigit() and _works_in(pid) == os.path.realpath(root)]


def _works_in(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def told(town: Town) -> set[tuple[str, ...]]:
    """The conflicts the feed tells of, with both values."""
    events = [event for event in town.events() if event["type"] == "sync_conflict_resolved"]
    return {(event["text"], event["data"]["kept"], event["data"]["lost"]) for event in events}


def left(root: str) -> list[str]:
    """Locks and temporary files, in git's folder too. What is local to this machine is not a town's."""
    found = [path.relative_to(root) for path in Path(root).rglob("*") if path.name.endswith((".lock", ".gt-tmp"))]
    return [str(path) for path in found if path.parts[0] != ".gt"]


def kill_everywhere(
    ground: Ground, clock: Clock, here: Town, script: str, step: int, *, end: Callable[[Town], object] = sync
) -> int:
    """Run `script` killed before every `step`-th step, then `end`; how many kills there were."""
    whole = ground.twin(here, "whole")
    end(whole)
    expected = contents(whole)
    before = {row.created + row.created_by for row in here.index().rows}
    fault = 1
    while True:
        town = ground.twin(here, "killed")
        done = run(script, town, clock, fault)
        check_whole(town, before)
        end(town)
        assert contents(town) == expected, f"fault {fault}"
        check_clean(town)
        assert left(town.root) == [], f"fault {fault}"
        assert told(town) == told(whole), f"fault {fault}"
        shutil.rmtree(town.root)
        shutil.rmtree(f"{town.root}.git")
        if done.returncode != -signal.SIGKILL:
            assert done.returncode == 0, f"fault {fault}: {done.stderr}"
            return fault
        fault += step
        assert fault < 2_000, "the sync never finished"


@pytest.mark.parametrize(
    ("make", "step"),
    [(apart, 67), (behind, 41), pytest.param(apart, 1, marks=SLOW), pytest.param(behind, 5, marks=SLOW)],
)
def test_a_sync(ground: Ground, clock: Clock, make: Callable[[Ground, Clock], Town], step: int) -> None:
    assert kill_everywhere(ground, clock, make(ground, clock), ACT, step) > 100


@pytest.mark.parametrize("step", [53, pytest.param(7, marks=SLOW)])
def test_settling_after_a_plain_pull(ground: Ground, clock: Clock, step: int) -> None:
    here = apart(ground, clock)
    git("add", "--all", cwd=here.root)
    git("commit", "--quiet", "--message", "by hand", cwd=here.root)
    git("config", "gt.command", "/nowhere", cwd=here.root)
    plain(here, "-c", "core.hooksPath=/nowhere", "pull", "--no-rebase", "--no-edit")
    assert kill_everywhere(ground, clock, here, REFRESH, step) > 30


def test_a_person_who_commits_after_a_kill_takes_nothing_back(ground: Ground, clock: Clock) -> None:
    """The branch is where the sync put it, the files are not yet: `git add --all` would revert all that came."""
    here = behind(ground, clock)
    fault = 30
    while True:
        town = ground.twin(here, "killed")
        run(ACT, town, clock, fault)
        if town.repo.head()[1] != here.repo.head()[1] and "Renamed" not in {row.title for row in town.index().rows}:
            break
        shutil.rmtree(town.root)
        shutil.rmtree(f"{town.root}.git")
        fault += 3
    git("config", "gt.command", f"{town.root}/.gt/run/bin/gt", cwd=town.root)
    plain(town, "add", "--all")
    refused = plain(town, "commit", "--message", "all mine", code=1)
    assert "a gt was killed" in refused.stderr
    assert "Renamed" in {row.title for row in town.index().rows}
    plain(town, "commit", "--message", "all mine", code=1)  # there is nothing left that would be theirs
    check_clean(town)
