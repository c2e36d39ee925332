"""Clocks that differ: what other machines, or this one, wrote with a time that has not come yet. A few small files."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.model import event, times
from gastown.model.errors import GtError
from gastown.services.machines import machine
from gastown.store import identity, layout
from gastown.store.refs import Refs
from gastown.store.town import Town

# Less than this is told to nobody: seconds that differ are lived with (services/claims/leases.py).
APART = 3600.0
HINT = "set the clock that is wrong (date -u shows this one's): leases and which of two edits is the later hang on it"


@dataclass(frozen=True)
class Ahead:
    """What is dated `by` seconds from now, by which machine ("" if that is not known), at `at` (epoch seconds)."""

    machine: str
    at: float
    by: float
    here: bool = False

    @property
    def text(self) -> str:
        """In words: whose clock it may be."""
        dated = f"{times.text(self.at)}, {times.ago(self.by)} from now"
        if self.here:
            return f"this machine wrote what is dated {dated}: its clock was ahead then, or is behind now"
        if not self.machine:
            return f"the remote's newest commit is dated {dated}: its author's clock is ahead, or this one's is behind"
        return f"machine {self.machine} wrote what is dated {dated}: its clock is ahead, or this one's is behind"


def ahead(town: Town, *, commits: bool = True) -> list[Ahead]:
    """Everything known that lies more than an hour in the future by this machine's clock; a line a machine.

    Without `commits` none is read, which is dear where nothing else is asked of git.
    """
    now = town.clock()
    newest = _events(town, now)
    for name in _machines(town):
        seen = machine.seen_at(identity.told(town.root, name))
        newest[name] = max(newest.get(name, 0.0), seen or 0.0)
    here = _here(town)
    found = [Ahead(name, at, at - now, name == here) for name, at in sorted(newest.items()) if at - now > APART]
    tip = _tip(town) if commits and not found else 0.0
    return found or ([Ahead("", tip, tip - now)] if tip - now > APART else [])


def _here(town: Town) -> str:
    try:
        return town.machine
    except GtError:
        return ""


def _machines(town: Town) -> list[str]:
    return [name.removesuffix(".yaml") for name in town.names(layout.MACHINES) if name.endswith(".yaml")]


def _events(town: Town, now: float) -> dict[str, float]:
    """When each machine's newest event of the days from today on was written; the last line of each segment is read."""
    found: dict[str, float] = {}
    for day in (one for one in town.names(layout.FEED) if one >= times.day(now)):
        for name in town.names(f"{layout.FEED}/{day}"):
            owner = name.rpartition("-")[0]
            if not name.endswith(".jsonl") or not owner:
                continue
            lines = town.read(f"{layout.FEED}/{day}/{name}").splitlines()
            last = event.decode(lines[-1]) if lines else None
            if last is not None:
                found[owner] = max(found.get(owner, 0.0), _parsed(str(last["ts"])))
    return found


def _parsed(text: str) -> float:
    try:
        return times.parse(text)
    except GtError:
        return 0.0


def _tip(town: Town) -> float:
    """The time of the newest commit of the town's branch at the remote, as last fetched; 0 without one."""
    refs = Refs(town.root)
    remote = refs.remote()
    sha = refs.ref(f"refs/remotes/{remote}/{refs.head()[0].removeprefix('refs/heads/')}") if remote else None
    return float(town.repo.commit(sha).commit_time) if sha else 0.0
