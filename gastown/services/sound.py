"""Which files of a town cannot be used, beads and mail apart: one list for `gt status` and `gt doctor`."""

from __future__ import annotations

import marshal
import os
import stat
import sys
from collections.abc import Iterator

import gastown
from gastown.model import groups, ids
from gastown.model.errors import InvalidFile
from gastown.store import files, layout
from gastown.store import yaml as yaml_store
from gastown.store.town import Town

_FORMULAS = "formulas"
_MEND = "mend it, or take it away"
# A larger file is judged each time.
_MOST = 65_536


def problems(town: Town, *, known: bool = False) -> list[InvalidFile]:
    """All of them, by kind of file.

    With `known` a file is not judged again that was found good with these very bytes: what judges is dear to load.
    """
    good = Good(town.root) if known else None
    found = [one for path in paths(town) for one in _judged(town, path, good)]
    if good is not None:
        good.keep()
    return found + _unreadable_feed(town)


def paths(town: Town) -> Iterator[str]:
    """Every file that is judged by what it holds."""
    yield layout.TOWN_FILE
    if town.exists(groups.PATH):
        yield groups.PATH
    for folder, suffix in (("agents", ".yaml"), (layout.MACHINES, ".yaml"), (_FORMULAS, ".toml")):
        yield from _in(town, folder, suffix)
    for rig in sorted(town.names(layout.RIGS)):
        if not ids.is_name(rig):
            continue
        if town.exists(layout.rig_file(rig)):
            yield layout.rig_file(rig)
        for kind in ("polecats", "crew"):
            yield from _in(town, f"{layout.RIGS}/{rig}/{kind}", ".yaml")


def _in(town: Town, folder: str, suffix: str) -> list[str]:
    return [f"{folder}/{name}" for name in sorted(town.names(folder)) if name.endswith(suffix) and name[0] != "."]


def _judged(town: Town, path: str, good: Good | None) -> list[InvalidFile]:
    try:
        data = files.read(layout.absolute(town.root, path))
    except OSError as error:
        return [InvalidFile(path, f"cannot be read: {error.strerror}", hint=_MEND)]
    if good is not None and good.has(path, data):
        return []
    found = _wrong(town, path, data)
    if good is not None and not found:
        good.add(path, data)
    return found


def _wrong(town: Town, path: str, data: bytes) -> list[InvalidFile]:
    if path.endswith(".toml"):
        return _wrong_toml(path, data)
    from gastown.store import schema

    kind = schema.kind_of(path)
    try:
        doc = yaml_store.load(data, path)
        if path == groups.PATH:
            groups.groups_of(doc)
        found = schema.validate(kind, doc, path) if kind else []
        if kind == "agent" and not found:
            from pathlib import Path

            from gastown.runtime.presets import load_preset

            load_preset(path.rpartition("/")[2].removesuffix(".yaml"), Path(town.root))
        elif kind == "rig" and not found:
            from gastown.model.rig import rig_of

            rig_of(doc, path)
    except InvalidFile as problem:
        return [problem]
    return found


def _wrong_toml(path: str, data: bytes) -> list[InvalidFile]:
    import tomllib

    try:
        tomllib.loads(data.decode())
    except ValueError as error:  # no UTF-8 is one, too
        return [InvalidFile(path, f"is no TOML: {error}", hint=_MEND)]
    return []


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
        self._magic = f"gt-sound 1 {gastown.__version__} {sys.implementation.cache_tag} {marshal.version}\n".encode()
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
