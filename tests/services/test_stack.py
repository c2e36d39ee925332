"""Stacking branches in a worktree: strategies, conflicts, what is there already."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gastown.model.queue import Entry
from gastown.runtime import git
from gastown.services.landing import stack, there

WHO = git.author_env("rig/refinery", "refinery@rig.town.gt")


class Lab:
    """A repository with a `main`, work branches, and a detached worktree to stack in."""

    def __init__(self, path: Path) -> None:
        self.repo = str(path / "repo")
        self.desk = str(path / "desk")
        self.count = 0
        subprocess.run(["git", "init", "-q", "-b", "main", self.repo], check=True)
        self.write({"list.txt": "one\ntwo\nthree\n"}, "start")
        git.run(["worktree", "add", "-q", "--detach", self.desk, "main"], cwd=self.repo)

    def write(self, files: dict[str, str], message: str, who: str = "toast") -> str:
        for name, text in files.items():
            Path(self.repo, name).write_text(text)
        git.run(["add", "-A"], cwd=self.repo)
        env = git.author_env(who, f"{who}@x")
        git.run(["commit", "-q", "-m", message], cwd=self.repo, env=env)
        return git.text(["rev-parse", "HEAD"], cwd=self.repo)

    def branch(self, *steps: dict[str, str], start: str = "main", message: str = "change") -> Entry:
        self.count += 1
        name = f"polecat/toast/gp-aaaa{self.count}.a1"
        git.run(["checkout", "-q", "-b", name, start], cwd=self.repo)
        for number, files in enumerate(steps):
            commit = self.write(files, f"{message} {number}")
        git.run(["checkout", "-q", "main"], cwd=self.repo)
        return Entry(f"gp-mmmm{self.count}", f"gp-aaaa{self.count}", f"title {self.count}", name, commit, "main",
                     "rig/toast", 2, f"2026-11-23T09:00:0{self.count}Z")  # fmt: skip

    def build(self, *entries: Entry, merge: str = "rebase") -> stack.Stack:
        base = git.text(["rev-parse", "main"], cwd=self.repo)
        return stack.build(self.desk, base, entries, merge=merge, identity=WHO, keep_ignored=False)

    def show(self, rev: str, path: str) -> str:
        return git.run(["show", f"{rev}:{path}"], cwd=self.repo).out.decode()

    def log(self, span: str, form: str) -> list[str]:
        return git.text(["log", "--reverse", f"--format={form}", span], cwd=self.repo).splitlines()


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


def test_rebase_keeps_each_commit_its_author_and_adds_the_trailers(lab):
    one = lab.branch({"a": "1"}, {"a": "2"})
    two = lab.branch({"b": "1"})
    built = lab.build(one, two)
    assert built.entries == (one, two)
    assert not built.conflicts
    assert lab.log(f"main..{built.tip}", "%an|%cn|%s") == [
        "toast|rig/refinery|change 0", "toast|rig/refinery|change 1", "toast|rig/refinery|change 0"
    ]  # fmt: skip
    beads = lab.log(f"main..{built.tip}", "%(trailers:key=Bead,valueonly,separator=%x20)")
    assert beads == [one.source, one.source, two.source]
    assert set(lab.log(f"main..{built.tip}", "%(trailers:key=Agent,valueonly,separator=%x20)")) == {"rig/toast"}


def test_trailers_that_are_there_are_not_doubled(lab):
    entry = lab.branch({"a": "1"}, message="do\n\nBead: gp-aaaa1\nAgent: rig/toast\nX: ")
    built = lab.build(entry)
    assert lab.log(f"main..{built.tip}", "%B").count("Bead: gp-aaaa1") == 1


@pytest.mark.parametrize("merge", ["rebase", "squash", "merge"])
def test_every_strategy_makes_the_same_tree(lab, merge):
    one, two = lab.branch({"a": "1"}, {"a": "2"}), lab.branch({"b": "1"})
    lab.write({"c": "moved on"}, "main moves")
    built = lab.build(one, two, merge=merge)
    assert [lab.show(built.tip, name) for name in "abc"] == ["2", "1", "moved on"]
    parents = lab.log(f"main..{built.tip}", "%p")
    assert (merge == "merge") == any(len(line.split()) == 2 for line in parents)
    if merge == "squash":
        assert lab.log(f"main..{built.tip}", "%s") == ["title 1", "change 0"]


@pytest.mark.parametrize("merge", ["squash", "merge"])
def test_a_title_becomes_a_subject_without_control_characters(lab, merge):
    entry = replace(lab.branch({"a": "1"}, {"a": "2"}), title="odd \x1b[31mtitle")
    subject = lab.log(lab.build(entry, merge=merge).tip, "%s")[-1]
    assert subject.removeprefix(f"Merge {entry.branch}: ") == "odd [31mtitle"


@pytest.mark.parametrize("merge", ["rebase", "squash", "merge"])
def test_two_different_lines_at_one_place_are_a_conflict_and_the_rest_goes_on(lab, merge):
    one = lab.branch({"list.txt": "one\ntwo\nthree\nfrom one\n"})
    two = lab.branch({"list.txt": "one\ntwo\nthree\nfrom two\n"})
    three = lab.branch({"other": "x"})
    built = lab.build(one, two, three, merge=merge)
    assert built.entries == (one, three)
    (conflict,) = built.conflicts
    assert conflict.entry == two
    assert conflict.files == ("list.txt",)
    assert "from two" in conflict.text
    assert "<<<<<<<" in conflict.text
    assert lab.show(built.tip, "list.txt").endswith("from one\n")
    assert git.run(["status", "--porcelain"], cwd=lab.desk).out == b"", "nothing of the conflict stays in the worktree"


def test_a_conflict_in_a_later_commit_is_one_with_the_target_all_the_same(lab):
    """Not with what the entry's own first commit put there."""
    entry = lab.branch({"a": "1"}, {"list.txt": "one\ntwo\nthree\nmine\n"})
    base = lab.write({"list.txt": "one\ntwo\nthree\ntheirs\n"}, "meanwhile")
    built = lab.build(entry)
    assert [(item.entry, item.onto) for item in built.conflicts] == [(entry, base)]
    assert built.tip == base
    assert git.text(["rev-parse", "HEAD"], cwd=lab.desk) == base


def test_a_recorded_resolution_of_the_persons_is_not_used(lab, tmp_path):
    one = lab.branch({"list.txt": "one\ntwo\nthree\nA\n"})
    two = lab.branch({"list.txt": "one\ntwo\nthree\nB\n"})
    git.run(["config", "rerere.enabled", "true"], cwd=lab.repo)
    git.run(["config", "rerere.autoUpdate", "true"], cwd=lab.repo)
    git.run(["checkout", "-q", "-b", "practice", one.commit], cwd=lab.repo)
    git.run(["merge", two.commit], cwd=lab.repo, check=False)
    lab.write({"list.txt": "resolved once\n"}, "resolved")
    git.run(["checkout", "-q", "main"], cwd=lab.repo)
    assert [item.entry for item in lab.build(one, two).conflicts] == [two]


def test_a_branch_with_a_merge_in_it_is_taken_as_the_merge_decided(lab):
    entry = lab.branch({"list.txt": "one\nTWO\nthree\n"})
    lab.write({"list.txt": "one\n2\nthree\n"}, "main changes the same line")
    git.run(["checkout", "-q", entry.branch], cwd=lab.repo)
    git.run(["merge", "-q", "main"], cwd=lab.repo, check=False)
    commit = lab.write({"list.txt": "one\nTWO and 2\nthree\n"}, "resolved by the agent")
    git.run(["checkout", "-q", "main"], cwd=lab.repo)
    built = lab.build(Entry(**{**vars(entry), "commit": commit}))
    assert lab.show(built.tip, "list.txt") == "one\nTWO and 2\nthree\n"


def test_what_is_left_in_the_worktree_does_not_reach_the_stack(lab):
    Path(lab.desk, "list.txt").write_text("dirty")
    Path(lab.desk, "left").write_text("untracked")
    git.run(["add", "-A"], cwd=lab.desk)
    built = lab.build(lab.branch({"a": "1"}))
    assert lab.show(built.tip, "list.txt").startswith("one")
    assert not Path(lab.desk, "left").exists()


@pytest.mark.parametrize("merge", ["rebase", "squash", "merge"])
def test_landed_work_is_found_on_the_target(lab, merge):
    entry, other = lab.branch({"a": "1"}, {"a": "2"}), lab.branch({"z": "1"})
    lab.write({"c": "1"}, "main moves")
    git_dir = f"{lab.repo}/.git"
    assert there.landed_already(git_dir, "main", entry) is None
    built = lab.build(entry, merge=merge)
    git.run(["reset", "-q", "--hard", built.tip], cwd=lab.repo)
    lab.write({"a": "somebody goes on from there"}, "later")
    found = there.landed_already(git_dir, "main", entry)
    assert found == (entry.commit if merge == "merge" else built.tip)
    assert there.landed_already(git_dir, "main", other) is None


def test_half_of_a_branch_on_the_target_is_not_all_of_it(lab):
    entry = lab.branch({"a": "1"}, {"b": "2"})
    git.run(["cherry-pick", f"{entry.commit}~1"], cwd=lab.repo, env=git.author_env("x", "x@x"))
    assert there.landed_already(f"{lab.repo}/.git", "main", entry) is None
    built = lab.build(entry)
    assert len(lab.log(f"main..{built.tip}", "%s")) == 1


def test_a_like_commit_that_was_reverted_since_holds_nothing(lab):
    entry = lab.branch({"a": "1"})
    lab.write({"z": "1"}, "so that it is another commit")
    git.run(["cherry-pick", entry.commit], cwd=lab.repo, env=git.author_env("x", "x@x"))
    git_dir, like = f"{lab.repo}/.git", git.text(["rev-parse", "main"], cwd=lab.repo)
    assert there.landed_already(git_dir, "main", entry) == like
    git.run(["revert", "--no-edit", "HEAD"], cwd=lab.repo, env=git.author_env("x", "x@x"))
    assert there.landed_already(git_dir, "main", entry) is None
    built = lab.build(entry)
    assert (built.entries, built.empty) == ((entry,), ())
    assert lab.show(built.tip, "a") == "1"


@pytest.mark.parametrize("merge", ["rebase", "squash", "merge"])
def test_a_change_of_the_same_line_that_differs_in_white_space_is_a_conflict(lab, merge):
    lab.write({"code": "a()\n  b()\nc()\n"}, "code")
    deeper, flat = lab.branch({"code": "a()\n    b()\nc()\n"}), lab.branch({"code": "a()\nb()\nc()\n"})
    built = lab.build(deeper, merge=merge)
    git.run(["reset", "-q", "--hard", built.tip], cwd=lab.repo)
    assert there.landed_already(f"{lab.repo}/.git", "main", flat) is None
    built = lab.build(flat, merge=merge)
    assert ([one.entry for one in built.conflicts], built.empty) == ([flat], ())


@pytest.mark.parametrize("one_by_one", [True, False])
def test_an_own_commit_on_the_target_is_no_proof_of_another_change(lab, one_by_one):
    """White space and what a binary file holds count, too."""
    bead = "Bead: gp-aaaa1"
    steps = ({"code": "a()\nb()\n"},) if one_by_one else ({"code": "a()\n"}, {"code": "a()\nb()\n"})
    entry = lab.branch(*steps)
    lab.write({"code": "a()\n    b()\n"}, f"a first part\n\n{bead}")
    assert there.landed_already(f"{lab.repo}/.git", "main", entry) is None
    assert [one.entry for one in lab.build(entry).conflicts] == [entry]
    picture = lab.branch({"logo.png": "\0new"})
    lab.write({"logo.png": "\0old"}, "the first logo\n\nBead: gp-aaaa2")
    assert there.landed_already(f"{lab.repo}/.git", "main", picture) is None


def test_what_has_landed_once_is_landed_though_it_was_reverted(lab):
    """Its own commit is in the target's history: to bring it again is for people to say (`gt reopen`)."""
    entry = lab.branch({"a": "1"})
    lab.write({"z": "1"}, "main moves")
    built = lab.build(entry)
    git.run(["reset", "-q", "--hard", built.tip], cwd=lab.repo)
    git.run(["revert", "--no-edit", "HEAD"], cwd=lab.repo, env=git.author_env("x", "x@x"))
    assert there.landed_already(f"{lab.repo}/.git", "main", entry) == built.tip


def test_what_a_person_has_squashed_into_other_changes_is_there(lab):
    entry = lab.branch({"a": "1"}, {"b": "2"})
    commit = lab.write({"a": "1", "b": "2", "c": "more"}, "by hand\n\nBead: gp-aaaa1")
    lab.write({"d": "1"}, "later")
    assert there.landed_already(f"{lab.repo}/.git", "main", entry) == commit


def test_a_branch_goes_on_behind_its_first_commits_that_are_on_the_target(lab):
    """They lie on one another, so that the first alone would not apply any more."""
    entry = lab.branch({"a": "1\n"}, {"a": "2\n"}, {"b": "3\n"})
    lab.write({"z": "1"}, "main moves")
    git.run(["cherry-pick", f"{entry.commit}~2", f"{entry.commit}~1"], cwd=lab.repo, env=git.author_env("x", "x@x"))
    built = lab.build(entry)
    assert built.conflicts == ()
    assert [lab.show(built.tip, name) for name in "ab"] == ["2\n", "3\n"]
    assert len(lab.log(f"main..{built.tip}", "%s")) == 1


def test_an_entry_that_changes_nothing_more_is_empty(lab):
    one, two = lab.branch({"a": "same"}), lab.branch({"a": "same"})
    built = lab.build(one, two)
    assert (built.entries, built.empty, built.conflicts) == ((one,), (two,), ())
