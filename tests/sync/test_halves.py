"""Of a move by hand both halves reach the other machines, or neither: nothing vanishes there without a word."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from gastown.services.sync.sync import SyncReport, sync
from gastown.store.town import Town
from tests.conftest import git, run_gt
from tests.sync.ground import Ground, bead, check_clean, contents, note, quiet


def lies(town: Town, bead_id: str) -> Path:
    return Path(town.root, str(town.bead_path(bead_id)))


def move(path: Path, to: Path, old: str = "", new: str = "") -> Path:
    """As a person does that moves a file and writes in it, a while ago."""
    to.parent.mkdir(parents=True, exist_ok=True)
    path.rename(to)
    text = to.read_text()
    assert old in text
    to.write_text(text.replace(old, new) if old else text)
    os.utime(to, (time.time() - 5,) * 2)
    return to


def told(report: SyncReport) -> list[str]:
    return [problem.path for problem in report.invalid]


def another_name(path: Path) -> Path:
    return move(path, path.with_name(f"{path.stem}-old.yaml"))


def another_day(path: Path) -> Path:
    return move(path, path.parent.with_name("2026-01-02") / path.name, "priority: 2", "priority: high")


def no_yaml(path: Path) -> Path:
    return move(path, path.with_name("kept.yaml"), "status: open", "status: [open")


def beside_the_days(path: Path) -> Path:
    return move(path, path.parent.parent / path.name)


@pytest.mark.parametrize("how", [another_name, another_day, no_yaml, beside_the_days])
def test_a_bead_whose_moved_file_cannot_be_used_stays_where_it_was_for_all_others(ground: Ground, how) -> None:
    here = ground.towns["anvil"]
    made, other = bead(here, "Moved"), bead(here, "Other")
    sync(here)
    there = ground.add("brick")
    before = lies(here, made)
    path, also = before.relative_to(here.root).as_posix(), lies(here, other)
    also.write_text(also.read_text().replace("Other", "Edited"))
    now = how(before)
    report = sync(here)
    assert sorted(told(report)) == sorted([path, now.relative_to(here.root).as_posix()])
    said = next(problem for problem in report.invalid if problem.path == path)
    assert f"bead {made} is gone from here and lies in {now.relative_to(here.root)}" in said.message
    assert f"mend {now.relative_to(here.root)}" in said.hint
    assert now.exists()
    assert not before.exists()
    sync(there)
    assert there.bead(made).title == "Moved"
    assert there.bead(other).title == "Edited"
    move(now, before) if how is not no_yaml else move(now, before, "[open", "open")
    if how is another_day:
        before.write_text(before.read_text().replace("priority: high", "priority: 1"))
    quiet(here, there)
    assert there.bead(made).title == "Moved"


def test_a_moved_bead_goes_whole_once_its_file_is_mended(ground: Ground) -> None:
    here = ground.towns["anvil"]
    made = bead(here, "Moved")
    sync(here)
    there = ground.add("brick")
    now = another_day(lies(here, made))
    assert run_gt("sync", cwd=here.root, code=1).err.count("mend rigs/greenplace/beads/2026-01-02/") == 2
    now.write_text(now.read_text().replace("high", "1"))
    quiet(here, there)
    assert there.bead(made).priority == 1
    assert there.bead_path(made) == now.relative_to(here.root).as_posix()


def test_a_bead_that_others_changed_while_its_move_was_held_back_keeps_both(ground: Ground) -> None:
    here = ground.towns["anvil"]
    made = bead(here, "Moved")
    sync(here)
    there = ground.add("brick")
    now = another_day(lies(here, made))
    sync(here)
    note(there, made, "from brick")
    sync(there)
    sync(here)
    now.write_text(now.read_text().replace("high", "1"))
    quiet(here, there)
    assert there.bead(made).priority == 1
    assert [one["text"] for one in there.bead(made).notes] == ["from brick\n"]


def test_a_bead_that_is_removed_whole_is_removed(ground: Ground) -> None:
    here = ground.towns["anvil"]
    made, other = bead(here, "Removed"), bead(here, "Broken")
    sync(here)
    there = ground.add("brick")
    lies(here, made).unlink()
    lies(here, other).write_text("id: [\n")
    assert [path.rpartition("/")[2] for path in told(sync(here))] == [f"{other}.yaml"]
    sync(there)
    assert there.bead_path(made) is None
    assert there.bead(other)


def test_a_worker_whose_file_got_another_name_alone_stays(ground: Ground) -> None:
    here = ground.towns["anvil"]
    with here.change("spawn") as change:
        change.put("rigs/greenplace/crew/pat.yaml", {"name": "pat", "kind": "crew", "rig": "greenplace"})
    folder = Path(here.root, "rigs/greenplace/crew")
    sync(here)
    move(folder / "pat.yaml", folder / "max.yaml")
    assert told(sync(here)) == ["rigs/greenplace/crew/max.yaml", "rigs/greenplace/crew/pat.yaml"]
    assert [one["name"] for one in ground.add("brick").workers("greenplace")[0]] == ["pat"]


# -- rigs -----------------------------------------------------------------------------------------
def test_a_rig_whose_folder_was_renamed_goes_whole_or_not_at_all(ground: Ground) -> None:
    """rig.yaml says its name: until it says the new one, the others keep the rig with all that is in it."""
    here = ground.towns["anvil"]
    made = bead(here, "In the rig")
    with here.change("spawn") as change:
        change.put("rigs/greenplace/polecats/toast.yaml", {"name": "toast", "kind": "polecat", "rig": "greenplace"})
    sync(here)
    there = ground.add("brick")
    before = contents(there)
    git("mv", "rigs/greenplace", "rigs/web", cwd=here.root)
    mark = Path(here.root, "town.yaml")
    mark.write_text(mark.read_text() + "\nmax_polecats: 3\n")
    report = sync(here)
    assert sorted(told(report)) == ["rigs/greenplace/rig.yaml", "rigs/web", "rigs/web/rig.yaml"]
    assert "rig greenplace is gone from here and lies in rigs/web/rig.yaml" in str(report.invalid)
    sync(there)
    assert {path: sha for path, sha in contents(there).items() if path != "town.yaml"} == {
        path: sha for path, sha in before.items() if path != "town.yaml"
    }
    assert there.config["max_polecats"] == 3
    assert there.bead(made)
    assert there.rig("greenplace")
    file = Path(here.root, "rigs/web/rig.yaml")
    file.write_text(file.read_text().replace("name: greenplace", "name: web"))
    quiet(here, there)
    assert there.rig_names() == ["web"]
    assert sorted(there.names("rigs")) == [".gitkeep", "web"]
    assert there.bead_path(made) == f"rigs/web/beads/2026-11-23/{made}.yaml"


@pytest.mark.parametrize("text", ["name: [web\n\nprefix: gp\n", "nothing to be read\n", "{git: /nowhere, prefix: 7}\n"])
def test_a_rig_without_beads_is_not_removed_while_it_lies_in_a_file_that_cannot_be_used(
    ground: Ground, text: str
) -> None:
    here = ground.towns["anvil"]
    git("mv", "rigs/greenplace", "rigs/web", cwd=here.root)
    Path(here.root, "rigs/web/rig.yaml").write_text(text)
    assert set(told(sync(here))) == {"rigs/greenplace/rig.yaml", "rigs/web/rig.yaml"}
    assert ground.add("brick").rig_names() == ["greenplace"]


def test_beads_that_were_moved_where_no_rig_is_stay_out_and_stay(ground: Ground) -> None:
    here = ground.towns["anvil"]
    ids = [bead(here, "One"), bead(here, "Two")]
    sync(here)
    there = ground.add("brick")
    Path(here.root, "rigs/web").mkdir()
    shutil.move(Path(here.root, "rigs/greenplace/beads"), Path(here.root, "rigs/web/beads"))
    report = sync(here)
    assert told(report) == ["rigs/web", "rigs/greenplace/beads"]
    assert "2 new files below it stay out: it has no rig.yaml" in str(report.invalid)
    sync(there)
    assert all(str(there.bead_path(one)).startswith("rigs/greenplace/") for one in ids)
    Path(here.root, "rigs/greenplace/rig.yaml").unlink()
    assert told(sync(here)) == ["rigs/web", "rigs/greenplace/beads", "rigs/greenplace/rig.yaml"]
    sync(there)
    assert there.rig("greenplace")


def test_rig_yaml_alone_is_not_removed_and_a_whole_rig_is(ground: Ground) -> None:
    here = ground.towns["anvil"]
    made = bead(here, "In the rig")
    sync(here)
    there = ground.add("brick")
    file = Path(here.root, "rigs/greenplace/rig.yaml")
    file.unlink()
    (problem,) = sync(here).invalid
    assert f"{made}.yaml would be left without it" in problem.message
    assert "git checkout -- rigs/greenplace/rig.yaml" in problem.hint
    sync(there)
    assert there.rig("greenplace")
    shutil.rmtree(file.parent)
    assert sync(here).invalid == ()
    sync(there)
    assert there.rig_names() == []
    check_clean(there)
