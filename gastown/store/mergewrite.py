"""Moving the town's branch to a commit that a sync brought or made, and the files along with it.

    objects -> note -> branch by compare-and-swap -> files -> index -> note gone

Killed in between, the next writer finishes. All of it under the town lock.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable

from dulwich.objects import ShaFile

from gastown.model.errors import GtError, InvalidFile
from gastown.store import editbases, files, git, gitindex, layout, runstate, treediff
from gastown.store.gitrepo import Repo, ident, new_blob
from gastown.store.treediff import Entry

_NOTE = layout.UNFINISHED[1]
# More files than this are made durable by one sync of the disk.
_ONE_BY_ONE = 64


def _note(root: str) -> str:
    return layout.run(root, _NOTE)


def move(repo: Repo, new: bytes, made: Iterable[ShaFile], *, old: bytes, who: tuple[str, str], message: str) -> bool:
    """Write `made`, move the branch from `old` to `new` and bring the files along. False if the branch is not `old`.

    A file that holds something else than `old` says (somebody edits it) is left as it is. Raises InvalidFile
    where a symbolic link lies in the way, or a file where a folder belongs.
    """
    ref, head = repo.head()
    if head != old:
        return False
    repo.put(made)
    changes = treediff.changes(repo, repo.commit(old).tree, repo.commit(new).tree)
    for path in changes:
        _check_inside(repo.root, path, changes)
    note = {"ref": ref, "old": old.decode(), "new": new.decode()}
    runstate.write_json(_note(repo.root), note)
    if not repo.lock_ref(ref, new, old):
        files.remove(_note(repo.root))
        return False
    epoch = repo.commit(new).commit_time
    repo.finish_ref(ref, new, old, who=ident(who) + b" %d +0000" % epoch, message=message)
    _follow(repo, old, new, new)
    files.remove(_note(repo.root))
    return True


def recover(repo: Repo) -> bool:
    """Under the town lock: finish the move that a killed process began. True if there was one."""
    note = runstate.read_json(_note(repo.root))
    if not isinstance(note, dict):
        return False
    old, new, ref = str(note["old"]).encode(), str(note["new"]).encode(), str(note["ref"])
    repo.drop_ref_lock(ref, [new])
    name, head = repo.head()
    if name == ref and head is not None and (head == new or _holds(repo, head, new)):
        _follow(repo, old, new, head)
    files.remove(_note(repo.root))
    return True


def _holds(repo: Repo, head: bytes, commit: bytes) -> bool:
    """True if a person's git went on from that commit before gt could finish."""
    args = ["merge-base", "--is-ancestor", commit.decode(), head.decode()]
    return git.run(args, cwd=repo.root, check=False)[0] == 0


def _follow(repo: Repo, old: bytes, new: bytes, head: bytes) -> None:
    """Bring files and index from one commit to the other, as far as `head` still says the same."""
    changes = treediff.changes(repo, repo.commit(old).tree, repo.commit(new).tree)
    if head != new:
        tree = repo.commit(head).tree
        changes = {path: pair for path, pair in changes.items() if repo.find(tree, path) == pair[1]}
    started: dict[str, bytes | None] = {}
    replaced: dict[str, bytes] = {}
    todo: list[tuple[str, Entry | None]] = []
    for path, (before, after) in changes.items():
        now = _read(layout.absolute(repo.root, path))
        sha = new_blob(now).id if now is not None else None
        if sha == (after[1] if after else None):
            continue
        if sha != (before[1] if before else None):
            started[path] = before[1] if before else None
            continue
        if before is not None:
            replaced[path] = before[1]
        todo.append((path, after))
    editbases.remember(repo.root, started=started, replaced=replaced)
    _write(repo, todo, {path for path, (before, _) in changes.items() if before is not None})
    gitindex.update(repo, changes)


def _read(path: str) -> bytes | None:
    try:
        return files.read_or_none(path)
    except NotADirectoryError:
        return None
    except IsADirectoryError:
        return b""


def _write(repo: Repo, todo: list[tuple[str, Entry | None]], old: Collection[str]) -> None:
    """New files first, then changed ones, then removals: what moves is never nowhere. `old`: paths that were there."""
    new = {path: entry for path, entry in todo if entry is not None}
    gone = {path for path, entry in todo if entry is None}
    in_the_way = {path for path in gone if any(one.startswith(path + "/") for one in new)}
    in_the_way |= {path for path in gone if any(path.startswith(one + "/") for one in new)}
    for path in sorted(in_the_way):
        _remove(repo.root, path)
    done: set[str] = set()
    for path in sorted(new, key=lambda path: (path in old, path)):
        where = layout.absolute(repo.root, path)
        files.make_folders(os.path.dirname(where))
        mode, sha = new[path]
        temp = files.temp_path(where)
        data = bytes(repo.get(sha).as_raw_string())
        files.fill(temp, data, durable=len(todo) <= _ONE_BY_ONE, mode=0o777 if mode & 0o111 else 0o666)
        files.rename(temp, where)
        done.add(os.path.dirname(where))
    if len(todo) > _ONE_BY_ONE:
        os.sync()
    else:
        for folder in sorted(done):
            files.sync_folder(folder)
    for path in sorted(gone - in_the_way):
        _remove(repo.root, path)


def _remove(root: str, path: str) -> None:
    where = layout.absolute(root, path)
    files.remove(where)
    _remove_empty(root, os.path.dirname(where))


def _remove_empty(root: str, folder: str) -> None:
    """As git does: a folder whose last file went goes too."""
    while folder != root:
        try:
            os.rmdir(folder)
        except OSError:
            return
        folder = os.path.dirname(folder)


def _check_inside(root: str, path: str, changes: Collection[str]) -> None:
    """`changes`: what is written or removed; a file among them makes way for a folder."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        where = "/".join(parts[:depth])
        here = layout.absolute(root, where)
        if os.path.islink(here):
            raise InvalidFile(where, "is a symbolic link, through which nothing is written")
        if depth < len(parts) and where not in changes and os.path.isfile(here):
            hint = f"move it away, then again; what git has: git checkout -- {shlex.quote(where)}"
            raise InvalidFile(where, "is a file where a folder belongs, into which nothing is written", hint=hint)


def require_branch(repo: Repo) -> tuple[str, bytes]:
    """(the branch's full name, its commit); raises GtError for a detached HEAD or a town without a commit."""
    ref, head = repo.head()
    if not ref.startswith("refs/heads/"):
        raise GtError(f"{repo.root} is not on a branch", "git switch BRANCH, then again")
    if head is None:
        raise GtError(f"{repo.root} has no commit yet", "gt doctor")
    return ref, head
