"""One meeting with the town's remote: both sides come to hold the same, then it is settled who has what."""

from __future__ import annotations

from dataclasses import dataclass, field

from gastown.model.errors import GtError, RaceLost
from gastown.services.claims import tenure
from gastown.services.claims.tenure import Tenure
from gastown.services.machines import clone, machine
from gastown.services.remote import news, wire
from gastown.services.sync import sync
from gastown.services.sync.sync import Step, SyncReport
from gastown.store.town import Town


@dataclass(frozen=True)
class Exchange:
    """What was sent and taken, and what became of this machine's claims."""

    sync: SyncReport
    tenure: Tenure = field(default_factory=Tenure)


def exchange(
    town: Town, *, on_step: Step | None = None, accept_rewrite: bool = False, watched: bool = False,
    timeout: float = wire.TIMEOUT,
) -> Exchange:  # fmt: skip
    """Sync, settle the claims, and send what that changed. `watched` and errors are as those of `sync.sync`.

    A claim that cannot be settled now is in `tenure.trouble`; the next meeting tries again. What fails here is told
    by `gt status` until a meeting goes well.
    """
    try:
        done = _meet(town, on_step, accept_rewrite, watched, timeout)
    except RaceLost:
        raise  # others are fast, and nothing is wrong
    except GtError as error:
        news.note_trouble(town.root, error, town.clock())
        raise
    news.note_trouble(town.root, None, town.clock())
    return done


def _meet(town: Town, on_step: Step | None, accept_rewrite: bool, watched: bool, timeout: float) -> Exchange:
    machine.keep_seen(town)
    report = sync.sync(town, on_step=on_step, accept_rewrite=accept_rewrite, watched=watched, timeout=timeout)
    found = tenure.settle(town, report.head)
    if report.first:
        clone.first_sent(town)  # somebody gave it a remote by git alone
    if found.changed or sync.has_news(town.repo, report.remote):
        again = sync.sync(town, on_step=on_step, watched=watched, timeout=timeout)
        report = sync.joined(report, again)
    return Exchange(report, found)
