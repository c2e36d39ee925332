"""One folder, one machine: a copy is told from a folder that was moved, and may read and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gastown.model.errors import Refused
from gastown.services.agents import wiring
from gastown.services.claims import claims, ownclaims
from gastown.services.machines import machine, rename
from gastown.services.sessions import attempts
from gastown.services.sync.sync import sync
from gastown.store import host, identity, layout
from gastown.store.town import Town, open_town
from tests.conftest import Runner, git, run_gt
from tests.sync.ground import Ground, bead, check_clean, note, tree


def copy(town: Town, place: Path) -> Town:
    """What `cp -r` makes of a town's folder."""
    shutil.copytree(town.root, place, symlinks=True)
    return open_town(str(place), clock=town.clock)


def state(town: Town) -> str:
    return identity.standing(town.root, town.clock()).state


# -- a copy of the folder -------------------------------------------------------------------------
def test_a_copy_reads_and_does_not_write_and_the_original_goes_on(town: Town, tmp_path: Path) -> None:
    copied = copy(town, tmp_path / "copied")
    assert (state(town), state(copied)) == ("home", "copy")
    refused = run_gt("create", "from the copy", cwd=copied.root, code=5)
    assert f"a copy of {town.root}, which is machine anvil" in refused.err
    assert "gt machine rename NEW" in refused.err
    run_gt("create", "from the original", cwd=town.root)
    for command in (("list",), ("machine", "list"), ("info",), ("feed",), ("ready", "--json")):
        run_gt(*command, cwd=copied.root)
    assert git("status", "--porcelain", cwd=copied.root) == ""


@pytest.mark.parametrize(
    "command",
    [
        ("estop",), ("thaw",), ("down",), ("up",), ("deacon", "start"), ("deacon", "stop"), ("deacon", "run"),
        ("doctor", "--fix"), ("nudge", "mayor", "hello"), ("broadcast", "hello"), ("mail", "send", "mayor", "-s", "s",
        "-m", "m"), ("machine", "retire", "anvil", "--force"), ("machine", "join"),
    ],
)  # fmt: skip
def test_nothing_is_done_in_the_originals_name(town: Town, tmp_path: Path, command: tuple[str, ...]) -> None:
    note_estop = layout.run(town.root, "estop.json")
    os.makedirs(os.path.dirname(note_estop), exist_ok=True)
    Path(note_estop).write_text("{}")
    copied = copy(town, tmp_path / "copied")
    before = git("rev-parse", "HEAD", cwd=copied.root)
    assert "is a copy of" in run_gt(*command, cwd=copied.root, code=5).err
    assert git("rev-parse", "HEAD", cwd=copied.root) == before
    assert Path(layout.run(copied.root, "estop.json")).read_text() == "{}"


def test_a_copy_does_not_send(ground: Ground) -> None:
    here = ground.towns["anvil"]
    copied = copy(here, ground.base / "copied")
    with pytest.raises(Refused, match="is a copy of"):
        sync(copied)
    with pytest.raises(Refused, match="is a copy of"):
        claims.claim(copied, bead(here), 1, claimant="greenplace/toast")
    sync(here)


def test_a_copy_becomes_a_machine_of_its_own(ground: Ground) -> None:
    here = ground.towns["anvil"]
    made = bead(here, "Held", assignee="greenplace/toast", machine="anvil", status="hooked")
    sync(here)
    claims.claim(here, made, 1, claimant="greenplace/toast")
    os.makedirs(layout.run(here.root, "sessions", "s-20261123-0a1b"))
    copied = copy(here, ground.base / "copied")
    done = rename.rename(copied, "brick")
    assert (done.how, done.old, done.new, done.beads) == ("apart", "anvil", "brick", ())
    assert (copied.machine, state(copied), here.machine, state(here)) == ("brick", "home", "anvil", "home")
    assert Path(copied.root, done.aside, "run/sessions/s-20261123-0a1b").is_dir()
    assert not os.path.exists(layout.run(copied.root, "sessions"))
    held = claims.held(copied, made)
    assert held is not None
    assert not ownclaims.is_ours(copied, held)
    assert ownclaims.is_ours(here, held)
    note(copied, made, "from brick")
    note(here, made, "from anvil")
    for one in (copied, here, copied):
        sync(one)
    assert tree(here) == tree(copied)
    assert here.bead(made).machine == "anvil"
    assert [one.name for one in machine.machines(here, "anvil")[0]] == ["anvil", "brick"]
    ids = [one.doc["id"] for one in machine.machines(here, "anvil")[0]]
    assert len(set(ids)) == 2
    events = list(here.events())
    assert len({one["id"] for one in events}) == len(events)
    assert {one["id"].rsplit("-", 2)[0] for one in events} == {"anvil", "brick"}
    assert wiring.wire(copied) == []
    for one in (here, copied):
        check_clean(one)


def test_a_copied_record_is_no_leave_to_signal(town: Town, tmp_path: Path) -> None:
    from gastown.runtime import sessions, starting
    from gastown.runtime.sessions import SessionSpec

    run = attempts.run_dir(town)
    spec = SessionSpec("s-20261123-0a1b", "mayor", ["sleep", "60"], str(tmp_path), dict(os.environ))
    record = starting.start(spec, run=run, socket=attempts.socket(town), runtime="process", now=time.time())
    try:
        copied = copy(town, tmp_path / "copied")
        twin = sessions.load(attempts.run_dir(copied), record.id)
        with pytest.raises(Refused, match="is a copy of"):
            sessions.stop(twin)
        assert "is a copy of" in run_gt("session", "stop", record.id, cwd=copied.root, code=5).err
        assert sessions.liveness(record) in attempts.LIVE
        rename.rename(copied, "brick")
        assert run_gt("session", "list", cwd=copied.root).out == ""
        assert run_gt("session", "list", "--json", cwd=town.root).json[0]["id"] == record.id
    finally:
        assert sessions.stop(record, 0.5)


# -- a folder that was moved ----------------------------------------------------------------------
def test_a_moved_town_works_and_says_nothing(town: Town, tmp_path: Path, git_repo: Callable[..., Path]) -> None:
    repo = git_repo("app")
    run_gt("rig", "add", "app", str(repo), cwd=town.root)
    work = ("app", "--agent", "exec", "--wait", "--", "sh", "-c")
    run_gt("sling", "--title", "work", *work, "echo x > x", cwd=town.root)
    kept = run_gt("create", "later", "--rig", "app", "-q", cwd=town.root).out.strip()
    moved = tmp_path / "elsewhere" / "demo"
    moved.parent.mkdir()
    os.rename(town.root, moved)
    ran = run_gt("list", "--json", cwd=moved)
    assert ran.err == ""
    assert state(open_town(str(moved))) == "home"
    worker = next(path for path in (moved / "work/app").iterdir() if (path / ".git").is_file())
    assert git("rev-parse", "--git-common-dir", cwd=worker) == str(moved / "work/app/.repo.git")
    assert str(moved) in git("worktree", "list", cwd=moved / "work/app/.repo.git")
    assert str(town.root) + "/" not in git("worktree", "list", cwd=moved / "work/app/.repo.git")
    assert git("config", "merge.gt.driver", cwd=moved).startswith(f"{moved}/")
    run_gt("sling", kept, *work, "echo y > y", cwd=moved)
    assert git("show", "main:y", cwd=moved / "work/app/.repo.git") == "y"
    assert "doctor_fix" not in [event["type"] for event in open_town(str(moved)).events()]


def test_another_way_to_the_same_folder_is_no_move(town: Town, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(town.root)
    before = Path(identity.path(town.root)).read_bytes()
    run_gt("create", "by the link", cwd=tmp_path / "way")
    assert Path(identity.path(town.root)).read_bytes() == before


def test_what_was_put_back_from_a_backup_is_the_machine(town: Town, tmp_path: Path) -> None:
    shutil.copytree(town.root, tmp_path / "backup", symlinks=True)
    shutil.rmtree(town.root)
    os.mkdir(tmp_path / "takes the inode")
    shutil.copytree(tmp_path / "backup", town.root, symlinks=True)
    run_gt("create", "still here", cwd=town.root)


# -- another computer -----------------------------------------------------------------------------
def test_a_folder_from_another_computer_asks_once(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    one = identity.read(town.root)
    assert one is not None
    identity.write(town.root, identity.Identity(one.name, one.id, "0" * 32, one.root, one.inode, one.instances))
    if not host.computer():
        pytest.skip("this system has no id of its own")
    refused = run_gt("create", "x", cwd=town.root, code=5)
    assert "came from another computer, where it is machine anvil" in refused.err
    assert "anvil" in run_gt("machine", "join", "--here", cwd=town.root).out
    run_gt("create", "x", cwd=town.root)


def test_a_system_without_an_id_concludes_nothing(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "computer", lambda: "")
    assert state(town) == "home"
    identity.settle(town.root)
    monkeypatch.undo()
    assert state(town) == "home"


def boots(monkeypatch: pytest.MonkeyPatch, name: str, began: float) -> None:
    monkeypatch.setattr(host, "boot", lambda: name)
    monkeypatch.setattr(host, "started", lambda now: began)


def test_a_cloned_disk_is_noticed_through_the_town(
    ground: Ground, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is alike on both, the id of the computer too; only that each runs on its own."""
    here = ground.towns["anvil"]
    shared = Path(here.root)
    boots(monkeypatch, "first", clock.now - 3600)
    note(here, bead(here), "before")
    assert machine.keep_seen(here)
    sync(here)
    shutil.copytree(here.root, ground.base / "image", symlinks=True)

    def on_clone(act: Callable[[], object]) -> None:
        """On the other disk the folder stands at the same place, with the same number."""
        os.rename(shared, ground.base / "aside")
        os.rename(ground.base / "image", shared)
        identity.settle(str(shared))
        act()
        os.rename(shared, ground.base / "image")
        os.rename(ground.base / "aside", shared)

    clock.advance(3 * 3600)
    boots(monkeypatch, "second", clock.now - 60)

    def work() -> None:
        note(here, bead(here), "on the clone")
        assert machine.keep_seen(here)
        sync(here)

    on_clone(work)
    boots(monkeypatch, "first", clock.now - 4 * 3600)
    here.refresh()
    assert state(here) == "home"
    with pytest.raises(Refused, match="another clone of this town writes as machine anvil"):
        sync(here)  # what came tells of it
    assert state(here) == "twin"
    with pytest.raises(Refused, match="another clone of this town writes as machine anvil"):
        bead(here)
    assert machine.rejoin(here, here=True)
    sync(here)
    note(here, bead(here), "the true one")

    def find_out() -> None:
        boots(monkeypatch, "second", clock.now - 3600)
        here.refresh()
        with pytest.raises(Refused, match="another clone"):
            sync(here)
        clock.advance(1)
        assert state(here) == "twin"
        assert rename.rename(here, "brick").how == "apart"
        note(here, bead(here), "as brick")
        sync(here)

    on_clone(find_out)
    boots(monkeypatch, "first", clock.now - 8 * 3600)
    here.refresh()
    sync(here)
    assert state(here) == "home"
    assert {one.name for one in machine.machines(here, here.machine)[0]} == {"anvil", "brick"}


def test_a_restart_is_silent(ground: Ground, clock, monkeypatch: pytest.MonkeyPatch) -> None:
    here = ground.towns["anvil"]
    for number in range(3):
        boots(monkeypatch, f"boot {number}", clock.now - 60)
        note(here, bead(here), str(number))
        machine.keep_seen(here)
        sync(here)
        assert state(here) == "home"
        clock.advance(86_400)


def test_a_backup_from_before_a_restart_is_the_machine(ground: Ground, clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The town tells of a run of which the backup knows nothing; it was over before this one began."""
    here = ground.towns["anvil"]
    boots(monkeypatch, "first", clock.now - 60)
    shutil.copytree(here.root, ground.base / "backup", symlinks=True)
    clock.advance(3600)
    boots(monkeypatch, "second", clock.now - 60)
    note(here, bead(here), "not in the backup")
    assert machine.keep_seen(here)
    sync(here)
    shutil.rmtree(here.root)
    shutil.copytree(ground.base / "backup", here.root, symlinks=True)
    clock.advance(3600)
    boots(monkeypatch, "third", clock.now - 60)
    here = open_town(here.root, clock=clock)
    sync(here)
    assert state(here) in ("home", "moved")
    note(here, bead(here), "goes on")
    assert machine.keep_seen(here)
    sync(here)
    check_clean(here)


def test_two_that_took_one_name_at_once(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both joined before they heard of each other: the name is the one's that the town knows."""
    here, there = ground.towns["anvil"], ground.add("brick")
    one = identity.read(there.root)
    assert one is not None
    with there.change("x") as change:
        change.remove("machines/brick.yaml")
    identity.write(there.root, identity.placed(there.root, identity.Identity("anvil", "f" * 16)))
    there.refresh()
    with pytest.raises(Refused, match="two computers took the name anvil"):
        bead(there)
    assert rename.rename(there, "brick").how == "apart"
    sync(there)
    sync(here)
    assert here.machine == "anvil"
    assert there.machine == "brick"


def test_a_killed_rename_has_happened_or_not(town: Town, gt: Runner) -> None:
    """Between the commit and the last word about it the new name counts already."""
    script = (
        "import os, sys\nfrom gastown.services.machines import rename\nfrom gastown.store import identity\n"
        "from gastown.store.town import open_town\nkeep = identity.write\n"
        "def write(root, one, *, following=None):\n"
        "    keep(root, one, following=following) if following else os._exit(9)\n"
        "identity.write = write\nrename.rename(open_town(sys.argv[1]), 'brick')\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, town.root], cwd=Path(__file__).parents[2])
    assert killed.returncode == 9
    assert open_town(town.root).machine == "brick"
    gt("create", "goes on")
    assert "is this machine's name already" in gt("machine", "rename", "brick").out
    assert "next" not in Path(identity.path(town.root)).read_text()
    assert [one["name"] for one in gt("machine", "list", "--json").json] == ["brick"]


# -- without its .gt --------------------------------------------------------------------------------
def clean(town: Town) -> Town:
    """What `git clean -fdx` leaves of a town: all that git ignores is gone."""
    shutil.rmtree(layout.local(town.root), ignore_errors=True)
    return open_town(town.root, clock=town.clock)


def test_after_a_git_clean_it_is_the_same_machine(ground: Ground) -> None:
    here = ground.towns["anvil"]
    made = bead(here, "Held", assignee="greenplace/toast", machine="anvil", status="hooked")
    sync(here)
    claims.claim(here, made, 1, claimant="greenplace/toast")
    was = identity.read(here.root)
    git("clean", "-fdxq", cwd=here.root)
    assert not os.path.exists(layout.local(here.root))
    here = open_town(here.root, clock=here.clock)
    assert state(here) == "moved"
    run_gt("status", cwd=here.root)
    now = identity.read(here.root)
    assert was is not None
    assert now is not None
    assert (now.name, now.id, now.salt) == (was.name, was.id, was.salt)
    assert os.path.exists(identity.path(here.root))
    assert state(here) == "home"
    assert run_gt("machine", "list", "--json", cwd=here.root).json[0]["here"]
    held = claims.held(here, made)
    assert held is not None
    assert ownclaims.is_ours(here, held)
    note(here, made, "goes on")
    sync(here)
    assert [one.name for one in machine.machines(here, "anvil")[0]] == ["anvil"]
    assert state(here) == "home"
    check_clean(here)


def test_a_copy_without_its_gt_is_a_copy_and_the_original_without_it_the_machine(town: Town, tmp_path: Path) -> None:
    copied = clean(copy(town, tmp_path / "copied"))
    assert (state(town), state(copied)) == ("home", "copy")
    assert f"a copy of {town.root}" in run_gt("create", "from the copy", cwd=copied.root, code=5).err
    town = clean(town)
    assert (state(town), state(copied)) == ("moved", "copy")
    run_gt("create", "from the original", cwd=town.root)
    assert (state(town), state(copied)) == ("home", "copy")
    assert rename.rename(copied, "brick").how == "apart"
    assert (state(town), state(copied), copied.machine) == ("home", "home", "brick")
    assert (state(clean(copied)), clean(copied).machine) == ("moved", "brick")


def test_a_plain_clone_of_a_town_is_not_its_machine(town: Town, tmp_path: Path) -> None:
    git("clone", "--quiet", town.root, str(tmp_path / "plain"), cwd=tmp_path)
    assert identity.read(str(tmp_path / "plain")) is None


def test_a_folder_that_nothing_tells_of_may_be_said_to_be_the_machine_it_was(ground: Ground, gt: Runner) -> None:
    here = ground.towns["anvil"]
    made = bead(here, "Held", assignee="greenplace/toast", machine="anvil", status="hooked")
    sync(here)
    claims.claim(here, made, 1, claimant="greenplace/toast")
    os.unlink(identity.kept(here.root))
    shutil.rmtree(os.path.join(here.root, ".git/gt/claims"))
    here = clean(here)
    found = gt("doctor", "--json", cwd=here.root, code=1).json["findings"]
    (said,) = [one for one in found if one["check"] == "machine"]
    assert "the town knows anvil" in said["text"]
    assert "gt machine join anvil" in said["hint"]
    assert "gt machine retire" in said["hint"]
    gt("machine", "join", "bronze", cwd=here.root, code=6)
    gt("machine", "join", "anvil", cwd=here.root)
    here = open_town(here.root, clock=here.clock)
    assert (here.machine, state(here)) == ("anvil", "home")
    held = claims.held(here, made)
    assert held is not None
    assert ownclaims.is_ours(here, held)
    gt("machine", "join", "anvil", cwd=here.root, code=5)
    sync(here)
    assert [one.name for one in machine.machines(here, "anvil")[0]] == ["anvil"]
    check_clean(here)


def test_a_folder_without_its_gt_that_came_from_another_computer_asks(town: Town, monkeypatch) -> None:
    monkeypatch.setattr(host, "computer", lambda: "f" * 32)
    town = clean(town)
    assert state(town) == "copy"
    machine.rejoin(town, here=True)
    assert (state(town), town.machine) == ("home", "anvil")


@pytest.mark.parametrize("damage", ["", "\0\0\0", "name: [", "name: Not A Name\n"])
def test_a_damaged_name_is_read_from_where_it_is_kept_besides(town: Town, gt: Runner, damage: str) -> None:
    gt("create", "before")
    name = gt("machine", "show", "--json").json["name"]
    path, second = Path(identity.path(town.root)), Path(identity.kept(town.root))
    path.write_text(damage)
    gt("create", "after")
    assert gt("machine", "show", "--json").json["name"] == name
    for one in (path, second):
        one.write_text(damage)
    refused = gt("create", "more", code=1)
    command = refused.err.partition("which name to take: ")[2].splitlines()[0].partition("; gt doctor")[0]
    assert "git log" not in refused.err
    subprocess.run(["sh", "-c", command], check=True)
    assert not path.exists()
    assert "has no name here" in gt("doctor", code=1).out
