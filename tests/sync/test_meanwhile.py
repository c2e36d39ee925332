"""What a person saves while a pull is being written stays, and what cannot be written here stops the pull alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from gastown.model.errors import InvalidFile
from gastown.services.files.findings import FAIL, OK
from gastown.services.health import doctor
from gastown.services.sync.sync import sync
from gastown.store import commit, editbases, files, layout, mergewrite, runstate
from gastown.store.town import Town
from tests.conftest import git
from tests.store.meanwhile import adopted, at_step
from tests.sync.ground import Ground, bead, check_clean, note, plain, quiet, update


def retitle(path: Path) -> None:
    """As an editor saves: all at once."""
    fresh = path.with_name("4913")
    fresh.write_text(path.read_text().replace("title: First", "title: Saved by hand"))
    fresh.rename(path)


def fetched(ground: Ground) -> tuple[Town, str, bytes]:
    """A clone that has to follow, with a bead that came changed; its path, and the commit to follow to."""
    here = ground.towns["anvil"]
    first = bead(here, "First")
    sync(here)
    there = ground.add("brick")
    for number in range(3):
        bead(there, f"bead {number}")
    update(there, first, priority=0)
    bead(there, "the last")
    sync(there)
    git("fetch", "--quiet", "origin", cwd=here.root)
    return here, str(here.bead_path(first)), git("rev-parse", "origin/main", cwd=here.root).encode()


def follow(town: Town, there: bytes) -> None:
    with town.change("sync"):
        old = town.repo.head()[1]
        assert old is not None
        assert mergewrite.move(town.repo, there, (), old=old, who=("gt", "gt@demo"), message="gt sync")


def test_at_every_step_of_a_pull(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    here, name, there = fetched(ground)
    number = 0
    while True:
        number += 1
        town = ground.twin(here, "saved")
        path = Path(town.root, name)
        with monkeypatch.context() as patch:
            reached = at_step(patch, number, partial(retitle, path), path)
            follow(town, there)
            if not reached():
                break
        adopted(town, path)
        found = town.bead(path.stem)
        assert (found.title, found.doc["priority"]) == ("Saved by hand", 0), f"step {number}"
        check_clean(town)
        shutil.rmtree(town.root)
        shutil.rmtree(f"{town.root}.git")
    assert number > 40


@pytest.mark.parametrize("act", [retitle, Path.unlink], ids=["changed", "removed"])
def test_a_file_that_a_pull_removes_or_brings_is_not_taken_from_who_saves_it(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], None]
) -> None:
    """Seen at the moment it is about to go, and one that was not there before."""
    here = ground.towns["anvil"]
    first = bead(here, "First")
    sync(here)
    there = ground.add("brick")
    name = str(there.bead_path(first))
    plain(there, "rm", "--quiet", name)
    Path(there.root, "roles").mkdir(exist_ok=True)
    Path(there.root, "roles/mayor.md").write_text("theirs\n")
    plain(there, "add", "roles/mayor.md")
    plain(there, "commit", "--quiet", "--message", "by hand")
    sync(there)
    real = editbases.remember

    def remember(*args, **rest) -> None:
        real(*args, **rest)
        monkeypatch.setattr(editbases, "remember", real)
        act(Path(here.root, name))
        Path(here.root, "roles").mkdir(exist_ok=True)
        Path(here.root, "roles/mayor.md").write_text("mine\n")

    monkeypatch.setattr(editbases, "remember", remember)
    sync(here)
    assert Path(here.root, name).exists() == (act is retitle)
    assert Path(here.root, "roles/mayor.md").read_text() == "mine\n"
    assert {name, "roles/mayor.md"} & editbases.pending(here.root) >= {"roles/mayor.md"}


def test_an_edit_that_cannot_be_merged_with_what_came_is_kept_beside_it(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = ground.towns["anvil"], ground.add("brick")
    name = "roles/mayor.md"
    path = Path(here.root, name)
    committed(there, name)
    sync(there)
    real = editbases.remember

    def remember(*args, **rest) -> None:
        real(*args, **rest)
        monkeypatch.setattr(editbases, "remember", real)
        path.write_text("mine\n")

    monkeypatch.setattr(editbases, "remember", remember)
    sync(here)
    assert path.read_text() == "mine\n"
    adopted(here, path)
    (kept,) = path.parent.glob("mayor.md.theirs-*")
    assert (path.read_text(), kept.read_text()) == ("brick\n", "mine\n")
    assert [event["text"] for event in here.events() if event["type"] == "hand_edit"] == [
        f"{name} edited by hand (it could not be merged with what came since, and is kept as roles/{kept.name})"
    ]
    quiet(here, there)
    assert Path(there.root, "roles", kept.name).read_text() == "mine\n"


LONG = f"roles/{'名' * 84}.md"


def committed(town: Town, *names: str) -> None:
    """Files that a person commits by plain git and sends."""
    for name in names:
        Path(town.root, name).parent.mkdir(exist_ok=True)
        Path(town.root, name).write_text(f"{town.machine}\n")
    plain(town, "add", *names)
    plain(town, "commit", "--quiet", "--message", "by hand")


def test_a_name_as_long_as_names_may_be_is_taken_over(ground: Ground) -> None:
    here, there = ground.towns["anvil"], ground.add("brick")
    committed(there, LONG)
    assert len(os.fsencode(os.path.basename(LONG))) == 255
    quiet(there, here, there)
    assert Path(here.root, LONG).read_text() == "brick\n"


def test_a_version_kept_beside_a_long_name_has_a_name_that_can_be_written(ground: Ground) -> None:
    here, there = ground.towns["anvil"], ground.add("brick")
    committed(here, LONG)
    committed(there, LONG)
    quiet(here, there, here)
    kept = [one for one in Path(here.root, "roles").iterdir() if ".theirs-" in one.name]
    assert {one.read_text() for one in (*kept, Path(here.root, LONG))} == {"anvil\n", "brick\n"}


def test_a_file_that_cannot_be_written_stops_the_pull_and_nothing_else(ground: Ground) -> None:
    """A folder in the place of its temporary file stands for whatever may keep it from being written."""
    here, there = ground.towns["anvil"], ground.add("brick")
    made = bead(there, "Came along")
    committed(there, "roles/mayor.md")
    sync(there)
    before = git("rev-parse", "HEAD", cwd=here.root)
    wall = Path(files.temp_path(str(Path(here.root, "roles/mayor.md"))))
    wall.mkdir(parents=True)
    with pytest.raises(InvalidFile, match=r"roles/mayor.md: cannot be written here.*nothing was taken over"):
        sync(here)
    assert git("rev-parse", "HEAD", cwd=here.root) == before
    assert not Path(here.root, str(there.bead_path(made))).exists()
    assert not here.unsettled
    note(here, bead(here, "Goes on"), "as ever")
    assert git("status", "--porcelain", cwd=here.root) == ""
    wall.rmdir()
    quiet(here, there)
    assert here.bead(made).title == "Came along"


@pytest.mark.parametrize("what", layout.UNFINISHED)
def test_what_is_interrupted_and_cannot_be_finished_is_an_error_with_its_reason(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    here, name, there = fetched(ground)

    def cannot(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted", f"{here.root}/{name}")

    with monkeypatch.context() as patch:
        if what == "merge.json":
            patch.setattr(mergewrite, "_follow", cannot)
        else:
            runstate.write_json(layout.run(here.root, what), {})
        if what == "merge.json":
            with pytest.raises(PermissionError):
                follow(here, there)
        (found,) = [one for one in doctor.examine(here) if one.check == "journal"]
        assert found.state == FAIL
        assert found.text.startswith("a change" if what == "journal.json" else "a sync")
        assert ("Operation not permitted" if what == "merge.json" else "cannot be read") in found.text
    if what == "merge.json":
        (found,) = [one for one in doctor.examine(here) if one.check == "journal"]
        assert found.state == OK
        assert not here.unsettled
        assert commit.recover(here.repo) is None
