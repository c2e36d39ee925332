"""Every path of a town, and nothing else knows them (town.md).

Town paths are POSIX, relative to the root; local ones (`.gt/`, `work/`) are absolute.
Names and ids are checked here, before they become a path.
"""

from __future__ import annotations

import os

from gastown.model.address import name_of, rig_of
from gastown.model.errors import UsageError
from gastown.model.ids import check_id, check_name, is_id, is_name

TOWN_FILE = "town.yaml"
LOCAL = ".gt"
WORK = "work"
RIGS = "rigs"
FEED = "feed"
MAIL = "mail"
MACHINES = "machines"
# Below .gt/run/ while a change, or a sync, is being written: whoever finds one of a dead process finishes it.
UNFINISHED = ("journal.json", "merge.json")
# What a file system takes for a name.
NAME_BYTES = 255
# A temporary file lies beside the file it will replace, for the rename to be atomic.
TEMP_SUFFIX = ".gt-tmp"


def beads_dir(rig: str | None) -> str:
    """The folder of day folders of a rig's beads; None: the town's own."""
    return f"{RIGS}/{check_name(rig, 'rig')}/beads" if rig else "beads"


def bead_path(rig: str | None, day: str, bead_id: str) -> str:
    """Where a bead created on `day` (UTC, 2026-11-23) lies for good."""
    return f"{beads_dir(rig)}/{day}/{check_id(bead_id)}.yaml"


def rig_dir(rig: str) -> str:
    """A rig's folder."""
    return f"{RIGS}/{check_name(rig, 'rig')}"


def rig_file(rig: str) -> str:
    """A rig's rig.yaml."""
    return f"{rig_dir(rig)}/rig.yaml"


def worker_file(rig: str, kind: str, name: str) -> str:
    """A worker's file; `kind` is `polecats` or `crew`."""
    if kind not in ("polecats", "crew"):
        raise UsageError(f"{kind!r} is no kind of worker", "polecats or crew")
    return f"{rig_dir(rig)}/{kind}/{check_name(name, 'worker')}.yaml"


def machine_file(name: str) -> str:
    """A machine's file."""
    return f"{MACHINES}/{check_name(name, 'machine')}.yaml"


def mailbox(address: str) -> str:
    """The Maildir of a canonical address: mail/mayor, mail/greenplace/toast."""
    rig = rig_of(address)
    return f"{MAIL}/{check_name(rig, 'rig')}/{name_of(address)}" if rig else f"{MAIL}/{name_of(address)}"


def feed_segment(day: str, machine: str, number: int) -> str:
    """A feed segment; one machine writes it."""
    return f"{FEED}/{day}/{machine}-{number:04d}.jsonl"


def rig_of_path(path: str) -> str | None:
    """The rig a town path belongs to; None for the town's own files."""
    parts = path.split("/", 2)
    return parts[1] if len(parts) == 3 and parts[0] == RIGS and is_name(parts[1]) else None


def bead_of_path(path: str) -> str | None:
    """The bead id a path is the place of; None if it is no bead's place."""
    parts = path.split("/")
    if parts[0] == RIGS and len(parts) == 5 and is_name(parts[1]):
        parts = parts[2:]
    if len(parts) == 3 and parts[0] == "beads" and parts[2].endswith(".yaml"):
        stem = parts[2][:-5]
        return stem if is_id(stem) else None
    return None


def aside(path: str, commit: str) -> str:
    """Where the other side's version of a file is kept: beside it, with a name that is not too long for a file."""
    folder, slash, name = path.rpartition("/")
    mark = f".theirs-{commit[:8]}"
    whole = name.encode("utf-8", "surrogateescape")
    if len(whole) + len(mark) > NAME_BYTES:
        import hashlib  # such names are rare

        mark = f"~{hashlib.sha256(whole).hexdigest()[:8]}{mark}"
        name = whole[: NAME_BYTES - len(mark)].decode("utf-8", "ignore")
    return f"{folder}{slash}{name}{mark}"


def absolute(root: str, path: str) -> str:
    """A town path in the file system."""
    return f"{root}/{path}"


def relative(root: str, path: str) -> str:
    """The town path of an absolute one below `root`."""
    return os.path.relpath(path, root).replace(os.sep, "/")


def local(root: str, *parts: str) -> str:
    """A path below this machine's `.gt/`."""
    return os.path.join(root, LOCAL, *parts)


def run(root: str, *parts: str) -> str:
    """A path below `.gt/run/`: sessions, heartbeats, checkpoints."""
    return os.path.join(root, LOCAL, "run", *parts)


def cache(root: str, *parts: str) -> str:
    """A path below `.gt/cache/`, all of it deletable."""
    return os.path.join(root, LOCAL, "cache", *parts)


def log(root: str, *parts: str) -> str:
    """A path below `.gt/log/`."""
    return os.path.join(root, LOCAL, "log", *parts)


def rescue(root: str) -> str:
    """Where uncommitted work is saved before a worktree is reset."""
    return os.path.join(root, LOCAL, "rescue")


def work(root: str, rig: str) -> str:
    """A rig's local folder of clone and worktrees."""
    return os.path.join(root, WORK, check_name(rig, "rig"))


def bare(root: str, rig: str) -> str:
    """The rig's bare repository on this machine."""
    return os.path.join(work(root, rig), ".repo.git")


def worktree(root: str, rig: str, name: str) -> str:
    """A worker's worktree; `refinery` has one too."""
    return os.path.join(work(root, rig), name if name == "refinery" else check_name(name, "worker"))


def worker_of_cwd(root: str, cwd: str) -> str | None:
    """The address of the worker whose worktree `cwd` lies in; None anywhere else."""
    try:
        rest = os.path.relpath(os.path.realpath(cwd), os.path.join(os.path.realpath(root), WORK))
    except ValueError:
        return None
    parts = rest.split(os.sep)
    if len(parts) >= 2 and is_name(parts[0]) and (is_name(parts[1]) or parts[1] == "refinery"):
        return f"{parts[0]}/{parts[1]}"
    return None


def find_root(start: str) -> str | None:
    """The town at or above `start`: the nearest folder with a town.yaml. None if there is none."""
    here = os.path.abspath(start)
    while True:
        if os.path.isfile(os.path.join(here, TOWN_FILE)):
            return here
        above = os.path.dirname(here)
        if above == here:
            return None
        here = above
