"""What a person saves or commits while a change is being written is never overwritten, and never taken back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from gastown.model.errors import GtError, Stale
from gastown.services.files import handedits
from gastown.store import aslies, commit, files, journal
from gastown.store.town import Town, open_town
from tests.store.meanwhile import adopted, at_step
from tests.store.towns import NOW, assert_sound, git, small_town

Act = Callable[[], None]


def create(town: Town, title: str) -> Path:
    with town.change("create") as change:
        bead = change.create("greenplace", title=title)
        change.emit("create", title, bead=bead.id)
    return Path(town.root, bead.path)


def note(town: Town, *paths: Path) -> None:
    """A note on beads, and an event: what every test here writes."""

    def body(change) -> None:
        for path in paths:
            bead = change.bead(path.stem)
            bead.add_note(change.at, "overseer", "from gt")
            change.save(bead)
        change.emit("note", "noted")

    town.transact("note", body)


def retitle(path: Path) -> None:
    """As an editor saves: all at once."""
    fresh = path.with_name("4913")
    fresh.write_text(path.read_text().replace("title: First", "title: Saved by hand"))
    fresh.rename(path)


def commits(town: Town, path: Path) -> None:
    retitle(path)
    git(town.root, "commit", "-qm", "by hand", "--", str(path), check=False)  # it may find the branch locked


@pytest.mark.parametrize("how", [lambda _, path: retitle(path), commits], ids=["saves", "commits"])
def test_at_every_step_of_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how) -> None:
    seed = small_town(tmp_path / "seed")
    first, second = (create(seed, title).relative_to(seed.root) for title in ("First", "Second"))
    number = 0
    while True:
        number += 1
        town = open_town(str(shutil.copytree(seed.root, tmp_path / "t", symlinks=True)), clock=lambda: NOW)
        mine, other = Path(town.root, first), Path(town.root, second)
        with monkeypatch.context() as patch:
            reached = at_step(patch, number, partial(how, town, mine), mine)
            note(town, other, mine)
            if not reached():
                break
        adopted(town, mine)
        bead = town.bead(mine.stem)
        assert bead.title == "Saved by hand", f"step {number}"
        for path in (mine, other):
            assert len(town.bead(path.stem).notes) == 1, f"step {number}"
        assert [event["type"] for event in town.events()].count("note") == 1
        titles = git(town.root, "log", "--format=", "-p", "--", str(mine)).count("-title: Saved by hand")
        assert titles == 0, f"step {number}: taken back in between"
        assert_sound(town.root)
        shutil.rmtree(town.root)
    assert number > 30


def test_a_commit_of_the_same_content_does_not_stop_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    town = small_town(tmp_path / "t")
    path = create(town, "First")
    retitle(path)
    real = commit._prepare

    def prepare(*args):
        ready = real(*args)
        if "by hand" not in git(town.root, "log", "-1", "--format=%s"):
            git(town.root, "commit", "-qam", "by hand")
        return ready

    monkeypatch.setattr(commit, "_prepare", prepare)
    with town.change("note") as change:
        bead = change.bead(path.stem)
        bead.add_note(change.at, "overseer", "from gt")
        change.save(bead)
    assert git(town.root, "log", "-2", "--format=%s") == "note\nby hand"
    assert_sound(town.root)


def test_an_edit_that_is_committed_by_its_author_first_is_not_committed_older(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = small_town(tmp_path / "t")
    path = create(town, "First")
    retitle(path)
    real = journal.record

    def record(root: str, plan) -> None:
        real(root, plan)
        path.write_text(path.read_text().replace("Saved by hand", "Saved once more"))
        git(town.root, "commit", "-qam", "by hand", check=False)

    monkeypatch.setattr(journal, "record", record)
    name = str(path.relative_to(town.root))
    with pytest.raises(Stale), town.change("edit"):
        aslies.commit(town.repo, {name: path.read_bytes()}, message="x\n", who=("Ada", "a@b"), epoch=NOW)
    monkeypatch.undo()
    town.settle()
    assert "Saved once more" in git(town.root, "show", f"HEAD:{name}")
    assert_sound(town.root)


def test_what_is_saved_while_a_killed_change_is_finished_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    town = small_town(tmp_path / "t")
    first, second = create(town, "First"), create(town, "Second")
    real = commit._write

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(commit, "_write", killed)
        patch.setattr(commit, "_take_back", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            note(town, first, second)
    assert journal.pending(town.root) is not None

    def write(*args):
        if "Saved by hand" not in first.read_text():
            retitle(first)
        return real(*args)

    monkeypatch.setattr(commit, "_write", write)
    town.settle()
    assert "Saved by hand" in first.read_text()
    assert (len(town.bead(first.stem).notes), len(town.bead(second.stem).notes)) == (0, 1)
    adopted(town, first)
    assert_sound(town.root)


def left(root: str) -> list[str]:
    return [str(one) for one in Path(root).rglob("*") if one.name.endswith((".gt-tmp", ".lock", "journal.json"))]


def test_a_change_of_which_one_file_cannot_be_put_in_place_did_not_happen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = small_town(tmp_path / "t")
    first, second = create(town, "First"), create(town, "Second")
    head = git(town.root, "rev-parse", "HEAD")
    real = files.rename

    def rename(source: str, dest: str) -> None:
        if dest == str(second):
            raise PermissionError(1, "Operation not permitted", dest)
        real(source, dest)

    with monkeypatch.context() as patch:
        patch.setattr(files, "rename", rename)
        with pytest.raises(PermissionError):
            note(town, first, second)
        assert git(town.root, "rev-parse", "HEAD") == head
        assert left(town.root) == []
        assert_sound(town.root)
        create(town, "Third")  # nobody else is stopped
    note(town, first, second)
    assert_sound(town.root)


@pytest.mark.parametrize("undo", [True, False], ids=["taken back", "not even taken back"])
def test_a_killed_change_that_cannot_be_finished_stops_nobody_or_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undo: bool
) -> None:
    town = small_town(tmp_path / "t")
    first, second = create(town, "First"), create(town, "Second")
    real, write = files.rename, files.write

    def killed(source: str, dest: str) -> None:
        if dest == str(second):
            raise KeyboardInterrupt
        real(source, dest)

    with monkeypatch.context() as patch:
        patch.setattr(files, "rename", killed)
        patch.setattr(commit, "_take_back", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            note(town, first, second)
    assert len(town.bead(first.stem).notes) == 1

    def rename(source: str, dest: str) -> None:
        if dest == str(second):
            raise PermissionError(1, "Operation not permitted", dest)
        real(source, dest)

    def no_write(path: str, data: bytes, **rest) -> None:
        if path == str(first):
            raise PermissionError(1, "Operation not permitted", path)
        write(path, data, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(files, "rename", rename)
        if undo:
            create(town, "Third")
            assert len(town.bead(first.stem).notes) == 0
            assert_sound(town.root)
            return
        patch.setattr(files, "write", no_write)
        with pytest.raises(GtError, match=f"{first}.*cannot be taken back"):
            create(town, "Third")
    create(town, "Third")
    assert [len(town.bead(path.stem).notes) for path in (first, second)] == [1, 1]
    assert_sound(town.root)


def test_what_only_the_reflog_lacks_is_no_failure(tmp_path: Path) -> None:
    """After one `sudo git` the log may be root's; a folder in its place stands for it here."""
    town = small_town(tmp_path / "t")
    for log in ("HEAD", "refs/heads/main"):
        place = Path(town.root, ".git/logs", log)
        place.unlink()
        place.mkdir()
    path = create(town, "First")
    assert git(town.root, "log", "-1", "--format=%s") == "create: First"
    note(town, path)
    assert left(town.root) == []


def test_what_is_left_to_do_once_a_change_stands_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    town = small_town(tmp_path / "t")
    git(town.root, "checkout", "-q", "--detach")

    def no_space(*_) -> None:
        raise GtError("git update-ref failed")

    with monkeypatch.context() as patch:
        patch.setattr(commit, "_keep", no_space)
        create(town, "First")
    create(town, "Second")
    assert len(town.index().rows) == 2
    assert git(town.root, "for-each-ref", "--format=%(objectname)", "refs/gt/astray/") == git(
        town.root, "rev-parse", "HEAD"
    )
    assert_sound(town.root)


def test_a_name_that_is_not_utf8_can_be_removed(tmp_path: Path) -> None:
    town = small_town(tmp_path / "t")
    name = "roles/\udcff.md"
    Path(town.root, "roles").mkdir()
    Path(town.root, name).write_text("x")
    git(town.root, "add", "--all")
    git(town.root, "commit", "-qm", "x")
    Path(town.root, name).unlink()
    handedits.commit(town, [name])
    assert git(town.root, "ls-tree", "-r", "HEAD", "roles/") == ""
    assert_sound(town.root)


def test_a_name_as_long_as_names_may_be_can_be_written(tmp_path: Path) -> None:
    town = small_town(tmp_path / "t")
    names = [f"roles/{'名' * 83}{end}.md" for end in "ab"]
    with town.change("x") as change:
        for name in names:
            change.write(name, name.encode())
    assert [Path(town.root, name).read_text() for name in names] == names
    assert_sound(town.root)
