"""The town's git repository at the level of objects and refs: nothing here reads the index.

Objects are made by dulwich, written by our own crash-safe writer. A branch is moved by
compare-and-swap under git's own lock file, which from its first moment holds the new value,
so that a lock left by a killed process is known to be ours (town lock held) and is removed.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from dulwich.errors import ChecksumMismatch, FileFormatException
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tag, Tree

from gastown.model.errors import GtError, RaceLost
from gastown.store import committing, files, git, layout
from gastown.store.refs import Refs

FILE_MODE = 0o100644
TREE_MODE = 0o040000
REF_WAIT = 2.0
MOST_KEPT = 256
# What git uses for loose objects: packing compresses them anew.
_FAST = 1
Change = tuple[int, bytes] | None


class BrokenObject(GtError):
    """An object of a repository that cannot be read: torn by a power loss or a bad disk."""

    code = "broken_object"

    def __init__(self, root: str, sha: bytes, why: str) -> None:
        super().__init__(
            f"the git repository of {root} is damaged: object {sha.decode('ascii', 'replace')} {why}",
            "gt doctor says what is broken, and from where it goes on; the files on the disk are not touched by it",
        )
        self.sha = sha


class MissingObject(BrokenObject, KeyError):
    """An object that is not there. Some may be: what was thrown away long ago, or never fetched."""


class Repo(Refs):
    """The repository whose work tree is `root`. Raises GtError where there is none."""

    def __init__(self, root: str) -> None:
        self._packs: Any = None
        self._person: tuple[str, str] | None = None
        super().__init__(root)

    @cached_property
    def _kept(self) -> dict[bytes, ShaFile]:
        # One change looks at the same few trees again and again.
        return {}

    # -- objects -----------------------------------------------------------
    def _loose(self, sha: bytes) -> str:
        name = sha.decode("ascii")
        return os.path.join(self.common_dir, "objects", name[:2], name[2:])

    def get(self, sha: bytes) -> ShaFile:
        """The object with this hex id; raises MissingObject if it is not there, BrokenObject if it is damaged."""
        try:
            return self._get(sha)
        except KeyError:
            raise MissingObject(self.root, sha, "is missing") from None
        except (zlib.error, FileFormatException, ChecksumMismatch, AssertionError, ValueError) as error:
            raise BrokenObject(self.root, sha, f"is damaged ({str(error) or type(error).__name__})") from None

    def _get(self, sha: bytes) -> ShaFile:
        try:
            with open(self._loose(sha), "rb") as file:
                loose: ShaFile = ShaFile.from_file(file)
                return loose
        except FileNotFoundError:
            pass
        try:
            packed: ShaFile = self._pack_store()[sha]
        except KeyError:
            self.close()  # a repack may have moved it since the packs were listed
            packed = self._pack_store()[sha]
        return packed

    def _pack_store(self) -> Any:
        if self._packs is None:
            # Dear to import, and needed only for what git has packed.
            from dulwich.object_store import DiskObjectStore

            self._packs = DiskObjectStore(os.path.join(self.common_dir, "objects"))
        return self._packs

    def person(self) -> tuple[str, str]:
        """Name and e-mail of the person at this machine, as git is configured; `overseer` if it is not."""
        if self._person is None:
            self._person = git.identity(self.root) or ("overseer", "overseer@localhost")
        return self._person

    def close(self) -> None:
        """Close the packs; they are opened again when needed."""
        if self._packs is not None:
            self._packs.close()
            self._packs = None

    def __del__(self) -> None:
        self.close()

    def tree(self, sha: bytes) -> Tree:
        """The tree with this id, not to be altered."""
        found = self._kept.get(sha) or self._keep(self.get(sha))
        assert isinstance(found, Tree)
        return found

    def head_tree(self) -> bytes | None:
        """The tree of HEAD; None before the first commit. Raises KeyError (MissingObject) where it is lost."""
        _, head = self.head()
        return bytes(self.commit(head).tree) if head else None

    def commit(self, sha: bytes) -> Commit:
        """The commit with this id; tags are followed. Raises GtError for what is none, and as `get`."""
        found: Any = self._kept.get(sha) or self._keep(self.get(sha))
        while isinstance(found, Tag):
            found = self.get(found.object[1])
        if not isinstance(found, Commit):
            raise GtError(f"{sha.decode()[:12]} is a {found.type_name.decode()}, no commit")
        return found

    def _keep(self, one: ShaFile) -> ShaFile:
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[one.id] = one
        return one

    def put(self, made: Iterable[ShaFile]) -> None:
        """Write objects, their content fsynced, before anything refers to them.

        Their folders are not synced one by one: file systems keep renames in order, and the journal
        and the branch that come after them are synced.
        """
        spares: dict[str, str] = {}
        contents: dict[str, bytes] = {}
        for one in made:
            path = self._loose(one.id)
            if path in spares or _is_there(path):
                continue
            folder, name = os.path.split(path)
            if not os.path.isdir(folder):
                os.makedirs(folder, exist_ok=True)
            # git prunes leftovers named tmp_obj_* by itself. In one folder they lie side by side on the disk as well.
            spares[path] = f"{self.common_dir}/objects/tmp_obj_gt{os.getpid()}_{name}"
            contents[spares[path]] = one.as_legacy_object(_FAST)
        files.fill_all(contents, mode=0o444)
        for path, spare in spares.items():
            files.rename(spare, path)

    # -- trees -------------------------------------------------------------
    def find(self, tree: bytes | None, path: str) -> tuple[int, bytes] | None:
        """(mode, id) of `path` in a tree; None if it is not there."""
        here: tuple[int, bytes] | None = (TREE_MODE, tree) if tree else None
        for part in path.split("/"):
            if here is None or here[0] != TREE_MODE:
                return None
            entries = self.tree(here[1])
            here = _entry(entries, encoded(part))
        return here

    def blob(self, tree: bytes | None, path: str) -> bytes | None:
        """The content of the file `path` in a tree; None if it is not there."""
        found = self.find(tree, path)
        if found is None or found[0] == TREE_MODE:
            return None
        return bytes(self.get(found[1]).as_raw_string())

    def names(self, tree: bytes | None, folder: str) -> list[str]:
        """What lies in a folder of a tree, by name; empty if there is none."""
        found = self.find(tree, folder)
        if found is None or found[0] != TREE_MODE:
            return []
        return [name.decode("utf-8", "surrogateescape") for name in self.tree(found[1])]

    def differs(self, tree: bytes | None, path: str, data: bytes | None) -> bool:
        """True if a file's content (None: there is none) is not what a tree has at `path`."""
        found = self.find(tree, path)
        return (found[1] if found else None) != (new_blob(data).id if data is not None else None)

    def graft(self, tree: bytes | None, changes: Mapping[str, Change]) -> tuple[bytes | None, list[ShaFile]]:
        """A tree with `changes` applied (None removes), and the new trees, children first.

        Only the trees on the paths to the changes are read: it costs the same at any number of beads.
        """
        made: list[ShaFile] = []
        nested: dict[str, dict[str, Change]] = {}
        fresh: Any = self.tree(tree).copy() if tree else Tree()
        for path, change in changes.items():
            head, slash, rest = path.partition("/")
            if slash:
                nested.setdefault(head, {})[rest] = change
            elif change is None:
                if encoded(head) in fresh:
                    del fresh[encoded(head)]
            else:
                fresh.add(encoded(head), change[0], ObjectID(change[1]))
        for head, below in nested.items():
            name = encoded(head)
            old = fresh[name][1] if name in fresh and fresh[name][0] == TREE_MODE else None
            sub, more = self.graft(old, below)
            made += more
            if sub is not None:
                fresh.add(name, TREE_MODE, ObjectID(sub))
            elif name in fresh:
                del fresh[name]
        if not len(fresh):
            return None, made
        if fresh.id != tree:
            made.append(self._keep(fresh))
        return fresh.id, made

    # -- refs --------------------------------------------------------------
    def lock_ref(self, name: str, new: bytes, old: bytes | None) -> bool:
        """Take git's lock on a ref, holding `new`; False if the ref is no longer `old`.

        A lock whose content is a commit we were about to set belongs to a dead process of ours: the
        caller removes those first (`drop_ref_lock`). Anybody else's is waited for, 2 s at most, and so is a person's
        `git commit` that began a moment ago: it would find the ref moved, and fail.
        """
        committing.wait(self.root, self.git_dir)
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        deadline = time.monotonic() + REF_WAIT
        while not files.link_exclusive(path + ".lock", new + b"\n", spare=self._spare, durable=True):
            if time.monotonic() > deadline:
                raise RaceLost(
                    f"{path}.lock is held by another git process",
                    "wait for it; if no git runs, remove that file",
                )
            time.sleep(0.005)
        if self.ref(name) == old:
            return True
        os.unlink(path + ".lock")
        return False

    @property
    def _spare(self) -> str:
        # Not beside the ref: git would take a leftover there for a branch.
        return os.path.join(self.common_dir, f"gt-ref{layout.TEMP_SUFFIX}")

    def clear_own_spares(self) -> None:
        """Under the town lock: remove what a killed process of ours left beside the refs."""
        files.remove(self._spare)

    def drop_ref_lock(self, name: str, ours: Iterable[bytes]) -> None:
        """Remove a lock on a ref if its content is one of `ours`."""
        lock = self.path(name) + ".lock"
        content = files.read_or_none(lock)
        if content is not None and content.strip() in set(ours):
            files.remove(lock)

    def finish_ref(self, name: str, new: bytes, old: bytes | None, *, who: bytes, message: str) -> None:
        """Let the lock taken by `lock_ref` become the ref; write the reflog as git does.

        Raises OSError only where the ref was not moved.
        """
        path = self.path(name)
        files.rename(path + ".lock", path)
        # The ref is moved, for everybody to see: what fails from here on is no failure of it.
        with contextlib.suppress(OSError):
            files.sync_folder(os.path.dirname(path))
        line = b"%s %s %s\t%s\n" % (old or b"0" * 40, new, who, message.splitlines()[0].encode("utf-8", "replace"))
        for log_dir, log_name in ((self.common_dir, name), (self.git_dir, "HEAD")):
            with contextlib.suppress(OSError):  # the log is root's since a `sudo git`, or the disk is full
                _log(os.path.join(log_dir, "logs", *log_name.split("/")), line)
            if name == "HEAD":
                break


def _log(path: str, line: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "ab") as file:
        file.write(line)


def _is_there(path: str) -> bool:
    """True for an object that was written; a power loss may leave an empty file in its place."""
    try:
        return os.stat(path).st_size > 0
    except FileNotFoundError:
        return False


def _entry(tree: Tree, name: bytes) -> tuple[int, bytes] | None:
    if name not in tree:
        return None
    mode, sha = tree[name]
    return mode, sha


def encoded(path: str) -> bytes:
    """A path as git has it: names that are not UTF-8 are in some histories, and can be removed at least."""
    return path.encode("utf-8", "surrogateescape")


def new_blob(data: bytes) -> Blob:
    """A blob."""
    return Blob.from_string(data)


def new_commit(
    tree: bytes, parents: Iterable[bytes], *, author: tuple[str, str], epoch: float, message: str
) -> Commit:
    """A commit by `author` (name, e-mail) at `epoch`, UTC."""
    commit = Commit()
    commit.tree = tree
    commit.parents = [ObjectID(parent) for parent in parents]
    commit.author = commit.committer = ident(author)
    commit.author_time = commit.commit_time = int(epoch)
    commit.author_timezone = commit.commit_timezone = 0
    commit.encoding = b"UTF-8"
    commit.message = message.encode("utf-8", "replace")
    return commit


def ident(author: tuple[str, str]) -> bytes:
    """`Name <e-mail>` with what git forbids in it taken out."""
    name, email = ("".join(c for c in part if c not in "<>\n\r\0").strip() for part in author)
    return f"{name or 'unknown'} <{email}>".encode()
