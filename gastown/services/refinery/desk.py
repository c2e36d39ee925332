"""The refinery's own worktree, where stacks are built and gates run: made, set up, and cleared after a crash."""

from __future__ import annotations

import os
import time

from gastown.model.rig import Rig
from gastown.runtime import clones, git, intact, marked, processes, worktrees
from gastown.services.landing import gates
from gastown.services.rigs import rigs
from gastown.store import layout, runstate
from gastown.store.town import Town

SETUP_TIMEOUT = 1800.0
LOCK_WAIT = 2.0


def ready(town: Town, rig: Rig, commit: str) -> str:
    """The path of the worktree, made on `commit` if it is missing. Raises GtError if the rig cannot be cloned here."""
    repo = rigs.ensure_clone(town, rig)
    path = layout.worktree(town.root, rig.name, "refinery")
    if not intact.is_whole(repo, path):
        _make(town, repo, path, commit)
    _clear_locks(path)
    return path


def _clear_locks(path: str) -> None:
    """Locks in the worktree are a killed run's: only this rig's refinery works here, and there is one of it.

    Its last git command may have outlived it, so it is given time to end.
    """
    lock = os.path.join(git.text(["rev-parse", "--absolute-git-dir"], cwd=path), "index.lock")
    deadline = time.monotonic() + LOCK_WAIT
    while os.path.exists(lock) and time.monotonic() < deadline:
        time.sleep(0.02)
    worktrees.clear_locks(path)


def _make(town: Town, repo: str, path: str, commit: str) -> None:
    with clones.locked(repo):
        if os.path.lexists(path):
            # Nobody's work belongs here, but nothing unknown is ever deleted.
            intact.set_aside(path, layout.rescue(town.root), f"{os.path.basename(os.path.dirname(path))}-refinery",
                             town.clock())  # fmt: skip
        git.run(["worktree", "prune"], cwd=repo)
        git.run(["worktree", "add", "--quiet", "--force", "--force", "--detach", path, commit], cwd=repo)


def set_up(town: Town, rig: Rig, path: str) -> str:
    """Run the rig's setup commands once in a new worktree; why they did not pass, "" if they did.

    Raises Refused for one that nobody here has trusted.
    """
    note = layout.run(town.root, "refinery", f"{rig.name}-setup.json")
    mark = {"setup": list(rig.setup), "inode": os.stat(path).st_ino}
    if not rig.setup or runstate.read_json(note) == mark:
        return ""
    log = layout.log(town.root, "gates", f"{rig.name}-setup.log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    for command in rig.setup:
        gates.require(town, rig, "setup", "setup", command)
        ended = gates.run_noted(town, rig, "setup", command, cwd=path, log=log, timeout=SETUP_TIMEOUT)
        if ended.code or ended.timed_out:
            ended_how = "timed out" if ended.timed_out else f"exit {ended.code}"
            return f"the rig's setup failed: {command} ({ended_how}); see {layout.relative(town.root, log)}"
    runstate.write_json(note, mark, durable=False)
    return ""


def stop_orphan(town: Town, rig: Rig) -> None:
    """End the gate or setup that a killed refinery left running, and what it started, if it is provably that one."""
    town.require_own()
    note = gates.running_note(town, rig)
    doc = runstate.read_json(note)
    if doc is None:
        return
    if isinstance(doc, dict) and isinstance(doc.get("pid"), int) and isinstance(doc.get("start"), str):
        processes.terminate(processes.Proc(doc["pid"], doc["start"]), 2.0)
    if isinstance(doc, dict) and isinstance(doc.get("run"), str):
        marked.end(doc["run"], 2.0)
    os.unlink(note)
