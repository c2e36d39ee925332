"""The index: a summary of every bead, checked against the files at each use.

A cache of files in `.gt/cache/`, never a store: entries are believed only while name, size,
mtime and inode agree, and those as young as the cache itself are read again, as git does with
its own index. It is a marshal of plain tuples behind a digest: it cannot execute anything, and
a torn or foreign one is rebuilt without a word.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import marshal
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from gastown.model.bead import check
from gastown.model.errors import InvalidFile
from gastown.model.ids import is_name
from gastown.model.row import Row, row_of
from gastown.store import files, layout
from gastown.store import yaml as yaml_store

_MAGIC = f"gt-index 1 {sys.implementation.cache_tag} {marshal.version}\n".encode()
# Clocks of file systems tick: an entry written within this long before the cache may change unseen.
_RACY_NS = 20_000_000
# Rewriting the cache costs more than reading a few files again.
_STALE_ENOUGH = 16
Entry = tuple[int, int, int, Any]
Folders = dict[str, dict[str, Entry]]


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
        self.fresh: Folders = {}
        self.rows: list[Row] = []
        self.problems: list[InvalidFile] = []
        self.reread = 0

    def run(self) -> Index:
        began = time.time_ns()
        for rig, folder in bead_folders(self.root):
            for day in sorted(_names(os.path.join(self.root, folder))):
                self._day(rig, f"{folder}/{day}")
        gone = sum(len(v) for v in self.known.values()) - sum(len(v) for v in self.fresh.values()) + self.reread
        if self.reread > _STALE_ENOUGH or gone > _STALE_ENOUGH or (self.fresh and not self.known):
            _save_cache(layout.cache(self.root, "beads.idx"), began, self.fresh)
        return Index(self.rows, self.problems)

    def _day(self, rig: str | None, folder: str) -> None:
        known = self.known.get(folder, {})
        fresh: dict[str, Entry] = {}
        believed = self.began - _RACY_NS
        rows, make = self.rows, Row._make
        try:
            scan = os.scandir(os.path.join(self.root, folder))
        except (NotADirectoryError, FileNotFoundError):
            return
        with scan:
            for item in scan:
                name = item.name
                if not name.endswith(".yaml") or name.startswith("."):
                    continue
                stat = item.stat()
                entry = known.get(name)
                if (
                    entry is not None
                    and entry[1] == stat.st_mtime_ns
                    and entry[0] == stat.st_size
                    and entry[2] == stat.st_ino
                    and stat.st_mtime_ns < believed
                ):
                    fresh[name] = entry
                    rows.append(make(entry[3]))
                    continue
                path = f"{folder}/{name}"
                row = self._read(rig, path)
                if row is not None:
                    fresh[name] = (stat.st_size, stat.st_mtime_ns, stat.st_ino, tuple(row))
                    rows.append(row)
        self.fresh[folder] = fresh

    def _read(self, rig: str | None, path: str) -> Row | None:
        self.reread += 1
        if self.progress and self.reread % 500 == 0:
            self.progress(self.reread)
        try:
            return row_of(parse(files.read(layout.absolute(self.root, path)), path), path, rig)
        except InvalidFile as problem:
            self.problems.append(problem)
        except FileNotFoundError:
            return None
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


def _load_cache(path: str) -> tuple[int, Folders]:
    try:
        data = files.read(path)
    except OSError:
        return 0, {}
    body = len(_MAGIC) + 16
    if not data.startswith(_MAGIC) or hashlib.blake2b(data[body:], digest_size=16).digest() != data[len(_MAGIC) : body]:
        return 0, {}
    began, folders = marshal.loads(data[body:])
    return began, folders


def _save_cache(path: str, began: int, folders: Folders) -> None:
    body = marshal.dumps((began, folders))
    digest = hashlib.blake2b(body, digest_size=16).digest()
    # A town on a read-only disk is still readable; its cache is just not kept.
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temp = f"{path}.{os.getpid()}{layout.TEMP_SUFFIX}"
        files.write(path, _MAGIC + digest + body, temp=temp, durable=False)


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
