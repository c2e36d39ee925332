"""`gt demo`: a town with a small project, work for several workers, a red gate, and everything landed at the end."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gastown.model.errors import GtError, Refused
from gastown.runtime import git, shell
from gastown.services.beads import beads
from gastown.services.files.opening import open_town
from gastown.services.machines import init
from gastown.services.refinery import drive
from gastown.services.refinery.refinery import Step
from gastown.services.rigs import rigs
from gastown.services.sling import sling
from gastown.store import layout
from gastown.store.resources import data_path
from gastown.store.town import Town

RIG = "wordtools"
GATE = "python3 -m unittest -q"
_AUTHOR = ("Demo", "demo@example.org")


@dataclass(frozen=True)
class Task:
    """One bead of the demo: what the worker program is told, and which tasks it needs."""

    name: str
    title: str
    acceptance: str
    needs: tuple[str, ...] = ()


TASKS = (
    Task("slug", "Write slugify()", "tests/todo_slug.py is green and renamed to test_slug.py"),
    Task("initials", "Write initials()", "tests/todo_initials.py is green and renamed to test_initials.py"),
    Task("wrap", "Write wrap(), which is easy to get wrong", "tests/todo_wrap.py is green and renamed to test_wrap.py"),
    Task("cli", "A command line for slugs and initials", "tests/todo_cli.py is green", ("slug", "initials")),
)


@dataclass(frozen=True)
class Demo:
    """What the demo built and how it ended: bead ids by task, their ends, the last line of the tests."""

    town: Town
    project: str
    ids: dict[str, str]
    ends: dict[str, str]
    tests: str
    green: bool

    @property
    def landed(self) -> bool:
        """True if every bead was merged and the tests are green on the target branch."""
        return self.green and all(end == "merged" for end in self.ends.values())


def new_place(path: str | None) -> str:
    """Where the demo goes: PATH if it is free, else a new folder under the temporary directory."""
    if path is None:
        return os.path.join(tempfile.mkdtemp(prefix="gt-demo-"), "town")
    place = os.path.abspath(os.path.expanduser(path))
    if os.path.lexists(place) and (not os.path.isdir(place) or os.listdir(place)):
        raise Refused(f"{path} is not empty", "the demo makes a town of its own: name a new or empty folder")
    return place


def prepare(path: str) -> tuple[Town, dict[str, str]]:
    """The town with its project as a rig and its beads: (town, task name -> bead id)."""
    made = init.make_town(path, name="demo-town")
    town = open_town(made.root)
    project = make_project(layout.local(town.root, "demo", f"{RIG}.git"))
    rigs.add(town, rigs.NewRig(RIG, project, gates=(("tests", GATE),)), base=town.root)
    found: dict[str, str] = {}
    for task in TASKS:
        draft = beads.Draft(
            task.title, acceptance=task.acceptance, rig=RIG, needs=tuple(found[need] for need in task.needs)
        )
        found[task.name] = beads.create(town, draft).id
    return town, found


def make_project(bare: str) -> str:
    """The project's own repository at `bare`, with one commit; returns that path."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(data_path("demo") / "project", folder, dirs_exist_ok=True)
        env = git.author_env(*_AUTHOR)
        for args in (["init", "-q", "--template=", "-b", "main"], ["add", "-A"], ["commit", "-qm", "wordtools"]):
            git.run(args, cwd=folder, env=env)
        os.makedirs(os.path.dirname(bare), exist_ok=True)
        git.run(["clone", "-q", "--bare", "--template=", folder, bare])
        git.run(["remote", "remove", "origin"], cwd=bare)
    return bare


def run(
    town: Town, ids: dict[str, str], *, runtime: str | None = None, on_step: Callable[[Step], None] | None = None
) -> Demo:
    """Sling every task to the built-in exec agent and drive the town until nothing can move any more."""
    worker = str(data_path("demo") / "worker.py")
    for task in sorted(TASKS, key=lambda one: bool(one.needs)):
        command = [sys.executable, worker, task.name]
        works = [ids[task.name]]
        report = sling.sling(town, works, RIG, command=command, runtime=runtime, queue_blocked=True)
        if report.refused:
            raise GtError(report.refused[0].message)
    ends = drive.drive(town, list(ids.values()), on_step=on_step)
    project = town.rig(RIG).git
    line, green = tests_on_target(project)
    return Demo(town, project, ids, {one.bead: one.end for one in ends.ends}, line, green)


def tests_on_target(project: str) -> tuple[str, bool]:
    """Run the project's tests on what really stands on its main branch: (last line, green)."""
    with tempfile.TemporaryDirectory() as folder:
        checkout, log = Path(folder, "main"), Path(folder, "tests.log")
        git.run(["clone", "-q", "--template=", project, str(checkout)], cwd=folder)
        env = shell.environment({})
        done = shell.run("python3 -m unittest", cwd=str(checkout), env=env, log=str(log), timeout=60)
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    ran = next((line for line in lines if line.startswith("Ran ")), "no test ran")
    green = done.code == 0 and not ran.startswith(("Ran 0", "no"))
    return f"{ran}: {lines[-1] if lines else 'nothing'}", green
