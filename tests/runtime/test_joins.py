"""Two histories of one branch joined in a commit: the same commit whoever makes it, and with whatever git."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastown.runtime import clones, git, joins

from .conftest import commit, sh

WHO = ("rig/refinery", "refinery@rig.town.gt")


def branches(project: Path, ours: tuple[str, str], theirs: tuple[str, str]) -> tuple[str, str]:
    sh(project, "branch", "theirs")
    one = commit(project, *ours)
    sh(project, "switch", "-q", "theirs")
    return one, commit(project, *theirs)


@pytest.mark.parametrize("version", [(2, 30, 0), (2, 39, 0)])
def test_a_join_holds_all_of_both_and_is_the_same_each_time(project: Path, monkeypatch, version) -> None:
    if git.version() < version:
        pytest.skip("this git cannot")
    monkeypatch.setattr(git, "version", lambda: version)
    one, two = branches(project, ("b.txt", "b\n"), ("c.txt", "c\n"))
    first = joins.join(project, one, two, message="both", who=WHO).commit
    assert first is not None
    assert sh(project, "log", "-1", "--format=%P %an %s", first) == f"{one} {two} rig/refinery both"
    assert sh(project, "ls-tree", "--name-only", first).split() == [".gitignore", "a.txt", "b.txt", "c.txt"]
    sh(project, "update-ref", "-d", f"{joins.JOINED}{one[:20]}-{two[:20]}")
    assert joins.join(project, one, two, message="both", who=WHO).commit == first
    assert len(clones.worktrees(project)) == 1
    joins.forget(project, two)
    assert sh(project, "for-each-ref", joins.JOINED)
    joins.forget(project, first)
    assert not sh(project, "for-each-ref", joins.JOINED)


@pytest.mark.parametrize("version", [(2, 30, 0), (2, 39, 0)])
def test_what_conflicts_is_not_joined_and_its_files_are_named(project: Path, monkeypatch, version) -> None:
    if git.version() < version:
        pytest.skip("this git cannot")
    monkeypatch.setattr(git, "version", lambda: version)
    one, two = branches(project, ("a.txt", "mine\n"), ("a.txt", "theirs\n"))
    assert joins.join(project, one, two, message="both", who=WHO) == joins.Join(None, ("a.txt",))
    assert not sh(project, "for-each-ref", joins.JOINED)
    assert len(clones.worktrees(project)) == 1


def test_what_shares_nothing_is_not_joined(project: Path) -> None:
    sh(project, "switch", "-q", "--orphan", "other")
    other = commit(project, "z.txt", "z\n")
    assert joins.join(project, other, sh(project, "rev-parse", "main"), message="x", who=WHO) == joins.Join(None)
