from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from gastown.model.errors import GtError, NotFound, Refused
from gastown.runtime import clones, git, rescue, worktrees

from .conftest import commit, sh, until

BRANCH = "polecat/toast/gp-x7k2m.a1"
NOW = 1795426200.0


@pytest.fixture
def tree(tmp_path: Path, repo: Path) -> Path:
    path = tmp_path / "work" / "rig" / "toast"
    worktrees.add(repo, path, BRANCH, "origin/main")
    return path


def test_add_is_repeatable_and_takes_nothing_of_anothers(tmp_path: Path, repo: Path, tree: Path) -> None:
    worktrees.add(repo, tree, BRANCH, "origin/main")
    (tree / "a.txt").write_text("work in progress\n")
    worktrees.add(repo, tree, BRANCH, "origin/main")
    assert (tree / "a.txt").read_text() == "work in progress\n"
    with pytest.raises(Refused, match="is a worktree already"):
        worktrees.add(repo, tree, "polecat/toast/gp-x7k2m.a2", "origin/main")
    with pytest.raises(Refused, match="checked out at"):
        worktrees.add(repo, tmp_path / "other", BRANCH, "origin/main")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(Refused, match="belong to no worktree"):
        worktrees.add(repo, tmp_path / "full", "polecat/b/c", "origin/main")
    with pytest.raises(NotFound):
        worktrees.add(repo, tmp_path / "other", "polecat/b/c", "origin/none")


def test_add_never_reuses_a_branch_with_work_unless_told(tmp_path: Path, repo: Path, tree: Path) -> None:
    sha = commit(tree, "b.txt", "done\n")
    worktrees.remove(repo, tree)
    with pytest.raises(Refused, match="exists and holds"):
        worktrees.add(repo, tree, BRANCH, "origin/main")
    worktrees.add(repo, tree, BRANCH, "origin/main", existing=True)
    assert worktrees.state(tree).head == sha


def test_add_takes_over_a_branch_that_a_killed_add_left(tmp_path: Path, repo: Path) -> None:
    sh(repo, "branch", "--no-track", BRANCH, "origin/main")
    worktrees.add(repo, tmp_path / "wt", BRANCH, "origin/main")
    assert worktrees.state(tmp_path / "wt").branch == BRANCH


def killed_add(repo: Path, tree: Path, project: Path) -> None:
    """What SIGKILL in the middle of a checkout leaves: git's lock, a torn file, files that are not there yet."""
    (clones_admin := worktrees.admin_dir(repo, tree)) or pytest.fail("no worktree")
    (clones_admin / "locked").write_text("initializing")
    (tree / "a.txt").write_text("on")
    (tree / ".gitignore").unlink()
    (clones_admin / "index").unlink()


def test_add_clears_a_killed_add(repo: Path, tree: Path, project: Path) -> None:
    killed_add(repo, tree, project)
    worktrees.add(repo, tree, BRANCH, "origin/main")
    assert (tree / "a.txt").read_text() == "one\n"
    assert worktrees.is_clean(tree)


@pytest.mark.parametrize(("file", "text"), [("mine.txt", "x"), ("a.txt", "two\n"), ("d/e", "x")])
def test_add_keeps_work_found_in_a_killed_add(repo: Path, tree: Path, project: Path, file: str, text: str) -> None:
    killed_add(repo, tree, project)
    (tree / file).parent.mkdir(exist_ok=True)
    (tree / file).write_text(text)
    with pytest.raises(Refused, match=file):
        worktrees.add(repo, tree, BRANCH, "origin/main")
    assert (tree / file).read_text() == text


def test_a_killed_gt_leaves_its_git_under_the_lock(tmp_path: Path, repo: Path) -> None:
    code = (
        "import sys,os;from gastown.runtime import clones,git\n"
        f"with clones.locked({str(repo)!r}) as fd:\n"
        f" git.run(['-c','alias.w=!echo x >{tmp_path}/began; read x <{tmp_path}/fifo','w'],"
        f"cwd={str(repo)!r},pass_fds=[fd])"
    )
    os.mkfifo(tmp_path / "fifo")
    import sys

    with subprocess.Popen([sys.executable, "-c", code]) as child:
        until((tmp_path / "began").exists)
        child.send_signal(signal.SIGKILL)
    with pytest.raises(GtError, match="at work"), clones.locked(repo, timeout=0.05):
        pytest.fail("the lock was free")
    (tmp_path / "fifo").write_text("go\n")
    with clones.locked(repo, timeout=10):
        pass


def test_a_folder_deleted_by_hand_is_made_again_and_its_commits_kept(repo: Path, tree: Path) -> None:
    sh(tree, "switch", "-q", "--detach")
    sha = commit(tree, "lost.txt", "x\n")
    (tree / "staged.txt").write_text("staged\n")
    sh(tree, "add", "staged.txt")
    subprocess.run(["rm", "-rf", str(tree)], check=True)
    worktrees.add(repo, tree, BRANCH, "origin/main")
    kept = sh(repo, "for-each-ref", "--contains", sha, "--format=%(refname)").splitlines()
    assert kept
    assert any(sh(repo, "show", f"{ref}:staged.txt", ok=False) == "staged" for ref in kept)


def test_state_sees_everything(repo: Path, tree: Path) -> None:
    clean = worktrees.state(tree)
    assert clean.clean
    assert (clean.branch, clean.unpushed, clean.operation, clean.stashes) == (BRANCH, 0, None, 0)
    commit(tree, "b.txt", "x\n")
    (tree / "a.txt").write_text("stashed\n")
    sh(tree, "stash", "-q")
    (tree / "a.txt").write_text("changed\n")
    (tree / "new dir").mkdir()
    (tree / "new dir" / "ü\nz").write_text("untracked\n")
    (tree / "s").write_text("staged\n")
    sh(tree, "add", "s")
    (tree / "b.txt").unlink()
    (tree / "x.log").write_text("ignored\n")
    sh(tree, "config", "status.showUntrackedFiles", "no")
    now = worktrees.state(tree)
    assert (now.staged, now.unstaged, now.untracked) == (("s",), ("a.txt", "b.txt"), ("new dir/ü\nz",))
    assert (now.unpushed, now.stashes, now.detached, now.clean) == (1, 1, False, False)
    sh(tree, "stash", "-q", "-u")
    sh(tree, "switch", "-q", "--detach")
    assert worktrees.state(tree).detached


def conflict(tree: Path) -> None:
    sh(tree, "switch", "-qc", "side", "origin/main")
    commit(tree, "a.txt", "side\n")
    sh(tree, "switch", "-q", BRANCH)
    commit(tree, "a.txt", "ours\n")
    sh(tree, "merge", "-q", "side", ok=False)


def test_an_unfinished_merge_is_neither_clean_nor_committed(tree: Path) -> None:
    conflict(tree)
    now = worktrees.state(tree)
    assert (now.operation, now.conflicts, now.clean) == ("merge", ("a.txt",), False)
    with pytest.raises(Refused, match="unfinished"):
        worktrees.commit_all(tree, "wip: x")


def test_an_unreadable_worktree_is_not_clean(tmp_path: Path, tree: Path) -> None:
    (tree / ".git").write_text("gitdir: /nowhere\n")
    with pytest.raises(GtError):
        worktrees.state(tree)
    with pytest.raises(GtError):
        worktrees.state(tmp_path / "missing")


def test_commit_all_takes_everything_and_lists_deletions(tree: Path) -> None:
    commit(tree, "b.txt", "x\n")
    assert worktrees.commit_all(tree, "wip: nothing") == (None, ())
    (tree / "b.txt").unlink()
    (tree / "a.txt").write_text("changed\n")
    (tree / "-new \n file").write_text("x")
    (tree / "x.log").write_text("ignored")
    sh(tree, "init", "-q", "nested")
    commit(tree / "nested", "f", "x")
    env = {**git.author_env("rig/toast", "t@rig", NOW), "GT_BEAD": "gp-x7k2m", "GT_ACTOR": "rig/toast"}
    sha, files = worktrees.commit_all(tree, "wip: gp-x7k2m", env)
    assert sha == sh(tree, "rev-parse", "HEAD")
    assert {(one.kind, one.path) for one in files} == {("A", "-new \n file"), ("M", "a.txt"), ("D", "b.txt")}
    assert sh(tree, "log", "-1", "--format=%an %at %(trailers:key=Bead,valueonly)") == f"rig/toast {NOW:.0f} gp-x7k2m"
    assert (tree / "nested" / "f").exists()


def test_a_dirty_worktree_is_neither_removed_nor_switched(repo: Path, tree: Path) -> None:
    for spoil in (
        lambda: (tree / "new.txt").write_text("x"),
        lambda: (tree / "a.txt").write_text("changed\n"),
        lambda: sh(tree, "add", "a.txt"),
        lambda: (sh(tree, "stash", "-q"), sh(tree, "switch", "-q", "--detach"), commit(tree, "c.txt", "x")),
    ):
        spoil()
        for act in (
            lambda: worktrees.remove(repo, tree),
            lambda: worktrees.switch_fresh(repo, tree, "polecat/toast/gp-2.a1", "origin/main"),
        ):
            with pytest.raises(Refused, match="unsaved work"):
                act()
    assert (tree / "c.txt").exists()


def test_an_idle_worktree_takes_the_next_work(repo: Path, tree: Path) -> None:
    sha = commit(tree, "b.txt", "x\n")
    (tree / "cache.log").write_text("ignored, useful\n")
    worktrees.switch_fresh(repo, tree, "polecat/toast/gp-2.a1", "origin/main")
    worktrees.switch_fresh(repo, tree, "polecat/toast/gp-2.a1", "origin/main")
    now = worktrees.state(tree)
    assert (now.branch, now.clean, now.unpushed) == ("polecat/toast/gp-2.a1", True, 0)
    assert not (tree / "b.txt").exists()
    assert (tree / "cache.log").exists()
    assert clones.resolve(repo, BRANCH) == sha
    with pytest.raises(Refused, match="exists and holds"):
        worktrees.switch_fresh(repo, tree, BRANCH, "origin/main")


def test_after_saving_it_is_reset_and_removed(tmp_path: Path, repo: Path, tree: Path) -> None:
    conflict(tree)
    (tree / "new.txt").write_text("x")
    rescue.save(repo, tree, "toast", tmp_path / "rescue", NOW)
    worktrees.switch_fresh(repo, tree, "polecat/toast/gp-2.a1", "origin/main")
    assert worktrees.is_clean(tree)
    assert not (tree / "new.txt").exists()
    (tree / "secret.log").write_text("ignored\n")
    with pytest.raises(Refused):
        worktrees.remove(repo, tree)
    saved = rescue.save(repo, tree, "toast", tmp_path / "rescue", NOW)
    assert saved.new
    worktrees.remove(repo, tree)
    worktrees.remove(repo, tree)
    assert not tree.exists()
    assert worktrees.admin_dir(repo, tree) is None


def test_locks_of_a_killed_git_are_cleared_on_request(tree: Path) -> None:
    git_dir = Path(sh(tree, "rev-parse", "--absolute-git-dir"))
    (git_dir / "index.lock").write_text("")
    (tree / "new.txt").write_text("x")
    with pytest.raises(git.GitFailed) as caught:
        worktrees.commit_all(tree, "wip: x")
    assert "lock" in caught.value.hint
    assert worktrees.clear_locks(tree) == [str(git_dir / "index.lock")]
    assert worktrees.commit_all(tree, "wip: x", git.author_env("rig/toast", "t@rig"))[0]
