"""Watching a town's files: which paths moved, as they move; by polling where the system has no more watches.

Only the events that matter are asked for: with all of them watchdog's own queue overflows in large towns.
`work/`, the feed, caches and logs are never watched.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

from gastown.deacon.table import MARKERS, SESSIONS
from gastown.store import layout

# Watched with all that lies below.
FOLDERS = ("beads", "rigs", "mail", "machines", "agents", "roles", "formulas")
_MARKERS = ("estop.json", "scheduler.json", "trust.json")
_NO_MORE = (errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
# One look at everything costs about 8 µs a file; polling may take one hundredth of the time.
_POLL_LEAST, _POLL_PER_FILE = 1.0, 800e-6


def path_of_interest(root: str, path: str) -> str | None:
    """The town path (or pseudo-path) that an event on `path` is about; None for what nobody asks about."""
    relative = os.path.relpath(path, root).replace(os.sep, "/")
    parts = relative.split("/")
    name = parts[-1]
    if parts[0] == layout.LOCAL:
        if parts[1:3] == ["run", "sessions"] and name in ("exit.json", "agent.json", "runner.json"):
            return SESSIONS
        return MARKERS if parts[1:2] == ["run"] and len(parts) == 3 and name in _MARKERS else None
    if relative == layout.TOWN_FILE:
        return relative
    if parts[0] not in FOLDERS or parts[-2:-1] == ["tmp"]:
        return None
    if name.endswith((layout.TEMP_SUFFIX, "~", ".swp", ".swx", ".lock")) or name == "4913":
        return None
    return None if name.startswith(".") and relative != "mail/.groups.yaml" else relative


class Watcher:
    """Puts the paths that moved into a queue. `said` tells how it watches, for people."""

    def __init__(self, root: str, *, native: Callable[[], Any] | None = None) -> None:
        self.root = root
        self.said = ""
        self._native = native
        self._moved: SimpleQueue[str] = SimpleQueue()
        self._observer: Any = None
        self._polling = False
        self._watched: set[str] = set()

    # -- life --------------------------------------------------------------
    def start(self) -> None:
        """Begin to watch: by the system's own means, else by polling."""
        try:
            self._start(self._new_native())
            self.said = "watching files"
        except OSError as error:
            if error.errno not in _NO_MORE:
                raise
            self._fall_back(f"no file watches are left ({error.strerror})")
        if not self._polling:
            self.check()

    def stop(self) -> None:
        """Watch no more."""
        if self._observer is not None:
            self._observer.stop()
            if self._observer.is_alive():
                self._observer.join(5.0)
            self._observer = None

    def check(self) -> bool:
        """Look whether every folder is really watched, and fall back to polling if not; True if that was done.

        watchdog passes over folders below the first for which the system had no watch left.
        """
        if self._polling or self._observer is None:
            return False
        self._watch_folders()
        wanted, have = sum(1 for _ in self._folders()), watches_held()
        if have is None or have >= wanted:
            return False
        self._fall_back(f"the system grants {have} of {wanted} file watches")
        return True

    def _fall_back(self, why: str) -> None:
        from watchdog.observers.polling import PollingObserver

        self.stop()
        count = sum(1 + sum(1 for _ in os.scandir(folder)) for folder in self._folders())
        every = max(_POLL_LEAST, count * _POLL_PER_FILE)
        self._polling = True
        self._start(PollingObserver(timeout=every))
        self.said = f"polling every {every:.1f} s: {why} (raise fs.inotify.max_user_watches or max_user_instances)"

    def _new_native(self) -> Any:
        if self._native is not None:
            return self._native()
        from watchdog.observers import Observer

        return Observer()

    def _start(self, observer: Any) -> None:
        self._observer, self._watched = observer, set()
        observer.start()
        self._watch_folders()

    def _watch_folders(self) -> None:
        self._watch(self.root, recursive=False)
        for name in FOLDERS:
            self._watch(os.path.join(self.root, name), recursive=True)
        run = layout.run(self.root)
        if os.path.isdir(layout.local(self.root)):  # or the town is gone, and must stay so
            os.makedirs(os.path.join(run, "sessions"), exist_ok=True)
        self._watch(run, recursive=False)
        self._watch(os.path.join(run, "sessions"), recursive=True)

    def _watch(self, folder: str, *, recursive: bool) -> None:
        if folder in self._watched or not os.path.isdir(folder) or os.path.islink(folder):
            return
        self._observer.schedule(_handler(self._notice), folder, recursive=recursive, event_filter=self._events())
        self._watched.add(folder)

    def _events(self) -> list[Any]:
        from watchdog import events

        wanted: list[Any] = [
            events.FileCreatedEvent, events.FileMovedEvent, events.FileDeletedEvent, events.DirCreatedEvent,
            events.DirMovedEvent, events.DirDeletedEvent,
        ]  # fmt: skip
        # inotify tells when a writer is done; the others only that a file was modified.
        closes = sys.platform.startswith("linux") and not self._polling
        return [*wanted, events.FileClosedEvent if closes else events.FileModifiedEvent]

    def _folders(self) -> Iterator[str]:
        for folder in self._watched:
            yield folder
            if folder in (self.root, layout.run(self.root)):
                continue
            for here, below, _ in os.walk(folder):
                yield from (os.path.join(here, name) for name in below)

    # -- what moved --------------------------------------------------------
    def _notice(self, event: Any) -> None:
        for path in (event.src_path, event.dest_path):
            if path:
                self._put(os.fsdecode(path))
        if event.is_directory:
            self._put_all(os.fsdecode(event.dest_path or event.src_path))

    def _put_all(self, folder: str) -> None:
        """What was put into a new folder before it was watched made no event of its own."""
        for here, _, names in os.walk(folder):
            for name in names:
                self._put(os.path.join(here, name))

    def _put(self, path: str) -> None:
        found = path_of_interest(self.root, path)
        if found is not None:
            self._moved.put(found)

    def poke(self, path: str) -> None:
        """Let the reader wake as if `path` had moved."""
        self._moved.put(path)

    def wait(self, seconds: float) -> set[str]:
        """What moved, as soon as something does; empty after `seconds`."""
        found: set[str] = set()
        try:
            found.add(self._moved.get(timeout=max(0.0, seconds)))
            while True:
                found.add(self._moved.get_nowait())
        except Empty:
            for name in found.intersection(FOLDERS):
                if self._observer is not None and os.path.join(self.root, name) not in self._watched:
                    self._watch_folders()
                    self._put_all(os.path.join(self.root, name))
            return found


def _handler(notice: Callable[[Any], None]) -> Any:
    from watchdog.events import FileSystemEventHandler

    class Handler(FileSystemEventHandler):
        """Hands every event on."""

        def dispatch(self, event: Any) -> None:
            notice(event)

    return Handler()


def watches_held() -> int | None:
    """How many inotify watches this process holds; None where the system does not tell."""
    home = "/proc/self/fdinfo"
    if not os.path.isdir(home):
        return None
    count = 0
    for name in os.listdir(home):
        try:
            with open(os.path.join(home, name), "rb") as file:
                count += sum(line.startswith(b"inotify") for line in file)
        except OSError:
            continue  # a descriptor that was closed meanwhile
    return count
