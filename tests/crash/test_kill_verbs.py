"""kill -9 at every step of the verbs: the same command again finishes, and the work lands exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.verbs import Scene
from tests.store.towns import assert_sound

WORK = ["--", "sh", "-c", "echo MIT > LICENSE"]
# Every step in CI; by hand the quick run takes a sample.
EVERY = [pytest.param(17, id="sample"), pytest.param(1, id="every step", marks=pytest.mark.slow)]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    one = Scene(tmp_path)
    yield one
    one.end_sessions()


@pytest.mark.parametrize("step", EVERY)
def test_create_and_note(scene, step):
    first = scene.gt("create", "first", "--rig", "app", "-q")
    scene.keep()
    seen = set()
    for _ in scene.each_fault(lambda env: scene.run("create", "second", "--rig", "app", **env), step=step):
        beads = scene.gt("list", "--all", "-q").split()
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
    for _ in scene.each_fault(lambda env: scene.run("sling", bead, "app", "--runtime", "process", *WORK, **env), step=step):
        scene.gt("sling", bead, "app", "--runtime", "process", "--wait", *WORK)
        scene.assert_landed_once(bead)


@pytest.mark.parametrize("step", EVERY)
def test_done(scene, step):
    bead = scene.gt("create", "Add a licence", "--rig", "app", "-q")
    scene.gt("sling", bead, "app", "--runtime", "process", "--", "sh", "-c", "echo MIT > LICENSE; exit 3")
    scene.gt("session", "stop", "--all")
    (worktree,) = [p for p in (scene.town / "work/app").iterdir() if p.name not in (".repo.git", "refinery")]
    (worktree / "LICENSE").write_text("MIT\n")
    scene.gt("resume", bead, "--runtime", "process", "--", "sleep", "600")
    scene.gt("session", "stop", "--all")
    scene.keep()
    for _ in scene.each_fault(lambda env: scene.run("done", cwd=worktree, **env), step=step):
        scene.gt("done", cwd=worktree)
        scene.gt("mq", "run", "app", "--wait")
        scene.assert_landed_once(bead)


@pytest.mark.parametrize("step", EVERY)
def test_landing(scene, step):
    bead = scene.gt("create", "Add a licence", "--rig", "app", "-q")
    scene.gt("sling", bead, "app", "--runtime", "process", *WORK)
    wait_for_merging(scene, bead)
    scene.end_sessions()
    scene.keep()
    for _ in scene.each_fault(lambda env: scene.run("mq", "run", "app", **env), step=step):
        scene.gt("mq", "run", "app")
        scene.assert_landed_once(bead)


def wait_for_merging(scene: Scene, bead: str) -> None:
    import time

    deadline = time.monotonic() + 30
    while "status: merging" not in scene.bead_text(bead):
        assert time.monotonic() < deadline, scene.bead_text(bead)
        time.sleep(0.05)
