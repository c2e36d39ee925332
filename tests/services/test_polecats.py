"""Derived states of workers, and nuking one with every kind of work in it: no byte is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from gastown.model.bead import Bead
from gastown.model.errors import NotFound, Refused
from gastown.runtime import git, sessions
from gastown.services.agents import polecats
from gastown.services.beads import beads
from gastown.services.refinery import refinery
from gastown.services.sling import nuke, release
from gastown.services.work import done, rigremoval
from gastown.store import layout
from gastown.store.change import Change
from tests.services.work_lab import Lab, eventually

ME = "app/amber"


def state(lab: Lab, address: str = ME) -> str:
    return polecats.find(lab.town, address).state


def test_idle_working_stalled_stuck_and_zombie(work):
    bead = work.bead()
    session = work.one(bead.id, agent=work.sleeper()).session
    assert state(work) == "working"
    record = work.record(session)
    os.kill(record.agent_pid, signal.SIGKILL)
    work.ended(session)
    assert state(work) == "stalled"
    again = work.resume(bead)
    assert state(work) == "working"
    done.done(work.town, ME, status="escalated", message="help")
    sessions.stop(work.record(again.session), 0.2)
    work.ended(again.session)
    assert state(work) == "stuck"
    third = work.resume(bead)
    work.town.transact("close", lambda change: close(change, bead.id))
    assert state(work) == "zombie"
    release.stop_session(work.town, third.session)
    assert state(work) == "idle"


def close(change: Change, bead_id: str) -> None:
    bead = change.bead(bead_id)
    bead.close(at=change.at, by="overseer", reason="enough")
    change.save(bead)


def test_quiet_after_the_time_the_town_says_and_never_when_young(work):
    work.one(work.bead().id, agent=work.sleeper())
    real = work.town.clock
    work.town.clock = lambda: real() + 14 * 60
    assert state(work) == "working"
    work.town.clock = lambda: real() + 16 * 60
    assert state(work) == "quiet"
    work.configure("town.yaml", deacon={"quiet": "1h"})
    assert state(work) == "working"


def test_on_another_machine_it_is_foreign_and_nobody_is_found_by_mistake(work):
    bead = work.bead()
    work.one(bead.id, agent=work.sleeper())

    def body(change: Change) -> None:
        held = change.bead(bead.id)
        held.set("machine", "faraway")
        change.save(held)

    work.town.transact("edit", body)
    assert state(work) == "foreign"
    with pytest.raises(NotFound) as caught:
        polecats.find(work.town, "app/ambre")
    assert caught.value.near == (ME,)


# -- nuke -----------------------------------------------------------------------------------------
def idle_with_tree(lab: Lab) -> Path:
    """app/amber idle, its worktree standing on a branch without commits."""
    bead = lab.bead()
    session = lab.one(bead.id, agent=lab.sleeper()).session
    release.release(lab.town, lab.now(bead))
    lab.ended(session)
    beads.close(lab.town, bead.id, "done with it")
    return lab.tree()


def commit(tree: Path, name: str, *, detached: bool = False) -> str:
    if detached:
        git.run(["checkout", "-q", "--detach"], cwd=tree)
    (tree / name).write_text(f"{name}\n")
    git.run(["add", "-A"], cwd=tree)
    git.run(["commit", "-qm", name], cwd=tree, env=git.author_env("a", "a@b"))
    return git.text(["rev-parse", "HEAD"], cwd=tree)


def test_an_idle_one_goes_and_keeps_its_identity(work):
    tree = idle_with_tree(work)
    found = nuke.nuke(work.town, ME)
    assert found.removed
    assert not tree.exists()
    assert work.town.exists(layout.worker_file("app", "polecats", "amber"))
    assert not nuke.nuke(work.town, ME).removed
    assert work.one(work.bead().id, ME, agent=work.sleeper()).to == ME


def rebased_and_landed(lab: Lab) -> Bead:
    """Work of app/amber that landed as another commit than the one handed in."""
    bead = lab.run("echo new > new")
    lab.land_elsewhere("meanwhile", other="x\n")
    refinery.run_once(lab.town, "app")
    assert lab.now(bead).closed["commit"] != lab.merges(bead)[0].commit
    return lab.now(bead)


def test_one_whose_work_has_landed_goes_without_force(work):
    bead = rebased_and_landed(work)
    assert polecats.find(work.town, ME).state == "idle"
    assert nuke.unfinished(work.town, ME) == []
    found = nuke.nuke(work.town, ME)
    assert (found.removed, found.saved) == (True, "")
    # Even so nothing is thrown away.
    assert work.merges(bead)[0].commit in git.text(["rev-list", "--all", "--glob=refs/gt/*"], cwd=work.bare).split()


def test_a_rig_whose_work_has_landed_goes_without_force(work):
    bead = rebased_and_landed(work)
    # An earlier attempt at it, which was sent back, is still on its branch.
    git.run(["branch", f"polecat/birch/{bead.id}.a1", work.merges(bead)[0].commit], cwd=work.bare)
    assert rigremoval.at_risk(work.town, work.rig) == []
    (work.tree() / "precious").write_text("precious\n")
    with pytest.raises(Refused, match="work/app/amber holds work"):
        rigremoval.remove(work.town, "app")
    (work.tree() / "precious").unlink()
    removed = rigremoval.remove(work.town, "app")
    assert (removed.beads, removed.saved) == (2, ())
    assert not work.tree().exists()


@pytest.mark.parametrize("kind", ["untracked", "changed", "staged", "detached", "stash", "unmerged"])
def test_every_kind_of_work_is_refused_then_saved_with_force(work, kind):
    tree = idle_with_tree(work)
    os.rename(work.origin, work.origin + ".away")
    kept = ""
    if kind == "untracked":
        (tree / "precious").write_text("precious\n")
    elif kind == "changed":
        (tree / "README.md").write_text("precious\n")
    elif kind == "staged":
        (tree / "precious").write_text("precious\n")
        git.run(["add", "precious"], cwd=tree)
        (tree / "precious").unlink()
    elif kind == "detached":
        kept = commit(tree, "precious", detached=True)
    elif kind == "stash":
        (tree / "README.md").write_text("precious\n")
        git.run(["stash"], cwd=tree, env=git.author_env("a", "a@b"))
    else:
        git.run(["switch", "-qc", "polecat/amber/ap-other.a1"], cwd=tree)
        kept = commit(tree, "precious")
    with pytest.raises(Refused, match=f"{ME} still has work"):
        nuke.nuke(work.town, ME)
    assert tree.exists()
    found = nuke.nuke(work.town, ME, force=True)
    assert found.removed
    assert not tree.exists()
    reachable = git.text(["rev-list", "--all", "--glob=refs/gt/*"], cwd=work.bare).split()
    if kept:
        assert kept in reachable
    blobs = git.text(["grep", "-l", "precious", *reachable], cwd=work.bare) if not kept else "found"
    assert blobs
    if kind == "unmerged":
        assert found.branches == ("polecat/amber/ap-other.a1",)


def test_one_at_work_is_released_stopped_and_saved_with_force(work):
    bead = work.bead()
    record = work.record(work.one(bead.id, agent=work.sleeper()).session)
    (work.tree() / "half").write_text("half\n")
    with pytest.raises(Refused, match="is on its hook"):
        nuke.nuke(work.town, ME)
    found = nuke.nuke(work.town, ME, force=True)
    assert (found.removed, found.released) == (True, bead.id)
    assert "saved to" in found.saved
    assert not sessions.alive(record.agent_proc)
    assert work.now(bead).status == "open"
    eventually(lambda: not sessions.alive(record.runner))
    assert not work.tree().exists()


def test_files_that_belong_to_no_worktree_stop_it(work):
    tree = idle_with_tree(work)
    nuke.nuke(work.town, ME)
    tree.mkdir()
    (tree / "mine").write_text("mine")
    with pytest.raises(Refused):
        nuke.nuke(work.town, ME, force=True)
    assert (tree / "mine").read_text() == "mine"
