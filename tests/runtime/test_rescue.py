from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from gastown.model.errors import GtError, Refused
from gastown.runtime import rescue, worktrees
from tests.conftest import without_powers

from .conftest import commit, sh

NOW = 1795426200.0
DAY = "2026-11-23"


@pytest.fixture
def tree(tmp_path: Path, repo: Path) -> Path:
    path = tmp_path / "toast"
    worktrees.add(repo, path, "polecat/toast/gp-x.a1", "origin/main")
    return path


def fingerprint(tree: Path) -> tuple[object, ...]:
    git_dir = Path(sh(tree, "rev-parse", "--absolute-git-dir"))
    index = git_dir / "index"
    everything = {p: (p.lstat().st_mtime_ns, p.lstat().st_size) for p in tree.rglob("*")}
    return index.read_bytes(), index.stat().st_mtime_ns, (git_dir / "HEAD").read_bytes(), everything


def everywhere(repo: Path) -> set[bytes]:
    """The content of every blob that a ref of the repository reaches."""
    import subprocess

    listed = sh(repo, "rev-list", "--objects", "--all", "--no-object-names")
    done = subprocess.run(
        ["git", "cat-file", "--batch"], cwd=repo, input=listed.encode(), capture_output=True, check=True
    )
    stream, found = io.BytesIO(done.stdout), set()
    while header := stream.readline():
        _, kind, size = header.split()
        data = stream.read(int(size))
        stream.read(1)
        if kind == b"blob":
            found.add(data)
    return found


def test_every_byte_is_reachable_afterwards_and_nothing_was_touched(tmp_path: Path, repo: Path, tree: Path) -> None:
    (tree / "a.txt").write_text("stashed one\n")
    sh(tree, "stash", "-q")
    (tree / "a.txt").write_text("stashed two\n")
    (tree / "u.txt").write_text("stashed untracked\n")
    sh(tree, "stash", "-qu")
    sh(tree, "switch", "-q", "--detach")
    commit(tree, "d.txt", "left by a reset\n")
    sh(tree, "reset", "-q", "--hard", "HEAD~1")
    commit(tree, "e.txt", "detached\n")
    (tree / "a.txt").write_text("staged\n")
    sh(tree, "add", "a.txt")
    (tree / "a.txt").write_text("unstaged\n")
    (tree / "ü b\n.txt").write_text("untracked\n")
    (tree / "bin").write_bytes(bytes(range(256)))
    (tree / "x.log").write_text("ignored\n")
    (tree / "node_modules" / "m").mkdir(parents=True)
    (tree / "node_modules" / "m" / "i.js").write_text("cache\n")
    (tree / "crlf.txt").write_bytes(b"a\r\nb\r\n")
    os.symlink("nowhere", tree / "link")
    sh(tree, "update-index", "--assume-unchanged", "e.txt")
    (tree / "e.txt").write_text("hidden from git status\n")
    before = fingerprint(tree)
    saved = rescue.save(repo, tree, "toast", tmp_path / "rescue", NOW)
    assert fingerprint(tree) == before
    assert saved.new
    assert saved.left_out == ("node_modules/",)
    assert rescue.unsaved(repo, tree) == {}
    worktrees.remove(repo, tree)
    sh(repo, "update-ref", "-d", "refs/stash")
    sh(repo, "gc", "-q", "--prune=now")
    wanted = (
        "stashed one|stashed two|stashed untracked|left by a reset|detached|staged|unstaged|untracked|ignored|"
        "hidden from git status"
    )
    found = everywhere(repo)
    assert {f"{text}\n".encode() for text in wanted.split("|")} <= found
    assert {bytes(range(256)), b"a\r\nb\r\n", b"nowhere"} <= found
    assert saved.patch == str(tmp_path / "rescue" / f"{DAY}-toast.patch")


def test_the_patch_brings_the_work_back(tmp_path: Path, repo: Path, tree: Path) -> None:
    (tree / "a.txt").unlink()
    (tree / "bin").write_bytes(bytes(range(256)))
    saved = rescue.save(repo, tree, "toast", tmp_path / "rescue", NOW)
    assert saved.patch
    worktrees.add(repo, tmp_path / "other", "polecat/b/c", "origin/main")
    sh(tmp_path / "other", "apply", "--binary", saved.patch)
    assert not (tmp_path / "other" / "a.txt").exists()
    assert (tmp_path / "other" / "bin").read_bytes() == bytes(range(256))


def test_saving_the_same_again_makes_no_new_ref(tmp_path: Path, repo: Path, tree: Path) -> None:
    (tree / "new").write_text("x")
    first = rescue.save(repo, tree, "toast", tmp_path / "rescue", NOW)
    refs = sh(repo, "for-each-ref")
    again = rescue.save(repo, tree, "toast", tmp_path / "rescue", NOW + 86400)
    assert (again.new, again.refs) == (False, first.refs)
    assert sh(repo, "for-each-ref") == refs
    (tree / "new").write_text("y")
    third = rescue.save(repo, tree, "toast", tmp_path / "rescue", NOW)
    assert third.new
    assert list(third.refs) == [f"refs/gt/rescue/{DAY}-toast-2/work"]
    assert third.patch == str(tmp_path / "rescue" / f"{DAY}-toast-2.patch")


def test_a_clean_worktree_needs_no_saving(tmp_path: Path, repo: Path, tree: Path) -> None:
    commit(tree, "b.txt", "on a branch\n")
    saved = rescue.save(repo, tree, "toast", tmp_path / "rescue", NOW)
    assert (dict(saved.refs), saved.patch, saved.new) == ({}, None, False)
    assert "nothing to save" in saved.description


def test_all_sides_of_a_conflict_are_saved(tmp_path: Path, repo: Path, tree: Path) -> None:
    sh(tree, "switch", "-q", "--detach")
    commit(tree, "a.txt", "theirs\n")
    theirs = sh(tree, "rev-parse", "HEAD")
    sh(tree, "switch", "-q", "polecat/toast/gp-x.a1")
    commit(tree, "a.txt", "ours\n")
    sh(tree, "merge", "-q", theirs, ok=False)
    (tree / "a.txt").write_text("half resolved\n")
    saved = rescue.save(repo, tree, "toast", tmp_path / "rescue", NOW)
    index = next(ref for ref in saved.refs if ref.endswith("/index"))
    assert sh(repo, "show", f"{index}:.gt-conflict/3/a.txt") == "theirs"
    assert b"half resolved\n" in everywhere(repo)
    assert sh(repo, "for-each-ref", "--contains", theirs)


def test_file_and_folder_that_changed_places(tmp_path: Path, repo: Path, tree: Path) -> None:
    commit(tree, "d/e", "1\n")
    (tree / "d" / "e").unlink()
    (tree / "d").rmdir()
    os.symlink(".", tree / "d")
    (tree / "a.txt").unlink()
    (tree / "a.txt").mkdir()
    (tree / "a.txt" / "f").write_text("now inside\n")
    rescue.save(repo, tree, "toast", tmp_path / "rescue", NOW)
    assert b"now inside\n" in everywhere(repo)


def test_repositories_inside_are_packed_whole(tmp_path: Path, repo: Path, tree: Path) -> None:
    sh(tree, "init", "-q", "-b", "main", "inner")
    commit(tree / "inner", "f", "committed inside\n")
    (tree / "inner" / "g").write_text("untracked inside\n")
    sh(tree, "init", "-q", "fresh")
    (tree / "fresh" / "h").write_text("no commit yet\n")
    saved = rescue.save(repo, tree, "toast", tmp_path / "rescue", NOW)
    assert not rescue.save(repo, tree, "toast", tmp_path / "rescue", NOW).new
    archives = [data for data in everywhere(repo) if data[257:262] == b"ustar"]
    for data in archives:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(tmp_path / "out", filter="data")
    assert (tmp_path / "out" / "tree" / "g").read_text() == "untracked inside\n"
    assert (tmp_path / "out" / "tree" / "h").read_text() == "no commit yet\n"
    assert len(archives) == 2
    assert "inner" in saved.description
    worktrees.remove(repo, tree)


def test_too_much_to_save_is_refused(
    tmp_path: Path, repo: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescue, "UNTRACKED_CAP", 10)
    (tree / "new").write_text("more than ten bytes")
    with pytest.raises(Refused, match="too much to save"):
        rescue.save(repo, tree, "toast", tmp_path / "rescue", NOW)
    assert (tree / "new").exists()


def test_large_ignored_files_are_named_and_left_out(tmp_path: Path, repo: Path, tree: Path) -> None:
    with open(tree / "huge.log", "wb") as file:
        file.truncate(rescue.IGNORED_FILE_CAP)
    (tree / "small.log").write_text("kept\n")
    saved = rescue.save(repo, tree, "toast", tmp_path / "rescue", NOW)
    assert saved.left_out == ("huge.log",)
    assert b"kept\n" in everywhere(repo)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_an_error(tmp_path: Path, repo: Path, tree: Path) -> None:
    (tree / "new").write_text("x")
    (tree / "new").chmod(0)
    with pytest.raises(GtError):
        rescue.save(repo, tree, "toast", tmp_path / "rescue", NOW)


def test_ignored_files_that_we_may_not_read_are_named_and_left_out(tmp_path: Path, repo: Path, tree: Path) -> None:
    """As a container's user leaves them."""
    volume, key = tree / "data.log", tree / "key.log"
    volume.mkdir()
    (volume / "base").write_text("x")
    key.write_text("x")
    (tree / "small.log").write_text("kept\n")
    for one in (volume, key):
        one.chmod(0)
    code = "import sys; from gastown.runtime import rescue; print(rescue.save(*sys.argv[1:5], 1e9).left_out)"
    argv = [sys.executable, "-c", code, str(repo), str(tree), "toast", str(tmp_path / "rescue")]
    done = subprocess.run(without_powers(argv), capture_output=True, text=True, check=False)
    assert done.stdout == "('data.log/', 'key.log')\n", done.stderr
    assert b"kept\n" in everywhere(repo)
    volume.chmod(0o700)


def test_a_snapshot_moves_on_and_counts_as_no_rescue(repo: Path, tree: Path) -> None:
    assert rescue.snapshot(repo, tree, "toast") is None
    (tree / "new").write_text("x")
    before = fingerprint(tree)
    sha = rescue.snapshot(repo, tree, "toast")
    assert fingerprint(tree) == before
    assert sh(repo, "show", "refs/gt/rescue/toast:new") == "x"
    assert sh(repo, "rev-parse", "refs/gt/rescue/toast") == sha
    assert set(rescue.unsaved(repo, tree)) == {"work"}
    sh(tree, "switch", "-q", "--detach")
    commit(tree, "b.txt", "detached\n")
    (tree / "more").write_text("x")
    rescue.snapshot(repo, tree, "toast")
    assert set(rescue.unsaved(repo, tree)) == {"work", "commit-0"}


def test_a_repository_that_cannot_be_written_loses_nothing(tmp_path: Path, repo: Path, tree: Path) -> None:
    (tree / "new").write_text("x")
    objects = repo / "objects"
    objects.rename(repo / "away")
    objects.write_text("no place to write to")
    with pytest.raises(GtError):
        rescue.save(repo, tree, "toast", tmp_path / "rescue", NOW)
    with pytest.raises(GtError):
        worktrees.remove(repo, tree)
    assert (tree / "new").read_text() == "x"
