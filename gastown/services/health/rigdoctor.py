"""The doctor's look at rigs: their clones on this machine, the hooks in these, the worktrees beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

from gastown.model.bead import HELD
from gastown.model.errors import GtError
from gastown.model.rig import Rig
from gastown.runtime import clones, git, intact, marked, processes
from gastown.services.agents import orphaned
from gastown.services.files import rigless
from gastown.services.files.findings import FAIL, NOTE, OK, WARN, Finding, Found, failed
from gastown.services.rigs import localtarget, origins
from gastown.services.rigs import rigs as rigs_service
from gastown.store import files, layout
from gastown.store.resources import data_path
from gastown.store.town import Town

# How long a process may take to end, in seconds.
_GRACE = 5.0


def look(town: Town) -> Iterator[Found]:
    """Each rig by itself, then what belongs to none: one that cannot be looked at hides nothing of the others."""
    rigs, problems = town.rigs()
    for rig in rigs:
        try:
            yield from _rig(town, rig)
        except (GtError, OSError) as error:
            yield failed("rigs", error, f"rig {rig.name} cannot be looked at: "), None
    lost = rigless.found(town)
    for one in lost:
        yield Finding("rigs", FAIL, f"rig {one.rig} has no rig.yaml: {one.text}", one.todo), None
    if not rigs and not problems and not lost:
        yield Finding("rigs", NOTE, "no rigs yet", "gt rig add NAME URL-OR-PATH"), None
    yield from _left_running(town)


def _rig(town: Town, rig: Rig) -> Iterator[Found]:
    repo = layout.bare(town.root, rig.name)
    if not os.path.isdir(repo):
        if rig.landing == "local" and rig.refinery_machine not in (None, town.machine):
            return  # it lies on another machine, and is worked on there
        text = f"rig {rig.name} has no clone on this machine"
        yield Finding("rigs", WARN, text, "gt doctor --fix clones it"), partial(_clone, town, rig)
        return
    if was := origins.other(town, rig):
        text = f"the clone of rig {rig.name} is one of {was}, but {rig.path} says {git.mask(rig.git)}"
        yield Finding("rigs", WARN, text, "gt doctor --fix makes it follow"), partial(_clone, town, rig)
    else:
        yield Finding("rigs", OK, f"rig {rig.name}"), None
    yield from _hooks(town, rig, repo)
    yield from _target(town, rig)
    yield from _worktrees(town, rig, repo)


def _clone(town: Town, rig: Rig) -> None:
    rigs_service.ensure_clone(town, rig)


def _hooks(town: Town, rig: Rig, repo: str) -> Iterator[Found]:
    lasting = os.path.join(repo, "hooks")
    said = git.run(["config", "--get", "core.hooksPath"], git_dir=repo, check=False).text
    stale = said != lasting or not rigs_service.is_guarded(town, rig)
    for source in (data_path("hooks") / "rig").iterdir():
        stale = stale or files.read_or_none(os.path.join(lasting, source.name)) != source.read_bytes()
    if stale:
        text = f"the hooks of rig {rig.name}'s clone are not ours, or do not guard its branch {rig.branch}"
        yield Finding("hooks", WARN, text, "gt doctor --fix"), partial(_rewire, town, rig, repo)
    else:
        yield Finding("hooks", OK, f"rig {rig.name}"), None


def _rewire(town: Town, rig: Rig, repo: str) -> None:
    clones.configure(repo)
    rigs_service.guard(town, rig)


def _target(town: Town, rig: Rig) -> Iterator[Found]:
    """What came onto the branch that work lands on, past the refinery."""
    for one in localtarget.astray(town, rig):
        hint = f"gt refinery run {rig.name} keeps what lies there under a ref, and puts it back"
        yield Finding("landing", WARN, localtarget.said(one, rig), hint), None


def _worktrees(town: Town, rig: Rig, repo: str) -> Iterator[Found]:
    known = {os.path.realpath(one["worktree"]) for one in clones.worktrees(repo)}
    here = _name(town)
    for row in town.index().rows:
        if row.rig != rig.name or row.status not in HELD or row.machine != here or not row.assignee:
            continue
        path = layout.worktree(town.root, rig.name, row.assignee.partition("/")[2])
        name = row.assignee.partition("/")[2]
        if not any(town.exists(layout.worker_file(rig.name, kind, name)) for kind in ("polecats", "crew")):
            file = layout.worker_file(rig.name, "polecats", name)
            text = f"{row.assignee} holds {row.id}, but its file {file} is missing"
            yield Finding("worktrees", WARN, text, f"bring it back from a commit that had it: git log -- {file}"), None
        if os.path.realpath(path) not in known or not os.path.isdir(path):
            text = f"{row.assignee} holds {row.id}, but its worktree is missing"
            yield Finding("worktrees", WARN, text, f"gt resume {row.id}"), None
    for bead, branch, count in orphaned.branches(town, rig.name, rig.branch):
        yield Finding("work", NOTE, *orphaned.said(rig.name, bead, branch, count)), None
    folder = layout.work(town.root, rig.name)
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if not name.startswith(".") and os.path.isdir(path) and os.path.realpath(path) not in known:
            text = f"{layout.relative(town.root, path)} is no worktree of rig {rig.name}"
            yield Finding("worktrees", WARN, text, "look at it, and move it away"), None
        elif os.path.realpath(path) in known and os.path.isdir(path) and not intact.is_whole(repo, path):
            yield _broken(town, repo, path), None


def _broken(town: Town, repo: str, path: str) -> Finding:
    try:
        intact.require(repo, path)
    except intact.Broken as error:
        return Finding("worktrees", WARN, error.message, error.hint)
    return Finding("worktrees", OK, layout.relative(town.root, path))


def _left_running(town: Town) -> Iterator[Found]:
    """What gates and setup commands left behind in sessions of their own: on purpose, or because a gt was killed."""
    for one in marked.left(town.root):
        text = f"process {one.proc.pid} was left running by a gate or the setup of rig {one.rig}: {one.words}"
        yield Finding("gates", WARN, text, "gt doctor --fix ends it"), partial(_end, one.proc)


def _end(proc: processes.Proc) -> None:
    processes.terminate(proc, _GRACE)


def _name(town: Town) -> str | None:
    try:
        return town.machine
    except GtError:
        return None
