"""What hand edits may do to beads, whoever meets them first: the deacon, a sync, the hook of a commit."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from gastown.deacon import edited
from gastown.deacon.action import Later
from gastown.deacon.memory import Memory
from gastown.deacon.patrols import assigned, hand_edits
from gastown.deacon.pulse import Pulse
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model.errors import InvalidFile
from gastown.services.files import editable, handedits, lifecycle, opening
from gastown.services.sync import townhooks
from gastown.store import layout
from gastown.store.change import Change
from gastown.store.town import Town
from tests.store.towns import git, small_town

BEAD = "rigs/gp/beads/2026-11-23/gp-aaaaa.yaml"
ALPHA = {"assignee": "gp/alpha"}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ({"status": "open"}, {"status": "deferred"}, ""),
        ({"status": "open"}, {"status": "hooked", **ALPHA}, ""),
        ({"status": "open"}, {"status": "in_progress", **ALPHA}, "was open and cannot become in_progress"),
        ({"status": "merging"}, {"status": "open"}, "was merging and cannot become open"),
        ({"status": "closed"}, {"status": "merging"}, "was closed and cannot become merging; it may become: open"),
        ({"status": "hooked", **ALPHA}, {"status": "hooked", "assignee": "gp/b"}, "gt sling gp-aaaaa gp/b --force"),
        ({"status": "hooked", **ALPHA}, {"status": "hooked"}, "gt release gp-aaaaa lets it go"),
        ({"status": "in_progress", **ALPHA}, {"status": "in_progress", "branch": "x", **ALPHA}, "being worked on at"),
        ({"status": "in_progress", **ALPHA}, {"status": "open"}, ""),
        (None, {}, ""),
        (None, {"status": "hooked", **ALPHA}, ""),
        (None, {"status": "merging"}, "a new bead cannot be merging"),
    ],
)
def test_edits_obey_the_life_cycle(old: dict[str, str] | None, new: dict[str, str], why: str) -> None:
    found = lifecycle.breach(BEAD, old, new)
    assert why in str(found) if why else found is None
    assert lifecycle.breach("town.yaml", old, new) is None


@pytest.mark.parametrize(
    ("old", "new", "to"),
    [
        ({}, ALPHA, "gp/alpha"),
        (ALPHA, ALPHA, ""),
        (ALPHA, {"assignee": "gp/beta"}, "gp/beta"),
        ({}, {"status": "hooked", **ALPHA}, "gp/alpha"),
        (None, ALPHA, "gp/alpha"),
        ({}, {"status": "closed", **ALPHA}, ""),
        (ALPHA, {}, ""),
    ],
)
def test_an_assignee_set_by_hand_is_a_sling(old: dict[str, str] | None, new: dict[str, str], to: str) -> None:
    assert lifecycle.given_to(old, new) == to


def test_a_command_of_gts_takes_an_edit_along_as_a_sync_does(town: Town) -> None:
    """With its event: a deacon that was down then starts the work all the same."""
    with town.change("create") as change:
        bead = change.create("greenplace", title="Mend the roof")
    path = Path(town.root, bead.path)
    text = path.read_text().replace("status: open", "status: open\n\nassignee: greenplace/toast")
    assert save(town, path, text, by_note) == ""
    (told,) = [event for event in town.events() if event["type"] == "hand_edit"]
    assert (told["actor"], told["data"]["assign"]) == ("overseer", {bead.id: "greenplace/toast"})
    assert len(town.bead(bead.id).notes) == 1
    assert git(town.root, "status", "--porcelain") == ""


def test_what_a_command_refuses_stays_as_the_person_left_it(town: Town) -> None:
    path = held(town)
    text = path.read_text().replace("in_progress", "deferred")
    assert "was in_progress and cannot become deferred" in save(town, path, text, by_note)
    assert path.read_text() == text
    assert "deferred" not in git(town.root, "show", f"HEAD:{path.relative_to(town.root)}")


def test_what_has_to_be_written_down_is_not_held_up_by_an_edit_and_tells_of_it(town: Town) -> None:
    path = held(town)
    text = path.read_text().replace("in_progress", "deferred")
    assert save(town, path, text, partial(by_note, asked=False)) == ""
    assert len(town.bead(path.stem).notes) == 1
    (told,) = [event["text"] for event in town.events() if event["type"] == "hand_edit"]
    assert told.startswith(f"{path.stem} edited by hand, taken along though it should not be: {path.stem} was")
    assert git(town.root, "status", "--porcelain") == ""


def test_the_hook_of_a_commit_asks_git_as_often_for_many_files_as_for_few(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git holds the lock on its index meanwhile, for which every other writer waits."""
    asked: list[int] = []
    real = subprocess.Popen.__init__

    def counted(self: subprocess.Popen[bytes], *args: object, **kwargs: object) -> None:
        asked[-1] += 1
        real(self, *args, **kwargs)  # type: ignore[arg-type]

    for number in (2, 6):
        with town.change("create") as change:
            paths = [Path(town.root, change.create("greenplace", title=f"Bead {n}").path) for n in range(number)]
        for path in paths:
            path.write_text(path.read_text().replace("Bead", "A bead"))
        git(town.root, "add", "-A")
        asked.append(0)
        with monkeypatch.context() as patch:
            patch.setattr(subprocess.Popen, "__init__", counted)
            assert townhooks.staged_problems(town) == []
        git(town.root, "commit", "-qm", "mine")
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("town.yaml", "town"), ("rigs/gp/rig.yaml", "rig"), ("rigs/gp/beads/2026-11-23/gp-aaaaa.yaml", "bead"),
        ("beads/2026-11-23/hq-aaaaa.yaml", "bead"), ("rigs/gp/polecats/toast.yaml", "worker"),
        ("agents/x.yaml", "agent"),
        ("machines/anvil.yaml", "machine"), ("mail/mayor/new/1.M1.a", "mail"), ("mail/gp/toast/cur/1.M1.a:2,S", "mail"),
        ("mail/gp/toast/.Archive/cur/1.M1.a:2,S", "mail"), ("mail/mayor/tmp/1.M1.a", None), ("README.md", None),
        ("rigs/gp/beads/2026-11-23/.gp-aaaaa.yaml.swp", None), ("feed/2026-11-23/anvil-0001.jsonl", None),
        ("roles/mayor.md", "text"), ("rigs/gp/roles/crew.md", "text"), ("formulas/x.toml", "text"),
    ],
)  # fmt: skip
def test_which_files_are_whose(path: str, kind: str | None) -> None:
    assert editable.kind_of(path) == kind


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return small_town(tmp_path / "t")


def held(town: Town) -> Path:
    """The file of a bead that an agent works on."""
    with town.change("create") as change:
        bead = change.create("greenplace", title="Mend the roof")
        bead.move("hooked")
        bead.set("assignee", "greenplace/toast")
        bead.set("branch", f"polecat/toast/{bead.id}.a1")
        bead.set("sessions", [{"id": "s-20261126-aaaa", "by": "greenplace/toast", "started": change.at}])
        change.save(bead)
    with town.change("start") as change:
        bead = change.bead(bead.id)
        bead.move("in_progress")
        change.save(bead)
    return Path(town.root, bead.path)


def by_sync(town: Town, paths: list[str]) -> str:
    return " ".join(map(str, handedits.commit(town, paths).invalid))


def by_deacon(town: Town, paths: list[str]) -> str:
    found = tuple(edited.edits(town, town.repo.head_tree(), paths))
    for action in hand_edits.decide(hand_edits.Evidence(found), Settings(), town.clock()):
        if isinstance(action, hand_edits.Adopt):
            action.apply(town)
    return " ".join(one.problem for one in found if one.problem)


def by_hook(town: Town, paths: list[str]) -> str:
    git(town.root, "add", "-A")
    return " ".join(map(str, townhooks.staged_problems(town)))


def by_note(town: Town, paths: list[str], *, asked: bool = True) -> str:
    """Somebody says something of what was edited."""
    ours = opening.open_town(town.root, clock=town.clock)

    def body(change: Change) -> None:
        for bead in {layout.bead_of_path(path) for path in paths}:
            one = change.bead(str(bead))
            one.add_note(change.at, "overseer", "on top")
            change.save(one)

    try:
        ours.transact("note", body, asked=asked)
    except InvalidFile as problem:
        return str(problem)
    return ""


def save(town: Town, path: Path, text: str, by: Callable[[Town, list[str]], str]) -> str:
    """Save a file and let somebody meet the edit; what is said to be wrong with it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1, 1))
    return by(town, editable.uncommitted(town.root))


anybody = pytest.mark.parametrize("by", [by_sync, by_deacon, by_hook, by_note])
committer = pytest.mark.parametrize("by", [by_sync, by_deacon, by_note])


@anybody
def test_nobody_takes_held_work_to_another_by_an_edit(town: Town, by: Callable[[Town, list[str]], str]) -> None:
    path = held(town)
    wrong = save(town, path, path.read_text().replace("assignee: greenplace/toast", "assignee: greenplace/jam"), by)
    assert f"{path.stem} is held by greenplace/toast; gt sling {path.stem} greenplace/jam --force" in wrong
    assert "greenplace/toast" in git(town.root, "show", f"HEAD:{path.relative_to(town.root)}")


@anybody
def test_a_new_bead_under_way_is_refused_and_one_given_to_somebody_is_not(
    town: Town, by: Callable[[Town, list[str]], str]
) -> None:
    path = held(town)
    text = path.read_text().replace(path.stem, "gp-aaaaa")
    other = path.with_name("gp-aaaaa.yaml")
    assert "a new bead cannot be in_progress" in save(town, other, text, by)
    assert save(town, other, text.replace("in_progress", "hooked"), by) == ""


@anybody
def test_work_under_way_may_be_moved_and_brought_back(town: Town, by: Callable[[Town, list[str]], str]) -> None:
    path = held(town)
    moved = path.parent.with_name("2026-11-20") / path.name
    text = path.read_text()
    path.unlink()
    assert save(town, moved, text, by) == ""
    git(town.root, "add", "-A")
    git(town.root, "commit", "-qm", "moved", "--allow-empty")
    moved.unlink()
    git(town.root, "commit", "-qam", "gone")
    assert save(town, moved, text, by) == ""


@pytest.mark.parametrize("by", [by_sync, by_deacon, by_hook])
def test_work_under_way_may_be_copied_to_another_day(town: Town, by: Callable[[Town, list[str]], str]) -> None:
    """It is one bead all the same, and gets one file again by the next sync."""
    path = held(town)
    assert save(town, path.parent.with_name("2026-11-20") / path.name, path.read_text(), by) == ""


@anybody
def test_a_broken_file_that_was_committed_may_always_be_mended(
    town: Town, by: Callable[[Town, list[str]], str]
) -> None:
    path = held(town)
    text = path.read_text()
    path.write_text(text.replace("in_progress", "in progress"))
    git(town.root, "commit", "-qam", "broken")
    assert save(town, path, text, by) == ""


@committer
@pytest.mark.parametrize("to", ["greenplace/toast", "greenplace/jam", ""])
def test_held_work_set_open_is_let_go(town: Town, by: Callable[[Town, list[str]], str], to: str) -> None:
    path = held(town)
    line = f"assignee: {to}" if to else ""
    text = path.read_text().replace("in_progress", "open").replace("assignee: greenplace/toast", line)
    assert save(town, path, text, by) == ""
    bead = town.bead(path.stem)
    given = to if to != "greenplace/toast" else ""
    assert (bead.status, bead.assignee or "") == ("open", given)
    assert (bead.last_session or {})["outcome"] == "released"
    data = list(town.events())[-1]["data"]
    assert data.get("assign", {}) == ({path.stem: given} if given else {})
    assert git(town.root, "status", "--porcelain") == ""


@pytest.mark.parametrize("looked_before", [False, True])
def test_held_work_set_open_in_a_persons_own_commit_is_let_go(town: Town, looked_before: bool) -> None:
    path = held(town)
    path.write_text(path.read_text().replace("in_progress", "open"))
    memory, moved = Memory(town.root), [str(path.relative_to(town.root))]
    if looked_before:  # the commit is slow, and nothing moves any more when it is there
        found = assigned.gather(World(town, memory, Pulse(town), paths=moved))
        (later,) = assigned.decide(found, Settings(), path.stat().st_mtime)
        assert isinstance(later, Later)
        town.refresh()
    git(town.root, "commit", "-qam", "not today")
    world = World(town, memory, Pulse(town), paths=None if looked_before else moved)
    (act,) = assigned.decide(assigned.gather(world), Settings(), town.clock())
    act.apply(town)
    bead = town.bead(path.stem)
    assert (bead.status, bead.assignee, (bead.last_session or {})["outcome"]) == ("open", None, "released")
    assert list(town.events())[-1]["text"] == f"{path.stem} was let go: it was set open while greenplace/toast held it"
    assert not memory.unsettled
