"""One worker's stash is taken out of everybody's; nobody else's entry is lost, whenever it is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastown.runtime import git, stash, worktrees
from gastown.store import files

from .conftest import sh

BRANCHES = {name: f"polecat/{name}/gp-x7k2m.a1" for name in ("amber", "birch")}


@pytest.fixture
def trees(tmp_path: Path, repo: Path) -> dict[str, Path]:
    """Two worktrees whose workers stashed in turn: amber 0, birch 1, amber 2, birch 3."""
    found = {name: tmp_path / "work" / "rig" / name for name in BRANCHES}
    for name, branch in BRANCHES.items():
        worktrees.add(repo, found[name], branch, "origin/main")
    for number in range(4):
        name = "amber" if number % 2 == 0 else "birch"
        (found[name] / f"n{number}").write_text("x")
        env = {f"GIT_{part}_EMAIL": f"{name}@app" for part in ("AUTHOR", "COMMITTER")} if number < 2 else {}
        sh(found[name], "stash", "push", "-uqm", f"change {number}", env=env)
    return found


def mine(repo: Path) -> list[stash.Entry]:
    return stash.made_by(stash.entries(repo), "amber@app", "polecat/amber/")


def lines(repo: Path) -> list[str]:
    return [one.line.rpartition(": ")[2] for one in stash.entries(repo)]


def test_what_a_worker_stashed_is_known_by_who_made_it_or_by_its_branch(repo: Path, trees: dict[str, Path]) -> None:
    assert [one.line.rpartition(": ")[2] for one in mine(repo)] == ["change 2", "change 0"]


def test_it_is_moved_to_refs_of_its_own_and_the_others_stay_as_they_were(repo: Path, trees: dict[str, Path]) -> None:
    wanted = mine(repo)
    others = [one for one in stash.entries(repo) if one not in wanted]
    refs = stash.take(repo, wanted, "app-amber", "2026-11-26")
    assert [git.text(["rev-parse", ref], cwd=repo) for ref in refs] == [one.sha for one in wanted]
    assert stash.entries(repo) == others
    assert stash.take(repo, wanted, "app-amber", "2026-11-26") == []
    sh(trees["birch"], "stash", "pop", "-q")
    assert (trees["birch"] / "n3").exists()
    assert lines(repo) == ["change 1"]


def test_killed_anywhere_no_entry_is_lost(repo: Path, trees: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    every = {one.sha for one in stash.entries(repo)}

    class Killed(BaseException):
        pass

    for steps in range(60):
        left = iter(range(steps))

        def point(left: object = left) -> None:
            if next(left, None) is None:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(files, "fault_point", point)
            try:
                stash.take(repo, mine(repo), "app-amber", "2026-11-26")
            except Killed:
                pass
            else:
                break
        kept = git.text(["for-each-ref", "--format=%(objectname)", "refs/gt"], cwd=repo).split()
        assert every <= {*kept, *(one.sha for one in stash._entries(repo))}
        assert set(lines(repo)) >= {"change 1", "change 3"}, "the next look puts back what was held"
    assert lines(repo) == ["change 3", "change 1"]
    assert mine(repo) == []
