"""Who runs this command and in which town: read once from flags, environment and working directory.

With cli/fast.py the only reader of GT_* variables.
"""

from __future__ import annotations

import os

from gastown.model import address
from gastown.model.errors import NotFound, NotInTown, Refused, UsageError
from gastown.store import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from gastown.store.town import Town
    from gastown.store.view import View
    from gastown.ui.progress import Progress

OVERSEER = "overseer"


class Ctx:
    """What every command is given as `ctx.obj`. The town is opened when it is first asked for."""

    def __init__(self, env: Mapping[str, str] | None = None, cwd: str | None = None) -> None:
        self.env = dict(os.environ if env is None else env)
        self._cwd = cwd
        self.town_option: str | None = None
        self.as_option: str | None = None
        self._town: Town | None = None

    @property
    def cwd(self) -> str:
        """The working directory; raises UsageError where it was removed under our feet."""
        if self._cwd is None:
            try:
                self._cwd = os.getcwd()
            except FileNotFoundError:
                raise UsageError("the folder you stand in was removed", "cd somewhere else") from None
        return self._cwd

    @property
    def wrote(self) -> Town | None:
        """The town, if the command wrote into it."""
        return self._town if self._town is not None and self._town.wrote else None

    @property
    def root(self) -> str:
        """The town's root: --town, GT_TOWN, upward from here. Raises NotInTown."""
        for named, name in ((self.town_option, "--town"), (self.env.get("GT_TOWN"), "GT_TOWN")):
            if named:
                found = layout.find_root(os.path.expanduser(named))
                if found is None:
                    raise NotInTown(f"{name} says {named}, but there is no town", "`gt init PATH` makes one")
                return found
        found = layout.find_root(self.cwd)
        if found is None:
            raise NotInTown(
                f"no town at {self.cwd} or above it", "make one with `gt init PATH`, or name one with --town or GT_TOWN"
            )
        return found

    @property
    def actor(self) -> str:
        """Who acts: --as (the overseer only), GT_ACTOR, the worktree we stand in, else the overseer."""
        here = self._own_actor()
        if self.as_option is None:
            return here
        wanted = address.parse(self.as_option)
        if here not in (OVERSEER, wanted):
            raise Refused(f"you are {here} and may not act as {wanted}", "leave out --as")
        return wanted

    def _own_actor(self) -> str:
        named = self.env.get("GT_ACTOR")
        if named:
            return address.parse(named)
        return layout.worker_of_cwd(self.root, self.cwd) or OVERSEER

    @property
    def town(self) -> Town:
        """The town, opened for this actor."""
        return self._open(forgiving=False)

    @property
    def town_in_need(self) -> Town:
        """The town for what must work whatever state it is in: with the last settings where town.yaml is broken."""
        return self._open(forgiving=True)

    def _open(self, *, forgiving: bool) -> Town:
        if self._town is None:
            from gastown.services.files.opening import open_town

            self._town = open_town(self.root, actor=self.actor, forgiving=forgiving)
            self._town.progress = _Reading().tell
            self._check_worker(self._town)
            self._follow(self._town)
            self._town.settle()
        return self._town

    def _follow(self, town: Town) -> None:
        """A town that was moved knows its new place from the first command on; a copy is left as it is."""
        if town.may_have_moved():
            from gastown.services.agents import moving

            moving.follow(town)

    def _check_worker(self, town: Town) -> None:
        """An actor named by hand must be of this town, or a typing error would become an author."""
        if self.as_option is None or "/" not in town.actor:
            return
        rig = address.rig_of(town.actor)
        if rig is not None:
            town.rig(rig)
        name = address.name_of(town.actor)
        if address.is_worker(town.actor) and not any(
            town.exists(layout.worker_file(str(rig), kind, name)) for kind in ("polecats", "crew")
        ):
            raise NotFound(f"no worker {town.actor}", "`gt agents` lists them")

    @property
    def rig_here(self) -> str | None:
        """The rig we stand in: GT_RIG, the actor's own, or the folder below rigs/ or work/."""
        named = self.env.get("GT_RIG") or address.rig_of(self.actor)
        if named:
            return named
        rest = os.path.relpath(os.path.realpath(self.cwd), os.path.realpath(self.root)).split(os.sep)
        return rest[1] if len(rest) > 1 and rest[0] in (layout.RIGS, layout.WORK) else None

    def view(self, at: str | None) -> View:
        """The town now, or as it was at a revision or time (--at)."""
        return self.town if at is None else self.town.at(at)

    def resolve(self, text: str) -> str:
        """The bead id meant by a full id, the beginning of its hash, or @last."""
        return self.town.resolve(text, self.actor)


class _Reading:
    """Says on a terminal that a town without a cache is being read, if that takes more than a second."""

    def __init__(self) -> None:
        self._began = 0.0
        self._shown: Progress | None = None

    def tell(self, files: int) -> None:
        """So many files are read; 0: all of them."""
        import time

        now = time.monotonic()
        if not files:
            if self._shown:
                self._shown.done()
            self._began, self._shown = 0.0, None
        elif not self._began:
            self._began = now
        elif now - self._began > 1:
            from gastown.ui.progress import Progress

            self._shown = self._shown or Progress("reading the town")
            self._shown.line(f"{files:,} beads")
