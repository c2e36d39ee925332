"""The README is true: every command in it runs, in its order, in a new home with a new virtual environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.towns import git

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.S)


def test_the_readme_has_the_two_commands_and_a_walk():
    install, tests, *walk = BLOCKS
    assert install.count("\n") == tests.count("\n") == 1
    assert "gt demo" in install
    assert "pytest" in tests
    assert len(walk) >= 5
    assert (ROOT / "examples/demo.svg").read_text().startswith("<svg")


def test_every_command_of_the_tables_exists():
    for command in re.findall(r"`gt ([a-z][a-z ]*?)(?: [^a-z][^`]*)?`", README):
        done = subprocess.run(
            [sys.executable, "-m", "gastown", *command.split()[:2], "--help"], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, f"gt {command}: {done.stderr}"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A virtual environment with a wheel built from these files: no checkout is around when it runs."""
    place = tmp_path_factory.mktemp("installed")
    env = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run([sys.executable, "-m", "venv", place / ".venv"], check=True)
    pip = [str(place / ".venv/bin/python"), "-m", "pip", "install", "-q"]
    subprocess.run([*pip, str(ROOT)], check=True, cwd=place, env=env)
    return place


def shell(script: str, home: Path, cwd: Path, venv: Path) -> subprocess.CompletedProcess[str]:
    env = {
        "HOME": str(home),
        "PATH": f"{venv / '.venv/bin'}:{os.environ['PATH']}",
        "TERM": "xterm-256color",
        "GIT_CONFIG_SYSTEM": os.devnull,
        "TMPDIR": str(home / "tmp"),
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=env, cwd=cwd, capture_output=True, text=True, timeout=240
    )


@pytest.mark.slow
def test_the_demo_of_an_installed_wheel(installed, tmp_path):
    (tmp_path / "tmp").mkdir()
    done = shell("gt demo", tmp_path, tmp_path, installed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all landed" in done.stdout
    assert "merge_failed" in done.stdout
    script = f"gt demo {tmp_path}/again && cd {tmp_path}/again && gt status && gt doctor"
    again = shell(script, tmp_path, tmp_path, installed)
    assert again.returncode == 0, again.stdout + again.stderr
    assert git(tmp_path / "again", "status", "--porcelain") == ""


@pytest.mark.slow
def test_the_walk(installed, tmp_path):
    home = tmp_path / "home"
    app = home / "src/app"
    app.mkdir(parents=True)
    (home / "tmp").mkdir()
    (home / ".gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n")
    (app / "README.md").write_text("# app\n")
    test = "import unittest\nclass T(unittest.TestCase):\n    def test_it(self):\n        pass\n"
    (app / "test_app.py").write_text(test)
    git(app, "init", "-q", "-b", "main")
    git(app, "config", "user.name", "Ada")
    git(app, "config", "user.email", "ada@example.org")
    git(app, "add", "-A")
    git(app, "commit", "-qm", "app")
    done = shell("set -x\n" + "\n".join(BLOCKS[2:]), home, home, installed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (app / "LICENSE").read_text() == "MIT\n"
    assert "CHANGELOG.md" in (app / "README.md").read_text()
    assert git(app, "status", "--porcelain") == ""
    assert git(home / "town", "status", "--porcelain") == ""
