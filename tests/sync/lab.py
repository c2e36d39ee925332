"""Two machines, a rig that both can push to, and real sessions; every session is ended after the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastown.model.bead import Bead
from gastown.runtime import sessions
from gastown.services.beads import beads
from gastown.services.machines.exchange import Exchange, exchange
from gastown.services.refinery import refinery
from gastown.services.rigs import rigs
from gastown.services.sessions import attempts
from gastown.services.sling import sling
from gastown.services.sling.starts import Dispatched, RefusedWork, SlingReport
from gastown.store.town import Town
from tests.conftest import git
from tests.services.work_lab import eventually
from tests.sync.ground import Ground

RIG = "app"


class Machines:
    """`ground` with a rig `app` whose repository is bare; `here` and `there` are the machines anvil and brick."""

    def __init__(self, ground: Ground, git_repo) -> None:
        self.ground = ground
        self.here = ground.towns["anvil"]
        self.origin = git_repo("app", {"README.md": "# app\n"}, bare=True)
        with self.here.change("config") as change:
            doc = change.load("town.yaml")
            doc["runtime"] = "process"
            change.put("town.yaml", doc)
        rigs.add(self.here, rigs.NewRig(RIG, str(self.origin), prefix="ap"), base=str(ground.base))
        exchange(self.here)
        self.there = ground.add("brick")
        exchange(self.there)
        exchange(self.here)

    def bead(self, title: str = "Some work", **fields: object) -> str:
        """Work that both machines know."""
        made = beads.create(self.here, beads.Draft(title, rig=RIG, **fields)).id
        exchange(self.here)
        exchange(self.there)
        return made

    def sling(self, town: Town, work: str, text: str = "echo x > x", **options: object) -> SlingReport:
        return sling.sling(town, [work], RIG, command=["sh", "-c", text], **options)

    def started(self, town: Town, work: str, text: str = "echo x > x", **options: object) -> Dispatched:
        report = self.sling(town, work, text, **options)
        assert not report.refused, report.refused
        return report.dispatched[0]

    def refused(self, town: Town, work: str, **options: object) -> RefusedWork:
        """Sling what must be refused; nothing of this clone may change by it."""
        before = git("rev-parse", "HEAD", cwd=town.root)
        report = self.sling(town, work, **options)
        assert not report.dispatched, report
        assert git("rev-parse", "HEAD", cwd=town.root) == before
        return report.refused[0]

    def ended(self, town: Town, one: Dispatched) -> Bead:
        """Wait for a session's end; the bead then."""
        run = attempts.run_dir(town)
        eventually(lambda: sessions.liveness(sessions.load(run, one.session)) not in attempts.LIVE)
        eventually(lambda: (town.bead(one.bead).last_session or {}).get("ended"))
        return town.bead(one.bead)

    def meet(self) -> tuple[Exchange, Exchange]:
        """Both sync, the second sees the first."""
        first = exchange(self.here)
        second = exchange(self.there)
        exchange(self.here)
        return first, second

    def land(self, town: Town) -> refinery.RefineryReport:
        return refinery.run_once(town, RIG)

    def claims(self) -> list[str]:
        """The claims of beads at the remote."""
        refs = git("for-each-ref", "--format=%(refname)", "refs/gt/claims", cwd=self.ground.remote).splitlines()
        return [ref.rpartition("/")[2] for ref in refs if ".app" not in ref]

    def sessions(self, town: Town) -> list[str]:
        home = Path(attempts.run_dir(town), "sessions")
        return sorted(one.name for one in home.iterdir()) if home.is_dir() else []

    def unplug(self) -> None:
        """Take the town's remote away."""
        self.ground.remote.rename(self.ground.base / "unplugged")

    def plug(self) -> None:
        (self.ground.base / "unplugged").rename(self.ground.remote)

    def close(self) -> None:
        for town in self.ground.towns.values():
            for record in attempts.live_records(town)[0]:
                sessions.stop(record, 0.0)


@pytest.fixture
def machines(ground: Ground, git_repo):
    lab = Machines(ground, git_repo)
    yield lab
    lab.close()
