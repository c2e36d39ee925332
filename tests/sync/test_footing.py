"""A clone that a person's git led away, or that cannot be synced, says so in `gt status` and names the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastown.model.errors import GtError, Refused
from gastown.services import doctor, status
from gastown.services.exchange import exchange
from gastown.store.town import Town
from tests.conftest import git, run_gt
from tests.sync.ground import Ground, bead, note, plain

KINDS = ("git", "sync")


def told(town: Town) -> list[tuple[str, str, str]]:
    found = status.status(town, town).problems
    return [(one.kind, one.text, one.command) for one in found if one.kind in KINDS]


@pytest.fixture
def here(ground: Ground) -> Town:
    town = ground.towns["anvil"]
    bead(town)
    exchange(town)
    assert told(town) == []
    return town


def follow(town: Town, command: str) -> None:
    for one in command.split(" && "):
        plain(town, *one.removeprefix("git ").split())


def test_work_on_no_branch_is_brought_back(here: Town) -> None:
    plain(here, "checkout", "--quiet", "--detach")
    made = bead(here, "On no branch")
    [(kind, text, command)] = told(here)
    said = run_gt("note", made, "said there", cwd=here.root).err
    assert text in said
    assert "git switch main && git merge" in said
    [(kind, text, command)] = told(here)
    assert (kind, text) == ("git", "it is on no branch, and so is what is written now")
    with pytest.raises(GtError, match="on no branch") as error:
        exchange(here)
    assert error.value.hint == command
    follow(here, command)
    assert (here.bead(made).title, len(here.bead(made).notes)) == ("On no branch", 1)
    exchange(here)
    assert run_gt("note", made, "said here", cwd=here.root).err == ""
    assert told(here) == []


def test_work_on_a_branch_of_ones_own_is_brought_back(ground: Ground, here: Town) -> None:
    plain(here, "switch", "--quiet", "--create", "feature")
    made = bead(here, "On another branch")
    [(_, text, command)] = told(here)
    assert text == "it is on branch feature, which origin has not: the other machines are on main"
    with pytest.raises(Refused, match="branch feature") as error:
        exchange(here)
    assert error.value.hint == command == "git switch main && git merge feature"
    assert git("branch", "--format=%(refname:short)", cwd=ground.remote).split() == ["main"]
    plain(here, "pack-refs", "--all")
    assert told(here)[0][2] == command
    follow(here, command)
    exchange(here)
    assert told(here) == []
    assert here.bead(made).title == "On another branch"


def test_a_merge_that_git_left_is_told(ground: Ground, here: Town) -> None:
    plain(here, "branch", "side")
    note(here, bead(here), "here")
    plain(here, "switch", "--quiet", "side")
    bead(here, "there")
    plain(here, "merge", "--no-commit", "--no-ff", "main")
    assert [(kind, command) for kind, _, command in told(here)] == [("git", "gt sync --continue")]
    with pytest.raises(GtError, match="a merge is under way"):
        exchange(here)


def test_a_sync_that_failed_is_told_until_one_goes_well(ground: Ground, here: Town) -> None:
    away = ground.remote.with_name("away.git")
    ground.remote.rename(away)
    with pytest.raises(GtError):
        exchange(here)
    [(kind, text, command)] = told(here)
    assert (kind, command) == ("sync", "gt sync")
    assert text.startswith("the town is not synced, for ")
    assert "the remote origin cannot be reached: fatal: " in text
    away.rename(ground.remote)
    exchange(here)
    assert told(here) == []


def test_a_rewritten_remote_is_told_with_the_branch_to_put_back(ground: Ground, here: Town, tmp_path: Path) -> None:
    git("clone", "--quiet", str(ground.remote), str(tmp_path / "somebody"), cwd=tmp_path)
    git("push", "--quiet", "--force", "origin", "HEAD~1:main", cwd=tmp_path / "somebody")
    with pytest.raises(Refused, match="was rewritten") as error:
        exchange(here)
    assert "was rewritten" in told(here)[0][1]
    follow(here, str(error.value.hint).rpartition("put it back: ")[2])
    exchange(here)
    assert told(here) == []


def test_a_remote_with_what_no_machine_takes_can_be_put_back(ground: Ground, here: Town, tmp_path: Path) -> None:
    other = tmp_path / "somebody"
    git("clone", "--quiet", str(ground.remote), str(other), cwd=tmp_path)
    (other / "rigs/link").symlink_to("/etc")
    git("add", "--all", cwd=other)
    git("commit", "--quiet", "--no-verify", "--message", "a link", cwd=other)
    git("push", "--quiet", "origin", "HEAD:main", cwd=other)
    with pytest.raises(Refused, match="a symbolic link") as error:
        exchange(here)
    assert "'rigs/link' in commit" in told(here)[0][1]
    follow(here, str(error.value.hint).rpartition("last sync: ")[2])
    exchange(here)
    assert told(here) == []


def test_a_rig_that_lies_on_another_machine_misses_no_clone(ground: Ground, here: Town) -> None:
    there = ground.add("brick")
    assert there.rig("greenplace").refinery_machine == "anvil"

    def lacking() -> list[str]:
        return [one.text for one in doctor.examine(there) if one.check == "rigs" and one.state != "ok"]

    assert lacking() == []
    with there.change("config") as change:
        change.put("rigs/greenplace/rig.yaml", {**change.load("rigs/greenplace/rig.yaml"), "landing": "push"})
    assert lacking() == ["rig greenplace has no clone on this machine"]


def test_a_rig_file_that_names_no_repository_is_found_by_the_doctor(here: Town) -> None:
    with here.change("rig_add") as change:
        change.write("rigs/evil/rig.yaml", b"name: evil\n\nprefix: ev\n\ngit: 'ext::sh -c x'\n\nbranch: main\n")
    [found] = [one for one in doctor.examine(here) if one.check == "files"]
    assert (found.state, "rigs/evil/rig.yaml" in found.text) == ("error", True)
