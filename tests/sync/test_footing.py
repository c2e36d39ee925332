"""A clone that a person's git led away, or that cannot be synced, says so in `gt status` and names the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastown.deacon import loop
from gastown.model.errors import GtError, Refused
from gastown.services.health import doctor, status
from gastown.services.machines.exchange import exchange
from gastown.services.sync import strayed
from gastown.services.work import done, recover
from gastown.store import commit
from gastown.store.town import Town
from tests.conftest import git, run_gt
from tests.sync.ground import Ground, bead, note, plain
from tests.sync.lab import machines

__all__ = ["machines"]

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


def test_what_was_written_at_an_older_commit_is_brought_back_by_itself(ground: Ground, here: Town) -> None:
    """As when a person bisects the town, and a worker says something meanwhile."""
    one = bead(here, "The one")
    old = git("rev-parse", "HEAD", cwd=here.root)
    note(here, one, "said on the branch")
    there = ground.add("brick")
    plain(here, "checkout", "--quiet", old)
    note(here, one, "said in the past")
    made = bead(here, "Made in the past")
    assert git("for-each-ref", "refs/gt/astray", cwd=here.root).count("\n") == 0, "the newest one holds them all"
    plain(here, "checkout", "--quiet", "main")
    assert here.bead_path(made) is None
    [(kind, text, command)] = told(here)
    assert (kind, text, command) == ("git", "what was written on no branch is not on this one yet", "gt doctor --fix")
    exchange(here)
    exchange(there)
    for town in (here, there):
        assert {row["text"] for row in town.bead(one).notes} == {"said on the branch\n", "said in the past\n"}
        assert town.bead(made).title == "Made in the past"
    assert git("for-each-ref", "refs/gt/astray", cwd=here.root) == ""
    assert told(here) == []


def test_what_was_written_amid_a_rebase_that_was_given_up_is_brought_back_by_the_doctor(
    ground: Ground, here: Town
) -> None:
    one = bead(here, "The one")
    plain(here, "-c", "sequence.editor=sed -i 1s/^pick/edit/", "rebase", "--interactive", "HEAD~1")
    note(here, one, "said amid it")
    plain(here, "rebase", "--abort")
    assert here.bead(one).notes == []
    assert [one.state for one in doctor.examine(here, fix=True) if one.check == "branch"] == ["fixed"]
    assert [row["text"] for row in here.bead(one).notes] == ["said amid it\n"]
    assert told(here) == []


def test_a_kill_after_a_write_on_no_branch_loses_nothing(here: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    plain(here, "checkout", "--quiet", "--detach")

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(commit, "_keep", killed)
        with pytest.raises(KeyboardInterrupt):
            bead(here, "The one")
    here.settle()
    plain(here, "checkout", "--quiet", "main")
    assert strayed.bring_back(here) == 1
    assert [row.title for row in here.index().rows].count("The one") == 1


def test_away_from_its_branch_nothing_is_started_handed_in_or_landed(machines, tmp_path: Path) -> None:
    town = machines.here
    work = machines.bead()
    plain(town, "checkout", "--quiet", "HEAD~1")
    for act in (
        lambda: machines.sling(town, work),
        lambda: done.done(town, "app/amber"),
        lambda: machines.land(town),
        lambda: recover.sweep(town),
        lambda: loop.once(town),
    ):
        with pytest.raises(Refused, match="on no branch") as error:
            act()
        assert str(error.value.hint).startswith("git switch main")
    plain(town, "checkout", "--quiet", "main")
    plain(town, "bisect", "start", "HEAD", "HEAD~3")
    with pytest.raises(Refused, match="a bisect is under way") as error:
        machines.sling(town, work)
    assert error.value.hint == "git bisect reset, then again"
    plain(town, "bisect", "reset")
    machines.started(town, work)


def test_a_town_without_a_remote_has_its_branch_too(town: Town) -> None:
    plain(town, "switch", "--quiet", "--create", "try")
    assert [one.text for one in status.status(town, town).problems] == ["it is on branch try, not on main"]
    plain(town, "branch", "--delete", "--force", "main")
    assert not status.status(town, town).problems


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
