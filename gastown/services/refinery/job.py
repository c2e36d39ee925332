"""One run of a rig's refinery: what it works with, what has come of it so far, and its steps in the worktree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from gastown.model import address
from gastown.model.errors import GtError
from gastown.model.queue import Entry
from gastown.model.rig import Rig
from gastown.runtime import git, intact, remotes
from gastown.services.landing import gates, held, landed, stack
from gastown.services.landing.gates import GatesRun
from gastown.services.landing.stack import Stack
from gastown.services.refinery import desk
from gastown.services.refinery.sentback import SentBack
from gastown.store import layout
from gastown.store.town import Town


class Stuck(GtError):
    """A stack could not be built or put to the gates: that says nothing of the work in it."""


@dataclass
class Job:
    """One run of one rig's refinery: what it works with, and what has come of it so far.

    `held` maps merge beads that are not tried again in this run to the reason; `stopped` ends the run. `verdict` is
    how the gates ended last.
    """

    town: Town
    rig: Rig
    say: Callable[[str, str], None]
    landed: list[tuple[Entry, str]] = field(default_factory=list)
    sent_back: list[SentBack] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)
    could_not_run: list[str] = field(default_factory=list)
    moves: int = 0
    stopped: bool = False
    tried: set[tuple[str, ...]] = field(default_factory=set)
    verdict: str = ""

    @property
    def repo(self) -> str:
        """The rig's bare repository."""
        return layout.bare(self.town.root, self.rig.name)

    def hold(self, entries: Iterable[Entry], reason: str, *, run: GatesRun | None = None) -> None:
        """Leave entries in the queue, and say why once."""
        entries = list(entries)
        for entry in entries:
            self.held[entry.id] = reason
            self.say("waiting", f"{entry.source or entry.branch} waits: {reason.splitlines()[0]}")
        if run is not None and run.verdict == gates.COULD_NOT_RUN:
            self.could_not_run += [entry.id for entry in entries]
        held.tell(self.town, self.rig, entries, reason, run=run)

    def record(
        self, items: Sequence[tuple[Entry, str]], *, summary: str, how: str = "", run: GatesRun | None = None
    ) -> None:
        """Record what is on the target, and put its branches away."""
        landed.record(self.town, self.rig, items, gates=summary, how=how, run=run)
        self.landed += items
        for entry, commit in items:
            self.say("merged", f"{entry.source or entry.branch} is on {entry.target} at {commit[:12]}; {summary}")
        done = [(entry.branch, entry.commit, commit) for entry, commit in items]
        landed.put_away(self.town, self.rig, done, say=lambda text: self.say("note", text))

    def build(self, base: str, entries: Sequence[Entry]) -> Stack:
        """A stack of `entries` on `base` in the refinery's worktree. Raises Stuck."""
        who = git.author_env(*address.author(f"{self.rig.name}/refinery", self.town.name))
        try:
            self._mend_desk(base)
            return stack.build(
                self.desk, base, entries, merge=self.rig.merge, identity=who, keep_ignored=bool(self.rig.setup)
            )
        except GtError as error:
            raise Stuck(said(error)) from error

    def test(self, commit: str) -> GatesRun:
        """The gates on `commit`, checked out anew. Raises Stuck."""
        try:
            self._mend_desk(commit)
            stack.checkout(self.desk, commit, keep_ignored=bool(self.rig.setup))
        except GtError as error:
            raise Stuck(said(error)) from error
        run = gates.run_gates(self.town, self.rig, self.desk, commit, say=lambda text: self.say("gate", text))
        self.verdict = run.verdict
        return run

    def _mend_desk(self, commit: str) -> None:
        """Make the refinery's worktree anew if a gate has taken its .git away. Raises GtError if its setup fails."""
        if intact.is_whole(self.repo, self.desk):
            return
        trouble = desk.set_up(self.town, self.rig, desk.ready(self.town, self.rig, commit))
        if trouble:
            raise GtError(trouble, "gt mq retry, when that is mended")

    @property
    def desk(self) -> str:
        """The refinery's worktree."""
        return layout.worktree(self.town.root, self.rig.name, "refinery")


def said(error: GtError) -> str:
    """Why entries wait, with what to do; what to do about a remote out of reach is for who runs something himself."""
    told = error.hint and not isinstance(error, remotes.RemoteUnreachable)
    return f"{error.message} ({error.hint})" if told else error.message
