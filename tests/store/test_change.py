"""A change is whole or not at all, touches exactly its paths, and leaves a person's work alone."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from gastown.model.errors import InvalidFile, Stale, UsageError
from gastown.store.town import open_town
from tests.store.towns import NOW, assert_sound, git, small_town


def create(town, title="Refactor auth"):
    with town.change("create") as change:
        bead = change.create("greenplace", title=title)
        change.emit("create", f"created {bead.id} {title}", bead=bead.id, rig="greenplace")
    return bead.id


def test_a_change_is_one_commit_by_its_actor_with_a_feed_line(tmp_path):
    town = small_town(tmp_path / "t")
    bead_id = create(town)
    assert git(town.root, "log", "-1", "--format=%an <%ae>|%s") == (
        f"Ada <ada@example.org>|create: created {bead_id} Refactor auth"
    )
    files = git(town.root, "show", "--name-only", "--format=").splitlines()
    assert files == ["feed/2026-11-23/anvil-0001.jsonl", f"rigs/greenplace/beads/2026-11-23/{bead_id}.yaml"]
    event = json.loads((tmp_path / "t/feed/2026-11-23/anvil-0001.jsonl").read_text())
    assert (event["id"], event["type"], event["bead"]) == ("anvil-0001-000001", "create", bead_id)
    assert_sound(town.root)


def test_an_exception_inside_writes_nothing(tmp_path):
    town = small_town(tmp_path / "t")
    before = git(town.root, "rev-parse", "HEAD")
    with pytest.raises(RuntimeError), town.change("create") as change:
        change.create("greenplace", title="x")
        change.emit("create", "x")
        raise RuntimeError
    assert git(town.root, "rev-parse", "HEAD") == before
    assert_sound(town.root)


def test_a_hand_edit_between_reading_and_writing_is_stale_and_kept(tmp_path):
    town = small_town(tmp_path / "t")
    bead_id = create(town)
    path = tmp_path / "t" / town.bead_path(bead_id)
    with pytest.raises(Stale), town.change("note") as change:
        bead = change.bead(bead_id)
        path.write_text(path.read_text().replace("Refactor auth", "Edited in vim"))
        bead.add_note(change.at, "overseer", "late")
        change.save(bead)
    assert "Edited in vim" in path.read_text()
    assert "late" not in path.read_text()


def test_an_uncommitted_hand_edit_is_committed_first_as_the_persons(tmp_path):
    town = small_town(tmp_path / "t", actor="greenplace/toast")
    bead_id = create(town)
    path = tmp_path / "t" / town.bead_path(bead_id)
    path.write_text(path.read_text().replace("Refactor auth", "Edited in vim # not a comment") + "\n# mine\n")
    with town.change("note") as change:
        bead = change.bead(bead_id)
        bead.add_note(change.at, "greenplace/toast", "two left")
        change.save(bead)
        change.emit("note", "noted", bead=bead_id)
    assert git(town.root, "log", "-2", "--format=%an|%s").splitlines() == [
        "greenplace/toast|note: noted",
        f"Ada|hand_edit: {bead_id} edited by hand",
    ]
    assert "# mine" in path.read_text()
    assert "two left" in path.read_text()
    assert_sound(town.root)


def test_a_persons_staged_and_unstaged_work_is_untouched(tmp_path):
    town = small_town(tmp_path / "t")
    root = tmp_path / "t"
    (root / "mine.txt").write_text("staged\n")
    git(root, "add", "mine.txt")
    (root / "mine.txt").write_text("staged\nand not\n")
    (root / ".gitignore").write_text("/.gt/\n/work/\n.*.gt-tmp\n*.bak\n")
    (root / "loose.txt").write_text("untracked\n")
    before = git(root, "status", "--porcelain=v2"), git(root, "diff"), git(root, "diff", "--cached")
    create(town)
    assert (git(root, "status", "--porcelain=v2"), git(root, "diff"), git(root, "diff", "--cached")) == before


def test_a_commit_made_by_hand_in_between_is_built_upon(tmp_path, monkeypatch):
    town = small_town(tmp_path / "t")
    from gastown.store import commit

    real, calls = commit._prepare, []

    def prepare(repo, plan):
        ready = real(repo, plan)
        if not calls:
            git(town.root, "commit", "-q", "--allow-empty", "-m", "by hand")
        calls.append(1)
        return ready

    monkeypatch.setattr(commit, "_prepare", prepare)
    create(town)
    assert [s.split(":")[0] for s in git(town.root, "log", "--format=%s").splitlines()] == ["create", "by hand", "town"]
    assert_sound(town.root)


def test_what_a_person_stages_while_a_change_is_written_stays_staged(tmp_path, monkeypatch):
    town = small_town(tmp_path / "t")
    from gastown.store import commit

    real = commit._write

    def write(*args):
        (tmp_path / "t/notes.txt").write_text("mine\n")
        git(town.root, "add", "notes.txt")  # git has read the index for our change by now
        return real(*args)

    monkeypatch.setattr(commit, "_write", write)
    create(town)
    assert git(town.root, "status", "--porcelain") == "A  notes.txt"
    monkeypatch.undo()
    create(town, "second")
    assert git(town.root, "status", "--porcelain") == "A  notes.txt"


def test_foreign_locks_are_waited_for_and_never_removed(tmp_path, monkeypatch):
    town = small_town(tmp_path / "t")
    from gastown.store import gitindex

    monkeypatch.setattr(gitindex, "WAIT", 0.05)
    lock = tmp_path / "t/.git/index.lock"
    lock.write_text("somebody's git")
    bead_id = create(town)
    assert lock.read_text() == "somebody's git"
    assert "D  " in git(town.root, "status", "--porcelain") or bead_id in git(town.root, "status", "--porcelain")
    lock.unlink()
    create(town, "second")
    assert_sound(town.root)


def test_symlinks_and_odd_paths_are_refused(tmp_path):
    from gastown.model.errors import Refused

    town = small_town(tmp_path / "t")
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "t" / "machines").symlink_to(outside)
    with pytest.raises(Refused), town.change("x") as change:
        change.put("machines/anvil.yaml", {"name": "anvil"})
    with pytest.raises(UsageError), town.change("x") as change:
        change.write("../evil", b"x")
    assert list(outside.iterdir()) == []


def test_mail_lands_in_a_real_maildir(tmp_path):
    import mailbox

    town = small_town(tmp_path / "t")
    with town.change("mail") as change:
        change.deliver("greenplace/toast", "Grüße", "body\nFrom here\n", kind="task", bead="gp-abcde")
        change.emit("mail", "mail to greenplace/toast")
    box = mailbox.Maildir(tmp_path / "t/mail/greenplace/toast", create=False)
    (message,) = [box[key] for key in box.keys() if not key.startswith(".")]  # noqa: SIM118 - a Maildir is no dict
    assert message["To"] == "greenplace/toast <toast@greenplace.demo.gt>"
    assert message["X-Gt-Bead"] == "gp-abcde"
    assert message.get_payload(decode=True).decode() == "body\nFrom here\n"
    assert_sound(town.root)


def test_an_invalid_bead_is_named_and_others_work(tmp_path):
    town = small_town(tmp_path / "t")
    good, bad = create(town), create(town, "other")
    path = tmp_path / "t" / town.bead_path(bad)
    path.write_text(path.read_text().replace("status: open", "<<<<<<< HEAD\nstatus: open\n=======\n>>>>>>> x"))
    with pytest.raises(InvalidFile) as caught:
        town.bead(bad)
    assert caught.value.line > 0
    index = town.index()
    assert [row.id for row in index.rows] == [good]
    assert [problem.path for problem in index.problems] == [town.bead_path(bad)]


def test_the_past_answers_the_same_questions(tmp_path):
    town = small_town(tmp_path / "t")
    bead_id = create(town)
    with town.change("note") as change:
        bead = change.bead(bead_id)
        bead.set("title", "Changed")
        change.save(bead)
        change.emit("edit", "retitled", bead=bead_id)
    git(town.root, "gc", "-q")
    past = town.at("HEAD~1")
    assert past.bead(bead_id).title == "Refactor auth"
    assert [row.title for row in past.index().rows] == ["Refactor auth"]
    assert [event["type"] for event in past.events()] == ["create"]
    assert past.rig("greenplace").prefix == "gp"
    assert_sound(town.root)
    create(town, "after gc")
    assert_sound(town.root)


def test_the_index_sees_every_kind_of_edit(tmp_path):
    town = small_town(tmp_path / "t")
    ids = [create(town, f"bead {n}") for n in range(3)]
    assert len(town.index().rows) == 3
    path = tmp_path / "t" / town.bead_path(ids[0])
    path.write_bytes(path.read_bytes().replace(b"bead 0", b"head 0"))  # in place, same size
    assert town.index().by_id[ids[0]].title == "head 0"
    path.unlink()
    assert set(town.index().by_id) == set(ids[1:])
    cache = tmp_path / "t/.gt/cache/beads.idx"
    cache.parent.mkdir(exist_ok=True)
    for junk in (b"", b"gt-index", b"\x80\x04garbage" * 50):
        cache.write_bytes(junk)
        assert set(town.index().by_id) == set(ids[1:])


def _write_many(root: str, number: int) -> None:
    town = open_town(root)
    for n in range(8):
        bead_id = create(town, f"bead {number}-{n}")
        with town.change("note") as change:
            bead = change.bead(bead_id)
            bead.add_note(change.at, "overseer", f"note {number}-{n}")
            change.save(bead)
            change.emit("note", "noted", bead=bead_id)


def test_eight_writers_lose_nothing(tmp_path):
    town = small_town(tmp_path / "t")
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(town.root, n)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    beads = [town.bead(row.id) for row in town.index().rows]
    assert len(beads) == 64
    assert all(len(bead.notes) == 1 for bead in beads)
    assert sum(1 for event in town.events() if event["type"] == "note") == 64
    assert git(town.root, "rev-list", "--count", "HEAD") == "129"
    assert_sound(town.root)


def test_feed_segments_roll_over(tmp_path):
    town = small_town(tmp_path / "t")
    for _ in range(8):
        with town.change("x") as change:
            change.emit("note", "x" * 20_000)
    names = sorted(p.name for p in Path(town.root, "feed/2026-11-23").iterdir())
    assert names == ["anvil-0001.jsonl", "anvil-0002.jsonl"]
    found = [event["id"] for event in town.events()]
    assert found == sorted(set(found))
    assert len(found) == 8


def test_a_clock_that_was_set_back_costs_no_event(tmp_path):
    now = [NOW]
    town = small_town(tmp_path / "t", clock=lambda: now[0])
    days = (0, 2, 0, 0, 1, 2, -3, 5, 2)
    for day in days:
        now[0] = NOW + day * 86_400
        with town.change("x") as change:
            change.emit("note", f"day {day}")
    assert sorted(event["text"] for event in town.events()) == sorted(f"day {day}" for day in days)
    ids = [event["id"] for event in town.events()]
    assert len(set(ids)) == len(days)
    assert len({path.name for path in Path(town.root, "feed").rglob("*.jsonl")}) == len(set(days))
    assert_sound(town.root)


def test_one_look_is_renewed_by_every_change_in_a_change_too_and_with_time(tmp_path, monkeypatch):
    town = small_town(tmp_path / "t")
    other = open_town(town.root)
    first = create(town)
    with town.one_look():
        look = town.index()
        assert list(look.by_id) == [first]
        assert town.index() is look
        with town.change("note") as change:
            assert change.index() is look
        second = create(other)
        with town.change("note") as change:
            assert set(change.index().by_id) == {first, second}
        third = create(town)
        with town.one_look():
            again = town.index()
            assert set(again.by_id) == {first, second, third}
        assert town.index() is again
        path = tmp_path / "t" / town.bead_path(first)
        path.write_text(path.read_text().replace("Refactor auth", "Edited in vim"))
        assert town.index().by_id[first].title == "Refactor auth"
        monkeypatch.setattr("gastown.store.town._LOOK", 0.0)
        assert town.index().by_id[first].title == "Edited in vim"
    look = town.index()
    assert town.index() is not look
