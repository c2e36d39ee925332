"""kill -9 before every write, fsync, rename, link and unlink of a change: whole-old or whole-new, and no repair."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gastown.store import journal
from gastown.store.town import open_town
from tests.crash.forking import Forking
from tests.store.towns import assert_sound, git, small_town

ACT = """
import sys
from gastown.store.town import open_town
town = open_town(sys.argv[1])
with town.change("note") as change:
    bead = change.bead(sys.argv[2])
    bead.add_note(change.at, "overseer", "killed or not")
    change.save(bead)
    other = change.create("greenplace", title="second of the same change")
    change.deliver("overseer", "subject", "body")
    change.emit("note", "noted", bead=bead.id)
print("done")
"""


@pytest.fixture
def forking() -> Iterator[Forking]:
    with Forking() as one:
        yield one


def act(forking: Forking, root: Path, bead_id: str, fault: int | str) -> subprocess.CompletedProcess[str]:
    return forking.run(ACT, str(root), bead_id, cwd=root, env={**os.environ, "GT_FAULT": str(fault)})


def state(root: Path, bead_id: str) -> tuple[int, int, int, int]:
    town = open_town(str(root))
    mail = len(town.mail_names("overseer", "new"))
    events = sum(1 for event in town.events() if event["type"] == "note")
    return len(town.bead(bead_id).notes), len(town.index().rows), mail, events


@pytest.mark.parametrize(
    "packed", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["loose objects", "packed objects"]
)
def test_every_step_of_a_change(tmp_path, forking, packed):
    seed = tmp_path / "seed"
    town = small_town(seed)
    with town.change("create") as change:
        bead_id = change.create("greenplace", title="first").id
    if packed:
        git(seed, "gc", "-q")
    outcomes = set()
    for fault in range(1, 400):
        root = tmp_path / f"k{fault}"
        shutil.copytree(seed, root, symlinks=True)
        done = act(forking, root, bead_id, fault)
        killed = done.returncode == -9
        if not killed:
            assert done.returncode == 0, done.stderr
            assert state(root, bead_id) == (1, 2, 1, 1)
            break
        fresh = open_town(str(root))
        fresh.settle()
        after = state(root, bead_id)
        assert after in {(0, 1, 0, 0), (1, 2, 1, 1)}, f"fault {fault}: torn: {after}"
        outcomes.add(after)
        assert_sound(root)
        if fault % 10 == 0:
            assert act(forking, root, bead_id, 0).returncode == 0
            assert_sound(root)
        shutil.rmtree(root)
    else:
        pytest.fail("the change never finished")
    assert outcomes == {(0, 1, 0, 0), (1, 2, 1, 1)}
    assert fault > 30


def test_a_full_disk_changes_nothing_and_is_said(tmp_path, forking):
    seed = tmp_path / "seed"
    town = small_town(seed)
    with town.change("create") as change:
        bead_id = change.create("greenplace", title="first").id
    failed = 0
    for fault in range(1, 200):
        root = tmp_path / f"f{fault}"
        shutil.copytree(seed, root, symlinks=True)
        done = act(forking, root, bead_id, f"full:{fault}")
        if done.returncode == 0:
            # What is left to write once a change stands (the index, a hint) is made up by the next one.
            assert state(root, bead_id) == (1, 2, 1, 1)
        else:
            failed += 1
            assert "No space left on device" in done.stderr
            assert state(root, bead_id) == (0, 1, 0, 0)
            assert_sound(root)
        assert act(forking, root, bead_id, 0).returncode == 0
        assert_sound(root)
        shutil.rmtree(root)
        if done.returncode == 0 and failed:
            break
    assert failed > 10


@pytest.mark.slow
def test_a_killed_recovery_is_recovered(tmp_path, forking):
    seed = tmp_path / "seed"
    town = small_town(seed)
    with town.change("create") as change:
        bead_id = change.create("greenplace", title="first").id
    for fault in range(60, 400, 7):
        shutil.rmtree(tmp_path / "killed", ignore_errors=True)
        shutil.copytree(seed, tmp_path / "killed", symlinks=True)
        assert act(forking, tmp_path / "killed", bead_id, fault).returncode == -9
        if journal.pending(str(tmp_path / "killed")):
            break
    settle = "import sys\nfrom gastown.store.town import open_town\nopen_town(sys.argv[1]).settle()"
    for fault in range(1, 400):
        root = tmp_path / f"r{fault}"
        shutil.copytree(tmp_path / "killed", root, symlinks=True)
        done = forking.run(settle, str(root), cwd=root, env={**os.environ, "GT_FAULT": str(fault)})
        open_town(str(root)).settle()
        assert state(root, bead_id) == (1, 2, 1, 1)
        assert_sound(root)
        shutil.rmtree(root)
        if done.returncode == 0:
            break
    else:
        pytest.fail("recovery never finished")
