from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gastown.model.errors import GtError
from gastown.runtime import git, processes

from .conftest import sh


def test_outer_git_variables_do_not_reach_ours(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -p 7")
    assert git.text(["rev-parse", "--absolute-git-dir"], cwd=project) == str(project / ".git")
    env = git.clean_env({"X": "1"})
    assert (env["GIT_SSH_COMMAND"], env["GIT_TERMINAL_PROMPT"], env["LC_ALL"], env["X"]) == ("ssh -p 7", "0", "C", "1")
    assert "GIT_DIR" not in env


def test_the_repository_above_a_folder_is_not_taken_for_the_folders_own(project: Path) -> None:
    (project / "sub").mkdir()
    with pytest.raises(git.GitFailed):
        git.run(["rev-parse", "--show-toplevel"], cwd=project / "sub")
    assert git.text(["rev-parse", "--show-toplevel"], cwd=project / "sub", above=True) == str(project)


def test_a_failure_tells_command_place_code_and_last_words(project: Path) -> None:
    with pytest.raises(git.GitFailed) as caught:
        git.run(["fetch", "https://ann:secret@127.0.0.1:1/x"], cwd=project)
    assert "secret" not in str(caught.value)
    assert "https://***@127.0.0.1:1/x" in str(caught.value)
    assert str(project) in str(caught.value)
    assert caught.value.status == 128
    assert caught.value.tail


def test_a_timeout_kills_the_whole_group(project: Path, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    began = time.monotonic()
    with pytest.raises(git.GitFailed, match=r"not done after 0\.3 s"):
        git.run(["-c", f"alias.slow=!echo $$ >{mark}; sleep 60 & sleep 60", "slow"], cwd=project, timeout=0.3)
    assert time.monotonic() - began < 5
    assert _gone(int(mark.read_text()))


def test_one_that_speaks_may_take_long_and_a_silent_one_is_ended(project: Path, tmp_path: Path) -> None:
    speak = "alias.slow=!for n in 1 2 3 4 5 6 7 8; do sleep 0.2; echo $n >&2; done; cat"
    done = git.run(["-c", speak, "slow"], cwd=project, silence=1, input=b"asked")
    assert done.out == b"asked"
    assert done.err.split() == [b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8"]
    mark = tmp_path / "pid"
    with pytest.raises(git.GitFailed, match=r"(?s)last word.*not done after 0\.4 s"):
        git.run(["-c", f"alias.mute=!echo last word >&2; echo $$ >{mark}; sleep 60", "mute"], cwd=project, silence=0.4)
    assert _gone(int(mark.read_text()))


def test_an_ended_git_takes_its_locks_away(project: Path, tmp_path: Path) -> None:
    """git is asked to end before it is killed: a lock of a killed one would be in everybody's way."""
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsleep 60\n")
    editor.chmod(0o755)
    (project / "new").write_text("x\n")
    git.run(["add", "new"], cwd=project)
    args = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "commit", "--only", "new"]
    with pytest.raises(git.GitFailed, match="not done after"):
        git.run(args, cwd=project, env={"GIT_EDITOR": str(editor)}, timeout=1)
    assert [path.name for path in (project / ".git").rglob("*.lock")] == []


def _gone(pid: int) -> bool:
    """True once no process has this number; the dead are reaped by init in its own time."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        start = processes.start_time(pid)
        if start is None or not processes.alive(processes.Proc(pid, start)):
            return True
        time.sleep(0.01)
    return False


def test_missing_and_old_git_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    git.version.cache_clear()
    try:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(GtError, match="not installed"):
            git.require_git()
        (tmp_path / "git").write_text("#!/bin/sh\necho git version 2.17.1\n")
        (tmp_path / "git").chmod(0o755)
        with pytest.raises(GtError, match=r"2\.17\.1 is too old: 2\.30"):
            git.require_git()
    finally:
        git.version.cache_clear()


def test_identity_is_the_persons_or_none(project: Path) -> None:
    assert git.identity(project) is None
    sh(project, "config", "user.name", "Ann Ünicode")
    assert git.identity(project) is None
    sh(project, "config", "user.email", "a@b")
    assert git.identity(project) == ("Ann Ünicode", "a@b")


def test_sources_are_made_absolute_only_if_they_are_paths(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    assert git.absolute("x/../y", tmp_path) == str(tmp_path / "y")
    assert git.absolute("a:b", tmp_path) == str(tmp_path / "a:b")
    for url in ("https://h/x.git", "git@host:org/x.git", "file:///x"):
        assert git.absolute(url, tmp_path) == url


def test_a_signal_just_as_git_is_started_ends_that_git(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raised within Popen it would leave a child whose pid nobody knows."""
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(git.subprocess, "Popen", Interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            git.run(["-c", "alias.hang=!sleep 1000", "hang"], cwd=project)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert started[0].returncode == -signal.SIGTERM


@pytest.mark.parametrize("limits", [{}, {"timeout": 600.0}, {"silence": 600.0}])
def test_a_signal_that_does_not_wake_the_wait_ends_git_all_the_same(project: Path, limits: dict[str, float]) -> None:
    """It is so where one comes between Python's last look and the wait itself; here another thread takes it."""
    main = Path(f"/proc/self/task/{threading.get_native_id()}/stat")

    def interrupt() -> None:
        asleep = 0
        while asleep < 50:  # in the wait for git, not at a lock that is held for a moment
            asleep = asleep + 1 if main.read_text().rpartition(")")[2].split()[0] == "S" else 0
            time.sleep(0.001)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    other = threading.Thread(target=interrupt, daemon=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            hang = "alias.hang=!sleep 10; touch came-to-its-end"
            git.run(["-c", hang, "hang"], cwd=project, on_start=lambda _: other.start(), **limits)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (project / "came-to-its-end").exists()


@pytest.mark.parametrize("limits", [{}, {"timeout": 600.0}, {"silence": 600.0}])
def test_a_git_that_is_slow_to_read_its_input_gets_all_of_it(project: Path, limits: dict[str, float]) -> None:
    """More than a pipe holds, to one that reads nothing for longer than a single wait."""
    args = ["-c", "alias.count=!sleep 1.2; wc -c", "count"]
    assert git.run(args, cwd=project, input=b"x" * 1_000_000, **limits).text == "1000000"


def test_a_git_that_does_not_read_its_input_is_not_waited_for(project: Path) -> None:
    assert git.run(["-c", "alias.deaf=!echo done", "deaf"], cwd=project, input=b"x" * 1_000_000).text == "done"
    with pytest.raises(git.TimedOut):
        git.run(["-c", "alias.hang=!sleep 1000", "hang"], cwd=project, input=b"x" * 1_000_000, timeout=0.2)
