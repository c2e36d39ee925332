"""A worktree that lost its .git, or got another: believed nothing, kept whole, and the town is never taken for it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gastown.model.errors import Refused
from gastown.runtime import git
from gastown.services.health import doctor
from gastown.services.sling import nuke
from gastown.services.sling.release import release
from gastown.services.work import done
from gastown.store import layout
from tests.services.refinery_lab import Lab as Queue

HARM = "git checkout -q -b feature; git reset -q --hard HEAD~1; true"


def aside(work, file: str) -> list[str]:
    """What lies in `file` of the folders that were set aside."""
    return [path.read_text() for path in sorted(Path(layout.rescue(work.root)).glob(f"*/{file}"))]


@pytest.mark.parametrize("lose", ["rm -rf .git", "rm .git && git init -q && git add -A && git commit -qm own"])
def test_a_command_that_loses_the_git_of_its_worktree_is_stalled_and_harms_nothing(work, lose):
    bead = work.run(f"echo mine > mine; {lose}; {HARM}")
    assert git.text(["branch", "--format=%(refname:short)"], cwd=work.root) == "main"
    assert work.events("sling"), "the town has lost no commit"
    assert (bead.status, bead.last_session["outcome"]) == ("in_progress", "failed")
    note = bead.notes[-1]["text"]
    assert "what lies in it is unknown" in note
    assert "printf 'gitdir: " in note
    assert ".gt/rescue/" in note
    assert aside(work, "mine") == ["mine\n"]


@pytest.mark.parametrize("how", ["resume", "other work"])
def test_the_next_work_gets_a_good_worktree(work, how):
    bead = work.run("echo own > own; git add own; git commit -qm own; rm .git; exit 3")
    if how == "resume":
        work.resume(bead, command=work.shell("echo more > more"))
    else:
        release(work.town, bead)
        bead = work.run("echo more > more", title="Other work")
    work.ended(work.now(bead).last_session["id"])
    assert work.now(bead).status == "merging"
    listed = git.text(["ls-tree", "--name-only", str(bead.branch)], cwd=work.bare).split()
    assert ("own" in listed, "more" in listed) == (how == "resume", True)
    assert str(work.tree()) in git.text(["worktree", "list"], cwd=work.bare)


def test_nothing_is_handed_in_from_it_until_it_is_mended(work):
    bead = work.bead()
    work.one(bead.id, agent=work.sleeper())
    (work.tree() / "new").write_text("new\n")
    (work.tree() / ".git").unlink()
    with pytest.raises(git.GtError, match="has lost its") as refused:
        done.done(work.town, "app/amber", no_changes="nothing to do")
    assert work.now(bead).held
    assert any("has lost its .git" in found.text for found in doctor.examine(work.town))
    subprocess.run(refused.value.hint, shell=True, check=True)
    assert done.done(work.town, "app/amber").wip == ("+ new",)


def test_a_polecat_with_one_goes_only_when_its_files_are_kept(work):
    bead = work.run("echo mine > mine; exit 3")
    release(work.town, bead)
    (work.tree() / "late").write_text("late\n")
    (work.tree() / ".git").unlink()
    with pytest.raises(Refused, match="is no worktree"):
        nuke.nuke(work.town, "app/amber")
    assert ".gt/rescue/" in nuke.nuke(work.town, "app/amber", force=True).saved
    assert not work.tree().exists()
    assert aside(work, "late") == ["late\n"]


def test_no_git_of_an_agent_reaches_past_its_worktree(work):
    bead = work.run("mkdir deep; cd deep; git rev-parse --show-toplevel > top")
    assert git.text(["show", f"{bead.branch}:deep/top"], cwd=work.bare) == str(work.tree())


def test_the_refinerys_desk_is_made_anew_and_the_town_stays_as_it_is(tmp_path):
    lab = Queue(tmp_path)
    lab.finish({"a": "1"})
    lab.run()
    desk = Path(layout.worktree(lab.root, "greenplace", "refinery"))
    (desk / ".git").unlink()
    before = git.text(["rev-parse", "HEAD"], cwd=lab.root)
    entry = lab.finish({"b": "1"})
    lab.run()
    lab.assert_landed_once(entry)
    assert git.text(["symbolic-ref", "HEAD"], cwd=lab.root) == "refs/heads/main"
    assert git.succeeds(["merge-base", "--is-ancestor", before, "HEAD"], cwd=lab.root)
    assert aside(lab, "a") == ["1"]


def test_a_gate_that_breaks_the_desk_harms_neither_the_town_nor_the_others(tmp_path):
    lab = Queue(tmp_path)
    lab.gate(f"test ! -f bad || {{ rm -rf .git; {HARM}; exit 1; }}")
    good, bad = lab.finish({"a": "1"}), lab.finish({"bad": "1"})
    lab.run()
    lab.assert_landed_once(good)
    assert lab.status(bad)[0] == "in_progress"
    assert git.text(["symbolic-ref", "HEAD"], cwd=lab.root) == "refs/heads/main"
