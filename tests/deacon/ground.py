"""A real town with a rig and a real deacon process; what happens is awaited in the feed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gastown.model import times
from gastown.services.sessions import dispatch, powers
from gastown.store.change import Change
from gastown.store.town import open_town
from tests.conftest import PROJECT, git, run_gt

FAST = "\nruntime: process\n\ndeacon:\n  rescan: 3s\n  backoff: 1s\n  closing: 1s\n"
LONGEST = 20.0
Event = dict[str, Any]


class Ground:
    """`root` is the town; `app` its rig with a bare remote beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with open(root / "town.yaml", "a") as file:
            file.write(FAST)
        git("commit", "-qam", "settings", cwd=root)
        self.town = open_town(str(root))
        self.children: list[subprocess.Popen[str]] = []
        self.mark = time.time()

    # -- making ------------------------------------------------------------
    def rig(self, repo: Path, name: str = "app", gate: str = "true") -> None:
        run_gt("rig", "add", name, str(repo), "--gate", f"test={gate}", cwd=self.root)
        self.town.refresh()

    def bead(self, title: str = "work", rig: str | None = "app", **fields: Any) -> str:
        def body(change: Change) -> str:
            bead = change.create(rig, title=title, **fields)
            change.emit("create", title, bead=bead.id)
            return bead.id

        return self.town.transact("create", body)

    def command(self, bead: str, *argv: str) -> None:
        """Let a bead be done by a command."""

        def body(change: Change) -> None:
            found = change.bead(bead)
            found.set("agent", "exec")
            found.set("command", list(argv))
            change.save(found)
            change.emit("edit", "command", bead=bead)

        self.town.transact("edit", body)

    def queue(self, bead: str, to: str = "app") -> None:
        self.town.transact("queue", lambda change: dispatch.enqueue(change, change.bead(bead), to, "for a test"))

    def file(self, bead: str) -> Path:
        return self.root / str(self.town.bead_path(bead))

    def edit(self, bead: str, old: str, new: str) -> None:
        """As an editor does that writes in place."""
        path = self.file(bead)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    # -- the deacon --------------------------------------------------------
    def start(self) -> subprocess.Popen[str]:
        """A deacon in the foreground of its own process; returns when it watches."""
        self.mark = time.time()
        env = {**os.environ, "PYTHONPATH": str(PROJECT)}
        child = subprocess.Popen(
            [sys.executable, "-m", "gastown", "deacon", "run", "--town", str(self.root)], env=env, cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.children.append(child)
        self.until(lambda: powers.deacon(str(self.root)) is not None or child.poll() is not None)
        self.event("deacon_start")
        # The feed is written before the branch moves.
        self.until(lambda: git("status", "--porcelain", "feed", cwd=self.root) == "")
        return child

    def end(self) -> None:
        """Nothing of this test stays behind."""
        if (self.root / "town.yaml").exists():
            run_gt("down", cwd=self.root, code=None)
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            child.communicate(timeout=10)

    # -- looking -----------------------------------------------------------
    def until(self, check: Callable[[], Any], seconds: float = LONGEST) -> Any:
        """Wait for something to become true; what it was."""
        deadline = time.monotonic() + seconds
        while not (found := check()):
            assert time.monotonic() < deadline, f"waited {seconds} s in vain\n{self.told()}"
            time.sleep(0.02)
        return found

    def events(self, kind: str, since: float | None = None) -> list[Event]:
        start = times.millis(self.mark if since is None else since)
        return [event for event in self.town.events(start) if event["type"] == kind]

    def event(self, kind: str, match: Callable[[Event], Any] = lambda event: True, seconds: float = LONGEST) -> Event:
        """The first event of a kind since the deacon was started; awaited."""
        found: Event = self.until(lambda: next((one for one in self.events(kind) if match(one)), None), seconds)
        return found

    def mail(self, address: str = "overseer") -> list[str]:
        """The messages in a mailbox."""
        folder = self.root / "mail" / address / "new"
        return [path.read_text() for path in sorted(folder.glob("[0-9]*"))] if folder.is_dir() else []

    def told(self) -> str:
        """The feed and the log, for a test that failed."""
        log = self.root / ".gt/log/deacon.log"
        lines = [f"{event['ts']} {event['type']} {event['text']}" for event in self.town.events()]
        return "\n".join(lines[-40:]) + "\n" + (log.read_text() if log.exists() else "no log")
