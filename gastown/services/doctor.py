"""Looking for what is broken, and mending what is provably ours. Everything else is named and left alone."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from gastown.model import ids
from gastown.model.bead import HELD
from gastown.model.errors import GtError, InvalidFile
from gastown.model.rig import Rig
from gastown.runtime import clones, git, processes, sessions, tmux
from gastown.services import machine, wiring
from gastown.store import files, gitindex, journal, layout, schema
from gastown.store.resources import data_path
from gastown.store.town import Town

OK, NOTE, WARN, FAIL, FIXED = "ok", "note", "warning", "error", "fixed"
_LOW_DISK = 1 << 30
_GRACE = 5.0
_LOCKED = 60.0
# Where people's and our own temporary files may lie in committed folders.
_COMMITTED = ("agents", "beads", "feed", "formulas", "machines", "mail", "rigs", "roles")


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `state`: ok, note, warning, error or fixed; `hint`: what to do, "" if nothing."""

    check: str
    state: str
    text: str
    hint: str = ""


Fix = Callable[[], None]
# What a check yields: a finding, and how to mend it where that is ours to do.
Found = tuple[Finding, Fix | None]


def examine(town: Town, *, fix: bool = False) -> list[Finding]:
    """Every check in order. With `fix` what is ours is mended, and said in one feed event."""
    found, mended = [], []
    here = (_git, _tmux, _identity, _machine, _wiring, _disk, _journal, _locks)
    for check in (*here, _leftovers, _files, _beads, _rigs, _sessions):
        for finding, mend in check(town):
            if mend is not None and fix:
                mend()
                finding = Finding(finding.check, FIXED, finding.text)
                mended.append(finding.text)
            found.append(finding)
    if mended:
        with town.change("doctor") as change:
            change.emit("doctor_fix", f"doctor mended {len(mended)}: {mended[0]}", mended=mended)
    return found


def _git(town: Town) -> Iterator[Found]:
    found = git.version()
    text = "git " + ".".join(map(str, found))
    if found < git.MIN_GIT:
        needed = ".".join(map(str, git.MIN_GIT))
        yield Finding("git", FAIL, f"{text} is too old", f"install git {needed} or newer"), None
    else:
        yield Finding("git", OK, text), None


def _tmux(town: Town) -> Iterator[Found]:
    found = tmux.version()
    if found is None:
        text = "tmux is not installed: sessions run as plain processes, and cannot be attached to"
        yield Finding("tmux", NOTE, text, "install tmux to sit down at an agent's terminal"), None
    elif found < tmux.MIN_TMUX:
        needed = ".".join(map(str, tmux.MIN_TMUX))
        yield Finding("tmux", WARN, f"tmux {'.'.join(map(str, found))} is too old", f"install {needed} or newer"), None
    else:
        yield Finding("tmux", OK, "tmux " + ".".join(map(str, found))), None


def _identity(town: Town) -> Iterator[Found]:
    who = git.identity(town.root)
    if who is None:
        yield (
            Finding(
                "identity", WARN, "git does not know who you are; your commits here are made as `overseer`",
                'git config --global user.name "You" and user.email "you@example.org"',
            ),
            None,
        )  # fmt: skip
    else:
        yield Finding("identity", OK, f"{who[0]} <{who[1]}>"), None


def _machine(town: Town) -> Iterator[Found]:
    path = layout.local(town.root, "machine.yaml")
    if not os.path.exists(path):
        yield Finding("machine", FAIL, "this machine has no name here", "gt doctor --fix"), lambda: _join(town)
    elif not town.exists(layout.machine_file(town.machine)):
        yield Finding("machine", WARN, f"{town.machine} is not in machines/", "gt doctor --fix"), lambda: _join(town)
    else:
        yield Finding("machine", OK, town.machine), None


def _wiring(town: Town) -> Iterator[Found]:
    lacking = wiring.missing(town)
    if lacking:
        text = f"plain git may merge this town wrongly: {', '.join(lacking[:3])}" + (" …" if lacking[3:] else "")
        yield Finding("plain git", WARN, text, "gt doctor --fix"), lambda: _wire(town)
    else:
        yield Finding("plain git", OK, "merges as gt does, and its hooks are installed"), None


def _wire(town: Town) -> None:
    wiring.wire(town)


def _join(town: Town) -> None:
    machine.join(town)
    town.__dict__.pop("machine", None)


def _disk(town: Town) -> Iterator[Found]:
    free = shutil.disk_usage(town.root).free
    if free < _LOW_DISK:
        yield Finding("disk", WARN, f"only {free >> 20} MiB are free", "free some space: nothing new is started"), None
    else:
        yield Finding("disk", OK, f"{free >> 30} GiB free"), None


def _journal(town: Town) -> Iterator[Found]:
    if os.path.exists(journal.path(town.root)):
        yield Finding("journal", WARN, "a change was interrupted and is not finished", "gt doctor --fix"), town.settle
    elif gitindex.pending(town.root):
        text = "git's index lags behind the last change: another git held it"
        yield Finding("journal", WARN, text, "the next change finishes it"), None
    else:
        yield Finding("journal", OK, "no interrupted change"), None


def _locks(town: Town) -> Iterator[Found]:
    git_dir = town.repo.git_dir
    lock = os.path.join(git_dir, "index.lock")
    data = files.read_or_none(lock)
    if data is None:
        yield Finding("locks", OK, "none left behind"), None
    elif data == gitindex.TOKEN:
        yield (
            Finding("locks", WARN, "a killed gt left git's index locked", "gt doctor --fix"),
            lambda: _clear_own_lock(town),
        )
    else:
        text = f"{lock} is there: a git works here, or one was killed"
        yield Finding("locks", WARN, text, "when no git runs any more, remove that file"), None
    for stale in _ref_locks(town.repo.common_dir):
        text = f"{stale} is there for a while: a git that was killed left it, and fetch and push stop at it"
        yield Finding("locks", WARN, text, "when no git runs any more, remove that file"), None


def _ref_locks(git_dir: str) -> list[str]:
    """Locks on refs that are older than any git command holds one."""
    found = [os.path.join(git_dir, name) for name in ("packed-refs.lock", "HEAD.lock", "config.lock", "shallow.lock")]
    for here, _, names in os.walk(os.path.join(git_dir, "refs")):
        found += [os.path.join(here, name) for name in names if name.endswith(".lock")]
    old = time.time() - _LOCKED
    return sorted(path for path in found if os.path.exists(path) and os.stat(path).st_mtime < old)


def _clear_own_lock(town: Town) -> None:
    with town.change("doctor"):
        pass  # taking the town lock clears what a dead process of ours left


def _leftovers(town: Town) -> Iterator[Found]:
    found = list(_temporary(town))
    if not found:
        yield Finding("leftovers", OK, "no temporary files"), None
    for path in found:
        text = f"{layout.relative(town.root, path)} was left by a killed gt"
        yield Finding("leftovers", WARN, text, "gt doctor --fix"), partial(_remove_temporary, town, path)


def _temporary(town: Town) -> Iterator[str]:
    for folder in _COMMITTED:
        for here, _, names in os.walk(os.path.join(town.root, folder)):
            yield from (os.path.join(here, name) for name in names if name.rstrip("~").endswith(layout.TEMP_SUFFIX))


def _remove_temporary(town: Town, path: str) -> None:
    # Under the town lock nobody of ours is writing, so that it is nobody's any more.
    with town.change("doctor"):
        files.remove(path)


def _files(town: Town) -> Iterator[Found]:
    """Every YAML file but the beads, against its schema."""
    count = bad = 0
    for path in _yaml_files(town):
        count += 1
        for problem in _wrong(town, path):
            bad += 1
            yield Finding("files", FAIL, str(problem), problem.hint), None
    if not bad:
        yield Finding("files", OK, f"{count} files of the town are valid"), None


def _yaml_files(town: Town) -> Iterator[str]:
    yield layout.TOWN_FILE
    for folder in ("agents", layout.MACHINES):
        yield from (f"{folder}/{name}" for name in sorted(town.names(folder)) if name.endswith(".yaml"))
    for rig in sorted(town.names(layout.RIGS)):
        if not ids.is_name(rig):
            continue
        if town.exists(layout.rig_file(rig)):
            yield layout.rig_file(rig)
        for kind in ("polecats", "crew"):
            folder = f"{layout.RIGS}/{rig}/{kind}"
            yield from (f"{folder}/{name}" for name in sorted(town.names(folder)) if name.endswith(".yaml"))


def _wrong(town: Town, path: str) -> list[InvalidFile]:
    kind = schema.kind_of(path)
    try:
        doc = town.load(path)
    except InvalidFile as problem:
        return [problem]
    return schema.validate(kind, doc, path) if kind else []


def _beads(town: Town) -> Iterator[Found]:
    index = town.index()
    for problem in index.problems:
        yield Finding("beads", FAIL, str(problem), problem.hint), None
    prefixes = {rig.name: rig.prefix for rig in town.rigs()[0]}
    seen: dict[str, str] = {}
    doubtful = 0
    for row in index.rows:
        wrong = []
        prefix = prefixes.get(row.rig) if row.rig else town.prefix
        if row.id in seen:
            wrong.append(f"the same id stands in {seen[row.id]}")
        seen[row.id] = row.path
        if prefix and ids.prefix_of(row.id) != prefix:
            wrong.append(f"its prefix is not {prefix}, that of {row.rig or 'the town'}")
        wrong += [f"needs {one}, which does not exist" for one in row.needs if one not in index.by_id]
        if row.parent and row.parent not in index.by_id:
            wrong.append(f"its parent {row.parent} does not exist")
        for text in wrong:
            doubtful += 1
            yield Finding("beads", WARN, f"{row.id}: {text}", f"gt show {row.id}; {row.path}"), None
    if not index.problems and not doubtful:
        yield Finding("beads", OK, f"{len(index.rows)} beads are valid"), None


def _rigs(town: Town) -> Iterator[Found]:
    rigs, problems = town.rigs()
    for rig in rigs:
        repo = layout.bare(town.root, rig.name)
        if not os.path.isdir(repo):
            text = f"rig {rig.name} has no clone on this machine"
            yield Finding("rigs", WARN, text, "gt doctor --fix clones it"), partial(_clone, town, rig)
            continue
        yield from _hooks(rig, repo)
        yield from _worktrees(town, rig, repo)
    if not rigs and not problems:
        yield Finding("rigs", NOTE, "no rigs yet", "gt rig add NAME URL-OR-PATH"), None


def _clone(town: Town, rig: Rig) -> None:
    clones.clone(rig.git, layout.bare(town.root, rig.name), branch=rig.branch, base=town.root)


def _hooks(rig: Rig, repo: str) -> Iterator[Found]:
    lasting = os.path.join(repo, "hooks")
    said = git.run(["config", "--get", "core.hooksPath"], git_dir=repo, check=False).text
    stale = said != lasting
    for source in (data_path("hooks") / "rig").iterdir():
        stale = stale or files.read_or_none(os.path.join(lasting, source.name)) != source.read_bytes()
    if stale:
        text = f"the hooks of rig {rig.name}'s clone are not ours"
        yield Finding("hooks", WARN, text, "gt doctor --fix"), lambda: clones.configure(repo)
    else:
        yield Finding("hooks", OK, f"rig {rig.name}"), None


def _worktrees(town: Town, rig: Rig, repo: str) -> Iterator[Found]:
    known = {os.path.realpath(one["worktree"]) for one in clones.worktrees(repo)}
    here = _name(town)
    for row in town.index().rows:
        if row.rig != rig.name or row.status not in HELD or row.machine != here or not row.assignee:
            continue
        path = layout.worktree(town.root, rig.name, row.assignee.partition("/")[2])
        if os.path.realpath(path) not in known or not os.path.isdir(path):
            text = f"{row.assignee} holds {row.id}, but its worktree is missing"
            yield Finding("worktrees", WARN, text, f"gt resume {row.id}"), None
    folder = layout.work(town.root, rig.name)
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if not name.startswith(".") and os.path.isdir(path) and os.path.realpath(path) not in known:
            text = f"{layout.relative(town.root, path)} is no worktree of rig {rig.name}"
            yield Finding("worktrees", WARN, text, "look at it, and move it away"), None


def _name(town: Town) -> str | None:
    try:
        return town.machine
    except GtError:
        return None


def _sessions(town: Town) -> Iterator[Found]:
    records, problems = sessions.all_sessions(layout.run(town.root))
    for problem in problems:
        yield Finding("sessions", FAIL, str(problem), problem.hint), None
    live = 0
    for record in records:
        stray = sessions.orphan(record)
        if stray is not None:
            text = f"process {stray.pid} of session {record.id} ({record.address}) outlived its runner"
            yield Finding("sessions", WARN, text, "gt doctor --fix ends it"), partial(_end, stray)
        elif sessions.liveness(record) in ("running", "starting"):
            live += 1
    if not problems:
        yield Finding("sessions", OK, f"{live} running"), None


def _end(stray: processes.Proc) -> None:
    processes.terminate(stray, _GRACE)


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """For --json."""
    return {
        "ok": not any(one.state == FAIL for one in findings),
        "findings": [{"check": o.check, "state": o.state, "text": o.text, "hint": o.hint} for o in findings],
    }
