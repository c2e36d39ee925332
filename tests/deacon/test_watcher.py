"""The watcher itself: what it passes on, and what it does where the system has no watches left."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from gastown.deacon import watcher as watchers
from gastown.deacon.table import MARKERS, SESSIONS
from gastown.deacon.watcher import Watcher, path_of_interest
from gastown.store.town import Town


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("town.yaml", "town.yaml"), ("README.md", None), ("beads/2026-11-23/hq-1.yaml", "beads/2026-11-23/hq-1.yaml"),
        ("beads/2026-11-23/.hq-1.yaml.swp", None), ("beads/2026-11-23/hq-1.yaml~", None), ("beads/d/4913", None),
        ("beads/d/.hq-1.yaml.gt-tmp", None), ("mail/mayor/tmp/1.M1", None),
        ("mail/mayor/new/1.M1", "mail/mayor/new/1.M1"),
        (".gt/run/sessions/s-1/exit.json", SESSIONS), (".gt/run/sessions/s-1/session.log", None),
        (".gt/run/estop.json", MARKERS), (".gt/run/journal.json", None), ("work/app/x", None), ("feed/d/a.jsonl", None),
    ],
)  # fmt: skip
def test_what_is_of_interest(path: str, found: str | None) -> None:
    assert path_of_interest("/town", f"/town/{path}") == found


def await_path(watcher: Watcher, wanted: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    seen: set[str] = set()
    while wanted not in seen:
        assert time.monotonic() < deadline, f"saw only {seen}"
        seen |= watcher.wait(0.1)


class NoWatches:
    """An observer on a system that has none left."""

    def start(self) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    def stop(self) -> None:
        """Nothing to stop."""

    def is_alive(self) -> bool:
        return False


def test_without_watches_it_polls_and_says_so(town: Town) -> None:
    watcher = Watcher(town.root, native=NoWatches)
    watcher.start()
    try:
        assert watcher.said.startswith("polling every")
        assert "max_user_watches" in watcher.said
        path = Path(town.root, "beads/2026-11-23/hq-aaaaa.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        await_path(watcher, "beads/2026-11-23/hq-aaaaa.yaml")
    finally:
        watcher.stop()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fdinfo"), reason="the system does not tell its watches")
def test_folders_that_got_no_watch_are_noticed(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher(town.root)
    watcher.start()
    try:
        assert not watcher.check()
        assert watcher.said == "watching files"
        held = watchers.watches_held()
        assert held
        monkeypatch.setattr(watchers, "watches_held", lambda: held - 2)
        assert watcher.check()
        assert "file watches" in watcher.said
    finally:
        watcher.stop()


def test_new_folders_are_watched(town: Town) -> None:
    shutil.rmtree(os.path.join(town.root, "mail"), ignore_errors=True)
    watcher = Watcher(town.root)
    watcher.start()
    try:
        path = Path(town.root, "rigs/new/beads/2026-11-24/nw-aaaaa.yaml")
        path.parent.mkdir(parents=True)
        path.write_text("x")
        await_path(watcher, "rigs/new/beads/2026-11-24/nw-aaaaa.yaml")
        message = Path(town.root, "mail/app/toast/new/1.M1P1.anvil")
        message.parent.mkdir(parents=True)
        message.write_text("x")
        await_path(watcher, "mail/app/toast/new/1.M1P1.anvil")
    finally:
        watcher.stop()
