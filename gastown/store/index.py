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
from collections.abc import Mapping
from functools import cached_property, partial

from gastown.model.bead import KEYS, check
from gastown.model.beadcheck import Misnamed
from gastown.model.errors import InvalidFile
from gastown.model.ids import is_name
from gastown.model.row import Row, row_of
from gastown.store import files, layout, links
from gastown.store import yaml as yaml_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

_MAGIC = f"gt-index 6 {sys.implementation.cache_tag} {marshal.version}\n".encode()
# Clocks of file systems tick: an entry written within this long before the cache may change unseen.
_RACY_NS = 20_000_000
# Rewriting the cache costs more than reading a few files again.
_STALE_ENOUGH = 16
_TOLD_EACH = 500
# Without references, so that equal lists always give equal bytes.
_PLAIN = 2

# Of one file: name, size, mtime_ns, inode.
Entry = tuple[str, int, int, int]
# Of one day folder: its sorted entries as bytes, the newest mtime_ns, the rows of beads that are not closed as
# bytes, the closed ones' (each as bytes by id, all of it as bytes), the names of the files that could not be used,
# the ids of closed beads that have texts to choose from, the names of usable files with keys that look like slips.
Folder = tuple[bytes, int, bytes, bytes, tuple[str, ...], tuple[str, ...], tuple[str, ...]]
_KEYS = frozenset(KEYS)
# A row of plain tuples becomes one of ours, faster than by Row._make.
_row: Callable[[Any], Row] = partial(tuple.__new__, Row)


class Index:
    """Rows of all valid beads, the files that could not be used, and the slips in those that could."""

    def __init__(
        self, rows: Iterable[Row], problems: list[InvalidFile], slips: Sequence[InvalidFile] = ()
    ) -> None:
        self.problems = problems
        self.slips = slips
        self._rows: list[Row] | None = list(rows)
        self._live: list[Row] | None = None
        self._by_id: Mapping[str, Row] | None = None

    @property
    def rows(self) -> list[Row]:
        """All of them."""
        assert self._rows is not None
        return self._rows

    @property
    def live(self) -> list[Row]:
        """Those of beads that are not closed: all that most questions are about."""
        if self._live is None:
            self._live = [row for row in self.rows if row.status != "closed"]
        return self._live

    @property
    def disputed(self) -> list[Row]:
        """Those of beads with versions of a text to choose from, closed ones too."""
        return [row for row in self.rows if row.conflicts]

    @property
    def by_id(self) -> Mapping[str, Row]:
        """Rows by bead id."""
        if self._by_id is None:
            self._by_id = {row.id: row for row in self.rows}
        return self._by_id


class _Loaded(Index):
    """As `Index`, where the rows of closed beads, in time nearly all, stay packed until somebody asks for them."""

    def __init__(
        self, live: list[Row], closed: list[bytes], disputed: list[str], problems: list[InvalidFile],
        slips: list[InvalidFile],
    ) -> None:  # fmt: skip
        super().__init__((), problems, slips)
        self._live = live
        self._rows = None
        self._closed = closed
        self._disputed = disputed

    @property
    def rows(self) -> list[Row]:
        if self._rows is None:
            packed = [one for folder in self._closed for one in marshal.loads(folder).values()]
            closed = map(_row, map(marshal.loads, packed))
            self._rows = sorted([*self.live, *closed], key=_place)
        return self._rows

    @property
    def disputed(self) -> list[Row]:
        return [*(row for row in self.live if row.conflicts), *(self.by_id[one] for one in self._disputed)]

    @property
    def by_id(self) -> Mapping[str, Row]:
        if self._by_id is None:
            self._by_id = _ById(self.live, self._closed)
        return self._by_id


class _ById(Mapping[str, Row]):
    """Rows by id; a closed one is unpacked when it is asked for."""

    def __init__(self, live: list[Row], closed: list[bytes]) -> None:
        self._rows = live
        self._folders = closed
        self._unpacked: dict[str, Row] = {}

    @cached_property
    def _live(self) -> dict[str, Row]:
        return {row.id: row for row in self._rows}

    @cached_property
    def _closed(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for folder in self._folders:
            found.update(marshal.loads(folder))
        return found

    def get(self, bead_id: str, default: Any = None) -> Any:
        # Most that is looked up is a need, and most needs are closed.
        row = self._unpacked.get(bead_id)
        if row is None:
            packed = self._closed.get(bead_id)
            if packed is None:
                return self._live.get(bead_id, default)
            row = self._unpacked[bead_id] = _row(marshal.loads(packed))
        return row

    def __getitem__(self, bead_id: str) -> Row:
        row: Row | None = self.get(bead_id)
        if row is None:
            raise KeyError(bead_id)
        return row

    def __contains__(self, bead_id: object) -> bool:
        return bead_id in self._closed or bead_id in self._live

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._live, *self._closed)))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _place(row: Row) -> tuple[str, str]:
    return row.folder, row.id


def parse(data: bytes, path: str) -> dict[str, Any]:
    """The checked document of one bead file; raises InvalidFile."""
    if len(data) > yaml_store.MAX_BYTES:
        raise InvalidFile(path, f"{len(data)} bytes is more than the {yaml_store.MAX_BYTES} a file may have")
    doc: dict[str, Any] = yaml_store.load(data, path)
    check(doc, path)
    return doc


def slips_of(doc: dict[str, Any], path: str) -> list[InvalidFile]:
    """The keys of a bead that nothing reads and that were probably meant to be others."""
    from gastown.model import slips

    return [*slips.found(doc, KEYS, path)]


def load(root: str, progress: Callable[[int], None] | None = None) -> Index:
    """The index of the working tree. `progress` is called with the number of files read anew so far, 0 at the end."""
    with _no_gc():
        return _Scan(root, progress).run()


class _Scan:
    def __init__(self, root: str, progress: Callable[[int], None] | None) -> None:
        self.root = root
        self.progress = progress
        self.began, self.known = _load_cache(layout.cache(root, "beads.idx"))
        self.fresh: dict[str, Folder] = {}
        self.live: list[Row] = []
        self.closed: list[bytes] = []
        self.disputed: list[str] = []
        self.problems: list[InvalidFile] = []
        self.slips: list[InvalidFile] = []
        self.reread = 0

    def run(self) -> Index:
        began = time.time_ns()
        for rig, folder in bead_folders(self.root):
            if self._is_link(folder):
                continue
            for day in sorted(_names(os.path.join(self.root, folder))):
                self._day(rig, f"{folder}/{day}")
        if self.progress and self.reread >= _TOLD_EACH:
            self.progress(0)
        if self.reread > _STALE_ENOUGH or self.known.keys() != self.fresh.keys():
            _save_cache(layout.cache(self.root, "beads.idx"), began, self.fresh)
        return _Loaded(self.live, self.closed, self.disputed, self.problems, self.slips)

    def _day(self, rig: str | None, folder: str) -> None:
        try:
            entries = _entries(f"{self.root}/{folder}")
        except OSError as error:
            if not self._is_link(folder) and not isinstance(error, (NotADirectoryError, FileNotFoundError)):
                raise
            return
        signature = marshal.dumps(entries, _PLAIN)
        known = self.known.get(folder)
        if known is not None and known[0] == signature and known[1] < self.began - _RACY_NS:
            # Nothing moved in this folder: its rows are taken as one piece.
            self.live += map(_row, marshal.loads(known[2]))
            self.closed.append(known[3])
            for name in (*known[4], *known[6]):
                self._read(rig, f"{folder}/{name}")
            self.disputed += known[5]
            self.fresh[folder] = known
        else:
            self._changed_day(rig, folder, entries, signature, known)

    def _is_link(self, folder: str) -> bool:
        """True where no bead can be written in a folder, for the way there is a symbolic link: that is told."""
        link = links.first(self.root, folder)
        if link is not None and str(link) not in map(str, self.problems):
            self.problems.append(link)
        return link is not None

    def _changed_day(
        self, rig: str | None, folder: str, entries: list[Entry], signature: bytes, known: Folder | None
    ) -> None:
        """Believe what did not move, read the rest."""
        unmoved, packed = _believed(known)
        live: list[Row] = []
        closed: dict[str, bytes] = {}
        broken: list[str] = []
        odd: list[str] = []
        for entry in entries:
            bead_id = entry[0][:-5]
            if entry[2] < self.began - _RACY_NS and entry in unmoved and bead_id in packed:
                row = packed[bead_id]
                if isinstance(row, bytes):
                    closed[bead_id] = row
                else:
                    live.append(_row(row))
                continue
            told = len(self.slips)
            fresh = self._read(rig, f"{folder}/{entry[0]}")
            if len(self.slips) > told:
                odd.append(entry[0])
            if fresh is None:
                broken.append(entry[0])
            elif fresh.status == "closed":
                closed[bead_id] = marshal.dumps(tuple(fresh))
            else:
                live.append(fresh)
        disputed = tuple(one for one, packed_row in closed.items() if _row(marshal.loads(packed_row)).conflicts)
        newest = max((entry[2] for entry in entries), default=0)
        rows = marshal.dumps([tuple(row) for row in live])
        self.fresh[folder] = (signature, newest, rows, marshal.dumps(closed), tuple(broken), disputed, tuple(odd))
        self.live += live
        self.closed.append(self.fresh[folder][3])
        self.disputed += disputed

    def _read(self, rig: str | None, path: str) -> Row | None:
        self.reread += 1
        if self.progress and self.reread % _TOLD_EACH == 0:
            self.progress(self.reread)
        try:
            doc = parse(files.read(f"{self.root}/{path}", follow=False), path)
            if not _KEYS.issuperset(doc):
                self.slips += slips_of(doc, path)
            return row_of(doc, path, rig)
        except Misnamed as problem:
            twin = os.path.lexists(f"{self.root}/{problem.belongs}")
            self.problems.append(problem.with_twin(problem.belongs) if twin else problem)
        except InvalidFile as problem:
            self.problems.append(problem)
        except FileNotFoundError:
            pass  # removed since the folder was listed
        except OSError as error:
            wrong = InvalidFile(path, f"cannot be read: {error.strerror}")
            self.problems.append(links.first(self.root, path) or wrong)
        return None


def _believed(known: Folder | None) -> tuple[set[Entry], dict[str, Any]]:
    """What the cache says of a folder: its entries, and by id the tuple of a live row or the bytes of a closed one."""
    if known is None:
        return set(), {}
    entries = {entry for entry in marshal.loads(known[0]) if entry[0] not in known[6]}
    return entries, {**{row[0]: row for row in marshal.loads(known[2])}, **marshal.loads(known[3])}


def _entries(folder: str) -> list[Entry]:
    """The bead files of a day folder, sorted. Raises FileNotFoundError, NotADirectoryError for the folder alone."""
    # By its descriptor: the kernel then walks one name for each file, not the whole path.
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with os.scandir(handle) as scan:
            items = [item for item in scan if item.name.endswith(".yaml") and item.name[0] != "."]
        try:
            entries = [_entry(item) for item in items]
        except FileNotFoundError:
            entries = list(_entries_there(items))
    finally:
        os.close(handle)
    entries.sort()
    return entries


def _entry(item: os.DirEntry[str]) -> Entry:
    # Of a link itself: it may lead to the very file that was in its place.
    stat = item.stat(follow_symlinks=False)
    return item.name, stat.st_size, stat.st_mtime_ns, stat.st_ino


def _entries_there(items: list[os.DirEntry[str]]) -> Iterator[Entry]:
    """Those that are still there: one that was removed since hides none of the others."""
    for item in items:
        with contextlib.suppress(FileNotFoundError):
            yield _entry(item)


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
    body = memoryview(data)[head:]
    if not data.startswith(_MAGIC) or zlib.crc32(body) != int.from_bytes(data[len(_MAGIC) : head], "big"):
        return 0, {}
    began, folders = marshal.loads(body)
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
