"""Real repositories and sessions in tmp_path, cut off from the person's git config, home and tmux."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gastown.runtime import clones


@pytest.fixture(autouse=True)
def _sealed(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for key in [key for key in os.environ if key.startswith(("GT_", "GIT_", "TMUX"))]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for part in ("AUTHOR", "COMMITTER"):
        # git.clean_env drops these: our code passes identities itself.
        monkeypatch.setenv(f"GIT_{part}_NAME", "Ann Person")
        monkeypatch.setenv(f"GIT_{part}_EMAIL", "ann@example.org")


def sh(cwd: Path | str, *args: str, env: dict[str, str] | None = None, ok: bool = True) -> str:
    """Plain git, independent of the code under test."""
    done = subprocess.run(
        ["git", *args], cwd=cwd, capture_output=True, text=True, env={**os.environ, **(env or {})}, check=False
    )
    assert not ok or done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(repo: Path, file: str, text: str, message: str = "more") -> str:
    (repo / file).parent.mkdir(parents=True, exist_ok=True)
    (repo / file).write_text(text)
    sh(repo, "add", "-A")
    sh(repo, "commit", "-qm", message)
    return sh(repo, "rev-parse", "HEAD")


def until(met: Callable[[], bool], seconds: float = 10.0) -> None:
    """Poll for an event; fail if it does not come."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A person's checkout on `main` with one commit."""
    repo = tmp_path / "project"
    sh(tmp_path, "init", "-q", "-b", "main", str(repo))
    (repo / ".gitignore").write_text("*.log\nnode_modules/\n")
    commit(repo, "a.txt", "one\n", "first")
    return repo


@pytest.fixture
def remote(tmp_path: Path, project: Path) -> Path:
    """A bare server repository with `main`."""
    bare = tmp_path / "server.git"
    sh(tmp_path, "clone", "-q", "--bare", str(project), str(bare))
    return bare


@pytest.fixture
def repo(tmp_path: Path, remote: Path) -> Path:
    """The rig's bare repository, cloned by us."""
    dest = tmp_path / "work" / "rig" / ".repo.git"
    clones.clone(str(remote), dest)
    return dest
