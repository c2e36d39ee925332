"""The doctor mends what is ours and names the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gastown.model.errors import InvalidFile, NotFound, Refused
from gastown.services.agents import wiring
from gastown.services.beads import beads
from gastown.services.files import editable, handedits, lint, sound
from gastown.services.files.findings import FAIL, FIXED, NOTE, OK, WARN
from gastown.services.health import doctor, status
from gastown.services.rigs import rigs
from gastown.services.rigs.rigs import NewRig
from gastown.services.sling import release
from gastown.store import gitindex, layout
from gastown.store.change import Change
from gastown.store.town import Town, open_town
from tests.conftest import Runner, git
from tests.services.work_lab import Lab


def states(town: Town, check: str, *, fix: bool = False) -> list[str]:
    return [one.state for one in doctor.examine(town, fix=fix) if one.check == check]


def test_a_healthy_town_has_nothing_to_mend(town: Town) -> None:
    wiring.wire(town)  # the fixture's towns are copies of one
    found = doctor.examine(town, fix=True)
    assert {one.state for one in found} <= {OK, NOTE}
    assert [event["type"] for event in town.events()] == ["town_init"]


def test_hooks_and_clones_of_rigs(town: Town, git_repo: Callable[..., Path]) -> None:
    rigs.add(town, NewRig("green", str(git_repo())), base="/")
    assert states(town, "hooks") == [OK]
    hook = next(Path(layout.bare(town.root, "green"), "hooks").iterdir())
    hook.write_text("#!/bin/sh\nexit 0\n")
    assert states(town, "hooks") == [WARN]
    assert states(town, "hooks", fix=True) == [FIXED]
    assert states(town, "hooks") == [OK]
    for key in ("gt.target", "remote.origin.pushurl"):  # a clone from before, which guards nothing and pushes anywhere
        git("config", "--unset-all", key, cwd=layout.bare(town.root, "green"))
        assert states(town, "hooks") == [WARN]
        assert states(town, "hooks", fix=True) == [FIXED]
        assert states(town, "hooks") == [OK]
        assert git("config", "--get", key, cwd=layout.bare(town.root, "green"))
    shutil.rmtree(layout.bare(town.root, "green"))
    assert states(town, "rigs") == [WARN]
    assert states(town, "rigs", fix=True) == [FIXED]
    assert states(town, "hooks") == [OK]


def test_a_clone_that_git_cannot_read_hides_nothing_of_the_other_rigs(
    town: Town, git_repo: Callable[..., Path]
) -> None:
    for name in ("amber", "green"):
        rigs.add(town, NewRig(name, str(git_repo(name))), base="/")
    Path(layout.bare(town.root, "amber"), "HEAD").write_text("nonsense\n")
    with town.change("rig_remove") as change:
        change.create("green", title="left behind")
        change.remove(layout.rig_file("green"))
    town.refresh()
    found = [(one.state, one.text) for one in doctor.examine(town) if one.check == "rigs"]
    assert any(state == FAIL and text.startswith("rig amber cannot be looked at: ") for state, text in found), found
    assert any(state == FAIL and "rig green has no rig.yaml" in text for state, text in found), found


def test_a_clone_that_plain_git_made_or_a_moved_town_is_wired_again(town: Town) -> None:
    assert states(town, "plain-git") == [OK]
    Path(town.root, ".git/hooks/post-merge").unlink()
    assert states(town, "plain-git") == [WARN]
    assert states(town, "plain-git", fix=True) == [FIXED]
    assert states(town, "plain-git") == [OK]
    moved = Path(town.root).rename(f"{town.root}-moved")
    town = open_town(str(moved))
    assert states(town, "plain-git") == [WARN]
    assert states(town, "plain-git", fix=True) == [FIXED]
    assert str(moved) in (moved / ".git/config").read_text()
    assert f"{moved.name.removesuffix('-moved')}/.gt" not in (moved / ".git/config").read_text()


def test_our_own_lock_goes_and_a_strangers_stays(town: Town) -> None:
    lock = Path(town.root, ".git", "index.lock")
    lock.write_bytes(gitindex.TOKEN)
    assert states(town, "locks", fix=True) == [FIXED]
    assert not lock.exists()
    lock.write_text("")
    assert states(town, "locks", fix=True) == [WARN]
    assert lock.exists()


def test_a_lock_on_a_ref_that_a_killed_git_left_is_named(town: Town) -> None:
    lock = Path(town.root, ".git/refs/remotes/origin/main.lock")
    lock.parent.mkdir(parents=True)
    lock.write_text("")
    assert states(town, "locks") == [OK]
    os.utime(lock, (1, 1))
    assert states(town, "locks") == [OK, WARN]
    assert lock.exists()


def test_doubtful_beads_are_named(town: Town) -> None:
    folder = Path(town.root, "beads", "2026-01-01")
    folder.mkdir(parents=True)
    text = "id: zz-aaaaa\ntitle: x\ncreated: {at: 2026-01-01T00:00:00Z, by: overseer}\n"
    text += "needs:\n  - hq-gone1\nparent: hq-gone2\n"
    (folder / "zz-aaaaa.yaml").write_text(text)
    (folder / "hq-bbbbb.yaml").write_text("id: hq-ccccc\ntitle: x\n")
    (folder / "hq-ddddd.yaml").write_text("title: x\n")
    (folder.parent / "hq-eeeee.yaml").write_text("id: hq-eeeee\ntitle: x\n")
    for day in (folder, folder.with_name("2026-01-02")):
        day.mkdir(exist_ok=True)
        (day / "hq-fffff.yaml").write_text("id: hq-fffff\ntitle: x\ncreated: {at: 2026-01-01T00:00:00Z, by: x}\n")
    found = [one for one in doctor.examine(town) if one.check == "beads"]
    assert [one.state for one in found] == [FAIL] * 5 + [WARN] * 3
    assert not any("git checkout" in one.hint for one in found)  # git has no version of them
    said = " ".join(one.text for one in found)
    for word in (
        "hq-eeeee",
        "beads lie in",
        "stands in beads/2026-01-02/hq-fffff",
        "`id` is missing",
        "hq-ccccc",
        "prefix is not hq",
        "hq-gone1",
        "hq-gone2",
    ):
        assert word in said


def test_a_feed_that_was_removed_by_hand_is_not_written_over_and_comes_back(town: Town) -> None:
    before = [event["id"] for event in town.events()]
    assert before
    for path in Path(town.root, "feed").glob("*/*"):
        path.unlink()
    with town.change("note") as change:
        change.emit("note", "said since")
    assert states(town, "feed") == [WARN]
    assert states(town, "feed", fix=True) == [FIXED]
    assert states(town, "feed") == []
    ids = [event["id"] for event in town.events()]
    assert set(before) < set(ids)
    assert len(ids) == len(set(ids)) >= len(before) + 1


def test_a_folder_that_is_no_worktree_is_left(town: Town, git_repo: Callable[..., Path]) -> None:
    rigs.add(town, NewRig("green", str(git_repo())), base="/")
    stray = Path(layout.work(town.root, "green"), "stray")
    stray.mkdir()
    (stray / "work.txt").write_text("x")
    assert states(town, "worktrees", fix=True) == [WARN]
    assert (stray / "work.txt").exists()


def test_what_plain_git_needs_is_made_again(town: Town) -> None:
    assert states(town, "plain-git") == [OK]
    shutil.rmtree(layout.run(town.root, "bin"))
    assert states(town, "plain-git") == [WARN]
    assert states(town, "plain-git", fix=True) == [FIXED]
    Path(town.root, ".git", "hooks", "pre-commit").unlink()
    (found,) = (one for one in doctor.examine(town) if one.check == "plain-git")
    assert (found.state, found.hint) == (WARN, "gt doctor --fix")
    assert "hook pre-commit" in found.text


def test_what_cannot_be_mended_is_said(town: Town, git_repo: Callable[..., Path]) -> None:
    rigs.add(town, NewRig("green", str(git_repo())), base="/")
    shutil.rmtree(layout.bare(town.root, "green"))
    shutil.rmtree(town.rig("green").git)
    (found,) = (one for one in doctor.examine(town, fix=True) if one.check == "rigs")
    assert found.state == FAIL
    assert "cannot be mended" in found.text


def test_work_that_waits_for_a_session_is_named(work: Lab) -> None:
    assert states(work.town, "work") == []
    bead = work.bead()
    work.one(bead.id, agent=work.sleeper())
    assert states(work.town, "work") == []
    release.stop_session(work.town, str(work.now(bead).last_session["id"]))
    (found,) = (one for one in doctor.examine(work.town) if one.check == "work")
    assert found.state == NOTE
    assert f"gt resume {bead.id}" in found.hint


def test_many_of_a_kind_are_not_all_named(town: Town) -> None:
    for number in range(8):
        Path(layout.run(town.root), "sessions", f"s-20261123-aaa{number}", "session.json").mkdir(parents=True)
    found = [one for one in doctor.examine(town) if one.check == "sessions"]
    assert [one.state for one in found] == [FAIL] * 6
    assert found[-1].text == "and 3 more like that"


def test_a_copy_of_a_bead_is_never_put_in_the_place_of_the_bead(town: Town) -> None:
    bead = beads.create(town, beads.Draft("The one"))
    place = Path(town.root, bead.path)
    copy = place.with_name("hq-copy1.yaml")
    elsewhere = place.parents[1] / "2026-01-01" / "hq-copy2.yaml"
    elsewhere.parent.mkdir()
    for one in (copy, elsewhere):
        shutil.copy(place, one)
        (found,) = (one for one in doctor.examine(town) if one.state == FAIL)
        assert f"holds {bead.id}, which lies in {bead.path} already" in found.text
        assert found.hint.startswith("remove this copy, or give it an id of its own, in the file and as its name")
        (problem,) = lint.problems(town, lint.all_paths(town))
        assert f"lies in {bead.path} already" in str(problem)
        assert f"lies in {bead.path} already" in str(handedits.commit(town, [problem.path]).invalid[0])
        one.unlink()
    place.rename(copy)
    (found,) = (one for one in doctor.examine(town) if one.state == FAIL)
    assert f"mv -n {layout.relative(town.root, str(copy))} {bead.path}" in found.hint


def test_a_file_whose_name_is_no_id_is_told_what_ids_look_like(town: Town) -> None:
    folder = Path(town.root, "beads", "2026-01-01")
    folder.mkdir(parents=True)
    text = "title: x\ncreated: {at: 2026-01-01T00:00:00Z, by: x}\n"
    path = folder / "hq-nid.yaml"
    for inside in ("id: hq-nid\n", ""):
        path.write_text(inside + text)
        (problem,) = lint.problems(town, lint.all_paths(town))
        assert "4 to 10 of a-z and 0-9, such as gp-x7k2m" in str(problem)
        assert "is no place of a bead" not in str(problem)
        (found,) = (one for one in doctor.examine(town) if one.state == FAIL)
        assert "4 to 10 of a-z and 0-9" in found.text
    path.write_text("id: hq-abcd1\n" + text)
    (problem,) = lint.problems(town, lint.all_paths(town))
    assert "mv -n beads/2026-01-01/hq-nid.yaml beads/2026-01-01/hq-abcd1.yaml" in problem.hint


BROKEN = {
    "town.yaml": "- no map\n",
    "mail/.groups.yaml": "all: [mayor\n",
    "agents/odd.yaml": "name: other\ncommand: [sh]\n",
    "agents/bad.yaml": "name: bad\ncommand: [sh, '{nosuch}']\n",
    "machines/copied.yaml": "name: other\n",
    "formulas/open.toml": "a = [\n",
    "rigs/green/rig.yaml": "name: green\nprefix: 7\n",
    "rigs/green/polecats/toast.yaml": "rig: [\n",
}


@pytest.mark.parametrize("path", BROKEN)
def test_a_broken_file_is_named_by_lint_status_and_doctor_alike(town: Town, path: str) -> None:
    assert not lint.problems(town, lint.all_paths(town))
    place = Path(town.root, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(BROKEN[path])
    found = lint.problems(town, lint.all_paths(town))
    assert {one.path for one in found} == {path}
    for known in (False, True, True):
        assert [str(one) for one in sound.problems(town, known=known)] == [str(one) for one in found]
    assert [one.text for one in doctor.examine(town) if one.check == "files"] == [str(one) for one in found]


@pytest.mark.parametrize("leads", ["to the file", "nowhere"])
@pytest.mark.parametrize("kind", ["bead", "machine"])
def test_a_link_in_the_place_of_a_file_is_named_with_what_to_do(
    town: Town, tmp_path: Path, kind: str, leads: str
) -> None:
    """Read, it was a bead and ready; every write was refused."""
    bead = beads.create(town, beads.Draft("fine"))
    path = bead.path if kind == "bead" else f"machines/{town.machine}.yaml"
    place, real = Path(town.root, path), tmp_path / "real.yaml"
    status.status(town, town)  # which remembers what was good
    place.rename(real)
    place.symlink_to(real if leads == "to the file" else tmp_path / "gone")
    for _ in range(2):
        seen = status.status(town, town)
        assert seen.ready == (kind == "machine")
        (wrong,) = (one for one in seen.problems if one.kind == "invalid_file")
        assert wrong.subject == path
        assert wrong.text.startswith("is a symbolic link, and a town holds plain files")
    (problem,) = lint.problems(town, lint.all_paths(town))
    assert problem.path == path
    (found,) = (one for one in doctor.examine(town) if path in one.text)
    assert (found.state, found.hint) == (FAIL, problem.hint)
    assert wrong.command in found.hint
    with pytest.raises(Refused, match="is a symbolic link") as refused, town.change("x") as change:
        change.write(path, b"")
    assert refused.value.hint == found.hint
    if kind == "bead":
        with pytest.raises(InvalidFile if leads == "to the file" else NotFound):
            town.bead(bead.id)
    subprocess.run(["sh", "-ec", wrong.command], cwd=town.root, check=True)
    if leads == "nowhere":
        real.rename(place)
    assert not lint.problems(town, lint.all_paths(town))
    assert status.status(town, town).ready == 1


RIG_FILE = "name: green\nprefix: gr\ngit: /nowhere\nbranch: main\n"
SLIPS = {
    "town.yaml": ("name: demo\nprefix: hq\nversion: 1\ndeacon: {qiet: 5m}\n", "deacon.qiet", "quiet"),
    "agents/odd.yaml": ("name: odd\ncommand: [sh]\npromt: {mode: none}\n", "promt", "prompt"),
    "rigs/green/rig.yaml": (f"{RIG_FILE}gates: [{{run: 'true', retires: 2}}]\n", "gates[0].retires", "retries"),
    "rigs/blue/rig.yaml": (RIG_FILE.replace("green", "blue") + "Gates: []\n", "Gates", "gates"),
}


@pytest.mark.parametrize("path", SLIPS)
def test_a_key_one_letter_off_is_named_by_lint_status_and_doctor_alike(town: Town, path: str) -> None:
    text, key, meant = SLIPS[path]
    place = Path(town.root, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text.replace("name: demo", f"name: {town.name}").replace("prefix: hq", f"prefix: {town.prefix}"))
    found = lint.problems(town, lint.all_paths(town))
    assert [(one.path, one.key) for one in found] == [(path, key)]
    assert f"did you mean `{meant}`?" in str(found[0])
    for known in (False, True, True):
        assert [str(one) for one in sound.problems(town, known=known)] == [str(one) for one in found]
    assert [one.text for one in doctor.examine(town) if one.check == "files"] == [str(one) for one in found]
    place.write_text(place.read_text().replace(key.rpartition(".")[2], "x-mine"))
    assert not lint.problems(town, lint.all_paths(town))


def test_a_key_of_a_bead_one_letter_off_is_named_at_every_look_and_the_bead_stays(town: Town) -> None:
    bead = beads.create(town, beads.Draft("Work"))
    place = Path(town.root, bead.path)
    text = place.read_text()
    place.write_text(f"{text}need: [hq-abcd1]\n")
    os.utime(place, (1_700_000_000, 1_700_000_000))  # older than any clock tick of the index's cache
    for _ in range(3):
        (found,) = lint.problems(town, lint.all_paths(town))
        assert "did you mean `needs`?" in str(found)
        assert [one.text for one in doctor.examine(town) if one.check == "beads"] == [str(found)]
        said = [one for one in status.status(town, town).problems if one.kind == "invalid_file"]
        assert [(one.subject, one.text) for one in said] == [(bead.path, found.reason)]
        assert town.index().problems == []
        assert bead.id in town.index().by_id
    place.write_text(f"{text}x-need: [hq-abcd1]\n")
    assert not lint.problems(town, lint.all_paths(town))
    assert not town.index().slips


def test_a_bead_where_no_rig_can_be_is_named(town: Town) -> None:
    place = Path(town.root, "rigs/No Rig/beads/2026-01-01/hq-abcd1.yaml")
    place.parent.mkdir(parents=True)
    place.write_text("id: hq-abcd1\ntitle: x\ncreated: {at: 2026-01-01T00:00:00Z, by: x}\n")
    (problem,) = lint.problems(town, lint.all_paths(town))
    assert "'No Rig' cannot name a rig" in str(problem)


def test_circles_that_came_by_a_merge_are_named_with_what_to_do(town: Town) -> None:
    first, second, third = (beads.create(town, beads.Draft(title)) for title in ("one", "two", "three"))
    first, second = sorted((first, second), key=lambda bead: bead.id)

    def body(change: Change) -> None:
        """What two machines did, each with one half."""
        for one, other in ((first, second), (second, first)):
            half = change.bead(one.id)
            half.set("needs", [other.id])
            change.save(half)
        alone = change.bead(third.id)
        alone.set("parent", third.id)
        change.save(alone)
        change.emit("sync", "merged")

    town.transact("sync", body)
    needs, parents = (one for one in doctor.examine(town) if one.check == "beads")
    assert (needs.state, parents.state) == (WARN, WARN)
    assert f"{first.id} needs {second.id} needs {first.id}" in needs.text
    assert needs.hint.endswith(f"gt bead dep remove {first.id} {second.id}")
    assert f"{third.id} is below {third.id}" in parents.text
    assert parents.hint.endswith(f'gt update {third.id} --parent ""')
    (told,) = status.status(town, town).problems
    assert (told.kind, told.subject) == ("circle", first.id)
    assert f"{first.id} needs {second.id} needs {first.id}" in told.text
    assert told.command == f"gt bead dep remove {first.id} {second.id}"
    beads.remove_needs(town, first.id, [second.id])
    beads.update(town, third.id, beads.Edit(parent=""))
    assert states(town, "beads") == [OK]
    assert not status.status(town, town).problems


def torn(town: Town, sha: str) -> Path:
    """The file of an object, emptied as a power loss does."""
    path = Path(town.root, ".git/objects", sha[:2], sha[2:])
    path.chmod(0o644)
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize("what", ["HEAD", "HEAD^{tree}", "HEAD:town.yaml"])
@pytest.mark.parametrize("gone", [False, True], ids=["empty", "gone"])
def test_a_damaged_object_is_named_with_the_way_back(gt: Runner, town: Town, what: str, gone: bool) -> None:
    gt("create", "before")
    if what == "HEAD:town.yaml":
        gt("config", "set", "sync.interval", "90s")
    bead = gt("create", "after", "-q").out.strip()
    sha = git("rev-parse", what, cwd=town.root)
    path = torn(town, sha)
    if gone:
        path.unlink()
    (found,) = [one for one in gt("doctor", "--json", code=1).json["findings"] if one["check"] == "objects"]
    assert (found["state"], sha in found["text"]) == ("error", True)
    if what != "HEAD:town.yaml":
        refused = gt("create", "more", code=1)
        assert sha in refused.err
        assert "gt doctor" in refused.err
    command = found["hint"].partition(": ")[2].removesuffix("; then gt doctor")
    subprocess.run(["sh", "-ec", command], check=True)
    assert gt("show", bead, "--json").json["title"] == "after"
    gt("create", "more")
    assert states(town, "objects") == [OK]
    handedits.commit(town, editable.uncommitted(town.root))
    assert git("status", "--porcelain", cwd=town.root) == ""
    git("fsck", "--strict", cwd=town.root)


def test_a_deacon_that_ends_at_once_says_why(gt: Runner, town: Town) -> None:
    sha = git("rev-parse", "HEAD", cwd=town.root)
    torn(town, sha)
    refused = gt("up", code=1)
    assert "the deacon ended at once" in refused.err
    assert sha in refused.err
    assert "gt doctor" in refused.err
