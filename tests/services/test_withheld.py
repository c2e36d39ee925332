"""Work that a branch does not carry (repositories inside, stashes, ignored files) is never dropped in silence."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gastown.model.errors import Refused
from gastown.runtime import git
from gastown.services.settings import trust
from gastown.services.work import done
from gastown.store import layout

INNER = "mkdir fe; cd fe; git init -q; echo code > i.js"


@pytest.mark.parametrize(
    "text",
    [
        f"{INNER}; cd ..; echo n > NOTES",
        INNER,
        f"{INNER}; git add .; git commit -qm inner; cd ..; git add .; git commit -qm outer",
        f"{INNER}; git add .; git commit -qm inner; cd ..; git add .; git commit -qm outer; rm -rf fe/.git",
    ],
)
def test_a_repository_made_in_the_worktree_is_named_and_its_work_stalled(work, text):
    bead = work.run(text)
    assert (bead.status, bead.last_session["outcome"]) == ("in_progress", "failed")
    assert f"fe in {work.tree()} is a git repository of its own" in bead.notes[-1]["text"]
    assert (work.tree() / "fe" / "i.js").read_text() == "code\n"


@pytest.mark.parametrize("committed", [False, True])
def test_what_is_said_to_do_hands_its_files_in(work, committed):
    outer = "; git add .; git commit -qm outer" if committed else ""
    bead = work.run(f"{INNER}; git add .; git commit -qm inner; cd ..{outer}")
    todo = ["git rm -q --cached fe", "rm -rf fe/.git", "git add fe"] if committed else [f"rm -rf {work.tree()}/fe/.git"]
    assert all(step in bead.notes[-1]["text"] for step in todo)
    subprocess.run(["sh", "-c", "; ".join(todo)], cwd=work.tree(), check=True)
    assert done.done(work.town, "app/amber").status == "completed"
    assert git.text(["show", f"{bead.branch}:fe/i.js"], cwd=work.bare) == "code"


def test_a_submodule_is_handed_in_when_its_commits_are_on_its_remote(work):
    library = work.path / "library"
    git.run(["clone", "-q", "--bare", str(work.source), str(library)])
    add = f"git -c protocol.file.allow=always submodule --quiet add {library} lib"
    assert work.run(f"{add}; echo built > lib/built").status == "merging"
    bead = work.run(f"{add}; cd lib; echo own > own; git add own; git commit -qm own")
    assert bead.held
    assert "commit and push it from there" in bead.notes[-1]["text"]


def test_an_agent_may_say_that_a_clone_was_only_looked_at(work):
    bead = work.bead()
    work.one(bead.id, agent=work.sleeper())
    git.run(["clone", "-q", str(work.source), str(work.tree() / "lib")])
    with pytest.raises(Refused, match="repository of its own"):
        done.done(work.town, "app/amber")
    assert done.done(work.town, "app/amber", no_changes="looked at lib only").status == "no_changes"


STASH = "echo st > stt; git add .; git stash -q"


def test_stashed_work_is_stalled_and_out_of_reach_of_others(work):
    bead = work.run(STASH)
    assert (bead.status, bead.last_session["outcome"]) == ("in_progress", "failed")
    assert "1 change that you stashed would not be handed in" in bead.notes[-1]["text"]
    second = work.run("git stash pop; echo n > next", title="Other work")
    listed = git.text(["ls-tree", "--name-only", str(second.branch)], cwd=work.bare).split()
    assert ("next" in listed, "stt" in listed) == (True, False)
    (ref,) = [word.rstrip(",") for word in bead.notes[-1]["text"].split() if word.startswith("refs/gt/rescue/")]
    git.run(["stash", "apply", "--quiet", ref], cwd=work.tree())
    assert done.done(work.town, "app/amber").wip == ("+ stt",)


def test_stashed_work_is_not_left_behind_by_commits_either(work):
    bead = work.bead()
    done_by = work.one(bead.id, agent=work.agent(
        f"import subprocess\nsubprocess.run('{STASH}; echo x > x; git add .; git commit -qm x', shell=True)\n"
    ))  # fmt: skip
    work.ended(done_by.session)
    now = work.now(bead)
    assert now.held
    assert "stashed would not be handed in" in now.notes[-1]["text"]


def test_an_agent_is_told_to_take_its_stash_out_first(work):
    bead = work.bead()
    work.one(bead.id, agent=work.sleeper())
    (work.tree() / "README.md").write_text("changed\n")
    git.run(["stash", "--quiet"], cwd=work.tree(), env=git.author_env("app/amber", "elsewhere@example.org"))
    for no_changes in (None, "nothing to do"):
        with pytest.raises(Refused, match="stashed would not be handed in") as refused:
            done.done(work.town, "app/amber", no_changes=no_changes)
    assert "git stash pop" in refused.value.hint
    git.run(["stash", "pop", "--quiet"], cwd=work.tree())
    assert done.done(work.town, "app/amber").wip == ("~ README.md",)


def test_work_that_is_put_off_keeps_its_stash_for_itself(work):
    bead = work.bead()
    work.one(bead.id, agent=work.sleeper())
    (work.tree() / "README.md").write_text("changed\n")
    git.run(["stash", "--quiet"], cwd=work.tree(), env=git.author_env("app/amber", "elsewhere@example.org"))
    done.done(work.town, "app/amber", status="deferred", message="later")
    assert "refs/gt/rescue/" in work.now(bead).notes[-1]["text"]
    assert git.text(["stash", "list"], cwd=work.tree()) == ""


def test_what_only_uncommitted_rules_hide_is_not_taken_for_nothing(work):
    bead = work.run("echo '*' > .gitignore; echo a > a")
    assert (bead.status, bead.last_session["outcome"]) == ("in_progress", "failed")
    assert "git sees nothing of what the command wrote: .gitignore, a in" in bead.notes[-1]["text"]
    assert done.done(work.town, "app/amber", no_changes="not wanted").status == "no_changes"


@pytest.mark.parametrize("where", [".gitignore", "$(git rev-parse --git-path info/exclude)"])
def test_no_rule_left_by_earlier_work_hides_the_next_work(work, where):
    work.run(f"echo '*' > {where}; echo a > a; mkdir sub; echo b > sub/b; echo '*' > sub/.gitignore")
    done.done(work.town, "app/amber", no_changes="not wanted")
    second = work.run("echo important > second.txt; echo 2 > sub2", title="Other work")
    listed = git.text(["ls-tree", "-r", "--name-only", str(second.branch)], cwd=work.bare).split()
    assert (second.assignee, listed) == ("app/amber", ["README.md", "old.txt", "second.txt", "sub2"])
    kept = "".join(path.read_text() for path in Path(layout.rescue(work.root)).rglob("*") if path.is_file())
    assert all(text in kept for text in ("*", "a\n", "b\n"))
    assert any(".gt/rescue/" in str(event["text"]) for event in work.events("rescue"))


def test_what_only_an_earlier_branch_ignored_does_not_land_with_the_next_work(work):
    first = work.run("echo local >> .gitignore; echo mine > local; mkdir -p node_modules; echo n > node_modules/n"
                     "; echo node_modules >> .gitignore")  # fmt: skip
    second = work.run("echo 2 > two", title="Other work")
    assert first.assignee == second.assignee == "app/amber"
    listed = git.text(["ls-tree", "-r", "--name-only", str(second.branch)], cwd=work.bare).split()
    assert listed == ["README.md", "old.txt", "two"]
    (kept,) = Path(layout.rescue(work.root)).glob("*/local")
    assert kept.read_text() == "mine\n"
    assert not (work.tree() / "node_modules").exists(), "a tool makes it again"


def test_what_the_projects_own_rules_ignore_stays_for_the_next_build(work):
    work.land_elsewhere("rules", **{".gitignore": "/out/\n"})
    first = work.run("mkdir -p out .venv; echo o > out/o; echo '*' > .venv/.gitignore")
    assert first.closed["reason"] == "no changes: the command wrote only ignored files: .venv/.gitignore, out/"
    second = work.run("test -f out/o && test -f .venv/.gitignore && echo 2 > two", title="Other work")
    assert second.status == "merging"


def test_a_command_that_touches_nothing_is_closed_as_that_whatever_lies_there(work):
    work.land_elsewhere("rules", **{".gitignore": "/out/\n"})
    work.run("mkdir -p out; echo o > out/o")
    assert work.run("true", title="Other work").closed["reason"] == "no changes: the command changed nothing"


def test_hidden_work_is_not_taken_for_nothing_when_its_command_runs_again(work):
    bead = work.run("test -f a || { echo '*' > .gitignore; echo a > a; }")
    work.resume(bead)
    work.ended(work.now(bead).last_session["id"])
    assert work.now(bead).held
    assert "git sees nothing of what the command wrote" in work.now(bead).notes[-1]["text"]


def test_what_the_setup_made_is_made_again_if_it_had_to_go(work):
    work.configure("rigs/app/rig.yaml", setup=["mkdir -p env; echo '*' > env/.gitignore; echo tool > env/tool"])
    trust.record(work.town, "setup", "app/setup", work.town.rig("app").setup[0])
    for title in ("First work", "Other work"):
        bead = work.run(f"cat env/tool > '{title}'", title=title)
        assert (bead.status, bead.assignee) == ("merging", "app/amber")
