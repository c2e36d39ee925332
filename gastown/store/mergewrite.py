"""Moving the town's branch to a commit that a sync brought or made, and the files along with it.

    objects -> note -> temporary files -> branch by compare-and-swap -> renames -> index -> note gone

What cannot be written here is met before the branch moves, and then nothing is. Killed in between, the next writer
finishes. All of it under the town lock.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping

from dulwich.objects import ShaFile

from gastown.model.errors import GtError, InvalidFile
from gastown.store import editbases, files, git, gitindex, layout, runstate, treediff
from gastown.store.gitrepo import Repo, ident, new_blob
from gastown.store.treediff import Entry, Pair

_NOTE = layout.UNFINISHED[1]
# More files than this are made durable by one sync of the disk.
_ONE_BY_ONE = 64
_NOTHING = "; nothing was taken over"


def _note(root: str) -> str:
    return layout.run(root, _NOTE)


def move(repo: Repo, new: bytes, made: Iterable[ShaFile], *, old: bytes, who: tuple[str, str], message: str) -> bool:
    """Write `made`, move the branch from `old` to `new` and bring the files along. False if the branch is not `old`.

    A file that holds something else than `old` says (somebody edits it) is left as it is. Raises InvalidFile, and
    nothing is moved, where a symbolic link lies in the way, a file where a folder belongs, or one cannot be written.
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
    staged: set[str] = set()
    locked = False
    try:
        _stage(repo, changes, staged)
        locked = repo.lock_ref(ref, new, old)
    finally:
        if not locked:
            _unstage(repo.root, staged)
            files.remove(_note(repo.root))
    if not locked:
        return False
    epoch = repo.commit(new).commit_time
    repo.finish_ref(ref, new, old, who=ident(who) + b" %d +0000" % epoch, message=message)
    _follow(repo, old, new, new, staged)
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
        _follow(repo, old, new, head, ())
    else:
        _unstage(repo.root, treediff.changes(repo, repo.commit(old).tree, repo.commit(new).tree))
    files.remove(_note(repo.root))
    return True


def _holds(repo: Repo, head: bytes, commit: bytes) -> bool:
    """True if a person's git went on from that commit before gt could finish."""
    args = ["merge-base", "--is-ancestor", commit.decode(), head.decode()]
    return git.run(args, cwd=repo.root, check=False)[0] == 0


def _stage(repo: Repo, changes: Mapping[str, Pair], staged: set[str]) -> None:
    """Everything that will be written, under its temporary name; `staged` gets the paths. Raises InvalidFile."""
    new = {path: after for path, (_, after) in changes.items() if after is not None}
    gone = changes.keys() - new.keys()
    for path in {os.path.dirname(path): path for path in gone}.values():
        folder = os.path.dirname(layout.absolute(repo.root, path))
        if os.path.isdir(folder) and not os.access(folder, os.W_OK | os.X_OK):
            raise InvalidFile(path, f"cannot be removed here{_NOTHING}", hint=f"make {folder} writable, then again")
    for path, entry in new.items():
        if any(above in gone for above in _above(path)):
            continue  # a folder can be made there only when that file is gone
        staged.add(path)
        try:
            _fill(repo, path, entry, durable=len(new) <= _ONE_BY_ONE)
        except OSError as error:
            why = f"cannot be written here: {error.strerror}{_NOTHING}"
            raise InvalidFile(path, why, hint="see that it can be written, then again") from None


def _fill(repo: Repo, path: str, entry: Entry, *, durable: bool) -> None:
    where = layout.absolute(repo.root, path)
    files.make_folders(os.path.dirname(where))
    mode, sha = entry
    data = bytes(repo.get(sha).as_raw_string())
    files.fill(files.temp_path(where), data, durable=durable, mode=0o777 if mode & 0o111 else 0o666)


def _unstage(root: str, paths: Iterable[str]) -> None:
    for path in paths:
        where = layout.absolute(root, path)
        with contextlib.suppress(OSError):  # the doctor names what stays
            files.remove(files.temp_path(where))
        _remove_empty(root, os.path.dirname(where))


def _above(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _follow(repo: Repo, old: bytes, new: bytes, head: bytes, staged: Collection[str]) -> None:
    """Bring files and index from one commit to the other, as far as `head` still says the same.

    `staged`: the paths of which the temporary file lies there, whole.
    """
    changes = treediff.changes(repo, repo.commit(old).tree, repo.commit(new).tree)
    if head != new:
        tree = repo.commit(head).tree
        changes = {path: pair for path, pair in changes.items() if repo.find(tree, path) == pair[1]}
    started: dict[str, bytes | None] = {}
    replaced: dict[str, bytes] = {}
    todo: dict[str, Pair] = {}
    for path, (before, after) in changes.items():
        sha = _lying(repo.root, path)
        if sha == (after[1] if after else None):
            continue
        if sha != (before[1] if before else None):
            started[path] = before[1] if before else None
            continue
        if before is not None:
            replaced[path] = before[1]
        todo[path] = before, after
    editbases.remember(repo.root, started=started, replaced=replaced)
    late = _write(repo, todo, {path for path, (before, _) in changes.items() if before is not None}, staged)
    _unstage(repo.root, [path for path in changes if path not in todo or path in late])
    editbases.remember(repo.root, started=late, replaced={})
    gitindex.update(repo, changes)


def _lying(root: str, path: str) -> bytes | None:
    """The id of what lies there as a blob; None if nothing does."""
    data = _read(layout.absolute(root, path))
    return new_blob(data).id if data is not None else None


def _read(path: str) -> bytes | None:
    try:
        return files.read_or_none(path)
    except NotADirectoryError:
        return None
    except IsADirectoryError:
        return b""


def _write(
    repo: Repo, todo: Mapping[str, Pair], old: Collection[str], staged: Collection[str]
) -> dict[str, bytes | None]:
    """New files first, then changed ones, then removals: what moves is never nowhere. `old`: paths that were there.

    Each is looked at once more just before: the others took their time. Returns those that somebody saved meanwhile,
    which stay as they are, with the blob that they began from.
    """
    new = {path: after for path, (_, after) in todo.items() if after is not None}
    gone = todo.keys() - new.keys()
    in_the_way = {path for path in gone if any(one.startswith(path + "/") for one in new)}
    in_the_way |= {path for path in gone if any(path.startswith(one + "/") for one in new)}
    late: dict[str, bytes | None] = {}

    def is_late(path: str) -> bool:
        before = todo[path][0]
        if _lying(repo.root, path) == (before[1] if before else None):
            return False
        late[path] = before[1] if before else None
        return True

    for path in sorted(in_the_way):
        if not is_late(path):
            _remove(repo.root, path)
    done: set[str] = set()
    for path in sorted(new, key=lambda path: (path in old, path)):
        where = layout.absolute(repo.root, path)
        if path not in staged:
            _fill(repo, path, new[path], durable=len(todo) <= _ONE_BY_ONE)
        if is_late(path):
            continue
        files.rename(files.temp_path(where), where)
        done.add(os.path.dirname(where))
    if len(todo) > _ONE_BY_ONE:
        os.sync()
    else:
        for folder in sorted(done):
            files.sync_folder(folder)
    for path in sorted(gone - in_the_way):
        if not is_late(path):
            _remove(repo.root, path)
    return late


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


def _check_inside(root: str, path: str, changes: Mapping[str, Pair]) -> None:
    """`changes`: what is written or removed; a file among them makes way for a folder, unless somebody edited it."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        where = "/".join(parts[:depth])
        here = layout.absolute(root, where)
        if os.path.islink(here):
            raise InvalidFile(where, "is a symbolic link, through which nothing is written")
        if depth == len(parts) or not os.path.isfile(here):
            continue
        before, _ = changes.get(where, (None, None))
        if before is None or _lying(root, where) != before[1]:
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
