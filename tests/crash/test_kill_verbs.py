"""kill -9 at every step of the verbs: the same command again finishes, and the work lands exactly once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.forking import Forking
from tests.crash.verbs import Scene
from tests.store.towns import assert_sound

WORK = ["--", "sh", "-c", "echo MIT > LICENSE"]
# Every step in CI; by hand the quick run takes a sample.
EVERY = [pytest.param(17, id="sample"), pytest.param(1, id="every step", marks=pytest.mark.slow)]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Forking() as forking:
        one = Scene(tmp_path, forking)
        yield one
        one.end_sessions()


@pytest.mark.parametrize("step", EVERY)
def test_create_and_note(scene, step):
    first = scene.gt("create", "first", "--rig", "app", "-q")
    scene.keep()
    seen = set()
    for _ in scene.each_fault(lambda env: scene.run("create", "second", "--rig", "app", **env), step=step):
        beads = [bead["id"] for bead in json.loads(scene.gt("list", "--all", "--json"))]
        assert first in beads
        assert len(beads) in (1, 2)
        seen.add(len(beads))
        scene.gt("note", first, "-m", "after the crash")
        assert_sound(scene.town)
    assert seen == {1, 2}
    for fault in scene.each_fault(lambda env: scene.run("note", first, "-m", "killed or not", **env), step=step):
        assert scene.bead_text(first).count("killed or not") <= 1
        scene.gt("note", first, "-m", f"after {fault}")
        assert_sound(scene.town)


@pytest.mark.parametrize("step", EVERY)
def test_sling(scene, step):
    bead = scene.gt("create", "Add a licence", "--rig", "app", "-q")
    scene.keep()
    sling = ("sling", bead, "app", "--runtime", "process")
    for _ in scene.each_fault(lambda env: scene.run(*sling, *WORK, **env), step=step):
        scene.gt(*sling, "--wait", *WORK)
        scene.assert_landed_once(bead)


@pytest.mark.parametrize("step", EVERY)
def test_done(scene, step):
    bead = scene.gt("create", "Add a licence", "--rig", "app", "-q")
    scene.gt("sling", bead, "app", "--runtime", "process", "--", "sleep", "600")
    wait_for(scene, bead, "status: in_progress")
    scene.end_sessions()
    (worktree,) = [p for p in (scene.town / "work/app").iterdir() if (p / "README.md").exists()]
    (worktree / "LICENSE").write_text("MIT\n")
    scene.keep()
    for _ in scene.each_fault(lambda env: scene.run("done", cwd=worktree, **env), step=step):
        scene.gt("done", cwd=worktree)
        scene.gt("mq", "run", "app")
        scene.assert_landed_once(bead)


@pytest.mark.parametrize("step", EVERY)
def test_landing(scene, step):
    bead = scene.gt("create", "Add a licence", "--rig", "app", "-q")
    scene.gt("sling", bead, "app", "--runtime", "process", *WORK)
    wait_for(scene, bead, "status: merging")
    scene.end_sessions()
    scene.keep()
    for _ in scene.each_fault(lambda env: scene.run("mq", "run", "app", **env), step=step):
        scene.gt("mq", "run", "app")
        scene.assert_landed_once(bead)


def wait_for(scene: Scene, bead: str, line: str) -> None:
    deadline = time.monotonic() + 30
    while line not in scene.bead_text(bead):
        assert time.monotonic() < deadline, scene.bead_text(bead)
        time.sleep(0.02)
