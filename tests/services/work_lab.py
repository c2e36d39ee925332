"""A town with one rig and agents that are small real programs; every session a test starts is ended after it."""

from __future__ import annotations

import itertools
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

from gastown.model.bead import Bead
from gastown.runtime import git, sessions
from gastown.services.beads import beads
from gastown.services.machines.init import make_town
from gastown.services.rigs import rigs
from gastown.services.sessions import attempts
from gastown.services.sling import sling
from gastown.services.sling.starts import Dispatched, RefusedWork, SlingReport
from gastown.services.work import resume
from gastown.store import layout
from gastown.store.change import Change
from gastown.store.town import Town, open_town

RIG = "app"
CHECKOUT = str(Path(__file__).resolve().parents[2])


def eventually(what: Callable[[], object], seconds: float = 20.0) -> object:
    """Wait until `what()` is true; its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


class Lab:
    """`town` with the rig `app`; `landing` push: its remote is `origin`, else it is the checkout `source`."""

    def __init__(self, path: Path, *, landing: str = "push", runtime: str = "process") -> None:
        self.path = path
        self.source = path / "source"
        git.run(["init", "-q", "-b", "main", str(self.source)])
        (self.source / "README.md").write_text("# app\n")
        (self.source / "old.txt").write_text("old\n")
        self.commit_source("first")
        self.origin = str(path / "origin.git")
        git.run(["clone", "-q", "--bare", str(self.source), self.origin])
        self.town: Town = open_town(make_town(str(path / "town"), name="lab").root)
        self.root = self.town.root
        self.configure("town.yaml", runtime=runtime)
        where = self.origin if landing == "push" else str(self.source)
        self.rig = rigs.add(self.town, rigs.NewRig(RIG, where, prefix="ap"), base=self.root)
        self.bare = layout.bare(self.root, RIG)
        self._names = itertools.count(1)

    # -- making ------------------------------------------------------------------------------------
    def commit_source(self, message: str) -> str:
        git.run(["add", "-A"], cwd=self.source)
        git.run(["commit", "-q", "-m", message], cwd=self.source, env=git.author_env("Ada", "ada@example.org"))
        return git.text(["rev-parse", "HEAD"], cwd=self.source)

    def land_elsewhere(self, message: str, **files: str) -> str:
        """A commit on the remote's main that did not come through the town."""
        for name, text in files.items():
            (self.source / name).write_text(text)
        commit = self.commit_source(message)
        git.run(["push", "-q", self.origin, "main"], cwd=self.source)
        return commit

    def configure(self, path: str, **keys: object) -> None:
        """Set keys of a YAML file; None removes one."""

        def body(change: Change) -> None:
            doc = change.load(path)
            for key, value in keys.items():
                if value is None:
                    doc.pop(key, None)
                else:
                    doc[key] = value
            change.put(path, doc)
            change.emit("config", path)

        self.town.transact("config", body)

    def bead(self, title: str = "Some work", **fields: object) -> Bead:
        return beads.create(self.town, beads.Draft(title, rig=RIG, **fields))

    def agent(self, program: str, name: str | None = None) -> str:
        """A preset that runs this Python program in the worktree; its name."""
        name = name or f"robot{next(self._names)}"
        script = self.path / f"{name}.py"
        script.write_text(program)
        doc = {"name": name, "command": [sys.executable, str(script)], "prompt": {"mode": "none"}}
        self.town.transact("config", lambda change: change.put(f"agents/{name}.yaml", doc))
        return name

    def sleeper(self) -> str:
        """An agent that says it is there and waits to be killed."""
        return self.agent("import time\nprint('here', flush=True)\ntime.sleep(600)\n")

    def unstartable(self) -> str:
        """An agent whose program is found and cannot be executed."""
        script = self.path / "broken"
        script.write_text("#!/nowhere/at/all\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        doc = {"name": "broken", "command": [str(script)], "prompt": {"mode": "none"}}
        self.town.transact("config", lambda change: change.put("agents/broken.yaml", doc))
        return "broken"

    # -- acting ------------------------------------------------------------------------------------
    def sling(self, *works: str, to: str | None = RIG, **options: object) -> SlingReport:
        return sling.sling(self.town, list(works), to, **options)

    def one(self, work: str, to: str | None = RIG, **options: object) -> Dispatched:
        """Sling one work that must start."""
        report = self.sling(work, to=to, **options)
        assert not report.refused, report.refused
        assert len(report.dispatched) == 1, report
        return report.dispatched[0]

    def refused(self, work: str, to: str | None = RIG, **options: object) -> RefusedWork:
        """Sling one work that must be refused, and must leave the town as it was."""
        before = git.text(["rev-parse", "HEAD"], cwd=self.root)
        report = self.sling(work, to=to, **options)
        assert not report.dispatched
        assert not report.queued
        assert git.text(["rev-parse", "HEAD"], cwd=self.root) == before
        return report.refused[0]

    def shell(self, text: str) -> list[str]:
        return ["sh", "-c", text]

    def run(self, text: str, title: str = "Some work") -> Bead:
        """Work done by a shell command, up to the end of its session."""
        bead = self.bead(title)
        done = self.one(bead.id, command=self.shell(text))
        self.ended(done.session)
        return self.now(bead)

    def resume(self, bead: Bead, **options: object) -> resume.Resumed:
        return resume.resume(self.town, self.now(bead), **options)

    # -- looking -----------------------------------------------------------------------------------
    def now(self, bead: Bead | str) -> Bead:
        return self.town.bead(bead if isinstance(bead, str) else bead.id)

    def record(self, sid: str) -> sessions.SessionRecord:
        return sessions.load(attempts.run_dir(self.town), sid)

    def ended(self, sid: str) -> None:
        """Wait until a session is over and its end was dealt with."""
        record = self.record(sid)
        eventually(lambda: self.record(sid).ended is not None)
        eventually(lambda: record.runner is None or not sessions.alive(record.runner))

    def tree(self, address: str = f"{RIG}/amber") -> Path:
        rig, _, name = address.partition("/")
        return Path(layout.worktree(self.root, rig, name))

    def events(self, kind: str) -> list[dict[str, object]]:
        return [one for one in self.town.events() if one["type"] == kind]

    def branches(self) -> list[str]:
        return git.text(["for-each-ref", "--format=%(refname:short)", "refs/heads"], cwd=self.bare).split()

    def merges(self, bead: Bead) -> list[Bead]:
        rows = [row for row in self.town.index().rows if row.type == "merge" and row.source == bead.id]
        return [self.town.bead(row.id) for row in rows]

    def mail(self, address: str) -> str:
        """All unseen mail of an address."""
        names = self.town.mail_names(address, "new")
        return "\n".join(self.town.read(f"{layout.mailbox(address)}/new/{name}").decode() for name in names)

    def env(self, bead: Bead) -> dict[str, str]:
        """What a session of this bead's holder has in its environment."""
        return {
            "GT_TOWN": self.root, "GT_ACTOR": str(bead.assignee), "GT_BEAD": bead.id, "GT_ATTEMPT": str(bead.attempt),
            "GT_SESSION": str((bead.last_session or {}).get("id")), "GT_RIG": RIG, "PYTHONPATH": CHECKOUT,
        }  # fmt: skip

    def close(self) -> None:
        """Leave nothing running."""
        for record in attempts.live_records(self.town)[0]:
            sessions.stop(record, 0.2)
            if record.runner:
                sessions.wait_gone(record.runner, 10)
