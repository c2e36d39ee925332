"""A rig that disappears under work: it is kept where its beads are, and told where its file is lost all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastown.model.errors import NotFound, Refused
from gastown.runtime import sessions
from gastown.services.agents import orphaned
from gastown.services.rigs import rigs
from gastown.services.sessions import attempts
from gastown.services.sling import release
from gastown.services.sync.sync import sync
from gastown.services.work import recover, resume
from gastown.store.town import Town
from tests.conftest import git, run_gt
from tests.services.work_lab import eventually
from tests.sync.ground import Ground, bead, check_clean, note, plain, quiet, tree
from tests.sync.lab import Machines

FILE = "rigs/greenplace/rig.yaml"


def removed_elsewhere(ground: Ground, *paths: str) -> None:
    """In a clone without gt somebody removes paths, and pushes."""
    clone = ground.base / "elsewhere"
    git("clone", "--quiet", str(ground.remote), str(clone), cwd=ground.base)
    git("rm", "-r", "--quiet", *paths, cwd=clone)
    git("commit", "--quiet", "--message", "gone", cwd=clone)
    git("push", "--quiet", cwd=clone)


def lose(town: Town, path: str = FILE) -> None:
    """Commit that rig.yaml is gone, as a person's git does that looks at nothing."""
    git("rm", "--quiet", path, cwd=town.root)
    git("commit", "--quiet", "--no-verify", "--message", "gone", cwd=town.root)


@pytest.mark.parametrize("made", ["changed", "new"])
def test_a_rig_that_was_removed_elsewhere_keeps_its_file_where_a_bead_in_it_is_kept(ground: Ground, made: str) -> None:
    here = ground.towns["anvil"]
    one, other = bead(here, "Worked on"), bead(here, "Untouched")
    sync(here)
    there = ground.add("brick")
    removed_elsewhere(ground, "rigs/greenplace")
    if made == "changed":
        note(here, one, "still needed")
    else:
        one = bead(here, "New")
    report = sync(here)
    assert (FILE, ("rig", "rig.yaml", "its removal")) in report.settled
    assert any("rig greenplace was removed in one place" in event["text"] for event in here.events())
    quiet(here, there)
    for town in (here, there):
        assert town.rig("greenplace").prefix == "gp"
        assert town.bead(one)
        assert town.bead_path(other) is None
    assert run_gt("lint", cwd=there.root).out == ""


def test_a_rig_in_which_nothing_was_done_meanwhile_is_gone(ground: Ground) -> None:
    here = ground.towns["anvil"]
    bead(here, "Untouched")
    sync(here)
    removed_elsewhere(ground, "rigs/greenplace")
    with here.change("create") as change:
        change.create(None, title="Of the town")
    sync(here)
    assert here.rig_names() == []
    check_clean(here)


@pytest.mark.parametrize("how", ["--no-rebase", "--rebase"])
def test_plain_git_keeps_the_file_of_a_rig_with_new_beads(ground: Ground, how: str) -> None:
    here = ground.towns["anvil"]
    bead(here, "Untouched")
    sync(here)
    there = ground.add("brick")
    removed_elsewhere(ground, "rigs/greenplace")
    made = bead(here, "New")
    plain(here, "pull", how, "--no-edit")
    assert here.rig("greenplace").prefix == "gp"
    quiet(here, there)
    assert there.bead(made)
    assert there.rig("greenplace")


def test_a_rig_that_plain_git_removed_around_a_conflict_keeps_its_file(ground: Ground) -> None:
    here = ground.towns["anvil"]
    made = bead(here, "Worked on")
    sync(here)
    there = ground.add("brick")
    removed_elsewhere(ground, "rigs/greenplace")
    note(here, made, "still needed")
    plain(here, "pull", "--no-rebase", "--no-edit", code=1)
    run_gt("sync", "--continue", cwd=here.root)
    quiet(here, there)
    assert there.bead(made).notes
    assert there.rig("greenplace")


def test_a_rig_without_its_file_is_told_and_can_be_brought_back(ground: Ground) -> None:
    here = ground.towns["anvil"]
    bead(here, "One")
    sync(here)
    last = git("log", "-1", "--format=%h", "--", FILE, cwd=here.root)
    lose(here)
    sync(here)
    there = ground.add("brick")
    command = f"git checkout {last} -- {FILE}"
    said = run_gt("lint", cwd=there.root, code=1).out
    assert said.startswith(f"{FILE}: is missing, and 1 bead below rigs/greenplace cannot be worked on")
    assert command in said
    (problem,) = [one for one in run_gt("status", "--json", cwd=there.root).json["problems"] if one["kind"] == "rig"]
    assert (problem["subject"], problem["command"]) == ("greenplace", command)
    assert command in run_gt("doctor", cwd=there.root, code=1).out
    with pytest.raises(NotFound, match=r"rig greenplace has no rig\.yaml any more"):
        there.rig("greenplace")
    with pytest.raises(Refused, match=r"rig greenplace is here, but its rig\.yaml is missing") as refused:
        rigs.add(there, rigs.NewRig("greenplace", str(ground.remote)), base=str(ground.base))
    assert command in refused.value.hint
    git(*command.split()[1:], cwd=there.root)
    quiet(here, there)
    assert here.rig("greenplace")
    assert run_gt("lint", cwd=here.root).out == ""


def test_work_in_a_rig_without_its_file_is_saved_and_can_be_released(machines: Machines) -> None:
    here = machines.here
    one, other = machines.bead("Ends"), machines.bead("Ends too")
    started = [machines.started(here, work, f"echo {work} > kept; sleep 60; exit 1") for work in (one, other)]
    for dispatched in started:
        eventually(Path(here.root, "work", dispatched.to, "kept").exists)
    lose(here, "rigs/app/rig.yaml")
    for dispatched in started:
        release.stop_session(here, dispatched.session, grace=0.0)
    # Its own runner may be the one that saves it.
    eventually(lambda: len(rescued(here, "kept")) == 2)
    Path(here.root, "work", started[0].to, "late").write_text("late\n")
    with pytest.raises(NotFound, match=r"has no rig\.yaml any more"):
        resume.resume(here, here.bead(one))
    done = release.release(here, here.bead(one))
    assert "saved to .gt/rescue/" in done.saved
    assert here.bead(one).status == "open"
    run_gt("unsling", other, cwd=here.root)
    assert here.bead(other).status == "open"
    assert len(rescued(here, "late")) == 1


def rescued(town: Town, word: str) -> list[Path]:
    """The patches of saved work that speak of a file."""
    return [one for one in Path(town.root, ".gt/rescue").glob("*.patch") if word in one.read_text()]


def test_a_session_that_dies_in_a_rig_without_its_file_leaves_what_it_made(machines: Machines) -> None:
    here = machines.here
    work = machines.bead("Dies")
    begun = machines.started(here, work, "while ! test -e go; do sleep 0.05; done; echo x > kept; exit 1")
    lose(here, "rigs/app/rig.yaml")
    Path(here.root, "work", begun.to, "go").touch()
    ended = machines.ended(here, begun)
    assert "In its worktree: " in str(ended.notes)
    assert "could not be saved" not in str(ended.notes)
    assert tree(here)


def test_a_session_of_a_removed_bead_is_shown_with_the_branch_and_told_of_at_its_end(machines: Machines) -> None:
    here = machines.here
    work = machines.bead("Removed")
    script = "git commit -q --allow-empty -m made; touch made; while ! test -e go; do sleep 0.05; done; exit 1"
    begun = machines.started(here, work, script)
    branch, folder = str(here.bead(work).branch), Path(here.root, "work", begun.to)
    eventually(lambda: (folder / "made").exists())
    lose(here, str(here.bead_path(work)))
    sync(here)
    (problem,) = [one for one in run_gt("status", "--json", cwd=here.root).json["problems"] if one["kind"] == "zombie"]
    assert problem["text"].startswith(f"{work} was removed; what was committed for it stays on branch {branch}")
    (folder / "go").touch()
    eventually(lambda: sessions.liveness(sessions.load(attempts.run_dir(here), begun.session)) not in attempts.LIVE)
    (told,) = eventually(lambda: [e for e in here.events() if e["type"] == "session_end" and e.get("bead") == work])
    assert branch in told["text"]
    recover.session_ended(here, begun.session)
    assert len([e for e in here.events() if e["type"] == "session_end" and e.get("bead") == work]) == 1


def test_a_bead_that_an_earlier_state_of_the_town_has_not_yet_is_not_taken_for_removed(ground: Ground) -> None:
    here = ground.towns["anvil"]
    before = git("rev-parse", "HEAD", cwd=here.root)
    made = bead(here, "Made later")
    git("checkout", "--quiet", "--detach", before, cwd=here.root)
    assert here.bead_path(made) is None
    assert not orphaned.is_removed(here, made)
    git("checkout", "--quiet", "main", cwd=here.root)
    lose(here, str(here.bead_path(made)))
    assert orphaned.is_removed(here, made)


def test_a_busy_worker_whose_file_was_removed_is_shown_all_the_same(machines: Machines) -> None:
    here = machines.here
    work = machines.bead("Busy")
    begun = machines.started(here, work, "sleep 60")
    lose(here, f"rigs/app/polecats/{begun.to.partition('/')[2]}.yaml")
    rig = next(one for one in run_gt("status", "--json", cwd=here.root).json["rigs"] if one["name"] == "app")
    assert (rig["working"], [(one["address"], one["bead"]) for one in rig["workers"]]) == (1, [(begun.to, work)])
    assert f"{begun.to} holds {work}, but its file" in " ".join(run_gt("doctor", cwd=here.root, code=None).out.split())
