"""A plan's way to the files: prepared beside them, put in their places, or taken back.

Nothing is put over a file that holds anything else than the plan was made from: somebody saved it meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable

from gastown.model.errors import Stale
from gastown.store import files, layout
from gastown.store.journal import FileOp


class Writing:
    """The files of a plan. Under the town lock."""

    def __init__(self, root: str, ops: Iterable[FileOp], put: Collection[str] | None = None) -> None:
        """`put`: which paths hold their new content already, where a killed process began with the plan."""
        self._root = root
        self._grown = [op for op in ops if op.append_at is not None]
        whole = [op for op in ops if op.append_at is None]
        self._there = [op for op in whole if put and op.path in put]
        self._todo = [op for op in whole if op not in self._there]
        self._put = list(self._there)
        self._appended = self._grown if put is not None else []
        self._prepared = False

    def prepare(self) -> None:
        """Folders and temporary files: all that may fail for want of space, but for what is appended."""
        if self._prepared:
            return
        temps = {temp_of(self._root, op): op.new for op in self._todo if op.new is not None}
        places = [layout.absolute(self._root, op.path) for op in (*self._todo, *self._grown)]
        for folder in dict.fromkeys(os.path.dirname(one) for one in (*places, *temps)):
            files.make_folders(folder)
        files.fill_all(temps)
        self._prepared = True

    def append(self) -> None:
        """What is only added to."""
        self._appended = self._grown
        for op in self._grown:
            assert op.append_at is not None
            assert op.new is not None
            files.append(layout.absolute(self._root, op.path), op.new[op.append_at :], op.append_at)

    def check(self) -> None:
        """Raise Stale if somebody saved one of the files since the plan was made."""
        for op in self._todo:
            self._require(op, op.old, op.new)
        for op in self._there:
            self._require(op, op.new)

    def _require(self, op: FileOp, *wanted: bytes | None) -> None:
        if files.read_or_none(layout.absolute(self._root, op.path)) not in wanted:
            raise Stale(f"{op.path} was edited while it was being changed", "run it again")

    def put(self) -> list[FileOp]:
        """Everything into its place. What somebody saved since `check` stays as they saved it, and is returned."""
        left = []
        for op in self._todo:
            path = layout.absolute(self._root, op.path)
            if files.read_or_none(path) not in (op.old, op.new):
                files.remove(temp_of(self._root, op))
                left.append(op)
                continue
            self._put.append(op)
            if op.new is None:
                files.remove(path)
            else:
                files.rename(temp_of(self._root, op), path)
            files.sync_folder(os.path.dirname(path))
        return left

    def take_back(self) -> None:
        """Everything as it was before, but for what somebody saved. Raises OSError where that cannot be done."""
        for op in self._todo:
            files.remove(temp_of(self._root, op))
        for op in self._put:
            path = layout.absolute(self._root, op.path)
            if op.old == op.new or files.read_or_none(path) != op.new:
                continue
            if op.old is None:
                files.remove(path)
            else:
                files.write(path, op.old)
        for op in self._appended:
            path = layout.absolute(self._root, op.path)
            if op.append_at and os.path.exists(path):
                os.truncate(path, op.append_at)
            else:
                files.remove(path)


def temp_of(root: str, op: FileOp) -> str:
    """Where the new content waits: beside the file, or in a Maildir's tmp/ as the format asks."""
    path = layout.absolute(root, op.path)
    folder, name = os.path.split(path)
    in_maildir = op.path.startswith(layout.MAIL + "/") and os.path.basename(folder) in ("new", "cur")
    if in_maildir and not name.startswith("."):
        folder = os.path.join(os.path.dirname(folder), "tmp")
    return files.temp_path(os.path.join(folder, name))


def is_there(root: str, op: FileOp) -> bool:
    """True if a file holds the new content already, so that nothing is left to write."""
    return op.append_at is None and files.read_or_none(layout.absolute(root, op.path)) == op.new


def is_redoable(root: str, op: FileOp) -> bool:
    """True unless somebody edited the file since: then theirs stays, and it is theirs to commit."""
    return op.append_at is not None or files.read_or_none(layout.absolute(root, op.path)) in (op.old, op.new)


def finish(root: str, ops: Iterable[FileOp]) -> None:
    """The branch has it; a file that still holds the old content gets the new (renames may have been lost)."""
    for op in ops:
        path = layout.absolute(root, op.path)
        if op.append_at is not None or files.read_or_none(path) != op.old or op.old == op.new:
            continue
        if op.new is None:
            files.remove(path)
        else:
            files.write(path, op.new)
