"""A town that was moved goes on; a copy of one never reaches into the original."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gastown.runtime import git, sessions
from gastown.services.agents import moving
from gastown.services.sling import release
from gastown.store import layout
from gastown.store.town import open_town
from tests.conftest import Ran, run_gt
from tests.services.work_lab import Lab


def idle_with_loose_work(lab: Lab) -> str:
    """app/amber idle, with a commit on no branch and an untracked file; the commit."""
    bead = lab.bead()
    session = lab.one(bead.id, agent=lab.sleeper()).session
    release.release(lab.town, lab.now(bead))
    lab.ended(session)
    tree = lab.tree()
    git.run(["checkout", "-q", "--detach"], cwd=tree)
    (tree / "loose").write_text("loose\n")
    git.run(["add", "-A"], cwd=tree)
    git.run(["commit", "-qm", "loose"], cwd=tree, env=git.author_env("a", "a@b"))
    (tree / "precious").write_text("precious\n")
    return git.text(["rev-parse", "HEAD"], cwd=tree)


def seen(root: str, *folders: str) -> dict[str, bytes]:
    """Every file below the folders of a town."""
    paths = (path for folder in folders for path in Path(root, folder).rglob("*"))
    return {os.path.relpath(path, root): path.read_bytes() for path in paths if path.is_file()}


def land_there(root: str) -> Ran:
    return run_gt("sling", "More work", "app", "--wait", "--", "sh", "-c", "echo more > more", cwd=root)


def test_a_moved_town_works_on_and_loses_nothing(work):
    loose = idle_with_loose_work(work)
    root = str(work.path / "elsewhere" / "town")
    os.makedirs(os.path.dirname(root))
    os.rename(work.root, root)
    ran = land_there(root)
    assert ran.lines[-1].split()[1] == "merged"
    bare = layout.bare(root, "app")
    kept = git.text(["rev-list", "--all", "--glob=refs/gt/*"], cwd=bare).split()
    assert loose in kept
    assert git.text(["grep", "-l", "precious", *kept], cwd=bare)
    assert run_gt("doctor", "--json", cwd=root).json["ok"]
    assert run_gt("status", cwd=root).err == ""
    hook = git.text(["config", "gt.command"], cwd=root)
    assert hook == layout.run(root, "bin", "gt")
    assert os.access(hook, os.X_OK)


def test_a_copy_does_not_touch_the_original(work):
    idle_with_loose_work(work)
    before = seen(work.root, "work", ".gt", ".git", "rigs")
    root = str(work.path / "copy")
    shutil.copytree(work.root, root, symlinks=True)
    run_gt("machine", "rename", "second", cwd=root)
    assert land_there(root).lines[-1].split()[1] == "merged"
    assert seen(work.root, "work", ".gt", ".git", "rigs") == before
    assert git.text(["rev-parse", "--git-common-dir"], cwd=work.tree()) == os.path.realpath(work.bare)


def test_a_copy_leaves_the_originals_sessions_alone(work):
    bead = work.bead()
    record = work.record(work.one(bead.id, agent=work.sleeper()).session)
    root = str(work.path / "copy")
    shutil.copytree(work.root, root, symlinks=True)
    assert "is a copy of" in run_gt("down", cwd=root, code=5).err
    run_gt("machine", "rename", "second", cwd=root)
    run_gt("down", cwd=root)
    assert sessions.alive(record.agent_proc)
    assert run_gt("agents", "--json", cwd=work.root).json[0]["state"] == "working"


def test_what_somebody_else_made_is_left_alone(work, tmp_path):
    idle_with_loose_work(work)
    own, foreign = tmp_path / "own", work.tree("app/mine")
    git.run(["worktree", "add", "-q", "--detach", str(own), "origin/main"], cwd=work.bare)
    git.run(["init", "-q", str(foreign)])
    marker = (own / ".git").read_bytes()
    root = str(work.path / "moved")
    os.rename(work.root, root)
    town = open_town(root)
    assert moving.follow(town)
    assert work.root not in git.text(["worktree", "list"], cwd=layout.bare(root, "app"))
    assert (own / ".git").read_bytes() == marker
    assert not (Path(layout.worktree(root, "app", "mine")) / ".git").is_file()
    assert not moving.follow(town)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_reading_goes_on_where_nothing_can_be_written(work):
    root = str(work.path / "moved")
    os.rename(work.root, root)
    os.chmod(layout.run(root), 0o500)
    assert run_gt("list", cwd=root).code == 0
