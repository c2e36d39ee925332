"""A clone that follows to another repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastown.model.errors import Refused
from gastown.runtime import clones, git, origin
from tests.runtime.conftest import commit, sh


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """Another project, with `main`."""
    repo = tmp_path / "fresh"
    sh(tmp_path, "init", "-q", "-b", "main", str(repo))
    commit(repo, "b.txt", "two\n", "another project")
    return repo


def test_whose_a_clone_is_stands_in_its_config_however_that_is_quoted(repo: Path, remote: Path, tmp_path: Path) -> None:
    assert origin.of(repo) == [str(remote)]
    assert origin.is_of(repo, str(remote))
    assert not origin.is_of(repo, str(tmp_path / "elsewhere"))
    odd = str(tmp_path / 'a "b" #c;d')
    sh(repo, "config", "remote.origin.url", odd)
    assert origin.is_of(repo, odd)
    sh(repo, "config", "remote.origin.url", str(remote))
    link = tmp_path / "link.git"
    link.symlink_to(remote)
    assert origin.is_of(repo, str(link)), "one folder by two names"
    sh(repo, "config", "--add", "remote.origin.url", "https://example.org/second.git")
    assert not origin.is_of(repo, str(remote)), "git would push to both"


def test_nothing_of_the_old_repository_is_left_and_local_branches_are(repo: Path, project: Path, fresh: Path) -> None:
    work = sh(repo, "rev-parse", "refs/remotes/origin/main")
    sh(repo, "update-ref", "refs/heads/polecat/amber/ap-1.a1", work)
    sh(repo, "update-ref", "refs/remotes/origin/old", work)
    sh(repo, "config", "remote.origin.pushurl", "/old/place")
    origin.follow(repo, str(fresh), "main", local=False)
    assert origin.of(repo) == [str(fresh)]
    assert sh(repo, "for-each-ref", "--format=%(refname)").splitlines() == [
        "refs/heads/polecat/amber/ap-1.a1", "refs/remotes/origin/HEAD", "refs/remotes/origin/main",
    ]  # fmt: skip
    assert clones.resolve(repo, "refs/remotes/origin/HEAD") == sh(fresh, "rev-parse", "main")
    assert sh(repo, "remote", "get-url", "--push", "origin") == str(fresh)


def test_a_follow_that_was_killed_is_done_again(repo: Path, remote: Path, fresh: Path, monkeypatch) -> None:
    real = git.run

    def killed(args, **options):
        if "--replace-all" in args:
            raise KeyboardInterrupt
        return real(args, **options)

    monkeypatch.setattr(git, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        origin.follow(repo, str(fresh), "main", local=False)
    monkeypatch.undo()
    assert origin.of(repo) == [str(remote)]
    assert not origin.is_of(repo, str(fresh))
    origin.follow(repo, str(fresh), "main", local=False)
    assert origin.is_of(repo, str(fresh))


def test_a_repository_with_another_format_of_objects_is_refused(repo: Path, remote: Path, tmp_path: Path) -> None:
    other = tmp_path / "sha256"
    sh(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256", str(other))
    commit(other, "b.txt", "two\n")
    with pytest.raises(Refused, match="another format"):
        origin.follow(repo, str(other), "main", local=False)
    assert origin.of(repo) == [str(remote)]
