"""Two clones come to the same commit, whatever both did meanwhile, and nothing of either is lost."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gastown.deacon import edited
from gastown.deacon.memory import Memory
from gastown.deacon.patrols import hand_edits
from gastown.deacon.pulse import Pulse
from gastown.deacon.world import World
from gastown.model.errors import GtError, Refused
from gastown.runtime.remotes import RemoteUnreachable
from gastown.services.claims import claims
from gastown.services.health import status
from gastown.services.machines.clone import attach_remote, clone
from gastown.services.sync import townhooks
from gastown.services.sync.sync import has_news, sync
from gastown.store.town import Town, open_town
from tests.conftest import git, run_gt
from tests.sync.ground import Ground, bead, check_clean, contents, note, plain, tree, update


def edit(town: Town, bead_id: str, old: str, new: str) -> Path:
    """A person's edit that was finished a while ago."""
    path = Path(town.root, str(town.bead_path(bead_id)))
    path.write_text(path.read_text().replace(old, new))
    os.utime(path, (time.time() - 5,) * 2)
    return path


def test_what_is_made_here_is_there_after_two_syncs(ground: Ground) -> None:
    here, there = ground.towns["anvil"], ground.add("brick")
    made = bead(here, "From anvil")
    report = sync(here)
    assert report.pushed == 1
    assert sync(there).pulled == 1
    assert there.bead(made).title == "From anvil"
    sync(here)
    assert tree(here) == tree(there)
    assert {"anvil.yaml", "brick.yaml"} <= set(here.names("machines"))
    again = sync(here)
    assert (again.pushed, again.pulled, again.committed) == (0, 0, ())
    for town in (here, there):
        check_clean(town)


def test_both_sides_changed_one_bead(ground: Ground, clock) -> None:
    here = ground.towns["anvil"]
    made = bead(here, "One", description="first\n\nsecond\n\nthird\n")
    sync(here)
    there = ground.add("brick")
    note(here, made, "from anvil")
    update(here, made, title="Anvil's", labels=["a"], description="FIRST\n\nsecond\n\nthird\n")
    clock.advance(60)
    note(there, made, "from brick")
    update(there, made, title="Brick's", labels=["b"], description="first\n\nsecond\n\nTHIRD\n")
    sync(there)
    report = sync(here)
    assert report.merged
    sync(there)
    assert tree(here) == tree(there)
    one = here.bead(made)
    assert (one.title, one.labels, one.description) == ("Brick's", ["a", "b"], "FIRST\n\nsecond\n\nTHIRD\n")
    texts = [item["text"] for item in one.notes]
    assert {"from anvil\n", "from brick\n"} < set(texts)
    assert any("Anvil's" in text for text in texts)
    told = [event["data"]["lost"] for event in here.events() if event["type"] == "sync_conflict_resolved"]
    assert told == ["Anvil's"]
    for town in (here, there):
        check_clean(town)


def test_children_made_with_one_number_are_both_kept(ground: Ground, clock) -> None:
    here = ground.towns["anvil"]
    parent = bead(here, "Parent")
    sync(here)
    there = ground.add("brick")
    for number in range(3):
        bead(here, f"anvil {number}", parent=parent)
    clock.advance(60)
    first = bead(there, "brick 0", parent=parent)
    bead(there, "brick 1", parent=parent, needs=[first])
    sync(here)
    assert sync(there).new_ids == {f"{parent}.1": f"{parent}.4", f"{parent}.2": f"{parent}.5"}
    sync(here)
    assert tree(here) == tree(there)
    titles = {row.title: row for row in here.index().rows if row.parent == parent}
    assert set(titles) == {"anvil 0", "anvil 1", "anvil 2", "brick 0", "brick 1"}
    assert titles["brick 1"].needs == (titles["brick 0"].id,)


def test_mail_read_here_and_archived_there(ground: Ground) -> None:
    here = ground.towns["anvil"]
    with here.change("mail") as change:
        change.deliver("mayor", "hello", "text\n")
    sync(here)
    there = ground.add("brick")
    name = here.mail_names("mayor", "new")[0]
    box = Path(here.root, "mail/mayor")
    (box / "new" / name).rename(box / "cur" / f"{name}:2,S")
    other = Path(there.root, "mail/mayor")
    (other / ".Archive" / "cur").mkdir(parents=True)
    (other / "new" / name).rename(other / ".Archive" / "cur" / f"{name}:2,F")
    for town in (here, there, here):
        sync(town)
    assert tree(here) == tree(there)
    assert os.listdir(box / ".Archive" / "cur") == [f"{name}:2,FS"]
    assert here.mail_names("mayor", "new") == here.mail_names("mayor", "cur") == []


def test_hand_edits_go_along_and_invalid_ones_stay_out(ground: Ground) -> None:
    here = ground.towns["anvil"]
    good, bad = bead(here, "Good"), bead(here, "Bad")
    edit(here, good, "Good", "Better")
    broken = edit(here, bad, "status: open", "status: nonsense")
    report = sync(here)
    assert [path.rpartition("/")[2] for path in report.committed] == [f"{good}.yaml"]
    assert [problem.key for problem in report.invalid] == ["status"]
    assert "nonsense" in broken.read_text()
    there = ground.add("brick")
    assert there.bead(good).title == "Better"
    assert there.bead(bad).status == "open"
    path = str(there.bead_path(good))
    assert git("log", "-1", "--format=%an", "--", path, cwd=there.root) == "Pat Overseer"


def test_work_given_by_hand_is_remembered_by_a_sync_that_commits_the_edit(ground: Ground) -> None:
    """The deacon starts it, and tries again what could not start: it knows by the feed."""
    here = ground.towns["anvil"]
    made, other = bead(here, "One"), bead(here, "Other")
    for one, words in ((made, "status: open\n\nassignee: greenplace/toast"), (other, "status: deferred")):
        path = Path(here.root, str(here.bead_path(one)))
        path.write_text(path.read_text().replace("status: open", words))
    sync(here)
    (told,) = [event["data"] for event in here.events() if event["type"] == "hand_edit"]
    assert told["assign"] == {made: "greenplace/toast"}


def test_an_edit_that_lies_there_is_never_overwritten_and_is_merged_later(ground: Ground) -> None:
    here = ground.towns["anvil"]
    made = bead(here, "One", description="first\n\nsecond\n")
    sync(here)
    there = ground.add("brick")
    update(there, made, description="first\n\nSECOND\n")
    sync(there)
    path = edit(here, made, "status: open", "status: nonsense")
    before = path.read_text()
    sync(here)
    assert path.read_text() == before
    edit(here, made, "status: nonsense", "status: open")
    edit(here, made, "first", "FIRST")
    sync(here)
    assert here.bead(made).description == "FIRST\n\nSECOND\n"
    check_clean(here)


def test_an_edit_over_a_newer_version_is_committed_by_nobody_as_it_is(ground: Ground) -> None:
    """Neither by a person's own git nor along with a change of gt's: both would take back what came."""
    here = ground.towns["anvil"]
    made = bead(here, "One", description="first\n\nsecond\n")
    sync(here)
    there = ground.add("brick")
    update(there, made, description="first\n\nSECOND\n", priority=0)
    sync(there)
    edit(here, made, "status: open", "status: nonsense")
    sync(here)
    edit(here, made, "status: nonsense", "status: open")
    edit(here, made, "first", "FIRST")
    refused = plain(here, "commit", "--all", "--message", "mine", code=1)
    assert "began from an older version" in refused.stderr
    run_gt("note", made, "-m", "on top", cwd=here.root)
    one = here.bead(made)
    assert (one.description, one.priority) == ("FIRST\n\nSECOND\n", 0)
    assert [item["text"] for item in one.notes] == ["on top\n"]
    path = str(here.bead_path(made))
    assert git("log", "-2", "--format=%an", "--", path, cwd=here.root).split("\n") == ["Pat Overseer", "Pat Overseer"]
    check_clean(here)


def looked_for_by_the_deacon(town: Town) -> None:
    hand_edits.gather(World(town, Memory(town.root), Pulse(town), since=0.0))


@pytest.mark.parametrize(
    "look", [sync, looked_for_by_the_deacon, townhooks.staged_problems, lambda town: bead(town, "Else")],
    ids=["sync", "deacon", "hook", "change"],
)  # fmt: skip
def test_an_edit_that_was_dropped_leaves_nothing_behind(ground: Ground, look: Callable[[Town], object]) -> None:
    here = ground.towns["anvil"]
    made = bead(here, "One", labels=["old"])
    sync(here)
    there = ground.add("brick")
    update(there, made, labels=["new", "old"])
    sync(there)
    path = edit(here, made, "status: open", "status: nonsense")
    sync(here)
    path.write_text(git("show", f"HEAD:{here.bead_path(made)}", cwd=here.root) + "\n")
    assert git("status", "--porcelain", cwd=here.root) == ""
    look(here)
    edit(here, made, "  - new\n", "")
    plain(here, "commit", "--all", "--message", "mine")
    sync(here)
    assert here.bead(made).doc["labels"] == ["old"]


def test_an_edit_that_is_nearer_to_what_came_did_not_begin_before(ground: Ground) -> None:
    """An older edit was dropped, and nobody has looked since."""
    here = ground.towns["anvil"]
    made = bead(here, "One", labels=["old"])
    sync(here)
    there = ground.add("brick")
    update(there, made, labels=["new", "old"], priority=0, description="what to do\n")
    sync(there)
    path = edit(here, made, "status: open", "status: nonsense")
    sync(here)
    path.write_text(git("show", f"HEAD:{here.bead_path(made)}", cwd=here.root).replace("  - new\n", "") + "\n")
    sync(here)
    assert (here.bead(made).doc["labels"], here.bead(made).doc["priority"]) == (["old"], 0)
    check_clean(here)


def adopted_by_the_deacon(town: Town, path: str) -> None:
    data = Path(town.root, path).read_bytes()
    hand_edits.Adopt(path, "edited by hand", (path,), {path: edited.mark_of(data)}, path).apply(town)


@pytest.mark.parametrize("take", [lambda town, path: sync(town), adopted_by_the_deacon], ids=["sync", "deacon"])
def test_an_editor_that_saves_an_old_version_does_not_take_back_what_came(ground: Ground, take) -> None:
    here = ground.towns["anvil"]
    made = bead(here, "One", description="first\n\nsecond\n\nthird\n")
    sync(here)
    there = ground.add("brick")
    path = Path(here.root, str(here.bead_path(made)))
    opened = path.read_text()
    update(there, made, description="first\n\nsecond\n\nTHIRD\n", priority=0)
    sync(there)
    sync(here)
    path.write_text(opened.replace("first", "FIRST"))
    os.utime(path, (time.time() - 5,) * 2)
    take(here, str(here.bead_path(made)))
    one = here.bead(made)
    assert (one.description, one.priority) == ("FIRST\n\nsecond\n\nTHIRD\n", 0)
    check_clean(here)


def test_where_edits_are_watched_they_are_looked_for_only_when_something_moves(ground: Ground) -> None:
    here = ground.towns["anvil"]
    made, other = bead(here, "One"), bead(here, "Other")
    sync(here)
    edit(here, made, "One", "Two")
    assert sync(here, watched=True).committed == ()
    note(here, other, "something to send")
    assert len(sync(here, watched=True).committed) == 1
    assert ground.add("brick").bead(made).title == "Two"


def test_no_network_is_said_and_nothing_is_lost(ground: Ground) -> None:
    here = ground.towns["anvil"]
    made = bead(here, "One")
    edit(here, made, "One", "Two")
    ground.remote.rename(ground.base / "away")
    with pytest.raises(RemoteUnreachable, match="origin") as error:
        sync(here)
    assert "next sync" in error.value.hint
    check_clean(here)
    (ground.base / "away").rename(ground.remote)
    sync(here)
    assert ground.add("brick").bead(made).title == "Two"


def test_a_rewritten_remote_is_refused_until_somebody_says_so(ground: Ground) -> None:
    here, there = ground.towns["anvil"], ground.add("brick")
    made = bead(there, "Kept here")
    sync(there)
    first = git("rev-list", "--max-parents=0", "HEAD", cwd=here.root)
    git("update-ref", "refs/heads/main", first, cwd=ground.remote)
    with pytest.raises(Refused, match="rewritten"):
        sync(there)
    assert git("rev-parse", "main", cwd=ground.remote) == first
    sync(there, accept_rewrite=True)
    assert git("rev-parse", "main", cwd=ground.remote) == git("rev-parse", "HEAD", cwd=there.root)
    assert there.bead(made)


def squash(ground: Ground, commit: str) -> str:
    """Replace the remote's history by one commit with the files of `commit`; it."""
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    made = git(*who, "commit-tree", "-m", "squashed", f"{commit}^{{tree}}", cwd=ground.remote)
    git("update-ref", "refs/heads/main", made, cwd=ground.remote)
    return made


@pytest.mark.parametrize("older", [False, True])
def test_a_squashed_history_of_this_town_is_merged_when_somebody_says_so(ground: Ground, older: bool) -> None:
    """From where its files were the same as here, so that nothing is undone that came after it."""
    here, there = ground.towns["anvil"], ground.add("brick")
    first = bead(here, "First")
    sync(here)
    before = git("rev-parse", "main", cwd=ground.remote)
    sync(there)
    second = bead(there, "Second")
    update(there, first, title="Edited")
    sync(there)
    sync(here)
    only = bead(here, "Only here")
    squashed = squash(ground, before if older else "main")
    with pytest.raises(Refused, match="was replaced: it is this town") as refused:
        sync(here)
    assert "gt sync --accept-rewrite" in refused.value.hint
    assert git("rev-parse", "main", cwd=ground.remote) == squashed
    sync(here, accept_rewrite=True)
    sync(there)
    for town in (here, there):
        assert town.bead(first).title == "Edited"
        assert town.bead(second)
        assert town.bead(only)
        assert not [name for name in contents(town) if ".theirs-" in name]
        check_clean(town)
    assert contents(here) == contents(there)


def test_a_replaced_history_that_says_nowhere_where_it_parts_is_refused(ground: Ground, tmp_path: Path) -> None:
    here = ground.towns["anvil"]
    sync(here)
    git("clone", "--quiet", str(ground.remote), "other", cwd=tmp_path)
    (tmp_path / "other/README.md").write_text("otherwise\n")
    git("add", "--all", cwd=tmp_path / "other")
    git("commit", "--quiet", "--message", "x", cwd=tmp_path / "other")
    git("push", "--quiet", cwd=tmp_path / "other")
    squash(ground, "main")
    head = git("rev-parse", "HEAD", cwd=here.root)
    with pytest.raises(Refused, match="where the two part cannot be told") as refused:
        sync(here, accept_rewrite=True)
    assert "gt clone" in refused.value.hint
    assert git("rev-parse", "HEAD", cwd=here.root) == head


def test_a_remote_that_is_no_town_or_another_one_is_refused(ground: Ground, git_repo) -> None:
    here = ground.towns["anvil"]
    head = git("rev-parse", "HEAD", cwd=here.root)
    project = git_repo("thing", bare=True)
    git("remote", "set-url", "origin", str(project), cwd=here.root)
    git("update-ref", "-d", "refs/gt/seen", cwd=here.root)
    with pytest.raises(Refused, match="no town"):
        sync(here)
    other = git_repo("other", {"town.yaml": "name: other\n"}, bare=True)
    git("remote", "set-url", "origin", str(other), cwd=here.root)
    with pytest.raises(Refused, match="another town"):
        sync(here)
    assert git("rev-parse", "HEAD", cwd=here.root) == head
    check_clean(here)


@pytest.mark.parametrize("included", [False, True])
def test_a_remote_of_another_name_is_the_towns_everywhere(ground: Ground, tmp_path: Path, included: bool) -> None:
    here = ground.towns["anvil"]
    git("remote", "rename", "origin", "hub", cwd=here.root)
    if included:
        (tmp_path / "more").write_text(f'[remote "hub"]\n\turl = {ground.remote}\n')
        git("config", "--remove-section", "remote.hub", cwd=here.root)
        git("config", "include.path", str(tmp_path / "more"), cwd=here.root)
    here = open_town(here.root, clock=ground.clock)
    made = bead(here, "One")
    found = status.status(here, here)
    assert found.remote == str(ground.remote)
    assert found.news is not None
    assert found.news.unsent == 1
    assert has_news(here.repo)
    assert claims.claim(here, made, 1, claimant="greenplace/toast").ref in git("ls-remote", "hub", cwd=here.root)
    assert sync(here).remote == "hub"
    assert not has_news(here.repo)
    with pytest.raises(Refused, match="has the remote") as refused:
        attach_remote(here, str(tmp_path / "another.git"))
    assert "git remote set-url hub" in refused.value.hint


@pytest.mark.parametrize("way", ["revert", "checkout", "merge"])
def test_a_town_file_that_was_removed_at_the_remote_comes_back_as_it_is_told(
    ground: Ground, tmp_path: Path, way: str
) -> None:
    here, plain_clone = ground.towns["anvil"], tmp_path / "plain"
    sync(here)
    only = bead(here, "Only here")
    git("clone", "--quiet", str(ground.remote), str(plain_clone), cwd=tmp_path)
    if way == "merge":
        git("switch", "--quiet", "--create", "side", cwd=plain_clone)
        git("commit", "--quiet", "--allow-empty", "--message", "beside", cwd=plain_clone)
        git("switch", "--quiet", "-", cwd=plain_clone)
        git("merge", "--quiet", "--no-ff", "--no-commit", "side", cwd=plain_clone)
    git("rm", "--quiet", "town.yaml", cwd=plain_clone)
    git("commit", "--quiet", "--message", "Clean up", cwd=plain_clone)
    git("push", "--quiet", "origin", "HEAD:main", cwd=plain_clone)
    gone = git("rev-parse", "--short=12", "HEAD", cwd=plain_clone)
    for _ in range(2):
        with pytest.raises(Refused, match=f"lost its town.yaml: commit {gone} .*Clean up") as refused:
            sync(here)
    assert "another town" not in refused.value.hint
    with pytest.raises(Refused, match=f"commit {gone}"):
        clone(str(ground.remote), str(tmp_path / "new"))
    command = re.findall(r"git revert \w+|git checkout \S+ -- town.yaml && git commit -m '[^']+'", refused.value.hint)
    assert len(command) == (1 if way == "merge" else 2)
    told = command[0].replace("revert", "revert --no-edit") if way == "revert" else command[-1]
    subprocess.run(told, shell=True, cwd=plain_clone, check=True, capture_output=True)
    git("push", "--quiet", "origin", "HEAD:main", cwd=plain_clone)
    sync(here)
    assert here.bead(only)
    check_clean(here)


def test_a_town_without_a_remote_says_so(town: Town) -> None:
    with pytest.raises(GtError, match="no remote"):
        sync(town)


def test_a_circle_of_needs_that_two_machines_made_is_told_by_blocked_lint_and_doctor(ground: Ground) -> None:
    here = ground.towns["anvil"]
    one, other = sorted((bead(here, "One"), bead(here, "Other")))
    sync(here)
    there = ground.add("brick")
    run_gt("bead", "dep", "add", one, other, cwd=here.root)
    run_gt("bead", "dep", "add", other, one, cwd=there.root)
    for town in (here, there, here):
        sync(town)
    circle = f"{one} needs {other} needs {one}"
    assert circle in run_gt("blocked", cwd=here.root).err
    assert circle in run_gt("lint", cwd=here.root, code=1).out
    said = run_gt("doctor", cwd=here.root)
    assert circle in said.out
    assert f"gt bead dep remove {one} {other}" in said.out
    run_gt("bead", "dep", "remove", one, other, cwd=here.root)
    assert "circle" not in run_gt("blocked", cwd=here.root).err
    run_gt("lint", cwd=here.root)
