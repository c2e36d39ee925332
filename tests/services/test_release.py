"""Taking work back, ending sessions: the tree is saved, the branch stays, and it can be done again."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastown.model.errors import NotFound, Refused
from gastown.runtime import git, sessions
from gastown.services.beads import beads
from gastown.services.sling import release
from gastown.services.sling.sling import dispatch_queued
from gastown.services.work import resume, shutdown
from gastown.store import layout
from gastown.store.change import Change


def test_released_work_is_open_its_session_over_its_tree_saved_its_branch_kept(work):
    bead = work.bead()
    done = work.one(bead.id, agent=work.sleeper())
    (work.tree() / "half").write_text("half\n")
    found = release.release(work.town, work.now(bead))
    assert (found.former, found.branch) == ("app/amber", f"polecat/amber/{bead.id}.a1")
    assert "saved to" in found.saved
    now = work.now(bead)
    assert (now.status, now.assignee, now.machine) == ("open", None, None)
    assert now.last_session["outcome"] == "released"
    assert not sessions.alive(work.record(done.session).agent_proc)
    assert found.branch in work.branches()
    assert "half" in "".join(p.read_text() for p in Path(layout.rescue(work.root)).glob("*.patch"))
    work.ended(done.session)
    assert work.events("session_death") == []
    assert release.release(work.town, work.now(bead)).unchanged


def test_queued_work_leaves_the_queue(work):
    work.configure("town.yaml", max_polecats=0)
    bead = work.bead()
    work.sling(bead.id, agent=work.sleeper())
    assert work.now(bead).labels == ["queued"]
    assert not release.release(work.town, work.now(bead)).unchanged
    assert work.now(bead).labels == []
    work.configure("town.yaml", max_polecats=3)
    assert dispatch_queued(work.town) == []


def test_what_nobody_has_or_another_machine_has_is_refused(work):
    bead = work.bead()
    beads.close(work.town, bead.id, "no")
    with pytest.raises(Refused, match="closed"):
        release.release(work.town, work.now(bead))
    far = work.bead()

    def body(change: Change) -> None:
        held = change.bead(far.id)
        held.move("hooked")
        held.set("assignee", "app/amber")
        held.set("machine", "faraway")
        change.save(held)

    work.town.transact("edit", body)
    with pytest.raises(Refused, match="faraway"):
        release.release(work.town, work.now(far))
    assert release.release(work.town, work.now(far), force=True).former == "app/amber"


def test_a_stopped_session_leaves_its_work_on_the_hook_and_is_no_death(work):
    bead = work.bead()
    done = work.one(bead.id, agent=work.sleeper())
    assert release.find_session(work.town, "app/amber") == done.session
    stopped = release.stop_session(work.town, done.session)
    assert stopped.gone
    work.ended(done.session)
    now = work.now(bead)
    assert (now.status, now.last_session["outcome"]) == ("hooked", "stopped")
    assert work.events("session_death") == []
    head = git.text(["rev-parse", "HEAD"], cwd=work.root)
    assert release.stop_session(work.town, done.session).gone
    assert git.text(["rev-parse", "HEAD"], cwd=work.root) == head
    with pytest.raises(NotFound):
        release.find_session(work.town, "app/amber")
    assert release.every_session(work.town) == []


def spoil(work, bead) -> Path:
    """A hand edit that was saved half-way."""
    path = Path(work.root, work.now(bead).path)
    path.write_text(path.read_text() + "labels: [oops\n")
    return path


def test_a_session_is_stopped_though_its_bead_cannot_be_read(work):
    bead = work.bead()
    done = work.one(bead.id, agent=work.sleeper())
    (work.tree() / "half").write_text("half\n")
    path = spoil(work, bead)
    text = path.read_text()
    stopped = release.stop_session(work.town, done.session)
    assert stopped.gone
    assert not sessions.alive(work.record(done.session).agent_proc)
    assert "saved to" in stopped.saved
    assert path.name in stopped.unnoted
    assert path.read_text() == text


def test_down_ends_every_session_and_marks_what_it_can_though_a_bead_cannot_be_read(work):
    bad, good = work.bead("Bad"), work.bead("Good")
    ran = [work.one(one.id, agent=work.sleeper()) for one in (bad, good)]
    path = spoil(work, bad)
    found = shutdown.down(work.town, grace=0.5)
    assert sorted(found.stopped) == sorted(one.to for one in ran)
    assert [sessions.alive(work.record(one.session).agent_proc) for one in ran] == [False, False]
    assert found.left == ()
    (said,) = found.unnoted
    assert bad.id in said
    assert path.name in said
    assert work.now(good).last_session["outcome"] == shutdown.DOWN


def test_work_is_found_by_id_by_hash_and_by_who_has_it(work):
    bead = work.bead()
    work.one(bead.id, agent=work.sleeper())
    for text in (bead.id, bead.id.partition("-")[2], "app/amber", "app/polecats/amber"):
        assert resume.find(work.town, text).id == bead.id
    with pytest.raises(NotFound):
        resume.find(work.town, "app/birch")
