"""A town with a real rig that can be put back to the same place, so that one command can be killed at every step."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.crash.forking import CHECKOUT, Forking
from tests.store.towns import assert_sound, git


class Scene:
    """`place/town` with the rig `app`, which lands by pushing to `place/app.git`."""

    def __init__(self, place: Path, forking: Forking) -> None:
        self.forking = forking
        self.place = place / "scene"
        self.town = self.place / "town"
        self.saved = place / "saved"
        self.place.mkdir(parents=True)
        self._source()
        self.gt("init", str(self.town), cwd=self.place)
        git(self.town, "config", "user.name", "Ada")
        git(self.town, "config", "user.email", "ada@example.org")
        self.gt("rig", "add", "app", str(self.place / "app.git"), "--gate", "test=test -f README.md")

    def _source(self) -> None:
        source = self.place / "source"
        source.mkdir()
        (source / "README.md").write_text("# app\n")
        for args in (
            ["init", "-q", "-b", "main"],
            ["config", "user.name", "Ada"],
            ["config", "user.email", "ada@example.org"],
            ["add", "-A"],
            ["commit", "-qm", "app"],
        ):
            git(source, *args)
        git(self.place, "clone", "-q", "--bare", str(source), "app.git")

    def environment(self, **extra: str) -> dict[str, str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("GT_", "GIT_"))}
        env |= {"PYTHONPATH": str(CHECKOUT), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        return env | extra

    def run(self, *args: str, cwd: Path | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
        return self.forking.gt(args, cwd=cwd or self.town, env=self.environment(**extra))

    def gt(self, *args: str, cwd: Path | None = None, **extra: str) -> str:
        done = self.run(*args, cwd=cwd, **extra)
        assert done.returncode == 0, f"gt {' '.join(args)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def keep(self) -> None:
        """Remember the scene as it is now."""
        shutil.copytree(self.place, self.saved, symlinks=True)

    def restore(self) -> None:
        """Put the remembered scene back to its place; paths inside clones and worktrees stay true."""
        self.end_sessions()
        shutil.rmtree(self.place)
        shutil.copytree(self.saved, self.place, symlinks=True)

    def end_sessions(self) -> None:
        """No process of an earlier round may write into the next one."""
        if not self.town.exists():
            return
        listed = self.run("session", "list", "--json")
        for session in json.loads(listed.stdout or "[]") if listed.returncode == 0 else []:
            if session.get("ended") is None:
                self.run("session", "stop", session["id"], "--grace", "0.2")

    def each_fault(
        self, act: Callable[[dict[str, str]], subprocess.CompletedProcess[str]], *, step: int = 1
    ) -> Iterator[int]:
        """Run `act` killed before its k-th step, for every k (every `step`-th), until it is not killed any more."""
        fault = 1
        while True:
            self.restore()
            done = act({"GT_FAULT": str(fault)})
            yield fault
            if done.returncode != -signal.SIGKILL:
                assert done.returncode == 0, f"fault {fault}: {done.stdout}{done.stderr}"
                return
            fault += step
            assert fault < 2_000, "the command never finished"

    def landed(self, bead: str) -> int:
        """How many commits on the remote's main belong to a bead."""
        return git(self.place / "app.git", "log", "--format=%B", "main").count(f"Bead: {bead}")

    def assert_landed_once(self, bead: str) -> None:
        assert "status: closed" in self.bead_text(bead)
        assert "reason: merged" in self.bead_text(bead)
        assert self.landed(bead) == 1
        assert_sound(self.town)

    def bead_text(self, bead: str) -> str:
        (path,) = self.town.glob(f"rigs/app/beads/*/{bead}.yaml")
        return path.read_text()
