"""What `gt status` shows: the town, its rigs, its workers, and what needs a person. Facts only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gastown.services.remote.news import News


@dataclass(frozen=True)
class Problem:
    """Something that needs a person, and the command that deals with it."""

    kind: str
    subject: str
    text: str
    command: str


@dataclass(frozen=True)
class Worker:
    """One worker and what it does; `why` says what made it that. `since`: its last session's start (RFC 3339)."""

    address: str
    state: str
    bead: str | None = None
    title: str = ""
    attempt: int = 0
    agent: str | None = None
    machine: str | None = None
    since: str | None = None
    session: str | None = None
    why: str = ""
    # Whether the town's remote has a claim that says the same; None where none is needed, or there is no work.
    confirmed: bool | None = None


@dataclass(frozen=True)
class RigStatus:
    """One rig's counts and workers. `stalled`: held, but no session lives; those are not `working`."""

    name: str
    parked: bool
    ready: int
    working: int
    stalled: int
    merging: int
    blocked: int
    workers: tuple[Worker, ...]


@dataclass(frozen=True)
class Status:
    """What `gt status` shows; `deacon`, `remote` and `news` (of the remote) are None where there is none."""

    town: str
    root: str
    machine: str | None
    remote: str | None
    deacon: str | None
    ready: int
    rigs: tuple[RigStatus, ...]
    problems: tuple[Problem, ...]
    invalid: int
    news: News | None = None
    # Messages that whoever asks has not read; 0 for the past.
    unread: int = 0

    def as_json(self) -> dict[str, Any]:
        """The shape of cli.md."""
        return {
            "town": self.town,
            "machine": self.machine,
            "remote": self.remote,
            "deacon": self.deacon,
            "news": self.news.as_json() if self.news else None,
            "unread": self.unread,
            "rigs": [
                {
                    "name": rig.name, "parked": rig.parked, "ready": rig.ready, "working": rig.working,
                    "stalled": rig.stalled, "merging": rig.merging, "blocked": rig.blocked,
                    "workers": [_worker_json(one) for one in rig.workers],
                }
                for rig in self.rigs
            ],
            "problems": [vars(one) for one in self.problems],
        }  # fmt: skip


def _worker_json(one: Worker) -> dict[str, Any]:
    keys = ("address", "state", "bead", "attempt", "agent", "machine", "since", "confirmed")
    return {key: getattr(one, key) for key in keys}
