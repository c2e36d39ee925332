"""Making a town: its files from the template, its repository, its first commit."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gastown.model import times
from gastown.model.errors import GtError, Refused, UsageError
from gastown.model.ids import TOWN_PREFIX, check_name, is_name, is_prefix
from gastown.runtime import git, remotes
from gastown.services.agents import wiring
from gastown.services.files.opening import open_town
from gastown.services.machines import beforehand, clone, machine
from gastown.store import files, layout
from gastown.store.resources import data_path
from gastown.store.town import FORMAT, Town

_OURS = ("town.yaml", "beads", "rigs", "mail", "feed", "machines", "agents", "roles", "formulas", "work", ".gt")
# Ignored from within, so that no .gitignore of the person's has to be touched.
_SELF_IGNORED = b"# made by gt: everything in here is local to this machine\n*\n"
_LARGEST = 1_048_576


@dataclass(frozen=True)
class Made:
    """A new town. `committed` are the paths of its first commit, `kept` those left as they were."""

    root: str
    name: str
    prefix: str
    machine: str
    commit: str
    committed: tuple[str, ...]
    kept: tuple[str, ...]
    identity: tuple[str, str] | None
    new_repository: bool


class _Unborn(Town):
    """A town whose town.yaml is only being written."""

    def __init__(self, root: str, clock: Callable[[], float], doc: dict[str, Any]) -> None:
        super().__init__(root, "overseer", clock)
        self._doc = doc

    @property
    def config(self) -> dict[str, Any]:
        return self._doc


def make_town(
    path: str,
    *,
    name: str | None = None,
    prefix: str = TOWN_PREFIX,
    template: str | None = None,
    remote: str | None = None,
    machine_name: str | None = None,
    clock: Callable[[], float] = time.time,
) -> Made:
    """Make a town at `path` and commit exactly its files; what lies there already stays untouched.

    Raises Refused where a town is or its folders would be mixed with others, UsageError for a
    path or name that cannot be, GtError for a git that is missing or too old, or a `remote` that
    does not take the town. On failure what was made is removed again, from a repository that was there, too.
    """
    root = os.path.realpath(os.path.expanduser(path))
    _check_place(root, path)
    town_name = check_name(name, "town") if name is not None else name_from(os.path.basename(root))
    if not is_prefix(prefix):
        raise UsageError(f"{prefix!r} cannot be a prefix", "1 to 8 of a-z and 0-9, beginning with a letter")
    git.require_git()
    source = Path(os.path.expanduser(template)) if template else data_path("town-template")
    contents = _template(source)
    if remote is not None:
        _check_remote(remote, root)
    with _undone_on_failure(root):
        new_repository = _make_repository(root)
        made = _write(root, town_name, prefix, contents, clock, new_repository, machine_name)
        town = open_town(root, clock=clock)
        wiring.wire(town)
        if remote is not None:
            clone.attach_remote(town, remote)
        return made


def name_from(folder: str) -> str:
    """A town's name made from its folder's."""
    stem = "".join(c if c.isascii() and c.isalnum() else "-" for c in folder.lower())
    stem = "-".join(part for part in stem.split("-") if part).lstrip("0123456789-")[:32].rstrip("-")
    if is_name(stem):
        return stem
    return f"my-{stem}"[:32] if stem else "gastown"


def _check_place(root: str, said: str) -> None:
    if os.path.lexists(root) and not os.path.isdir(root):
        raise UsageError(f"{said} is not a folder", "name a new or existing folder")
    above = layout.find_root(root)
    if above == root:
        raise Refused(f"{root} is a town already", "`gt status` shows it")
    if above is not None:
        raise Refused(f"{root} lies inside the town {above}", "make the new town outside of it")
    if os.path.isfile(os.path.join(root, "HEAD")) and os.path.isdir(os.path.join(root, "objects")):
        raise Refused(f"{root} is a bare git repository", "a town needs its files: clone it, or choose another folder")
    taken = [one for one in _OURS if os.path.lexists(os.path.join(root, one))]
    if taken:
        raise Refused(
            f"{root} already holds {', '.join(taken)}, which a town would mix with its own",
            "make the town in a folder of its own",
        )


def _check_remote(url: str, root: str) -> None:
    """Raise RemoteUnreachable for a remote that does not answer."""
    there = root
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    remotes.look(git.absolute(url, root), cwd=there)


def _template(source: Path) -> dict[str, bytes]:
    """Town path -> content of every plain file of a template; links and local folders are left out."""
    if not source.is_dir():
        raise UsageError(f"{source} is no template folder", "name a folder that holds a town's files")
    found: dict[str, bytes] = {}
    for here, folders, names in os.walk(source):
        below = os.path.relpath(here, source)
        local = (".git", layout.LOCAL, layout.WORK) if below == "." else (".git",)
        folders[:] = sorted(folder for folder in folders if folder not in local)
        for one in sorted(names):
            path = os.path.join(here, one)
            info = os.lstat(path)
            if stat.S_ISREG(info.st_mode) and info.st_size <= _LARGEST:
                found[os.path.normpath(os.path.join(below, one)).replace(os.sep, "/")] = files.read(path)
    return found


@contextmanager
def _undone_on_failure(root: str) -> Iterator[None]:
    """Take away what was not there before if the town cannot be made."""
    before = set(os.listdir(root)) if os.path.isdir(root) else None
    repository = beforehand.look(root)
    highest = root
    while not os.path.exists(os.path.dirname(highest)):
        highest = os.path.dirname(highest)
    try:
        _make_folder(root)
        yield
    except BaseException as error:
        try:
            if repository is not None:
                beforehand.put_back(repository)
        except GtError as second:
            what = f"{error}\nand the repository could not be put back as it was: {second.message}"
            raise GtError(what, "look at it with: git log, git status") from error
        finally:
            if before is None:
                shutil.rmtree(highest, ignore_errors=True)
            for name in set(os.listdir(root)) - before if before is not None else ():
                _remove(os.path.join(root, name))
        raise


def _make_folder(root: str) -> None:
    try:
        os.makedirs(root, exist_ok=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"the folder {root} cannot be made: {error.strerror}", "choose another place") from None


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            os.unlink(path)


def _make_repository(root: str) -> bool:
    """True if a repository was made; an existing one is used as it is."""
    if os.path.lexists(os.path.join(root, ".git")):
        git.run(["rev-parse", "--git-dir"], cwd=root)
        return False
    git.run(["init", "--quiet", "--template=", "--initial-branch=main", root])
    return True


def _write(
    root: str, name: str, prefix: str, contents: dict[str, bytes], clock: Callable[[], float], new_repository: bool,
    machine_name: str | None,
) -> Made:  # fmt: skip
    for folder in (layout.local(root), os.path.join(root, layout.WORK)):
        os.makedirs(folder, exist_ok=True)
        files.write(os.path.join(folder, ".gitignore"), _SELF_IGNORED)
    here = machine.introduce(root, (), machine_name)
    own = {"name": name, "prefix": prefix, "version": FORMAT, "created": {"at": times.text(clock()), "by": "overseer"}}
    doc = _merged(contents.pop(layout.TOWN_FILE, None), own)
    town = _Unborn(root, clock, doc)
    kept = [path for path in contents if os.path.lexists(layout.absolute(root, path))]
    with town.change("init") as change:
        for path, data in contents.items():
            if path not in kept:
                change.write(path, data)
        change.put(layout.TOWN_FILE, doc)
        most = machine.capacity(town)
        change.put(layout.machine_file(here.name), machine.committed_doc(root, here, change.now, most))
        change.emit("town_init", f"town {name} made on {here.name}", machine=here.name)
    head = town.repo.head()[1]
    if head is None:
        raise GtError(f"the first commit of {root} is missing", "look at it with: git log")
    commit = head.decode()
    said = git.run(["diff-tree", "-r", "-z", "--root", "--no-commit-id", "--name-only", commit], cwd=root).fields()
    return Made(
        root, name, prefix, here.name, commit, tuple(said), tuple(kept), git.identity(root), new_repository
    )


def _merged(base: bytes | None, doc: dict[str, Any]) -> dict[str, Any]:
    """A template's town.yaml gives settings; name, prefix and date are this town's own."""
    if base is None:
        return doc
    from gastown.store import yaml as yaml_store

    return {**yaml_store.load(base, "town.yaml of the template"), **doc}
