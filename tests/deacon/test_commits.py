"""A person's own `git commit` in a town whose deacon watches."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gastown.deacon import adopt
from gastown.store import committing
from tests.conftest import PROJECT, git, gt_argv, run_gt
from tests.deacon.ground import Ground


class Commit:
    """A `git commit` whose editor is open until `save` is called."""

    def __init__(self, ground: Ground, *args: str) -> None:
        self.ground, self.opened, self.go = ground, ground.root.parent / "opened", ground.root.parent / "go"
        for fifo in (self.opened, self.go):
            os.mkfifo(fifo)
        editor = ground.root.parent / "editor"
        editor.write_text(f'#!/bin/sh\necho open > "{self.opened}"\nread word < "{self.go}"\necho mine > "$1"\n')
        editor.chmod(0o755)
        self.child = subprocess.Popen(
            ["git", "commit", "--quiet", *args], cwd=ground.root, env={**os.environ, "GIT_EDITOR": str(editor)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.said = ""
        self.opened.read_text()

    def save(self) -> None:
        """Close the editor, and see git end well."""
        self.go.write_text("go\n")
        self.said, _ = self.child.communicate(timeout=30)
        assert self.child.returncode == 0, self.said + self.ground.told()


    def end(self) -> None:
        """Nothing of it stays behind."""
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.communicate(timeout=10)


@pytest.fixture
def committed(ground: Ground) -> Iterator[Callable[..., Commit]]:
    """Begins a commit in the town; its editor is open then."""
    begun: list[Commit] = []

    def begin(*args: str) -> Commit:
        begun.append(Commit(ground, *args))
        return begun[-1]

    yield begin
    for one in begun:
        one.end()


def planned(ground: Ground) -> str:
    """What the patrol of hand edits says it would do."""
    found = run_gt("deacon", "plan", "--json", cwd=ground.root).json
    return " ".join(one["why"] for one in found if one["patrol"] == "hand edits")


@pytest.mark.parametrize("args", [("--all",), ("--all", "--verbose"), ()], ids=["all", "verbose", "staged"])
def test_what_a_person_is_committing_is_left_to_them(
    ground: Ground, committed: Callable[..., Commit], args: tuple[str, ...]
) -> None:
    bead, other = ground.bead("before", rig=None), ground.bead("marker", rig=None)
    deacon = ground.start()
    deacon.send_signal(signal.SIGSTOP)  # so that it sees the edit when the editor is open, not before
    ground.edit(bead, "before", "after")
    if not args:
        git("add", "--all", "beads", cwd=ground.root)
    commit = committed(*args)
    deacon.send_signal(signal.SIGCONT)
    head = git("rev-parse", "HEAD", cwd=ground.root)
    ground.edit(other, "marker", "marked")
    ground.until(lambda: "git is at work in the town" in planned(ground))
    looked = time.time()
    ground.until(lambda: time.time() > looked + 3.5)  # a look at everything comes every 3 s here
    assert git("rev-parse", "HEAD", cwd=ground.root) == head, ground.told()
    commit.save()
    assert git("log", "-1", "--format=%s", cwd=ground.root) == "mine"
    ground.event("hand_edit", lambda one: one.get("bead") == other)
    assert git("log", "--format=%s", "--", f"{ground.town.bead_path(bead)}", cwd=ground.root).splitlines()[0] == "mine"


def test_a_change_waits_for_a_commit_that_began_a_moment_ago(ground: Ground, committed: Callable[..., Commit]) -> None:
    """The hook of the commit shows that it began; then gt writes, and lets it end first."""
    bead = ground.bead("before", rig=None)
    ground.edit(bead, "before", "after")
    git("add", "--all", "beads", cwd=ground.root)
    commit = committed()
    (ground.root / ".gt/run/git-commit").touch()  # a slow machine took its time over the hook
    saved = threading.Timer(0.2, commit.save)
    saved.start()
    made = ground.bead("meanwhile", rig=None)
    saved.join()
    assert commit.child.returncode == 0, commit.said
    subjects = git("log", "-2", "--format=%s", cwd=ground.root).splitlines()
    assert (made in subjects[0] or "meanwhile" in subjects[0], subjects[1]) == (True, "mine")


def test_a_commit_passes_while_gt_writes(ground: Ground) -> None:
    """The writer waits for the commit, so the commit's hook may not wait for the writer."""
    before = ground.root / ".git/hooks/pre-commit.before-gt"
    gt = " ".join(map(shlex.quote, gt_argv()))
    before.write_text(f"""#!/bin/sh
PYTHONPATH={PROJECT} {gt} create meanwhile >/dev/null 2>&1 &
until [ -s .gt/run/journal.json ]; do sleep 0.01; touch .gt/run/git-commit; done
""")
    before.chmod(0o755)
    (ground.root / "mine").write_text("x\n")
    git("add", "mine", cwd=ground.root)
    git("commit", "--quiet", "--message", "mine", cwd=ground.root)
    before.unlink()
    ground.until(lambda: "meanwhile" in git("log", "-1", "--format=%s", cwd=ground.root))
    assert git("log", "-1", "--skip=1", "--format=%s", cwd=ground.root) == "mine"
    ground.until(lambda: git("status", "--porcelain", cwd=ground.root) == "")


@pytest.mark.parametrize("name", [".git/index.lock", ".gt/run/git-commit"])
def test_a_sign_of_a_git_that_is_old_stops_nobody(ground: Ground, name: str) -> None:
    bead = ground.bead("before", rig=None)
    ground.edit(bead, "before", "after")
    sign = ground.root / name
    sleeper = subprocess.Popen([shutil.which("git") or "git", "cat-file", "--batch"], cwd=ground.root,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    try:
        sign.write_text(f"{sleeper.pid}\n")
        ground.until(lambda: "git is at work in the town" in planned(ground))
        old = time.time() - adopt.PATIENCE
        os.utime(sign, (old, old))
        assert "git is at work" not in planned(ground)
        assert "edited by hand" in planned(ground)
    finally:
        sleeper.communicate()


def test_a_note_of_a_commit_that_has_ended_means_nothing(ground: Ground) -> None:
    root = str(ground.root)
    ended = subprocess.Popen(["true"])
    ended.wait()
    for said in (f"{ended.pid}\n", f"{os.getpid()}\n", "", "what?\n", f"{10**30}\n"):
        (ground.root / ".gt/run/git-commit").write_text(said)
        assert committing.sign(root, f"{root}/.git") is None
