"""Which files of a town cannot be used, beads and mail apart: one list for `gt status` and `gt doctor`."""

from __future__ import annotations

import marshal
import os
import stat
import sys

import gastown
from gastown.model.errors import InvalidFile
from gastown.services.files import townfiles
from gastown.store import files, layout, links
from gastown.store.town import Town

_MEND = "mend it, or take it away"
# A larger file is judged each time.
_MOST = 65_536


def problems(town: Town, *, known: bool = False) -> list[InvalidFile]:
    """All of them, by kind of file.

    With `known` a file is not judged again that was found good with these very bytes: what judges is dear to load.
    """
    good = Good(town.root) if known else None
    judged = [one for path in townfiles.settings(town) for one in _judged(town, path, good)]
    found = list({str(one): one for one in judged}.values())  # a folder that is a link is told of once
    if good is not None:
        good.keep()
    return found + _unreadable_feed(town)


def _judged(town: Town, path: str, good: Good | None) -> list[InvalidFile]:
    link = links.first(town.root, path)
    if link is not None:
        return [link]
    try:
        data = files.read(layout.absolute(town.root, path))
    except OSError as error:
        return [InvalidFile(path, f"cannot be read: {error.strerror}", hint=_MEND)]
    if good is not None and good.has(path, data):
        return []
    from gastown.services.files import lint

    found = lint.wrong(path, data)
    if good is not None and not found:
        good.add(path, data)
    return found


def _unreadable_feed(town: Town) -> list[InvalidFile]:
    """Parts of the feed that are no files, or not ours to read. What is in them is not looked at: a town has years."""
    found = []
    for day in sorted(town.names(layout.FEED)):
        home = layout.absolute(town.root, f"{layout.FEED}/{day}")
        try:
            names = sorted(os.listdir(home))
        except NotADirectoryError:
            continue
        except OSError as error:
            found.append(InvalidFile(f"{layout.FEED}/{day}", f"cannot be read: {error.strerror}", hint=_MEND))
            continue
        for name in names:
            why = _why_closed(os.path.join(home, name)) if name.endswith(".jsonl") else ""
            if why:
                found.append(InvalidFile(f"{layout.FEED}/{day}/{name}", f"cannot be read: {why}", hint=_MEND))
    return found


def _why_closed(path: str) -> str:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return "it is no ordinary file"
    except OSError as error:
        return str(error.strerror)
    return "" if os.access(path, os.R_OK) else "Permission denied"


class Good:
    """What was found good by this version of gt: the bytes of each file. A hint: `gt doctor` does not go by it."""

    def __init__(self, root: str, name: str = "sound") -> None:
        self._path = layout.cache(root, name)
        self._magic = f"gt-sound 3 {gastown.__version__} {sys.implementation.cache_tag} {marshal.version}\n".encode()
        self._before = self._load()
        self._now: dict[str, bytes] = {}

    def _load(self) -> dict[str, bytes]:
        try:
            data = files.read_or_none(self._path) or b""
            found = marshal.loads(data[len(self._magic) :]) if data.startswith(self._magic) else {}
        except (OSError, EOFError, ValueError, TypeError):
            return {}
        return found if isinstance(found, dict) else {}

    def has(self, path: str, data: bytes) -> bool:
        """True if the file was good when it held just this; from now on it is remembered again."""
        known = self._before.get(path) == data
        if known:
            self._now[path] = data
        return known

    def add(self, path: str, data: bytes) -> None:
        if len(data) <= _MOST:
            self._now[path] = data

    def keep(self) -> None:
        """For the next time; a town on a read-only disk is still looked at."""
        if self._now == self._before:
            return
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            temp = f"{self._path}.{os.getpid()}{layout.TEMP_SUFFIX}"
            files.write(self._path, self._magic + marshal.dumps(self._now), temp=temp, durable=False)
        except OSError:
            return
