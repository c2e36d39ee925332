"""What every test stands on: a sealed environment, a real town, a real repository, the real command, a clock."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gastown.services.machines.init import make_town
from gastown.store import identity
from gastown.store.town import Town, open_town

PROJECT = Path(__file__).resolve().parent.parent
# 2026-11-23T09:30:00Z: where the fixed clock starts.
EPOCH = 1795426200.0


# Thousands of towns are made, synced file by file and removed again: in memory where there is room for them and
# programs may be run from there. What a killed process leaves does not depend on the disk.
_MEMORY, _ROOM = "/dev/shm", 4 << 30


def pytest_configure() -> None:
    """Choose where tests keep their files, unless somebody chose already (TMPDIR, --basetemp)."""
    if "TMPDIR" in os.environ or not os.path.isdir(_MEMORY):
        return
    state = os.statvfs(_MEMORY)
    if os.access(_MEMORY, os.W_OK) and state.f_bavail * state.f_frsize >= _ROOM and not state.f_flag & os.ST_NOEXEC:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _MEMORY)


@pytest.fixture(autouse=True)
def sealed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the real home, git configuration, town, terminal or colours."""
    _seal(monkeypatch, tmp_path / "home")


def _seal(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    for key in [key for key in os.environ if key.startswith(("GT_", "GIT_", "XDG_", "TMUX"))]:
        monkeypatch.delenv(key)
    # An installed gt is compiled; compiling this checkout anew in every process would be most of what tests wait for.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    home.mkdir(exist_ok=True)
    (home / ".gitconfig").write_text("[user]\n\tname = Pat Overseer\n\temail = pat@example.org\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("TZ", "UTC")


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: float = EPOCH) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    """A fixed clock for services; the command in a subprocess has the real one."""
    return Clock()


@pytest.fixture(scope="session")
def template_town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One committed town a run, on the machine `anvil`. Never changed: tests get copies."""
    base = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        _seal(patch, base / "home")
        patch.setattr(platform, "node", lambda: "anvil.local")
        make_town(str(base / "demo"), name="demo", clock=Clock(EPOCH - 60))
    return base / "demo"


def copy_town(source: Path, root: Path) -> None:
    """A copy of a town that takes itself for the one there is: gt refuses to write in a copy."""
    shutil.copytree(source, root, symlinks=True)
    config = root / ".git/config"  # it names the town's own gt
    config.write_text(config.read_text().replace(str(source), str(root)))
    identity.settle(str(root))


@pytest.fixture
def town(template_town: Path, tmp_path: Path, clock: Clock) -> Town:
    """A fresh town named `demo` at tmp_path/demo, opened for the overseer with the fixed clock."""
    root = tmp_path / "demo"
    copy_town(template_town, root)
    return open_town(str(root), clock=clock)


@dataclass(frozen=True)
class Ran:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as JSON; fails the test if it is anything else."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """stdout by lines."""
        return self.out.splitlines()


Runner = Callable[..., Ran]


def gt_argv() -> list[str]:
    """The command line that is `gt` here."""
    return [sys.executable, "-m", "gastown"]


def run_gt(
    *args: str, cwd: str | Path, env: dict[str, str] | None = None, stdin: str = "", code: int | None = 0
) -> Ran:
    """Run the real command. `code` is the exit code it must end with (None: any)."""
    full = {**os.environ, "PYTHONPATH": str(PROJECT), **(env or {})}
    done = subprocess.run([*gt_argv(), *args], cwd=cwd, env=full, input=stdin, capture_output=True, text=True)
    ran = Ran(done.returncode, done.stdout, done.stderr)
    if code is not None:
        assert ran.code == code, f"gt {' '.join(args)} ended with {ran.code}, not {code}\n{ran.out}\n{ran.err}"
    return ran


@pytest.fixture
def gt(town: Town) -> Runner:
    """`gt("list", "--json")` in the town's root; `cwd`, `env`, `stdin` and the expected `code` may be given."""

    def run(*args: str, cwd: str | Path | None = None, **options: Any) -> Ran:
        return run_gt(*args, cwd=cwd or town.root, **options)

    return run


def without_powers(argv: list[str]) -> list[str]:
    """The command without root's power to read and write whatever it likes."""
    if os.geteuid() != 0:
        return argv
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all", *argv]


def git(*args: str, cwd: str | Path) -> str:
    """Run git and return its stdout, stripped; fails the test if git fails."""
    done = subprocess.run(["git", *args], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"git {' '.join(args)}: {done.stderr}"
    return done.stdout.strip()


@pytest.fixture
def git_repo(tmp_path: Path) -> Callable[..., Path]:
    """`git_repo("name", {"file": "text"}, bare=False)`: a repository on branch main with one commit of these files."""

    def make(name: str = "project", files: dict[str, str] | None = None, *, bare: bool = False) -> Path:
        path = tmp_path / name
        git("init", "--quiet", "--initial-branch=main", str(path), cwd=tmp_path)
        for file, text in (files or {"README.md": f"{name}\n"}).items():
            target = path / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        git("add", "--all", cwd=path)
        git("commit", "--quiet", "--message", "first", cwd=path)
        if not bare:
            return path
        git("clone", "--quiet", "--bare", str(path), f"{path}.git", cwd=tmp_path)
        return Path(f"{path}.git")

    return make
