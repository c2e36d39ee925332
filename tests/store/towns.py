"""The smallest real town: a git repository with a town.yaml, a rig and this machine's name."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from gastown.store.town import Town, open_town

NOW = 1_795_426_200.0  # 2026-11-23T09:30:00Z


def git(root: Path | str, *args: str, check: bool = True) -> str:
    """git's stdout, stripped."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(["git", "-c", "gc.auto=0", *args], cwd=root, env=env, capture_output=True, text=True)
    if check:
        assert done.returncode == 0, f"git {args}: {done.stderr}"
    return done.stdout.strip()


def small_town(root: Path, *, clock=lambda: NOW, actor: str = "overseer") -> Town:
    """A committed town with the rig `greenplace` (prefix gp) and no clone behind it."""
    root.mkdir(parents=True)
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "Ada")
    git(root, "config", "user.email", "ada@example.org")
    (root / "town.yaml").write_text("name: demo\n\nprefix: hq\n\nversion: 1\n")
    (root / ".gitignore").write_text("/.gt/\n/work/\n.*.gt-tmp\n")
    rig = root / "rigs" / "greenplace"
    rig.mkdir(parents=True)
    (rig / "rig.yaml").write_text("name: greenplace\n\nprefix: gp\n\ngit: /nowhere\n\nbranch: main\n\nlanding: local\n")
    (root / ".gt").mkdir()
    (root / ".gt" / "machine.yaml").write_text("name: anvil\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "town")
    return open_town(str(root), actor=actor, clock=clock)


def assert_sound(root: Path | str) -> None:
    """What must hold after every command: fsck clean, status clean, linear history, no lock, no leftover."""
    assert git(root, "fsck", "--strict", "--no-dangling") == ""
    assert git(root, "status", "--porcelain") == ""
    assert git(root, "rev-list", "--merges", "HEAD") == ""
    found = [p.relative_to(root) for p in Path(root).rglob("*") if p.name.endswith((".gt-tmp", ".lock"))]
    left = [str(p) for p in found if p.parts[0] not in (".gt", "work")]
    assert left == [], left
