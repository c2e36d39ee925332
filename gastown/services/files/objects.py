"""Whether git still has what the town's newest commit is made of, and the newest commit of which it has all."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator

from gastown.model.errors import GtError
from gastown.store import files, git, layout
from gastown.store.gitrepo import TREE_MODE, BrokenObject, MissingObject, Repo

_SUBMODULE = 0o160000


def broken(repo: Repo) -> BrokenObject | None:
    """The first object of HEAD's commit that is damaged or missing; None if it is whole."""
    _, head = repo.head()
    return _broken_in(repo, head, set()) if head else None


def _broken_in(repo: Repo, commit: bytes, known: set[bytes]) -> BrokenObject | None:
    """As `broken`, for any commit. `known` are the objects found whole before: versions share nearly all of theirs."""
    try:
        for sha, is_tree in _parts(repo, bytes(repo.commit(commit).tree), known):
            if not is_tree and not _lies(repo, sha):
                repo.get(sha)
            known.add(sha)
    except BrokenObject as error:
        return error
    except GtError as error:
        return BrokenObject(repo.root, commit, f"is none of the town's: {error.message}")
    return None


def _parts(repo: Repo, tree: bytes, known: set[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The objects of a tree that are not `known`, and whether each is a tree, those below it first."""
    if tree in known:
        return
    for entry in repo.tree(tree).items():
        if entry.mode == TREE_MODE:
            yield from _parts(repo, bytes(entry.sha), known)
        elif entry.mode != _SUBMODULE and entry.sha not in known:
            yield bytes(entry.sha), False
    yield tree, True


def _lies(repo: Repo, sha: bytes) -> bool:
    """True if an object has a file of its own that is not empty: what a power loss leaves mostly is."""
    name = sha.decode("ascii")
    try:
        return os.stat(os.path.join(repo.common_dir, "objects", name[:2], name[2:])).st_size > 0
    except FileNotFoundError:
        return False


def way_back(repo: Repo) -> str:
    """The commands with which a town whose HEAD is not whole goes on from the newest commit that is."""
    name, head = repo.head()
    known: set[bytes] = set()
    good = next((one for one in _candidates(repo) if one != head and _broken_in(repo, one, known) is None), None)
    if good is None:
        return "no commit here is whole: clone the town again, and copy the files that lie here over it"
    root = shlex.quote(repo.root)
    torn = "".join(f"rm -f {shlex.quote(path)}; " for path in _empty(repo))
    return (
        f"it goes on from {good.decode()[:12]}, and the files stay as they lie here: "
        f"cd {root}; {torn}git update-ref {name} {good.decode()}; git read-tree HEAD; "
        "git reflog expire --stale-fix --expire=never --expire-unreachable=never --all; then gt doctor"
    )


def _candidates(repo: Repo) -> Iterator[bytes]:
    """Commits from which the town might go on, the best first: those HEAD was at, then any that hold a town."""
    log = files.read_or_none(os.path.join(repo.git_dir, "logs", "HEAD")) or b""
    seen = list(dict.fromkeys(line.split(b" ", 2)[1] for line in reversed(log.splitlines()) if line.count(b" ") > 1))
    yield from seen
    args = ["cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)"]
    _, out = git.run(args, cwd=repo.root, check=False)
    others = [line[7:] for line in out.splitlines() if line.startswith(b"commit ") and line[7:] not in seen]
    yield from sorted((one for one in others if _is_town(repo, one)), key=lambda one: -repo.commit(one).commit_time)


def _is_town(repo: Repo, commit: bytes) -> bool:
    try:
        return repo.find(bytes(repo.commit(commit).tree), layout.TOWN_FILE) is not None
    except GtError:
        return False


def _empty(repo: Repo) -> list[str]:
    """Files of objects that hold nothing: git stops at each, and writes none of them anew."""
    home = os.path.join(repo.common_dir, "objects")
    found = []
    for folder in os.listdir(home):
        here = os.path.join(home, folder)
        if len(folder) == 2 and os.path.isdir(here):
            found += [os.path.join(here, name) for name in os.listdir(here) if not _size(os.path.join(here, name))]
    return sorted(found)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 1  # packed meanwhile


__all__ = ["BrokenObject", "MissingObject", "broken", "way_back"]
