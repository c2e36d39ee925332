"""Looking for what is broken, and mending what is provably ours. Everything else is named and left alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from gastown.model import ids
from gastown.model.errors import GtError, RaceLost
from gastown.model.text import counted
from gastown.runtime import git, processes, sessions, tmux
from gastown.services.agents import wiring
from gastown.services.files import footing, ignored, lint, objects, sound, townfiles
from gastown.services.files.findings import FAIL, FIXED, NOTE, OK, WARN, Finding, Fix, Found, failed
from gastown.services.health import rigdoctor
from gastown.services.machines import homecoming, machine
from gastown.services.sessions import holds
from gastown.services.sync import strayed
from gastown.store import files, gitindex, identity, journal, layout
from gastown.store.town import Town

_GRACE = 5.0
# So many of one kind are named; in somebody else's town it would be every session there ever was.
_MANY = 5
_LOCKED = 60.0
_MERGES = 600.0
# Where people's and our own temporary files may lie in committed folders.
_COMMITTED = ("agents", "beads", "feed", "formulas", "machines", "mail", "rigs", "roles")


def examine(town: Town, *, fix: bool = False) -> list[Finding]:
    """Every check in order. With `fix` what is ours is mended, and said in one feed event."""
    if fix:
        town.require_own()
    found, mended = [], []
    here = (_git, _tmux, _identity, _machine, _clock, _disk, _journal, _locks, _branch, _objects)
    looks = (_leftovers, _feed, _files, _ignored, _beads, _plain_git, rigdoctor.look, _sessions, _held, _claims)
    for check in (*here, *looks):
        for finding, mend in _looked(check, town):
            if mend is not None and fix:
                finding = _mended(finding, mend)
                mended += [finding.text] if finding.state == FIXED else []
            found.append(finding)
    if mended:
        with town.change("doctor") as change:
            change.emit("doctor_fix", f"doctor mended {len(mended)}: {mended[0]}", mended=mended)
    return found


def _looked(check: Callable[[Town], Iterator[Found]], town: Town) -> Iterator[Found]:
    """What a check finds. One that cannot be made is an error found, and no reason to leave out the others."""
    try:
        yield from check(town)
    except (GtError, OSError) as error:
        name = "rigs" if check is rigdoctor.look else check.__name__.strip("_").replace("_", "-")
        yield failed(name, error), None


def _mended(finding: Finding, mend: Fix) -> Finding:
    try:
        mend()
    except (GtError, OSError) as error:
        return failed(finding.check, error, f"{finding.text}, and that cannot be mended: ")
    return Finding(finding.check, FIXED, finding.text)


def _git(town: Town) -> Iterator[Found]:
    found = git.version()
    text = "git " + ".".join(map(str, found))
    if found < git.MIN_GIT:
        needed = ".".join(map(str, git.MIN_GIT))
        yield Finding("git", FAIL, f"{text} is too old", f"install git {needed} or newer"), None
    else:
        yield Finding("git", OK, text), None


def _branch(town: Town) -> Iterator[Found]:
    """Whether the town stands where all machines do, and whether all that was written is there."""
    led = footing.astray(town.repo)
    waiting = footing.left_behind(town.repo)
    if led is not None:
        yield Finding("branch", WARN, led.text, led.command), None
    elif waiting:
        text = f"what was written on no branch is not on this one: {', '.join(waiting)}"
        yield Finding("branch", WARN, text, "gt doctor --fix"), partial(_bring_back, town)
    else:
        yield Finding("branch", OK, town.repo.head()[0].removeprefix("refs/heads/")), None


def _bring_back(town: Town) -> None:
    strayed.bring_back(town)


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
    stands = identity.standing(town.root, town.clock())
    if not stands.own:
        yield Finding("machine", FAIL, stands.text, stands.hint), None
    elif identity.read(town.root) is None:
        yield Finding("machine", FAIL, *homecoming.said(homecoming.candidates(town))), lambda: _join(town)
    elif not town.exists(layout.machine_file(town.machine)):
        yield Finding("machine", WARN, f"{town.machine} is not in machines/", "gt doctor --fix"), lambda: _join(town)
    else:
        yield Finding("machine", OK, town.machine), None


def _join(town: Town) -> None:
    machine.join(town)
    town.refresh()


def _clock(town: Town) -> Iterator[Found]:
    from gastown.services.machines import clocks

    for one in clocks.ahead(town):
        yield Finding("clock", WARN, one.text, clocks.HINT), None


def _disk(town: Town) -> Iterator[Found]:
    free = holds.free_bytes(town.root)
    if free < holds.LOW_DISK:
        yield Finding("disk", WARN, f"only {free >> 20} MiB are free", "free some space: nothing new is started"), None
    else:
        yield Finding("disk", OK, f"{free >> 30} GiB free"), None


def _journal(town: Town) -> Iterator[Found]:
    if town.unsettled:
        yield _unfinished(town)
    elif gitindex.pending(town.root):
        text = "git's index lags behind the last change: another git held it"
        yield Finding("journal", WARN, text, "the next change finishes it"), None
    else:
        yield Finding("journal", OK, "no interrupted change"), None


def _unfinished(town: Town) -> Found:
    """What was killed is finished by whoever comes next: what is still there may be what nobody can finish."""
    what = "a change" if os.path.exists(journal.path(town.root)) else "a sync"
    try:
        town.finish_killed()
    except RaceLost as error:
        return Finding("journal", WARN, f"{what} is not finished: {error.message}", "gt doctor --fix"), None
    except (GtError, OSError) as error:
        return failed("journal", error, f"{what} was interrupted and cannot be finished: "), None
    if town.unsettled:
        return Finding("journal", WARN, f"{what} was interrupted and is not finished", "gt doctor --fix"), None
    return Finding("journal", OK, f"{what} that was interrupted is finished"), None


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
        text = f"{layout.relative(town.root, path)} was left by a killed {'git' if '/.merge_file_' in path else 'gt'}"
        yield Finding("leftovers", WARN, text, "gt doctor --fix"), partial(_remove_temporary, town, path)


def _temporary(town: Town) -> Iterator[str]:
    for folder in _COMMITTED:
        for here, _, names in os.walk(os.path.join(town.root, folder)):
            yield from (os.path.join(here, name) for name in names if name.rstrip("~").endswith(layout.TEMP_SUFFIX))
    for entry in os.scandir(town.root):
        # What git hands to a merge driver lies there only while the driver runs.
        if entry.name.startswith(".merge_file_") and time.time() - entry.stat().st_mtime > _MERGES:
            yield entry.path


def _remove_temporary(town: Town, path: str) -> None:
    # Under the town lock nobody of ours is writing, so that it is nobody's any more.
    with town.change("doctor"):
        files.remove(path)


def _objects(town: Town) -> Iterator[Found]:
    """What git has of the newest commit: without it nothing can be written, nor read of the past."""
    wrong = objects.broken(town.repo)
    if wrong is not None:
        yield Finding("objects", FAIL, wrong.message, objects.way_back(town.repo)), None
    else:
        yield Finding("objects", OK, "the newest commit is whole"), None


def _feed(town: Town) -> Iterator[Found]:
    """The log is only ever written on: what was removed from the disk is still in git."""
    gone = git.run(["ls-files", "-z", "--deleted", "--", layout.FEED], cwd=town.root).fields()
    if gone:
        some = ", ".join(gone[:_MANY]) + (" and others" if len(gone) > _MANY else "")
        text = f"{some} was removed from the disk"
        yield Finding("feed", WARN, text, "gt doctor --fix"), partial(_restore, town, gone)


def _restore(town: Town, paths: list[str]) -> None:
    with town.change("doctor"):
        git.run(["checkout-index", "--force", "--", *paths], cwd=town.root)


def _files(town: Town) -> Iterator[Found]:
    """Every file but the beads and the mail: each kind as its schema says, and that it can be read at all."""
    wrong = sound.problems(town)
    for problem in wrong:
        yield Finding("files", FAIL, str(problem), lint.remedy(town.repo, problem)), None
    if not wrong:
        count = counted(sum(1 for _ in townfiles.settings(town)), "valid file")
        yield Finding("files", OK, f"{count} besides the beads"), None


def _ignored(town: Town) -> Iterator[Found]:
    found = ignored.hiding(town)
    for one in found:
        yield Finding("ignored", WARN, one.text, f"take it out of {one.file}, or write it so that it names less"), None
    if not found:
        yield Finding("ignored", OK, "git overlooks none of the town's files"), None


def _beads(town: Town) -> Iterator[Found]:
    index = town.index()
    lost = [*lint.misplaced(town), *lint.doubled(row.path for row in index.rows)]
    for problem in lost:
        yield Finding("beads", FAIL, str(problem), problem.hint), None
    for problem in index.problems:
        problem = lint.in_view(problem, town)
        yield Finding("beads", FAIL, str(problem), lint.remedy(town.repo, problem)), None
    for slip in index.slips:
        yield Finding("beads", WARN, str(slip), slip.hint), None
    prefixes = {rig.name: rig.prefix for rig in town.rigs()[0]}
    doubtful = len(index.slips)
    for row in index.rows:
        wrong = []
        prefix = prefixes.get(row.rig) if row.rig else town.prefix
        if prefix and ids.prefix_of(row.id) != prefix:
            wrong.append(f"its prefix is not {prefix}, that of {row.rig or 'the town'}")
        wrong += [f"needs {one}, which does not exist" for one in row.needs if one not in index.by_id]
        if row.parent and row.parent not in index.by_id:
            wrong.append(f"its parent {row.parent} does not exist")
        for text in wrong:
            doubtful += 1
            yield Finding("beads", WARN, f"{row.id}: {text}", f"gt show {row.id}; {row.path}"), None
    for problem in lint.circles(index.rows):
        doubtful += 1
        yield Finding("beads", WARN, str(problem), problem.hint), None
    if not index.problems and not lost and not doubtful:
        yield Finding("beads", OK, f"{counted(len(index.rows), 'valid bead')}"), None


def _plain_git(town: Town) -> Iterator[Found]:
    """What makes `git pull` and `git commit` right in a town: settings, hooks, and a merge driver that is there."""
    lacking = wiring.missing(town)
    if not os.access(layout.run(town.root, "bin", "gt"), os.X_OK):
        lacking.append("the gt that they call")
    if lacking:
        text = f"plain git may merge this town wrongly: no {', '.join(lacking[:3])}" + (" …" if lacking[3:] else "")
        yield Finding("plain-git", WARN, text, "gt doctor --fix"), lambda: _wire(town)
    else:
        yield Finding("plain-git", OK, "merges as gt does, and its hooks are installed"), None


def _wire(town: Town) -> None:
    wiring.wire(town)


def _sessions(town: Town) -> Iterator[Found]:
    records, problems = sessions.all_sessions(layout.run(town.root))
    for problem in problems[:_MANY]:
        yield Finding("sessions", FAIL, str(problem), problem.hint), None
    if len(problems) > _MANY:
        yield Finding("sessions", FAIL, f"and {len(problems) - _MANY} more like that", "gt session list --all"), None
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


def _claims(town: Town) -> Iterator[Found]:
    """What stands among the claims at the remote and is none, as last fetched."""
    from gastown.services.claims import badclaims

    for one in badclaims.noted(town.root):
        yield Finding("claims", WARN, one.message, one.hint), None


def _held(town: Town) -> Iterator[Found]:
    """Work whose session is over, as after a restart of the machine: nothing is broken, but it waits."""
    from gastown.services.agents import polecats

    waiting = [one for one in polecats.polecats(town) if one.state == "stalled"]
    if waiting:
        ids = " ".join(str(one.bead) for one in waiting)
        text = f"{counted(len(waiting), 'bead')} on a hook, whose session is over: {ids}"
        yield Finding("work", NOTE, text, f"gt resume {ids}; or gt up, which starts them again"), None


def _end(stray: processes.Proc) -> None:
    processes.terminate(stray, _GRACE)


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """For --json."""
    return {
        "ok": not any(one.state == FAIL for one in findings),
        "findings": [{"check": o.check, "state": o.state, "text": o.text, "hint": o.hint} for o in findings],
    }
