"""Joining a town from a second machine, and what makes plain git right in it: settings, hooks, refusals."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gastown.model.errors import GtError, Refused
from gastown.runtime import clones, remotes
from gastown.services.agents import wiring
from gastown.services.demo import demo
from gastown.services.machines import clone
from gastown.services.machines.init import make_town
from gastown.services.sync.sync import sync
from gastown.store.town import Town, open_town
from tests.conftest import PROJECT, gt_argv
from tests.store.towns import assert_sound, git

ME = ("-c", "user.name=a", "-c", "user.email=a@b")


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    path = tmp_path / "remote.git"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(path))
    return path


@pytest.fixture
def town(tmp_path: Path, remote: Path) -> Town:
    made = make_town(str(tmp_path / "first"), name="shared", remote=str(remote))
    return open_town(made.root)


def note(town: Town, title: str) -> str:
    with town.change("create") as change:
        bead = change.create(None, title=title)
        change.emit("create", title, bead=bead.id)
    return bead.id


def test_a_second_machine_joins(town, remote, tmp_path):
    joined = clone.clone(str(remote), str(tmp_path / "second"))
    other = open_town(joined.root)
    assert other.name == "shared"
    assert other.machine == joined.machine != town.machine
    assert sorted(other.names("machines")) == sorted([".gitkeep", f"{town.machine}.yaml", f"{joined.machine}.yaml"])
    assert wiring.wire(other) == []
    assert_sound(joined.root)
    assert git(joined.root, "config", "merge.renames") == "false"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "is empty"),
        (lambda path: (path / "README").write_text("no town\n"), "no town.yaml"),
        (lambda path: (path / "rigs").symlink_to("/etc") or True, "symbolic link"),
    ],
    ids=["empty", "no town", "a link"],
)
def test_what_is_no_town_is_refused_and_nothing_stays(tmp_path, make, why):
    source = tmp_path / "source"
    git(tmp_path, "init", "-q", "-b", "main", str(source))
    if make(source) is not None:
        git(source, "add", "-A")
        git(source, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x")
    with pytest.raises(Refused, match=why):
        clone.clone(str(source), str(tmp_path / "second"))
    assert not (tmp_path / "second").exists()


def test_a_remote_whose_head_names_another_first_branch_is_cloned(town, remote, tmp_path):
    git(remote, "symbolic-ref", "HEAD", "refs/heads/master")
    empty = git(remote, "hash-object", "-w", "-t", "tree", os.devnull)
    git(remote, "branch", "docs", git(remote, *ME, "commit-tree", "-m", "x", empty))
    joined = clone.clone(str(remote), str(tmp_path / "second"))
    assert open_town(joined.root).name == "shared"
    assert git(joined.root, "rev-parse", "--abbrev-ref", "HEAD@{upstream}") == "origin/main"
    git(remote, "branch", "copy", "main")
    with pytest.raises(Refused, match=r"several branches \(copy, main\)"):
        clone.clone(str(remote), str(tmp_path / "third"))


# As a person has them for their own repositories; a git that is too old for one passes it by.
OWN_WAYS = """[clone]
    defaultRemoteName = upstream
[init]
    defaultBranch = trunk
    defaultObjectFormat = sha256
    defaultRefFormat = reftable
"""


@pytest.mark.parametrize("head", ["main", "master"])
def test_how_a_person_likes_new_repositories_does_not_change_a_towns(town, remote, tmp_path, head):
    config = Path(os.environ["GIT_CONFIG_GLOBAL"])
    config.write_text(config.read_text() + OWN_WAYS)
    git(remote, "symbolic-ref", "HEAD", f"refs/heads/{head}")
    joined = clone.clone(str(remote), str(tmp_path / "second"))
    assert git(joined.root, "remote") == "origin"
    assert git(joined.root, "rev-parse", "--abbrev-ref", "HEAD@{upstream}") == "origin/main"
    bead = note(open_town(joined.root), "from the second")
    sync(open_town(joined.root))
    sync(town)
    assert town.bead(bead).title == "from the second"
    made = open_town(make_town(str(tmp_path / "own"), name="own").root)
    assert git(made.root, "symbolic-ref", "HEAD") == "refs/heads/main"
    project = demo.make_project(str(tmp_path / "project.git"))
    assert clones.clone(project, tmp_path / "rig.git") == "main"
    assert git(tmp_path / "rig.git", "remote") == "origin"
    assert len(git(tmp_path / "rig.git", "rev-parse", "origin/main")) == 40


@pytest.mark.parametrize(
    "line", ["*.yaml working-tree-encoding=UTF-16", "*.yaml text eol=crlf", "*.yaml ident", "*.yaml filter=nothing"]
)
def test_the_attributes_of_a_tree_do_not_lead_a_clone(town, remote, tmp_path, line):
    bead = note(town, "whole: $Id$")
    sync(town)
    plumber = tmp_path / "plumber"
    git(tmp_path, "clone", "-q", "--no-checkout", str(remote), str(plumber))
    attributes = tmp_path / "attributes"
    attributes.write_text(Path(town.root, ".gitattributes").read_text() + f"{line}\n")
    blob = git(plumber, "hash-object", "-w", str(attributes))
    git(plumber, "read-tree", "HEAD")
    git(plumber, "update-index", "--cacheinfo", f"100644,{blob},.gitattributes")
    git(plumber, *ME, "commit", "-qm", "attributes")
    git(plumber, "push", "-q", "origin", "main")
    joined = open_town(clone.clone(str(remote), str(tmp_path / "second")).root)
    sync(town)
    for one in (town, joined):
        assert line in Path(one.root, ".gitattributes").read_text()
        assert one.bead(bead).title == "whole: $Id$"
    assert Path(joined.root, "town.yaml").read_bytes() == Path(town.root, "town.yaml").read_bytes()
    assert git(joined.root, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("text", "why"), [(b"- a\n", "must be a map"), (b"\xff\xfen\x00", "not UTF-8"), (b"version: 99\n", "of format 99")]
)
def test_a_town_file_that_cannot_be_used_is_mended_where_it_was_written(town, remote, tmp_path, text, why):
    """What a refused clone says to do names nothing in the folder that it took away again."""
    Path(town.root, "town.yaml").write_bytes(text)
    git(town.root, *ME, "commit", "-q", "--no-verify", "-am", "x")
    git(town.root, "push", "-q", "--no-verify", "origin", "main")
    with pytest.raises(GtError, match=why) as refused:
        clone.clone(str(remote), str(tmp_path / "second"))
    assert str(remote) in refused.value.message
    assert "second" not in refused.value.message + refused.value.hint
    assert "checkout" not in refused.value.hint
    assert not (tmp_path / "second").exists()


def test_a_url_that_does_not_clone_leaves_nothing(tmp_path):
    with pytest.raises(GtError):
        clone.clone(str(tmp_path / "nowhere.git"), str(tmp_path / "second"))
    assert not (tmp_path / "second").exists()


def test_another_towns_remote_is_not_overwritten(town, remote, tmp_path):
    before = git(remote, "rev-parse", "main")
    with pytest.raises(GtError):
        make_town(str(tmp_path / "other"), name="other", remote=str(remote))
    assert git(remote, "rev-parse", "main") == before
    assert not (tmp_path / "other").exists()


def test_a_remote_may_be_given_again_as_it_was_typed_and_another_may_not(town, tmp_path):
    clone.attach_remote(town, "../remote.git")
    clone.attach_remote(town, str(tmp_path / "remote.git"))
    with pytest.raises(Refused, match="has the remote"):
        clone.attach_remote(town, "../other.git")


def test_hooks_stand_behind_those_that_were_there(tmp_path):
    root = tmp_path / "mine"
    git(tmp_path, "init", "-q", "-b", "main", str(root))
    hook = root / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho ran >> ran\n")
    hook.chmod(0o755)
    make_town(str(root))
    assert (root / ".git/hooks/pre-commit.before-gt").read_text().endswith("echo ran >> ran\n")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "by hand")
    assert (root / "ran").read_text() == "ran\n"


def test_a_commit_that_would_break_the_town_is_refused(town):
    bead_id = note(town, "work")
    path = Path(town.root, town.bead_path(bead_id))
    whole = path.read_text()
    for bad, why in ((whole.replace("status: open", "status: done"), "status"), (whole + "<<<<<<< x\n", "conflict")):
        path.write_text(bad)
        git(town.root, "add", "-A")
        with pytest.raises(AssertionError, match=why):
            git(town.root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "broken")
    path.write_text(whole.replace("status: open", "status: merging"))
    git(town.root, "add", "-A")
    with pytest.raises(AssertionError, match="cannot become merging"):
        git(town.root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "too fast")
    with pytest.raises(AssertionError, match="cannot become merging"):
        git(town.root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "too fast, all at once")
    with pytest.raises(AssertionError, match="cannot become merging"):
        git(town.root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "only this", "--only", str(path))
    path.write_text(whole.replace("work", "other work"))
    git(town.root, "add", "-A")
    git(town.root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "fine")
    assert town.bead(bead_id).title == "other work"
    assert os.listdir(Path(town.root, ".git/hooks"))


def test_commands_written_before_the_remote_stay_trusted_and_those_from_elsewhere_do_not(remote, tmp_path):
    from gastown.services.settings import trust

    made = make_town(str(tmp_path / "first"))
    town = open_town(made.root)
    rig = "name: app\n\nprefix: ap\n\ngit: /nowhere\n\nbranch: main\n\ngates:\n  - {name: test, run: make test}\n"
    with town.change("rig") as change:
        change.write("rigs/app/rig.yaml", rig.encode())
        change.emit("rig_add", "app")
    clone.attach_remote(town, str(remote))
    assert trust.is_trusted(town, "gate", "app/test", "make test")
    other = open_town(clone.clone(str(remote), str(tmp_path / "second")).root)
    assert not trust.is_trusted(other, "gate", "app/test", "make test")
    with pytest.raises(Refused, match="not trusted on this machine: make test"):
        trust.require(other, "gate", "app/test", "make test")


def test_the_first_sync_of_a_machine_that_joined_agrees_to_nothing(remote, tmp_path):
    from gastown.services.machines.exchange import exchange
    from gastown.services.settings import trust

    town = open_town(make_town(str(tmp_path / "first"), remote=str(remote)).root)
    rig = "name: app\n\nprefix: ap\n\ngit: /nowhere\n\nbranch: main\n\ngates:\n  - {name: test, run: make test}\n"
    with town.change("rig") as change:
        change.write("rigs/app/rig.yaml", rig.encode())
    exchange(town)
    other = open_town(clone.clone(str(remote), str(tmp_path / "second")).root)
    exchange(other)
    assert not trust.is_trusted(other, "gate", "app/test", "make test")


def test_a_remote_given_by_git_alone_is_filled_by_the_first_sync(remote, tmp_path):
    from gastown.services.machines.exchange import exchange
    from gastown.services.settings import trust

    town = open_town(make_town(str(tmp_path / "first")).root)
    rig = "name: app\n\nprefix: ap\n\ngit: /nowhere\n\nbranch: main\n\ngates:\n  - {name: test, run: make test}\n"
    with town.change("rig") as change:
        change.write("rigs/app/rig.yaml", rig.encode())
    git(town.root, "remote", "add", "origin", str(remote))
    exchange(town)
    assert git(remote, "rev-parse", "main") == git(town.root, "rev-parse", "HEAD")
    assert trust.is_trusted(town, "gate", "app/test", "make test")


@dataclass
class Mute:
    """A server that takes a call and says nothing. `url` is a town there."""

    socket: socket.socket
    url: str

    def called(self) -> socket.socket:
        """Wait until somebody calls, and has said what they want."""
        call = self.socket.accept()[0]
        call.settimeout(20)
        with call.makefile("rb") as wire:
            asked = wire.read(4)
            assert b"git-upload-pack" in wire.read(int(asked, 16) - 4)
        return call


@pytest.fixture
def mute() -> Iterator[Mute]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield Mute(server, f"git://127.0.0.1:{server.getsockname()[1]}/town.git")


def start(*args: str, cwd: Path) -> subprocess.Popen[str]:
    def listen() -> None:  # tests that run in the background of a shell ignore it, and so would their children
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.Popen([*gt_argv(), *args], cwd=cwd, env=env, stderr=subprocess.PIPE, text=True, preexec_fn=listen)


def ended(call: subprocess.Popen[str], wire: socket.socket, number: int) -> str:
    """End a command by a signal; what it said. Its git must be gone by then: the wire is closed."""
    with wire:
        call.send_signal(number)
        said = call.communicate(timeout=20)[1]
        assert call.returncode == 128 + number
        assert wire.recv(1) == b""
    return said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_clone_leaves_neither_a_folder_nor_a_git(tmp_path: Path, mute: Mute, number: int) -> None:
    call = start("clone", mute.url, "new", cwd=tmp_path)
    assert ended(call, mute.called(), number) == "interrupted; nothing was made\n"
    assert not (tmp_path / "new").exists()


def test_an_interrupted_clone_leaves_an_empty_folder_that_was_there(tmp_path: Path, mute: Mute) -> None:
    (tmp_path / "mine").mkdir()
    call = start("clone", mute.url, "mine", cwd=tmp_path)
    ended(call, mute.called(), signal.SIGTERM)
    assert os.listdir(tmp_path / "mine") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sync_says_so_and_ends_its_git(town: Town, mute: Mute, number: int) -> None:
    git(town.root, "remote", "set-url", "origin", mute.url)
    call = start("sync", cwd=Path(town.root))
    assert ended(call, mute.called(), number) == "interrupted; the next gt sync does what is left\n"
    assert_sound(town.root)


def test_a_command_in_a_hint_is_one_that_a_shell_takes(tmp_path: Path, town: Town) -> None:
    url = "ext::sh -c 'touch x'"
    with pytest.raises(Refused) as refused:
        clone.attach_remote(town, url)
    assert shlex.split(refused.value.hint) == ["git", "remote", "set-url", "origin", url]
    empty = tmp_path / "an empty one.git"
    git(tmp_path, "init", "-q", "--bare", str(empty))
    with pytest.raises(Refused) as refused:
        clone.clone(str(empty), str(tmp_path / "second"))
    assert shlex.split(refused.value.hint)[-1] == str(empty)
    with pytest.raises(remotes.RemoteUnreachable) as unreachable:
        remotes.look(url, cwd=town.root)
    assert shlex.split(unreachable.value.hint.rpartition("access: ")[2]) == ["git", "ls-remote", url]
