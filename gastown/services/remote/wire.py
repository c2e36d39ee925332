"""The town's remote: which one it is, fetching from it, pushing to it by compare-and-swap. Nothing is believed unread.

Every git here holds the sync's lock as an open file, so that one which outlives a killed `gt`
is waited for by the next sync, not met in the middle of its work.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gastown.model.errors import GtError, RaceLost
from gastown.runtime import git, processes
from gastown.runtime.git import Result
from gastown.runtime.processes import Proc
from gastown.runtime.remotes import RemoteUnreachable
from gastown.services.remote import news
from gastown.store import layout, runstate
from gastown.store.town import Town

TIMEOUT = 120.0
CLAIMS = "refs/gt/claims/"
_MIRROR = (f"+{CLAIMS}*:{CLAIMS}*",)
_FETCH = ("fetch", "--progress", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
_HOLDER = "sync-git.json"
# So long may the git of a killed gt go on by itself, in seconds; twice that, and it is killed.
_ORPHAN_GRACE = 3.0
# A server that accepts a connection and then says nothing is given up.
_PATIENCE = (
    "-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=30", "-c", "gc.auto=0", "-c", "maintenance.auto=false",
)  # fmt: skip


@dataclass(frozen=True)
class Wire:
    """The way to the remote; `alone`: while the sync's lock is held."""

    root: str
    remote: str
    handle: int
    timeout: float = TIMEOUT
    clock: Callable[[], float] = time.time
    alone: bool = True

    def run(self, args: list[str], *, check: bool = False) -> Result:
        """Run git with the lock in its hands; ended when nothing is heard of it for `timeout` seconds."""
        return git.run(
            [*_PATIENCE, *args], cwd=self.root, check=check, silence=self.timeout,
            on_start=(lambda pid: _note(self.root, pid)) if self.alone else None, pass_fds=[self.handle],
        )  # fmt: skip

    def fetch(self) -> None:
        """Bring branches and claims up to date. Raises RemoteUnreachable, saying what git said."""
        self._reach([*_FETCH, "--prune", self.remote, f"+refs/heads/*:refs/remotes/{self.remote}/*", *_MIRROR])
        news.note_met(self.root, self.clock())

    def fetch_claims(self) -> None:
        """Bring the claims alone up to date, in whichever form the town has them."""
        branches = f"+refs/heads/gt-claims/*:refs/remotes/{self.remote}/gt-claims/*"
        self._reach([*_FETCH, "--prune", self.remote, branches, *_MIRROR])

    def bring(self, ref: str) -> None:
        """Bring the objects behind one ref of the remote; no ref here moves."""
        self._reach([*_FETCH, self.remote, ref])

    def _reach(self, args: list[str]) -> Result:
        try:
            result = self.run(args)
        except git.TimedOut as error:
            raise self._silent() from error
        if result.code != 0:
            said = git.tail(result.err)
            raise RemoteUnreachable(f"the remote {self.remote} cannot be reached" + (f":\n{said}" if said else ""),
                                    self._hint())  # fmt: skip
        return result

    def _silent(self) -> RemoteUnreachable:
        return RemoteUnreachable(f"the remote {self.remote} said nothing for {self.timeout:g} s", self._hint())

    def _hint(self) -> str:
        import shlex

        return (
            "everything is committed here and goes out with the next sync; check the network, the address and your "
            f"access: git ls-remote {shlex.quote(self.remote)}"
        )

    def push(self, spec: str, *, lease: str | None = None) -> Result:
        """Push one refspec; the caller reads the ref back. Raises RemoteUnreachable only for a timeout."""
        args = ["push", "--porcelain", "--progress", "--no-verify", "--no-recurse-submodules"]
        if lease is not None:
            args.append(f"--force-with-lease={lease}")
        try:
            return self.run([*args, self.remote, spec])
        except git.TimedOut as error:
            raise self._silent() from error

    def read(self, ref: str) -> str | None:
        """The sha a ref has on the remote right now; None if it is not there."""
        return self.read_all([ref]).get(ref)

    def read_all(self, refs: Sequence[str]) -> dict[str, str]:
        """The shas that refs have on the remote right now, in one question; those that are not there are left out."""
        lines = self._reach(["ls-remote", "--", self.remote, *refs]).text.splitlines()
        found = {name: sha for sha, _, name in (line.partition("\t") for line in lines)}
        return {ref: found[ref] for ref in refs if ref in found}

    def branches(self) -> list[str]:
        """The remote's branches as last fetched, without those that hold claims."""
        prefix = f"refs/remotes/{self.remote}/"
        out = git.text(["for-each-ref", "--format=%(refname)", prefix], cwd=self.root)
        names = [line.removeprefix(prefix) for line in out.splitlines()]
        return [name for name in names if name != "HEAD" and not name.startswith("gt-claims/")]


@contextlib.contextmanager
def opened(town: Town, *, timeout: float = TIMEOUT, wait: float = 30.0, alone: bool = True) -> Iterator[Wire]:
    """The wire of a town; `alone`: for one process at a time.

    Raises GtError without a remote, RaceLost if another sync stays at work for `wait` seconds, Refused in a copy of
    the machine's folder: nothing goes out in its name.
    """
    town.require_own()
    remote = town.repo.remote()
    if remote is None:
        raise GtError("this town has no remote", "give it one: gt sync --remote URL")
    path = layout.run(town.root, "sync.lock")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if alone:
            _lock(town.root, handle, wait)
        yield Wire(town.root, remote, handle, timeout, town.clock, alone)
    finally:
        os.close(handle)


def _lock(root: str, handle: int, wait: float) -> None:
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            waited = time.monotonic() - began
            if waited > wait:
                raise RaceLost("another sync of this town is at work", "wait for it, then again") from None
            if waited > _ORPHAN_GRACE:
                _end_orphan(root, signal.SIGKILL if waited > 2 * _ORPHAN_GRACE else signal.SIGTERM)
            time.sleep(0.02)


def _note(root: str, pid: int) -> None:
    """Remember the git that holds the lock from now on, and whose it is."""
    with contextlib.suppress(GtError):  # it is done already
        both = {"gt": processes.current(), "git": processes.proc(pid)}
        note = {name: [one.pid, one.start] for name, one in both.items()}
        runstate.write_json(layout.run(root, _HOLDER), note, durable=False)


def _end_orphan(root: str, sig: signal.Signals) -> None:
    """End the git of a `gt` that was killed: it may wait for a silent remote for ever. Nobody else's is touched."""
    note = runstate.read_json(layout.run(root, _HOLDER))
    if not isinstance(note, dict):
        return
    owner, child = (Proc(int(note[name][0]), str(note[name][1])) for name in ("gt", "git"))
    if not processes.alive(owner):
        processes.signal_group(child, sig)
