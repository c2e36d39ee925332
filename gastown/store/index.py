"""The index: a summary of every bead, checked against the files at each use.

A cache of files in `.gt/cache/`, never a store: entries are believed only while name, size,
mtime and inode agree, and those as young as the cache itself are read again, as git does with
its own index. It is a marshal of plain tuples behind a checksum: it cannot execute anything, and
a torn or foreign one is rebuilt without a word.
"""

from __future__ import annotations

import contextlib
import gc
import marshal
import os
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

from gastown.model.bead import check
from gastown.model.errors import InvalidFile
from gastown.model.ids import is_name
from gastown.model.row import Row, row_of
from gastown.store import files, layout
from gastown.store import yaml as yaml_store

_MAGIC = f"gt-index 3 {sys.implementation.cache_tag} {marshal.version}\n".encode()
# Clocks of file systems tick: an entry written within this long before the cache may change unseen.
_RACY_NS = 20_000_000
# Rewriting the cache costs more than reading a few files again.
_STALE_ENOUGH = 16
# Without references, so that equal lists always give equal bytes.
_PLAIN = 2

# Of one file: name, size, mtime_ns, inode.
Entry = tuple[str, int, int, int]
# Of one day folder: its sorted entries as bytes, the newest mtime_ns, the rows of the valid ones as bytes in the
# order of the entries, the names of the others.
Folder = tuple[bytes, int, bytes, tuple[str, ...]]


class Index:
    """Rows of all valid beads, and the files that could not be used."""

    def __init__(self, rows: list[Row], problems: list[InvalidFile]) -> None:
        self.rows = rows
        self.problems = problems
        self._by_id: dict[str, Row] | None = None

    @property
    def by_id(self) -> dict[str, Row]:
        """Rows by bead id."""
        if self._by_id is None:
            self._by_id = {row.id: row for row in self.rows}
        return self._by_id


def parse(data: bytes, path: str) -> dict[str, Any]:
    """The checked document of one bead file; raises InvalidFile."""
    if len(data) > yaml_store.MAX_BYTES:
        raise InvalidFile(path, f"{len(data)} bytes is more than the {yaml_store.MAX_BYTES} a file may have")
    doc: dict[str, Any] = yaml_store.load(data, path)
    check(doc, path)
    return doc


def load(root: str, progress: Callable[[int], None] | None = None) -> Index:
    """The index of the working tree. `progress` is called with the number of files read anew so far."""
    with _no_gc():
        return _Scan(root, progress).run()


class _Scan:
    def __init__(self, root: str, progress: Callable[[int], None] | None) -> None:
        self.root = root
        self.progress = progress
        self.began, self.known = _load_cache(layout.cache(root, "beads.idx"))
        self.fresh: dict[str, Folder] = {}
        self.rows: list[Row] = []
        self.problems: list[InvalidFile] = []
        self.reread = 0

    def run(self) -> Index:
        began = time.time_ns()
        for rig, folder in bead_folders(self.root):
            for day in sorted(_names(os.path.join(self.root, folder))):
                self._day(rig, f"{folder}/{day}")
        if self.reread > _STALE_ENOUGH or self.known.keys() != self.fresh.keys():
            _save_cache(layout.cache(self.root, "beads.idx"), began, self.fresh)
        return Index(self.rows, self.problems)

    def _day(self, rig: str | None, folder: str) -> None:
        try:
            with os.scandir(os.path.join(self.root, folder)) as scan:
                entries = [
                    (name, stat.st_size, stat.st_mtime_ns, stat.st_ino)
                    for item in scan
                    if (name := item.name).endswith(".yaml") and name[0] != "."
                    for stat in (item.stat(),)
                ]
                entries.sort()
        except (NotADirectoryError, FileNotFoundError):
            return
        signature = marshal.dumps(entries, _PLAIN)
        known = self.known.get(folder)
        if known is not None and known[0] == signature and known[1] < self.began - _RACY_NS:
            # Nothing moved in this folder: its rows are taken as one piece.
            self.rows += map(Row._make, marshal.loads(known[2]))
            for name in known[3]:
                self._read(rig, f"{folder}/{name}")
            self.fresh[folder] = known
        else:
            self._changed_day(rig, folder, entries, signature, known)

    def _changed_day(
        self, rig: str | None, folder: str, entries: list[Entry], signature: bytes, known: Folder | None
    ) -> None:
        """Believe what did not move, read the rest."""
        believed: dict[Entry, tuple[Any, ...]] = {}
        if known is not None:
            bad = set(known[3])
            valid = [entry for entry in marshal.loads(known[0]) if entry[0] not in bad]
            believed = dict(zip(valid, marshal.loads(known[2]), strict=True))
        rows: list[Row] = []
        broken: list[str] = []
        for entry in entries:
            old = believed.get(entry) if entry[2] < self.began - _RACY_NS else None
            row = Row._make(old) if old is not None else self._read(rig, f"{folder}/{entry[0]}")
            if row is None:
                broken.append(entry[0])
            else:
                rows.append(row)
        self.rows += rows
        newest = max((entry[2] for entry in entries), default=0)
        self.fresh[folder] = (signature, newest, marshal.dumps([tuple(row) for row in rows]), tuple(broken))

    def _read(self, rig: str | None, path: str) -> Row | None:
        self.reread += 1
        if self.progress and self.reread % 500 == 0:
            self.progress(self.reread)
        try:
            return row_of(parse(files.read(layout.absolute(self.root, path)), path), path, rig)
        except InvalidFile as problem:
            self.problems.append(problem)
        except FileNotFoundError:
            pass  # removed since the folder was listed
        except OSError as error:
            self.problems.append(InvalidFile(path, f"cannot be read: {error.strerror}"))
        return None


def bead_folders(root: str) -> list[tuple[str | None, str]]:
    """(rig, folder) of every place where beads lie."""
    found: list[tuple[str | None, str]] = [(None, "beads")]
    for name in sorted(_names(os.path.join(root, layout.RIGS))):
        if is_name(name):
            found.append((name, f"{layout.RIGS}/{name}/beads"))
    return found


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _load_cache(path: str) -> tuple[int, dict[str, Folder]]:
    try:
        data = files.read(path)
    except OSError:
        return 0, {}
    head = len(_MAGIC) + 4
    if not data.startswith(_MAGIC) or zlib.crc32(data[head:]) != int.from_bytes(data[len(_MAGIC) : head], "big"):
        return 0, {}
    began, folders = marshal.loads(data[head:])
    return began, folders


def _save_cache(path: str, began: int, folders: dict[str, Folder]) -> None:
    body = marshal.dumps((began, folders))
    # A town on a read-only disk is still readable; its cache is just not kept.
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temp = f"{path}.{os.getpid()}{layout.TEMP_SUFFIX}"
        files.write(path, _MAGIC + zlib.crc32(body).to_bytes(4, "big") + body, temp=temp, durable=False)


@contextlib.contextmanager
def _no_gc() -> Any:
    # Collecting while a hundred thousand tuples are made triples the time.
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
