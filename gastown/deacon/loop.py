"""The deacon's loop: what moved settles, the patrols it concerns look and decide, what they decided is done."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

from gastown.deacon import settings as settings_of
from gastown.deacon.action import Action, Later
from gastown.deacon.doer import Doer
from gastown.deacon.errands import Errands
from gastown.deacon.log import Log
from gastown.deacon.memory import Memory
from gastown.deacon.patrols import mail
from gastown.deacon.pulse import Pulse
from gastown.deacon.settings import Settings
from gastown.deacon.sole import sole
from gastown.deacon.stamps import stamp
from gastown.deacon.table import ERRANDS, PATROLS, SESSIONS, Patrol
from gastown.deacon.watcher import Watcher
from gastown.deacon.world import World
from gastown.model.errors import GtError
from gastown.services.files import footing
from gastown.services.sessions import powers
from gastown.store import layout
from gastown.store.town import Town

# Sessions are looked at so often, for runners that die without a word; the town itself as often when none lives.
PULSE, STILL = 2.0, 5.0
# What is not edited by hand needs no settling; a file that is written on and on is looked at after this all the same.
_AT_ONCE, _PATIENCE = 0.03, 5.0


class Deacon:
    """One run of the deacon. `stop` may be called from a signal handler."""

    def __init__(self, town: Town, *, say: Callable[[str], None] | None = None, watcher: Watcher | None = None) -> None:
        self.town = town
        self.log = Log(town.root, say)
        self.watcher = watcher or Watcher(town.root)
        self.memory = Memory(town.root)
        self.pulse = Pulse(town)
        self.settings = Settings()
        self.errands = Errands(town.root, self.settings.errands, self._errand_ended)
        self.doer = Doer(town, self.errands, self.log)
        self._stopping = threading.Event()
        self._identity = _identity(town.root)
        # The lock file that makes this the only deacon; without it another one could start beside it.
        self._seat: int | None = None
        # A person's git has led the town away.
        self._resting = False
        # When each thing that moved last moved, and first: monotonic.
        self._moved: dict[str, tuple[float, float]] = {}
        self._later: dict[str, float] = {}
        # The patrols whose actions found no room: they look again when an errand has ended.
        self._crowded: set[str] = set()
        self._told_wrong: dict[str, str] = {}
        # When to look at everything again, and at the sessions: monotonic.
        self._rescan, self._beat = 0.0, 0.0
        # How it watches, as others were told.
        self._said = ""

    # -- life --------------------------------------------------------------
    def run(self) -> str:
        """Work until `stop`, or until the town is gone; says why it ended. Raises RaceLost for a second deacon.

        Raises Refused in a copy of the machine's folder: what it would look after is the original's.
        """
        self.town.require_own()
        with sole(self.town.root):
            self._seat = _inode(powers.lock_path(self.town.root))
            try:
                return self._run()
            finally:
                self.watcher.stop()
                self.errands.stop()
                self.log.close()

    def stop(self) -> None:
        """End soon."""
        self._stopping.set()
        self.watcher.poke(ERRANDS)

    def _run(self) -> str:
        self._read_settings()
        self.memory.update(time.time())
        since = _news_since(self.town)
        self.watcher.start()
        self.log.say(f"deacon of {self.town.name} on {self.town.machine}: process {os.getpid()}, {self.watcher.said}")
        self._emit("deacon_start", f"deacon started on {self.town.machine}: {self.watcher.said}")
        self._say_running()  # it runs from when it could write, not before
        with self._minding("deacon"):
            self._full(since)
        why = self._loop()
        if not self._gone():
            with self._minding("feed"):
                self._emit("deacon_stop", f"deacon stopped on {self.town.machine}")
        self.log.say(why)
        return why

    def _emit(self, kind: str, text: str) -> None:
        self.town.transact(kind, lambda change: change.emit(kind, text, machine=self.town.machine))

    def _loop(self) -> str:
        self._rescan = time.monotonic() + self.settings.rescan
        while not self._stopping.is_set():
            now = time.monotonic()
            times = (self._next_ripe(), self.doer.next_try(now), *self._later.values())
            self._wait(min(self._rescan, self._beat, *times) - now)
            if self._stopping.is_set():
                break
            if self._gone():
                return "the town was moved or deleted: the deacon ends"
            if _inode(powers.lock_path(self.town.root)) != self._seat:
                return "its lock was removed, so that another deacon may start: this one ends (gt up starts one)"
            with self._minding("deacon"):
                self._turn(time.monotonic())
        return "the deacon was told to end"

    def _turn(self, now: float) -> None:
        """What is due now. Each thing gets its next time first: what fails is not tried without a pause."""
        if now >= self._beat:
            self._beat = now + STILL
            if self.pulse.look():
                self._moved.setdefault(SESSIONS, (now, now))
            self._beat = now + (PULSE if self.pulse.live or self.pulse.finishing else STILL)
            if self._resting and footing.away(self.town.repo) is None:
                self._rescan = now
        if now < self._rescan:
            self._partial(now)
            return
        self._rescan = now + self.settings.rescan
        since = self.town.clock()
        with self._minding("mail stamp"):
            since = _news_since(self.town)
        with self._minding("watching"):
            self.watcher.check()
            if self.watcher.said != self._said:
                self._say_running()
                self.log.say(self.watcher.said)
        self._full(since)
        self._rescan = time.monotonic() + self.settings.rescan

    def _say_running(self) -> None:
        powers.say_running(self.town.root, self.watcher.said)
        self._said = self.watcher.said

    def _gone(self) -> bool:
        """True if the town is not here any more, in several looks: an editor may be replacing town.yaml."""
        for _ in range(8):
            if _identity(self.town.root) == self._identity:
                return False
            time.sleep(0.1)
        return True

    # -- what moved --------------------------------------------------------
    def _wait(self, seconds: float) -> None:
        for path in self.watcher.wait(seconds):
            now = time.monotonic()
            last = now - self._lag(path)
            self._moved[path] = (last, self._moved.get(path, (last, last))[1])

    def _lag(self, path: str) -> float:
        """How long ago a file was written, at most what settling takes: renames are told half a second late."""
        if path.startswith(layout.LOCAL):
            return 0.0
        try:
            age = time.time() - os.stat(layout.absolute(self.town.root, path)).st_mtime
        except OSError:
            return 0.0
        return min(max(age, 0.0), self.settings.settle)

    def _settling(self, path: str) -> float:
        return _AT_ONCE if path.startswith(layout.LOCAL) else self.settings.settle

    def _next_ripe(self) -> float:
        ripe = [min(last + self._settling(path), first + _PATIENCE) for path, (last, first) in self._moved.items()]
        return min(ripe, default=float("inf"))

    def _ripe(self, now: float) -> frozenset[str]:
        found = frozenset(
            path
            for path, (last, first) in self._moved.items()
            if now >= last + self._settling(path) or now >= first + _PATIENCE
        )
        for path in found:
            del self._moved[path]
        return found

    # -- rounds ------------------------------------------------------------
    def _full(self, since: float) -> None:
        """Everybody looks at everything; what is still settling is news all the same."""
        moved = frozenset(self._moved)
        self._later.clear()
        self._crowded.clear()
        self._moved.clear()
        self.pulse.look()
        self._round(PATROLS, World(self.town, self.memory, self.pulse, since=since, moved=moved))
        self._again()

    def _again(self) -> None:
        """Do what is still owed: it found no room, or failed some time ago."""
        if not self._resting and self.doer.owed and self.doer.again():
            self.town.refresh()

    def _partial(self, now: float) -> None:
        paths = self._ripe(now)
        due = {name for name, at in self._later.items() if now >= at}
        for name in due:
            del self._later[name]
        if ERRANDS in paths:
            due |= self._crowded
            self._crowded.clear()
        self._again()
        woken = [patrol for patrol in PATROLS if (paths and patrol.is_woken(paths)) or patrol.name in due]
        if not woken:
            return
        if SESSIONS in paths:
            self.pulse.look()
        # One that waited for its time looks at everything: it is not known what it waited for.
        for patrols, seen in (
            ([one for one in woken if one.name not in due], paths),
            ([one for one in woken if one.name in due], None),
        ):
            if patrols:
                self._round(patrols, World(self.town, self.memory, self.pulse, paths=seen, since=self.town.clock()))

    def _rests(self) -> bool:
        """True while a person's git has led the town away: by its files there, finished work is unfinished.

        What was written meanwhile comes to the branch once it is back.
        """
        found = footing.away(self.town.repo)
        if found is not None:
            if not self._resting:
                self.log.say(f"the deacon rests: {found.text} ({found.command})")
            self._resting = True
            return True
        if self._resting:
            self.log.say("the town is on its branch again: the deacon goes on")
        self._resting = False
        with self._minding("git"):
            if footing.left_behind(self.town.repo):
                from gastown.services.sync import strayed

                strayed.bring_back(self.town)
        return False

    def _round(self, patrols: list[Patrol] | tuple[Patrol, ...], world: World) -> None:
        if self._rests():
            return
        if world.paths is None or layout.TOWN_FILE in world.paths:
            self._read_settings()
        with self._minding("feed"):
            world.stale()
        began = self.town.clock()
        for patrol in patrols:
            if self._stopping.is_set():
                return
            self._patrol(patrol, world)
        if any(patrol.gather is mail.gather for patrol in patrols) and not self._gone():
            with self._minding("mail seen"):
                mail.seen(self.town, began)

    def _patrol(self, patrol: Patrol, world: World) -> None:
        try:
            actions = patrol.decide(patrol.gather(world), self.settings, world.now)
        except (GtError, OSError) as error:
            return self._wrong(patrol.name, str(error))
        except Exception as error:  # a bug in one patrol must not end the others; it is logged with its traceback
            return self._wrong(patrol.name, f"a bug: {type(error).__name__}: {error}", error)
        self._told_wrong.pop(patrol.name, None)
        self.doer.take_put_off()  # what was owed is tried again anyway
        for action in actions:
            if isinstance(action, Later):
                self._look_again(patrol, action)
            elif self.doer.do(action):
                with self._minding("feed"):
                    world.stale()
        for later in self.doer.take_later():
            self._look_again(patrol, later)
        if self.doer.take_put_off():
            self._crowded.add(patrol.name)

    def _look_again(self, patrol: Patrol, later: Later) -> None:
        at = time.monotonic() + max(0.05, later.at - self.town.clock())
        self._later[patrol.name] = min(at, self._later.get(patrol.name, at))

    def _errand_ended(self, key: str, error: str) -> None:
        self.doer.ended(key, error)
        self.watcher.poke(ERRANDS)

    # -- trouble -----------------------------------------------------------
    @contextlib.contextmanager
    def _minding(self, name: str) -> Iterator[None]:
        """What goes wrong in the block (the disk is full) does not end the deacon: said, and tried again."""
        try:
            yield
        except (GtError, OSError) as error:
            self._wrong(name, str(error))
        else:
            self._told_wrong.pop(name, None)

    def _wrong(self, name: str, error: str, trace: BaseException | None = None) -> None:
        """A patrol could not look: said once, and tried again at the next occasion."""
        if self._told_wrong.get(name) != error:
            self._told_wrong[name] = error
            self.log.say(f"{name}: {error}", trace)

    def _read_settings(self) -> None:
        self.town.refresh()
        with self._minding("town.yaml"):
            self.settings = settings_of.read(self.town)
            self.errands.most = self.settings.errands
            self.doer.rescan = self.settings.rescan


def _news_since(town: Town) -> float:
    """From when on mail is news: since the last look, or since now where that is not known."""
    now = town.clock()
    return stamp(town.root, mail.STAMP, now) or now


def _identity(root: str) -> tuple[int, int] | None:
    """What tells this town from another one at the same place; None if there is none."""
    try:
        here, state = os.stat(os.path.join(root, layout.TOWN_FILE)), os.stat(layout.local(root))
    except OSError:
        return None
    return here.st_dev, state.st_ino


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def once(town: Town) -> tuple[list[tuple[Patrol, Action]], list[tuple[Patrol, GtError | OSError]]]:
    """What a deacon would do now, and why (`gt deacon plan`), and which patrols cannot look. Changes nothing.

    Raises Refused where it would rest, as the town is not on its branch.
    """
    footing.require_home(town.repo)
    memory, pulse = Memory(town.root), Pulse(town)
    memory.update(time.time())
    pulse.look()
    world = World(town, memory, pulse, since=_news_since(town))
    settings = settings_of.read(town)
    found: list[tuple[Patrol, Action]] = []
    blind: list[tuple[Patrol, GtError | OSError]] = []
    for patrol in PATROLS:
        try:
            found += [(patrol, action) for action in patrol.decide(patrol.gather(world), settings, world.now)]
        except (GtError, OSError) as error:  # as in the deacon, it ends none of the others
            blind.append((patrol, error))
    return found, blind
