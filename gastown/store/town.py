"""A town: one object for reading and for writing it."""

from __future__ import annotations

import contextlib
import os
import time
from functools import cached_property

from gastown.model.errors import GtError, InvalidFile, NotInTown, Stale
from gastown.store import layout, runstate
from gastown.store.layout import find_root as find_root
from gastown.store.view import LiveView, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, TypeVar

    from gastown.store.change import Change
    from gastown.store.gitrepo import Repo
    from gastown.store.index import Index

    T = TypeVar("T")
FORMAT = 1
_TRIES = 5
# How old, in seconds, a look at all beads may be that is used again within `one_look`.
_LOOK = 1.0


class Town(LiveView):
    """The town at `root` for `actor`. `clock` gives epoch seconds; tests pass their own."""

    def __init__(self, root: str, actor: str, clock: Callable[[], float]) -> None:
        super().__init__(root)
        self.actor = actor
        self.clock = clock
        # Where town.yaml cannot be used, the settings last committed stand in for it.
        self.forgiving = False
        # Takes the edits that a person left where a change writes, by the rules of the services (which open towns so);
        # without it they go along as they lie.
        self.adopt: Callable[[Change, Mapping[str, bytes | None]], bool] | None = None
        # True once a change of ours was committed.
        self.wrote = False
        self._machine: str | None = None
        # Within `one_look`: the last one, when it was (monotonic), and what HEAD was before it.
        self._looks = False
        self._look: tuple[Index, float, bytes | None] | None = None

    @property
    def config(self) -> dict[str, Any]:
        """town.yaml; raises InvalidFile unless the town is `forgiving`."""
        try:
            return super().config
        except InvalidFile:
            if not self.forgiving:
                raise
            self._config = self.at("HEAD").config
            return self._config

    @property
    def prefix(self) -> str:
        """The prefix of the town's own beads."""
        return str(self.config.get("prefix") or "hq")

    @property
    def machine(self) -> str:
        """This machine's name in the town, as known since the last change; raises GtError if it has none yet."""
        if self._machine is None:
            from gastown.store import identity

            one = identity.read(self.root)
            if one is None:
                where = identity.path(self.root)
                hint = "gt doctor says which it may have been; gt doctor --fix gives it a new one"
                raise GtError(f"this machine has no name in the town yet ({where} is missing)", hint)
            self._machine = one.name
        return self._machine

    def may_have_moved(self) -> bool:
        """False if the folder provably stands where it stood when that was written down. Cheap: all commands ask."""
        try:
            with open(layout.local(self.root, "machine.yaml"), "rb") as file:
                data = file.read()
            inode = os.stat(layout.local(self.root)).st_ino
        except FileNotFoundError:
            from gastown.store import identity

            return identity.lost(self.root)  # else it has no name yet
        return b"inode: %d" % inode not in data or os.fsencode(os.path.realpath(self.root)) not in data

    def require_own(self) -> None:
        """Raise Refused in a folder that is a copy of its machine: nothing is written or signalled from there."""
        from gastown.store import identity

        identity.require(self.root, self.clock())

    @cached_property
    def repo(self) -> Repo:
        """The town's git repository."""
        from gastown.store.gitrepo import Repo

        return Repo(self.root)

    def at(self, when: str | None) -> View:
        """The town at a revision or time; None: as it stands."""
        if when is None:
            return self
        from gastown.store import past

        return past.at(self.root, when, self.clock())

    @contextlib.contextmanager
    def one_look(self) -> Iterator[None]:
        """Within, the index is read once, and again when a change moved HEAD (in a change, too) or after a second.

        For what judges the same beads several times in a row: it reads every bead's stamp, which is most of what such
        a command costs in a large town. An edit by hand of the last second counts as one that came after the judgement.
        """
        former, self._looks = self._looks, True
        try:
            yield
        finally:
            self._looks, self._look = former, self._look if former else None

    def index(self) -> Index:
        """The summary of every bead, as it stands; see `one_look`."""
        if not self._looks:
            return super().index()
        head = self.repo.head()[1]
        if self._look is None or self._look[2] != head or time.monotonic() - self._look[1] > _LOOK:
            now = time.monotonic()
            self._look = super().index(), now, head
        return self._look[0]

    def refresh(self) -> None:
        """Forget what was read of town.yaml, and this machine's name: it may have been renamed meanwhile."""
        self._config = None
        self._machine = None

    @contextlib.contextmanager
    def change(
        self, verb: str, actor: str | None = None, *, timeout: float = 30.0, asked: bool = False
    ) -> Iterator[Change]:
        """The block in which a town is altered: written, fed and committed on leaving it, or not at all.

        Holds the town lock, so slow work belongs outside. An exception inside writes nothing.
        Raises RaceLost (lock held for `timeout` seconds), Stale (a person edited a file that was read), Refused
        in a copy of the machine's folder (`identity`). `asked`: somebody wants it who can wait until an edit that may
        not be committed is mended; it raises InvalidFile over one.
        """
        from gastown.store import commit, lock
        from gastown.store.change import Change

        self.require_own()
        with lock.town_lock(self.root, verb, timeout=timeout):
            commit.recover(self.repo)
            self.refresh()
            change = Change(self, verb, actor or self.actor, asked=asked)
            yield change
            self.wrote = bool(change.finish()) or self.wrote
            self.refresh()

    def transact(
        self, verb: str, body: Callable[[Change], T], actor: str | None = None, *, asked: bool = False
    ) -> T:
        """Run `body` in a change, again if a file moved under it, at most 5 times. `asked`: as for `change`."""
        for attempt in range(1, _TRIES + 1):
            try:
                with self.change(verb, actor, asked=asked) as change:
                    return body(change)
            except Stale:
                if attempt == _TRIES:
                    raise
                time.sleep(0.01 * attempt)
        raise AssertionError("unreachable")

    @property
    def unsettled(self) -> bool:
        """True if a change or a sync was killed in the middle and nobody finished it yet."""
        return any(os.path.exists(layout.run(self.root, name)) for name in layout.UNFINISHED)

    def settle(self) -> None:
        """Finish what a killed process left, if nobody is writing right now and it can be done.

        For commands that only read: they need none of it, and must tell what stands here on a full disk as well.
        Whoever writes next is told why it cannot be done.
        """
        with contextlib.suppress(GtError, OSError):
            self.finish_killed()

    def finish_killed(self) -> None:
        """Finish what a killed process left. Raises RaceLost where somebody is writing, OSError, GtError."""
        if not self.unsettled and not self._index_at_work():
            return
        from gastown.store import commit, identity, lock

        if not identity.standing(self.root, self.clock()).own:
            return  # in a copy that is the original's to finish

        with lock.town_lock(self.root, "recover", timeout=0):
            commit.recover(self.repo)

    def _index_at_work(self) -> bool:
        """True if somebody's update of git's index lies there, perhaps what a killed change of ours left."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return any(name.startswith("index.") for name in os.listdir(os.path.join(self.root, ".git")))
        return False


def open_town(
    root: str, *, actor: str = "overseer", clock: Callable[[], float] = time.time, forgiving: bool = False
) -> Town:
    """The town at `root`; raises NotInTown, or GtError for one written by a newer gt.

    A `forgiving` town takes the settings last committed where town.yaml is broken: agents must be stoppable then, too.
    """
    town = Town(os.path.abspath(root), actor, clock)
    town.forgiving = forgiving
    if not os.path.isfile(os.path.join(town.root, layout.TOWN_FILE)):
        raise NotInTown(f"{root} is no town (it has no town.yaml)", "make one: gt init PATH")
    check_format(town.config, root)
    return town


def check_format(config: Mapping[str, Any], where: str) -> None:
    """Raise GtError if the town at `where`, with this town.yaml, was written by a newer gt."""
    version = config.get("version", FORMAT)
    if isinstance(version, int) and version > FORMAT:
        raise GtError(
            f"{where} is a town of format {version}; this gt knows {FORMAT}",
            "install a newer gastown; nothing was read",
        )


__all__ = ["Town", "find_root", "open_town", "runstate"]
