"""Hand edits by every kind of editor, seen by a real deacon."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gastown.store.change import Change
from tests.conftest import git, run_gt
from tests.deacon.ground import Ground


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def slowly(path: Path, text: str) -> None:
    with open(path, "w") as file:
        for line in text.splitlines(keepends=True):
            file.write(line)
            file.flush()
            time.sleep(0.01)


def over(path: Path, text: str) -> None:
    spare = path.with_name("new-version")
    spare.write_text(text)
    os.replace(spare, path)


def with_backup(path: Path, text: str) -> None:
    """As vim does with `backupcopy=no`."""
    path.with_name("4913").write_text("")
    path.with_name("4913").unlink()
    backup = path.with_name(path.name + "~")
    path.rename(backup)
    path.write_text(text)
    backup.unlink()


def by_sed(path: Path, text: str) -> None:
    title = next(line for line in text.splitlines() if line.startswith("title:"))
    subprocess.run(["sed", "-i", f"s/^title:.*/{title}/", str(path)], check=True)


@pytest.mark.parametrize("write", [in_place, slowly, over, with_backup, by_sed])
def test_every_editor_is_noticed(ground: Ground, write: Callable[[Path, str], None]) -> None:
    bead = ground.bead("before", rig=None)
    ground.start()
    path = ground.file(bead)
    write(path, path.read_text().replace("before", "after"))
    event = ground.event("hand_edit")
    assert event["bead"] == bead
    assert event["actor"] == "overseer"
    assert "title" in event["text"]
    ground.until(lambda: git("status", "--porcelain", cwd=ground.root) == "")
    authors = git("log", "-3", "--format=%an %s", cwd=ground.root)
    assert f"Pat Overseer hand_edit: {bead} (title)" in authors
    assert "title: after" in git("show", f"HEAD:{ground.town.bead_path(bead)}", cwd=ground.root)


def test_an_invalid_file_is_reported_once_and_left_alone(ground: Ground) -> None:
    bead = ground.bead("fine", rig=None)
    child = ground.start()
    path = ground.file(bead)
    broken = path.read_text().replace("priority: 2", "priority: soon")
    path.write_text(broken)
    event = ground.event("invalid_file")
    assert bead in event["text"]
    assert "priority" in event["text"]
    message = ground.until(ground.mail)[0]
    assert f"{bead}.yaml" in message
    assert "priority" in message
    path.write_text(broken)  # saved again, as it was
    child.send_signal(signal.SIGKILL)
    child.wait()
    first = ground.mark
    ground.start()
    other = ground.bead("marker", rig=None)
    ground.edit(other, "marker", "marked")
    ground.event("hand_edit", lambda one: one.get("bead") == other)
    assert path.read_text() == broken
    assert len(ground.mail()) == 1
    assert len(ground.events("invalid_file", since=first)) == 1
    assert "priority: 2" in git("show", f"HEAD:{ground.town.bead_path(bead)}", cwd=ground.root)
    path.write_text(broken.replace("soon", "1"))
    ground.event("hand_edit", lambda one: one.get("bead") == bead)


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        ("mail/.groups.yaml", "groups:\n  devs: mayor\n", "the group devs must be a list of addresses"),
        ("mail/.groups.yaml", "groups: [\n", "not YAML"),
        ("machines/anvil.yaml", "name: other\n", "machines/anvil.yaml"),
        ("agents/mine.yaml", "name: mine\n", "agents/mine.yaml"),
        ("beads/hq-typed.yaml", "id: hq-typed\ntitle: x\n", "beads lie in beads/<day>/<id>.yaml"),
    ],
)
def test_no_file_that_cannot_be_used_is_committed(ground: Ground, path: str, text: str, why: str) -> None:
    ground.start()
    (ground.root / path).write_text(text)
    assert why in ground.event("invalid_file", lambda one: path in one["text"])["text"]
    assert path in git("status", "--porcelain", cwd=ground.root)
    assert why in run_gt("lint", cwd=ground.root, code=1).out
    assert any(path in line for line in run_gt("doctor", cwd=ground.root, code=1).lines)


@pytest.mark.parametrize(("name", "why"), [("Crew.md", "roles/crew.md but for case"), ("a\\b.md", "leads elsewhere")])
def test_no_file_that_other_machines_would_refuse_is_committed(ground: Ground, name: str, why: str) -> None:
    ground.start()
    (ground.root / "roles" / name).write_text("text\n")
    assert why in ground.event("invalid_file", lambda one: name in one["text"])["text"]
    other = ground.bead("marker", rig=None)
    ground.edit(other, "marker", "marked")
    ground.event("hand_edit", lambda one: one.get("bead") == other)
    assert name not in git("ls-tree", "-r", "--name-only", "HEAD", cwd=ground.root)


def test_what_is_no_ordinary_file_is_told_of_once_and_waited_for_by_nobody(ground: Ground) -> None:
    bead = ground.bead("fine", rig=None)
    ground.start()
    folder = ground.file(bead).parent
    os.mkfifo(folder / "hq-pipe1.yaml")
    (folder / "hq-link1.yaml").symlink_to("/nonexistent")
    for name, why in (("hq-pipe1", "it is no ordinary file"), ("hq-link1", "is a symbolic link")):
        assert why in ground.event("invalid_file", lambda one, name=name: name in one["text"])["text"]
    ground.edit(bead, "title: fine", "title: better")
    ground.event("hand_edit", lambda one: one.get("bead") == bead)
    ground.until(lambda: len(ground.mail()) == 2)
    out = run_gt("lint", cwd=ground.root, code=1).out
    assert "hq-pipe1.yaml: cannot be read" in out
    assert "hq-link1.yaml: is a symbolic link, and a town holds plain files; it leads nowhere" in out
    assert len(ground.events("invalid_file")) == 2


def test_what_is_reported_is_shown_and_used_by_nobody(ground: Ground) -> None:
    """One check at every door: what the deacon refuses, no command takes for a bead."""
    bead = ground.bead("fine", rig=None)
    ground.start()
    ground.edit(bead, "status: open", "status: open\n\nassignee: ../../etc")
    ground.event("invalid_file", lambda one: bead in one["text"])
    head = git("rev-parse", f"HEAD:{ground.town.bead_path(bead)}", cwd=ground.root)
    for words in (("close", bead, "-r", "x"), ("note", bead, "-m", "x"), ("show", bead)):
        assert "must be an address" in run_gt(*words, cwd=ground.root, code=1).err
    assert "must be an address" in run_gt("status", cwd=ground.root, code=None).out
    assert run_gt("list", "--json", cwd=ground.root, code=None).json == []
    assert git("rev-parse", f"HEAD:{ground.town.bead_path(bead)}", cwd=ground.root) == head


def test_the_line_of_a_syntax_error_is_told(ground: Ground) -> None:
    bead = ground.bead("fine", rig=None)
    ground.start()
    path = ground.file(bead)
    path.write_text(path.read_text() + "\nlabels: [a\n")
    ground.event("invalid_file", lambda one: f"{bead}.yaml:" in one["text"])


def test_what_was_edited_while_no_deacon_ran_is_committed_when_one_comes(ground: Ground) -> None:
    bead = ground.bead("before", rig=None)
    ground.edit(bead, "before", "after")
    ground.start()
    assert ground.event("hand_edit")["bead"] == bead


def test_a_git_command_under_way_is_waited_for(ground: Ground) -> None:
    bead = ground.bead("before", rig=None)
    ground.start()
    head = git("rev-parse", "HEAD", cwd=ground.root)
    sign = ground.root / ".git/MERGE_HEAD"
    sign.write_text(head + "\n")
    ground.edit(bead, "before", "after")
    time.sleep(1.0)  # nothing may happen: there is no event to wait for
    assert git("rev-parse", "HEAD", cwd=ground.root) == head, ground.told()
    sign.unlink()
    ground.event("hand_edit")


def test_changes_of_gt_itself_cause_nothing(ground: Ground) -> None:
    bead = ground.bead("quiet", rig=None)
    ground.start()
    run_gt("note", bead, "-m", "a note", cwd=ground.root)
    head = git("rev-parse", "HEAD", cwd=ground.root)
    time.sleep(1.5)
    assert git("rev-parse", "HEAD", cwd=ground.root) == head


def test_new_and_removed_files_are_committed(ground: Ground) -> None:
    bead = ground.bead("first", rig=None)
    ground.start()
    path = ground.file(bead)
    copy = path.with_name("hq-zzzzz.yaml")
    copy.write_text(path.read_text().replace(bead, "hq-zzzzz"))
    ground.event("hand_edit", lambda one: one.get("bead") == "hq-zzzzz")
    copy.unlink()
    ground.event("hand_edit", lambda one: "removed" in one["text"])
    ground.until(lambda: git("status", "--porcelain", cwd=ground.root) == "")


def test_a_held_bead_that_was_removed_may_be_brought_back(ground: Ground) -> None:
    bead = ground.bead("held", rig=None)

    def hold(change: Change) -> None:
        found = change.bead(bead)
        found.set("assignee", "mayor")
        found.move("hooked")
        found.move("in_progress")
        change.save(found)
        change.emit("edit", "begun", bead=bead)

    ground.town.transact("edit", hold)
    ground.start()
    path = ground.file(bead)
    text = path.read_text()
    path.unlink()
    ground.event("hand_edit", lambda one: "removed" in one["text"])
    path.write_text(text)
    ground.event("hand_edit", lambda one: one.get("bead") == bead and "removed" not in one["text"])
    ground.until(lambda: git("status", "--porcelain", cwd=ground.root) == "")
    assert ground.events("invalid_file") == []
    run_gt("deacon", "stop", cwd=ground.root)
    git("rm", "-q", str(path), cwd=ground.root)
    git("commit", "-qm", "gone", cwd=ground.root)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    git("add", str(path), cwd=ground.root)
    git("commit", "-qm", "back", cwd=ground.root)


def test_who_types_or_renames_a_bead_is_told_how(ground: Ground) -> None:
    bead = ground.bead("first", rig=None)
    ground.start()
    path, lies = ground.file(bead), ground.town.bead_path(bead)
    for name, text, said, hint in (
        ("hq-typed", "title: typed\n", "the file's name without .yaml", "or remove it"),
        ("hq-later", "id: hq-later\ntitle: x\n", "created: {at: 2026-01-31T09:30:00Z, by: overseer}", "or remove it"),
        ("hq-other", path.read_text(), f"{bead}, which lies in {lies} already", "remove this copy"),
    ):
        path.with_name(f"{name}.yaml").write_text(text)
        assert said in ground.event("invalid_file", lambda one, name=name: name in one["text"])["text"]
        mail = ground.until(lambda name=name: next((one for one in ground.mail() if f"/{name}.yaml" in one), None))
        assert hint in mail
        assert "git checkout" not in mail


def test_a_bead_whose_moved_file_cannot_be_used_stays_where_it_was(ground: Ground) -> None:
    """Half of a move would take it from every other machine."""
    bead, other = ground.bead("first", rig=None), ground.bead("marker", rig=None)
    ground.start()
    path, lies = ground.file(bead), str(ground.town.bead_path(bead))
    now = path.rename(path.with_name(f"{bead}-old.yaml"))
    told = ground.event("invalid_file", lambda one: one["data"]["path"] == lies)["text"]
    assert f"bead {bead} is gone from here and lies in {lies.replace(bead, f'{bead}-old')}" in told
    mail = ground.until(lambda: next((one for one in ground.mail() if "is gone from here" in one), None))
    assert f"mend {lies.replace(bead, f'{bead}-old')}, and both go" in " ".join(mail.split())
    ground.edit(other, "marker", "marked")
    ground.event("hand_edit", lambda one: one.get("bead") == other)
    assert bead in git("ls-tree", "-r", "--name-only", "HEAD", cwd=ground.root)
    day = path.parent.with_name("2026-01-02")
    day.mkdir()
    now.rename(day / path.name)
    ground.event("hand_edit", lambda one: bead in one["text"])
    ground.until(lambda: git("status", "--porcelain", cwd=ground.root) == "")
    assert ground.town.bead_path(bead) == f"beads/2026-01-02/{bead}.yaml"


def test_a_rig_whose_folder_was_renamed_goes_whole_once_its_file_says_so(ground: Ground, git_repo) -> None:
    ground.rig(git_repo("app", {"README.md": "# app\n"}, bare=True))
    bead = ground.bead("in the rig")
    ground.start()
    git("mv", "rigs/app", "rigs/web", cwd=ground.root)
    ground.event("invalid_file", lambda one: one["data"]["path"] == "rigs/app/rig.yaml")
    ground.event("invalid_file", lambda one: one["data"]["path"] == "rigs/web/rig.yaml")
    assert {"rigs/app/rig.yaml", str(ground.town.bead_path(bead)).replace("web", "app")} <= set(
        git("ls-tree", "-r", "--name-only", "HEAD", cwd=ground.root).splitlines()
    )
    assert "rigs/web/" not in git("ls-tree", "-r", "--name-only", "HEAD", cwd=ground.root)
    file = ground.root / "rigs/web/rig.yaml"
    file.write_text(file.read_text().replace("name: app", "name: web"))
    ground.event("hand_edit", lambda one: "rigs/web/rig.yaml" in one["data"]["paths"])
    ground.until(lambda: git("status", "--porcelain", cwd=ground.root) == "")
    assert "rigs/app/" not in git("ls-tree", "-r", "--name-only", "HEAD", cwd=ground.root)


def test_a_held_bead_may_be_moved_to_another_day(ground: Ground) -> None:
    bead = ground.bead("held", rig=None)

    def hold(change: Change) -> None:
        found = change.bead(bead)
        found.set("assignee", "mayor")
        found.move("hooked")
        found.move("in_progress")
        change.save(found)
        change.emit("edit", "begun", bead=bead)

    ground.town.transact("edit", hold)
    ground.start()
    path = ground.file(bead)
    day = path.parent.with_name("2026-01-02")
    day.mkdir()
    path.rename(day / path.name)
    ground.event("hand_edit", lambda one: bead in one["text"])
    ground.until(lambda: git("status", "--porcelain", cwd=ground.root) == "")
    assert ground.events("invalid_file") == []


def test_mail_moved_by_a_mail_program_is_committed(ground: Ground) -> None:
    run_gt("mail", "send", "mayor", "-s", "hello", "-m", "text", cwd=ground.root)
    ground.start()
    box = ground.root / "mail/mayor"
    message = next(box.glob("new/[0-9]*"))
    message.rename(box / "cur" / f"{message.name}:2,S")
    ground.event("hand_edit", lambda one: "mayor" in one["text"])
    ground.until(lambda: git("status", "--porcelain", cwd=ground.root) == "")


def test_a_town_that_is_deleted_ends_its_deacon(ground: Ground) -> None:
    child = ground.start()
    shutil.rmtree(ground.root, ignore_errors=True)
    shutil.rmtree(ground.root, ignore_errors=True)
    assert child.wait(20) == 0
    assert "moved or deleted" in (child.stdout.read() if child.stdout else "")
    assert not ground.root.exists()


def test_a_town_that_is_moved_ends_its_deacon_and_may_have_another(ground: Ground) -> None:
    child = ground.start()
    ground.root.rename(ground.root.with_name("elsewhere"))
    assert child.wait(20) == 0
    ground.root.with_name("elsewhere").rename(ground.root)
    ground.start()


def test_a_second_deacon_is_told_who_is_the_first(ground: Ground) -> None:
    child = ground.start()
    ran = run_gt("deacon", "run", cwd=ground.root, code=3)
    assert f"process {child.pid}" in ran.err
    child.send_signal(signal.SIGKILL)
    child.wait()
    ground.start()


def test_a_deacon_whose_lock_was_removed_ends_before_there_are_two(ground: Ground) -> None:
    child = ground.start()
    (ground.root / ".gt/run/deacon.lock").unlink()
    assert child.wait(20) == 0
    assert "its lock was removed" in (ground.root / ".gt/log/deacon.log").read_text()
    other = ground.start()
    assert run_gt("deacon", "status", "--json", cwd=ground.root).json["pid"] == other.pid


def test_town_yaml_may_be_edited_by_any_editor(ground: Ground) -> None:
    child = ground.start()
    path = ground.root / "town.yaml"
    with_backup(path, path.read_text() + "\nmax_polecats: 3\n")
    ground.event("hand_edit", lambda one: "town.yaml" in one["text"])
    assert child.poll() is None
