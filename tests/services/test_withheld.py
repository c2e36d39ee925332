"""Work that a branch does not carry (repositories inside, stashes, ignored files) is never dropped in silence."""

from __future__ import annotations

import subprocess

import pytest

from gastown.model.errors import Refused
from gastown.runtime import git
from gastown.services import done

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
