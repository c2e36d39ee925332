"""A town with one rig whose remote is a bare repository beside it, and finished work that waits to land."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from gastown.model.bead import Bead, work_branch
from gastown.model.queue import Entry
from gastown.runtime import clones, git
from gastown.services.landing import queue
from gastown.services.refinery import refinery
from gastown.services.refinery.refinery import RefineryReport, Step
from gastown.store import layout
from gastown.store.change import Change
from gastown.store.town import open_town
from tests.store.towns import NOW, small_town
from tests.store.towns import git as plain_git

RIG = "greenplace"
ME = git.author_env("Ada", "ada@example.org")


class Lab:
    """`origin` is the rig's remote, `town` the town; `finish` makes work as a polecat's `gt done` leaves it."""

    def __init__(self, path: Path, **rig: object) -> None:
        self.path = path
        self.origin = str(path / "origin.git")
        self.other = str(path / "other")
        git.run(["init", "-q", "--bare", "-b", "main", self.origin])
        git.run(["clone", "-q", self.origin, self.other], check=False)
        git.run(["checkout", "-q", "-b", "main"], cwd=self.other, check=False)
        self.push({"list.txt": "one\ntwo\nthree\n"}, "start")
        self.root = str(path / "town")
        ticks = itertools.count(NOW)
        self.clock = lambda: float(next(ticks))
        self.town = small_town(path / "town", clock=self.clock)
        self.bare = layout.bare(self.root, RIG)
        clones.clone(self.origin, self.bare)
        clones.guard(self.bare, ["main"], f"{RIG}/refinery")
        self.configure(git=self.origin, landing="push", **rig)
        self.count = 0
        self.steps: list[Step] = []

    def configure(self, **keys: object) -> None:
        """Set keys of rig.yaml."""

        def body(change: Change) -> None:
            doc = change.load(layout.rig_file(RIG))
            doc.update(keys)
            change.put(layout.rig_file(RIG), doc)
            change.emit("config", "rig.yaml", rig=RIG)

        self.town.transact("config", body)

    def unset(self, key: str) -> None:
        """Take a key out of rig.yaml."""

        def body(change: Change) -> None:
            doc = change.load(layout.rig_file(RIG))
            del doc[key]
            change.put(layout.rig_file(RIG), doc)
            change.emit("config", "rig.yaml", rig=RIG)

        self.town.transact("config", body)

    def gate(self, run: str, name: str = "test", **more: object) -> None:
        """The rig's one gate."""
        self.configure(gates=[{"name": name, "run": run, **more}])

    def push(self, files: dict[str, str], message: str = "somebody's own push", branch: str = "main") -> str:
        """A commit on `branch` of the remote, made elsewhere."""
        if git.run(["rev-parse", "-q", "--verify", f"origin/{branch}"], cwd=self.other, check=False).code == 0:
            git.run(["fetch", "-q"], cwd=self.other)
            git.run(["reset", "-q", "--hard", f"origin/{branch}"], cwd=self.other)
        for name, text in files.items():
            Path(self.other, name).write_text(text)
        git.run(["add", "-A"], cwd=self.other)
        git.run(["commit", "-q", "-m", message], cwd=self.other, env=ME)
        git.run(["push", "-q", "origin", f"HEAD:{branch}"], cwd=self.other)
        git.run(["fetch", "-q"], cwd=self.other)
        return git.text(["rev-parse", "HEAD"], cwd=self.other)

    def finish(
        self, *steps: dict[str, str], worker: str = "", title: str = "", pushed: bool = True, base: str = "",
        **fields: object,
    ) -> Entry:  # fmt: skip
        """Work on a branch from `base` or the newest target, handed in: a work bead `merging` and its merge bead."""
        self.count += 1
        name = worker or f"cat{self.count}"
        who = f"{RIG}/{name}"

        def make(change: Change) -> Bead:
            bead = change.create(RIG, title=title or f"work {self.count}", **fields)
            change.emit("create", bead.title, bead=bead.id, rig=RIG)
            return bead

        bead = self.town.transact("create", make)
        return self.hand_in(bead.id, work_branch(name, bead.id, 1), steps, who, pushed=pushed, base=base)

    def hand_in(
        self, bead_id: str, branch: str, steps: tuple[dict[str, str], ...], who: str, *, pushed: bool = True,
        base: str = "",
    ) -> Entry:  # fmt: skip
        """Commit `steps` on a new branch and queue it, as `gt done` does."""
        tree = layout.worktree(self.root, RIG, who.rpartition("/")[2])
        git.run(["fetch", "-q", "--prune", "origin"], cwd=self.bare)
        landed = clones.resolve(self.bare, "refs/heads/main")
        base = base or ("refs/heads/main" if landed else "refs/remotes/origin/main")
        if Path(tree).exists():
            git.run(["checkout", "-q", "--no-track", "-b", branch, base], cwd=tree)
        else:
            git.run(["worktree", "add", "-q", "--no-track", "-b", branch, tree, base], cwd=self.bare)
        env = git.author_env(who, "cat@x") | {"GT_BEAD": bead_id, "GT_ACTOR": who}
        for number, files in enumerate(steps):
            for name, text in files.items():
                Path(tree, name).write_text(text)
            git.run(["add", "-A"], cwd=tree)
            git.run(["commit", "-q", "-m", f"step {number}"], cwd=tree, env=env)
        commit = git.text(["rev-parse", "HEAD"], cwd=tree)
        if pushed and self.town.rig(RIG).landing == "push":
            git.run(["push", "-q", "origin", branch], cwd=tree)

        def body(change: Change) -> Bead:
            work = change.bead(bead_id)
            if work.status == "open":
                work.set("assignee", who)
                work.move("hooked")
                work.move("in_progress")
            work.move("merging")
            work.set("branch", branch)
            work.set("target", "main")
            change.save(work)
            merge, _ = queue.submit(change, RIG, work, branch=branch, commit=commit, target="main", worker=who)
            change.emit("done", f"done {bead_id}", bead=bead_id, rig=RIG)
            return merge

        merge = self.town.transact("done", body)
        return next(entry for entry in self.queue() if entry.id == merge.id)

    def queue(self) -> list[Entry]:
        return queue.entries(self.town, RIG)

    def run(self, on_step: Callable[[Step], None] | None = None) -> RefineryReport:
        """One run of the refinery; every step is kept in `steps`."""

        def keep(step: Step) -> None:
            self.steps.append(step)
            if on_step:
                on_step(step)

        return refinery.run_once(self.town, RIG, on_step=keep)

    def kinds(self) -> list[str]:
        return [step.kind for step in self.steps]

    # -- what really is ----------------------------------------------------------------------------
    def main(self) -> str:
        """The remote's target, asked of the remote."""
        return plain_git(self.origin, "rev-parse", "main")

    def file(self, name: str, rev: str = "main") -> str:
        return plain_git(self.origin, "show", f"{rev}:{name}")

    def landings(self, entry: Entry) -> int:
        """How many commits on the remote's target carry this bead's trailer."""
        beads = plain_git(self.origin, "log", "--format=%(trailers:key=Bead,valueonly,separator=%x20)", "main")
        return beads.split().count(entry.source)

    def status(self, entry: Entry) -> tuple[str, str, str]:
        """(status of the work bead, of the merge bead, why that one is closed)."""
        work, merge = self.town.bead(entry.source), self.town.bead(entry.id)
        return work.status, merge.status, str(merge.closed.get("reason", ""))

    def assert_landed_once(self, *entries: Entry, commits: int = 1) -> None:
        """Recorded as merged with a commit that is on the remote's target, and there exactly once."""
        for entry in entries:
            assert self.status(entry) == ("closed", "closed", "merged"), (entry.source, self.status(entry))
            for bead in (self.town.bead(entry.source), self.town.bead(entry.id)):
                plain_git(self.origin, "merge-base", "--is-ancestor", bead.closed["commit"], "main")
            assert self.landings(entry) == commits

    def assert_not_landed(self, *entries: Entry) -> None:
        for entry in entries:
            assert self.landings(entry) == 0
            assert self.town.bead(entry.source).status != "closed"
            assert self.town.bead(entry.id).closed.get("reason") != "merged"

    def feed(self, kind: str) -> list[str]:
        return [event["text"] for event in self.town.events() if event["type"] == kind]

    def hook(self, name: str, script: str) -> Path:
        """A hook of the remote."""
        path = Path(self.origin, "hooks", name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def child(self, code: str, **env: str) -> int:
        """Run `code` (with `town`, `RIG` and `refinery` at hand) in a process of its own; its exit code."""
        head = (
            "from gastown.services.refinery import refinery\nfrom gastown.store.town import open_town\nimport os, sys\n"
            f"RIG = {RIG!r}\ntown = open_town({self.root!r})\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", head + code], env=git.clean_env(env), capture_output=True, text=True
        )
        self.child_said = done.stdout + done.stderr
        self.town = open_town(self.root, clock=self.clock)
        return done.returncode
