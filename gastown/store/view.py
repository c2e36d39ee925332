"""Reading a town: as it stands in its files, or as it was at a commit. Nothing here writes."""

from __future__ import annotations

import os

from gastown.model import times
from gastown.model.bead import Bead
from gastown.model.errors import InvalidFile, NotFound, UsageError
from gastown.model.ids import is_id, is_name
from gastown.model.text import nearest
from gastown.store import files, index, layout, links, maildir, runstate
from gastown.store import yaml as yaml_store
from gastown.store.index import Index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from gastown.model.rig import Rig


class View:
    """What every reading service takes. `revision` is None for the files as they stand."""

    revision: str | None = None

    def __init__(self, root: str) -> None:
        self.root = root
        self._config: dict[str, Any] | None = None

    # -- the two things a view must know -----------------------------------
    def read(self, path: str) -> bytes:
        """The content of a town path; raises NotFound."""
        raise NotImplementedError

    def names(self, folder: str) -> list[str]:
        """The names in a folder, [] if there is none."""
        raise NotImplementedError

    def index(self) -> Index:
        """The summary of every bead."""
        raise NotImplementedError

    # -- documents ---------------------------------------------------------
    def exists(self, path: str) -> bool:
        """True if there is a file at this town path."""
        folder, _, name = path.rpartition("/")
        return name in self.names(folder)

    def load(self, path: str) -> dict[str, Any]:
        """A YAML file as a document; raises NotFound or InvalidFile."""
        doc: dict[str, Any] = yaml_store.load(self.read(path), path)
        return doc

    @property
    def config(self) -> dict[str, Any]:
        """town.yaml."""
        if self._config is None:
            self._config = self.load(layout.TOWN_FILE)
        return self._config

    @property
    def name(self) -> str:
        """The town's name."""
        return str(self.config.get("name") or "town")

    def setting(self, key: str, default: Any = None) -> Any:
        """A setting of town.yaml by dotted key."""
        value: Any = self.config
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value:
                return default
            value = value[part]
        return value

    def whole(self, key: str, default: int) -> int:
        """A whole number from 0 of town.yaml; raises InvalidFile for anything else."""
        value = self.setting(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise _unusable(key, value, "a whole number from 0")
        return value

    def span(self, key: str, default: str) -> float:
        """A duration of town.yaml in seconds; raises InvalidFile for what is none."""
        value = self.setting(key)
        try:
            return times.duration(str(default if value is None else value))
        except UsageError:
            raise _unusable(key, value, "a duration such as 90s, 15m, 4h, 7d") from None

    def table(self, key: str) -> dict[str, Any]:
        """A map of town.yaml, {} if it is not set; raises InvalidFile for anything else."""
        value = self.setting(key)
        if value is not None and not isinstance(value, dict):
            raise _unusable(key, value, "a map")
        return value or {}

    # -- rigs --------------------------------------------------------------
    def rig_names(self) -> list[str]:
        """Names of the rigs that have a rig.yaml, sorted."""
        return sorted(
            name for name in self.names(layout.RIGS) if is_name(name) and self.exists(layout.rig_file(name))
        )

    def rig(self, name: str) -> Rig:
        """A rig; raises NotFound with the nearest names, or InvalidFile."""
        if not is_name(name) or not self.exists(layout.rig_file(name)):
            if is_name(name) and self._is_left(name):
                raise NotFound(f"rig {name} has no rig.yaml any more", "`gt doctor` tells what brings it back")
            known = self.rig_names()
            hint = "" if known else "add one: gt rig add NAME URL-OR-PATH"
            near = nearest(name, known)
            raise NotFound(f"no rig {name!r}", hint or ("" if near else "rigs: " + ", ".join(known)), near)
        from gastown.model.rig import rig_of

        path = layout.rig_file(name)
        return rig_of(self.load(path), path)

    def _is_left(self, rig: str) -> bool:
        """True if there are beads or polecats of a rig."""
        above = layout.rig_dir(rig)
        folders = [f"{above}/polecats", *(f"{above}/beads/{day}" for day in self.names(f"{above}/beads"))]
        return any(name.endswith(".yaml") for folder in folders for name in self.names(folder))

    def rigs(self) -> tuple[list[Rig], list[InvalidFile]]:
        """Every usable rig, and the rig.yaml that are not."""
        found: list[Rig] = []
        problems: list[InvalidFile] = []
        for name in self.rig_names():
            try:
                found.append(self.rig(name))
            except InvalidFile as problem:
                problems.append(problem)
        return found, problems

    def rig_for_prefix(self, prefix: str) -> str | None:
        """The rig whose beads carry `prefix`; None for the town's own or an unknown one."""
        return next((rig.name for rig in self.rigs()[0] if rig.prefix == prefix), None)

    def workers(self, rig: str) -> tuple[list[dict[str, Any]], list[InvalidFile]]:
        """The worker files of a rig, each with `name` and `kind` (polecats or crew), and the unusable ones."""
        found: list[dict[str, Any]] = []
        problems: list[InvalidFile] = []
        for kind in ("polecats", "crew"):
            folder = f"{layout.rig_dir(rig)}/{kind}"
            for file in sorted(self.names(folder)):
                name = file.removesuffix(".yaml")
                if name == file or not is_name(name):
                    continue
                try:
                    found.append({**self.load(f"{folder}/{file}"), "name": name, "kind": kind})
                except InvalidFile as problem:
                    problems.append(problem)
        return found, problems

    # -- beads -------------------------------------------------------------
    def bead_path(self, bead_id: str) -> str | None:
        """Where a bead lies, found by its name alone; None if there is none."""
        return next(self.bead_paths(bead_id), None)

    def bead_paths(self, bead_id: str) -> Iterator[str]:
        """Every file of that id, the newest of a rig first. More than one only until it is settled which is meant."""
        if not is_id(bead_id):
            return
        file = f"{bead_id}.yaml"
        for folder in ["beads", *(f"{layout.RIGS}/{name}/beads" for name in sorted(self.names(layout.RIGS)))]:
            for day in sorted(self.names(folder), reverse=True):
                if self.exists(f"{folder}/{day}/{file}"):
                    yield f"{folder}/{day}/{file}"

    def bead(self, bead_id: str) -> Bead:
        """A bead by its full id; raises NotFound with near ids, or InvalidFile."""
        path = self.bead_path(bead_id)
        if path is None:
            raise self._no_bead(bead_id)
        link = links.first(self.root, path) if self.revision is None else None
        if link is not None:
            raise link
        return Bead(index.parse(self.read(path), path), path)

    def bead_ids(self) -> Iterator[str]:
        """Every bead id there is a file for."""
        for folder in ["beads", *(f"{layout.RIGS}/{name}/beads" for name in sorted(self.names(layout.RIGS)))]:
            for day in self.names(folder):
                for name in self.names(f"{folder}/{day}"):
                    if name.endswith(".yaml") and not name.startswith("."):
                        yield name[:-5]

    def resolve(self, text: str, actor: str = "overseer") -> str:
        """The id meant by a full id, an unambiguous prefix of its hash, or `@last`. NotFound, UsageError."""
        if text == "@last":
            found = runstate.last(self.root, actor)
            if found is None:
                raise NotFound(f"{actor} has touched no bead yet", "name one: gt list")
            return found
        if is_id(text) and self.bead_path(text):
            return text
        matches = sorted(
            bead_id
            for bead_id in self.bead_ids()
            if text and (bead_id.startswith(text) or bead_id.partition("-")[2].startswith(text))
        )
        roots = [one for one in matches if "." not in one]
        if len(matches) == 1 or len(roots) == 1:
            return roots[0] if roots else matches[0]
        if matches:
            raise UsageError(f"{text!r} may be {', '.join(matches[:5])}", "give more of the id")
        raise self._no_bead(text)

    def _no_bead(self, text: str) -> NotFound:
        near = nearest(text, list(self.bead_ids()))
        return NotFound(f"no bead {text!r}", "" if near else "`gt list --all` shows every bead", near)

    # -- mail and feed -----------------------------------------------------
    def mail_names(self, address: str, part: str) -> list[str]:
        """The messages in `new` or `cur` of a mailbox."""
        return maildir.messages(self.names(f"{layout.mailbox(address)}/{part}"))

    def events(self, since: str = "") -> Iterator[dict[str, Any]]:
        """Feed events in order from an RFC 3339 time on."""
        from gastown.store import feed

        return feed.read_events(self, since=since)


def _unusable(key: str, value: object, wanted: str) -> InvalidFile:
    shown = repr(value) if isinstance(value, str) else str(value)
    return InvalidFile(layout.TOWN_FILE, f"{key} is {shown[:60]} but must be {wanted}", key=key)


class LiveView(View):
    """The files as they stand. `progress` is told how many bead files were read so far, 0 at the end."""

    progress: Callable[[int], None] | None = None

    def read(self, path: str) -> bytes:
        try:
            return files.read(layout.absolute(self.root, path))
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"no file {path} in {self.root}") from None

    def exists(self, path: str) -> bool:
        here = layout.absolute(self.root, path)
        # Looking for a bead asks in every day folder, mostly in vain: this says no without an exception each time.
        return os.access(here, os.F_OK) and os.path.isfile(here)

    def names(self, folder: str) -> list[str]:
        try:
            return os.listdir(layout.absolute(self.root, folder))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def index(self) -> Index:
        return index.load(self.root, self.progress)
