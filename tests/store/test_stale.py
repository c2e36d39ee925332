"""An editor that saves over a newer version from an old buffer takes back nothing of what gt wrote meanwhile."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gastown.services.files import handedits
from gastown.services.sync import townhooks
from gastown.store import editbases
from gastown.store.stale import Versions
from gastown.store.town import Town
from tests.store.towns import git, small_town


@pytest.fixture
def town(tmp_path: Path) -> Town:
    """A town with the time of the real clock, standing still: how old a version is counts."""
    now = time.time()
    return small_town(tmp_path / "t", clock=lambda: now)


def create(town: Town) -> str:
    with town.change("create") as change:
        bead = change.create("greenplace", title="Edit me", labels=["old"])
        change.emit("create", "x", bead=bead.id)
    return bead.id


def noted(town: Town, bead_id: str, text: str) -> None:
    with town.change("note") as change:
        bead = change.bead(bead_id)
        bead.add_note(change.at, "overseer", text)
        change.save(bead)


def taken(town: Town, bead_id: str) -> None:
    """A worker has it."""
    with town.change("sling") as change:
        bead = change.bead(bead_id)
        bead.move("hooked")
        bead.set("assignee", "greenplace/toast")
        bead.set("branch", f"polecat/toast/{bead_id}.a1")
        bead.set("sessions", [{"id": "s-20261126-aaaa", "by": "greenplace/toast", "started": change.at}])
        change.save(bead)
    with town.change("start") as change:
        bead = change.bead(bead_id)
        bead.move("in_progress")
        change.save(bead)


def file(town: Town, bead_id: str) -> Path:
    return Path(town.root, str(town.bead_path(bead_id)))


def save(town: Town, bead_id: str, text: str) -> str:
    """Save the file and let the edit be committed; what the feed says of it."""
    file(town, bead_id).write_text(text)
    handedits.commit(town, [str(town.bead_path(bead_id))])
    assert git(town.root, "status", "--porcelain") == ""
    return [event["text"] for event in town.events()][-1]


def test_only_what_was_edited_in_an_old_buffer_is_taken(town: Town) -> None:
    bead_id = create(town)
    buffer = file(town, bead_id).read_text()
    taken(town, bead_id)
    said = save(town, bead_id, buffer.replace("priority: 2", "priority: 0"))
    bead = town.bead(bead_id)
    assert (bead.status, bead.assignee, len(bead.sessions)) == ("in_progress", "greenplace/toast", 1)
    assert bead.doc["priority"] == 0
    assert "edited by hand (from an older version; what came since stays: status in_progress (saved: open), " in said


def test_a_value_that_was_taken_back_along_with_another_edit_is_told_with_both_values(town: Town) -> None:
    """It cannot be told from what an old buffer held, and gives way: then somebody must say so."""
    bead_id = create(town)
    with town.change("update") as change:
        bead = change.bead(bead_id)
        bead.set("priority", 1)
        bead.set("labels", ["new", "old"])
        change.save(bead)
    text = file(town, bead_id).read_text().replace("priority: 1", "priority: 2").replace("  - new\n", "")
    said = save(town, bead_id, text.replace("Edit me", "Edited"))
    bead = town.bead(bead_id)
    assert (bead.title, bead.doc["priority"], bead.doc["labels"]) == ("Edited", 1, ["new", "old"])
    assert said.endswith('what came since stays: priority 1 (saved: 2), labels ["new", "old"] (saved: ["old"]))')
    (told,) = [event["data"] for event in town.events() if event["type"] == "hand_edit"]
    assert told["gave_way"][bead.path]["priority"] == {"kept": "1", "lost": "2"}


def test_a_change_of_gts_own_does_not_take_an_old_buffer_along(town: Town) -> None:
    bead_id = create(town)
    buffer = file(town, bead_id).read_text()
    taken(town, bead_id)
    file(town, bead_id).write_text(buffer.replace("priority: 2", "priority: 0"))
    town.transact("note", lambda change: note(change, bead_id))
    bead = town.bead(bead_id)
    assert (bead.status, bead.doc["priority"], len(bead.notes)) == ("in_progress", 0, 1)


def note(change, bead_id: str) -> None:
    bead = change.bead(bead_id)
    bead.add_note(change.at, "overseer", "on top")
    change.save(bead)


def test_an_old_buffer_that_was_not_edited_takes_away_no_note(town: Town) -> None:
    bead_id = create(town)
    noted(town, bead_id, "mind the gap")
    buffer = file(town, bead_id).read_text()
    noted(town, bead_id, "in the same second")
    said = save(town, bead_id, buffer)
    assert [one["text"] for one in town.bead(bead_id).notes] == ["mind the gap\n", "in the same second\n"]
    assert said.endswith("(an older version was saved; all that came since stays)")


def test_an_index_that_lags_behind_is_nobodys_word_for_an_old_version(town: Town) -> None:
    bead_id = create(town)
    buffer = file(town, bead_id).read_text()
    lock = Path(town.root, ".git/index.lock")
    lock.write_text("")  # a git of the person's is at work
    noted(town, bead_id, "mind the gap")
    lock.unlink()
    said = save(town, bead_id, buffer)
    assert [one["text"] for one in town.bead(bead_id).notes] == ["mind the gap\n"]
    assert said.endswith("(an older version was saved; all that came since stays)")


def test_a_persons_git_commits_no_old_buffer(town: Town) -> None:
    bead_id = create(town)
    buffer = file(town, bead_id).read_text()
    noted(town, bead_id, "mind the gap")
    file(town, bead_id).write_text(buffer)
    git(town.root, "add", "--all")
    assert ["began from an older version" in str(one) for one in townhooks.staged_problems(town)] == [True]
    git(town.root, "checkout", "-q", "HEAD", "--", ".")
    text = file(town, bead_id).read_text()
    file(town, bead_id).write_text(text.replace("Edit", "Edited").replace("gap", "gaps"))
    git(town.root, "add", "--all")
    assert townhooks.staged_problems(town) == []


def test_notes_of_an_old_buffer_and_of_gt_both_stay(town: Town) -> None:
    bead_id = create(town)
    buffer = file(town, bead_id).read_text()
    noted(town, bead_id, "from gt")
    mine = 'notes:\n  - at: 2026-11-26T01:00:00Z\n    by: overseer\n    text: |\n      from the editor\n'
    save(town, bead_id, f"{buffer}\n{mine}")
    assert sorted(one["text"] for one in town.bead(bead_id).notes) == ["from gt\n", "from the editor\n"]


@pytest.mark.parametrize(
    ("was", "now", "key", "value"),
    [
        ("status: in_progress", "status: open", "status", "open"),
        ("labels:\n  - old\n\n", "", "labels", None),
        ("priority: 2", "priority: 4", "priority", 4),
    ],
)
def test_an_edit_of_the_newest_version_is_taken_as_it_is(
    town: Town, was: str, now: str, key: str, value: object
) -> None:
    bead_id = create(town)
    taken(town, bead_id)
    text = file(town, bead_id).read_text()
    assert was in text
    assert save(town, bead_id, text.replace(was, now)).endswith("edited by hand")
    assert town.bead(bead_id).doc.get(key) == value


def test_a_session_is_removed_and_work_released_by_hand(town: Town) -> None:
    bead_id = create(town)
    taken(town, bead_id)
    text = file(town, bead_id).read_text()
    start = text.index("sessions:")
    end = text.index("\n\n", start) + 2 if "\n\n" in text[start:] else len(text)
    text = text[:start].rstrip("\n") + "\n\n" + text[end:]
    save(town, bead_id, text.rstrip("\n") + "\n")
    assert town.bead(bead_id).sessions == []
    text = file(town, bead_id).read_text().replace("status: in_progress", "status: open")
    save(town, bead_id, text.replace("assignee: greenplace/toast\n\n", ""))
    assert (town.bead(bead_id).status, town.bead(bead_id).assignee) == ("open", None)


def test_the_last_edit_of_gt_may_be_taken_back_by_hand(town: Town) -> None:
    bead_id = create(town)
    before = file(town, bead_id).read_text()
    with town.change("update") as change:
        bead = change.bead(bead_id)
        bead.set("labels", ["new", "old"])
        change.save(bead)
    assert save(town, bead_id, before).endswith("edited by hand (as it was before)")
    assert town.bead(bead_id).doc["labels"] == ["old"]


def test_who_puts_an_old_version_back_by_git_means_it_but_for_notes_and_sessions(town: Town) -> None:
    bead_id = create(town)
    old = git(town.root, "rev-parse", "HEAD")
    noted(town, bead_id, "said")
    taken(town, bead_id)
    path = str(town.bead_path(bead_id))
    git(town.root, "checkout", "-q", old, "--", path)
    handedits.commit(town, [path])
    bead = town.bead(bead_id)
    assert (bead.status, bead.assignee) == ("open", None)
    assert [one["text"] for one in bead.notes] == ["said\n"]
    assert len(bead.sessions) == 1
    assert "put back by git to an older version" in [event["text"] for event in town.events()][-1]


def test_no_edit_takes_away_a_note(town: Town) -> None:
    bead_id = create(town)
    noted(town, bead_id, "said")
    taken(town, bead_id)
    text = file(town, bead_id).read_text()
    start, end = text.index("notes:"), text.index("said\n") + 5
    save(town, bead_id, (text[:start] + text[end:].lstrip("\n")).rstrip("\n") + "\n")
    assert [one["text"] for one in town.bead(bead_id).notes] == ["said\n"]


def test_a_text_from_an_old_buffer_that_cannot_be_merged_is_kept_beside_the_file(town: Town) -> None:
    path = "roles/mayor.md"
    for text in ("a\nb\nc\n", "a\nB\nc\n"):
        with town.change("config") as change:
            change.write(path, text.encode())
            change.emit("config", "x")
    old = git(town.root, "rev-parse", f"HEAD~1:{path}").encode()
    editbases.remember(town.root, started={path: old}, replaced={})
    Path(town.root, path).write_text("a\nmine\nc\n")
    handedits.commit(town, [path])
    assert Path(town.root, path).read_text() == "a\nB\nc\n"
    (kept,) = Path(town.root, "roles").glob("mayor.md.theirs-*")
    assert git(town.root, "show", f"HEAD:roles/{kept.name}") == "a\nmine\nc"
    assert f"is kept as roles/{kept.name}" in [event["text"] for event in town.events()][-1]
    assert git(town.root, "status", "--porcelain") == ""


def test_versions_asked_for_before_the_lock_know_what_was_committed_until_then(town: Town) -> None:
    """Who holds the lock has git read the new commits alone; the newest stands first all the same."""
    bead_id = create(town)
    path = str(town.bead_path(bead_id))
    held = [file(town, bead_id).read_bytes()]
    early = Versions(town.repo, [path])
    early.look()
    for text in ("one", "two", "three"):
        noted(town, bead_id, text)
        held.insert(0, file(town, bead_id).read_bytes())
        assert early.of(path) == Versions(town.repo, [path]).of(path) == held
    git(town.root, "commit", "-q", "--allow-empty", "-m", "of other things")
    assert early.of(path) == held
