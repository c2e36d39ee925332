"""The deacon's loop: what moved settles, the patrols it concerns look and decide, what they decided is done."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from gastown.deacon import settings as settings_of
from gastown.deacon.action import Action, Later
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
_FAILED_FIRST, _FAILED_MOST = 30.0, 600.0
_ONCE_KEPT = 2000


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
        self._stopping = threading.Event()
        self._identity = _identity(town.root)
        # The lock file that makes this the only deacon; without it another one could start beside it.
        self._seat: int | None = None
        # A person's git has led the town away.
        self._resting = False
        # When each thing that moved last moved, and first: monotonic.
        self._moved: dict[str, tuple[float, float]] = {}
        self._later: dict[str, float] = {}
        self._failed: dict[str, tuple[float, float]] = {}
        self._tried: dict[str, tuple[Action, float]] = {}
        self._told_wrong: dict[str, str] = {}
        self._once: dict[str, None] = {}

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
        since = stamp(self.town.root, mail.STAMP) or self.town.clock()
        self.watcher.start()
        self.log.say(f"deacon of {self.town.name} on {self.town.machine}: process {os.getpid()}, {self.watcher.said}")
        self._emit("deacon_start", f"deacon started on {self.town.machine}: {self.watcher.said}")
        powers.say_running(self.town.root, self.watcher.said)  # it runs from when it could write, not before
        self._full(since)
        why = self._loop()
        if not self._gone():
            self._emit("deacon_stop", f"deacon stopped on {self.town.machine}")
        self.log.say(why)
        return why

    def _emit(self, kind: str, text: str) -> None:
        self.town.transact(kind, lambda change: change.emit(kind, text, machine=self.town.machine))

    def _loop(self) -> str:
        rescan = time.monotonic() + self.settings.rescan
        beat = 0.0
        while not self._stopping.is_set():
            now = time.monotonic()
            self._wait(min(rescan, beat, self._next_ripe(), *(self._later.values() or (rescan,))) - now)
            if self._stopping.is_set():
                break
            if self._gone():
                return "the town was moved or deleted: the deacon ends"
            if _inode(powers.lock_path(self.town.root)) != self._seat:
                return "its lock was removed, so that another deacon may start: this one ends (gt up starts one)"
            now = time.monotonic()
            if now >= beat:
                if self.pulse.look():
                    self._moved.setdefault(SESSIONS, (now, now))
                beat = now + (PULSE if self.pulse.live or self.pulse.finishing else STILL)
                if self._resting and footing.away(self.town.repo) is None:
                    rescan = now
            if now >= rescan:
                since = stamp(self.town.root, mail.STAMP) or self.town.clock()
                if self.watcher.check():
                    self._watching_changed()
                self._full(since)
                rescan = time.monotonic() + self.settings.rescan
                continue
            self._partial(now)
        return "the deacon was told to end"

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
        """Everybody looks at everything."""
        self._later.clear()
        self._moved.clear()
        self.pulse.look()
        self._round(PATROLS, World(self.town, self.memory, self.pulse, since=since))

    def _partial(self, now: float) -> None:
        paths = self._ripe(now)
        due = {name for name, at in self._later.items() if now >= at}
        for name in due:
            del self._later[name]
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
        try:
            if footing.left_behind(self.town.repo):
                from gastown.services.sync import strayed

                strayed.bring_back(self.town)
        except (GtError, OSError) as error:
            self._wrong("git", str(error))
        return False

    def _round(self, patrols: list[Patrol] | tuple[Patrol, ...], world: World) -> None:
        if self._rests():
            return
        if world.paths is None or layout.TOWN_FILE in world.paths:
            self._read_settings()
        try:
            world.stale()
        except OSError as error:
            self._wrong("feed", str(error))
        began = self.town.clock()
        for patrol in patrols:
            if self._stopping.is_set():
                return
            self._patrol(patrol, world)
        if any(patrol.gather is mail.gather for patrol in patrols) and not self._gone():
            mail.seen(self.town, began)

    def _patrol(self, patrol: Patrol, world: World) -> None:
        try:
            actions = patrol.decide(patrol.gather(world), self.settings, world.now)
        except (GtError, OSError) as error:
            return self._wrong(patrol.name, str(error))
        except Exception as error:  # a bug in one patrol must not end the others; it is logged with its traceback
            return self._wrong(patrol.name, f"a bug: {type(error).__name__}: {error}", error)
        self._told_wrong.pop(patrol.name, None)
        for action in actions:
            if isinstance(action, Later):
                at = time.monotonic() + max(0.05, action.at - self.town.clock())
                self._later[patrol.name] = min(at, self._later.get(patrol.name, at))
            elif self._do(action):
                world.stale()

    def _do(self, action: Action) -> bool:
        """Do one thing; True if the town may have changed meanwhile."""
        now = time.monotonic()
        last, pause = self._failed.get(action.key, (0.0, 0.0))
        if now < last + pause:
            return False
        if action.once:
            if action.key in self._once:
                return False
            self._once[action.key] = None
            if len(self._once) > _ONCE_KEPT:
                del self._once[next(iter(self._once))]
        if action.slow:
            self._send(action, now)
            return False
        self.log.say(f"{action.kind} {action.subject}: {action.why}")
        try:
            action.apply(self.town)
        except (GtError, OSError) as error:
            self._failure(action.key, str(error))
            return False
        except Exception as error:  # as above
            self._failure(action.key, f"a bug: {type(error).__name__}: {error}", error)
            return False
        self._failed.pop(action.key, None)
        return True

    # -- errands -----------------------------------------------------------
    def _send(self, action: Action, now: float) -> None:
        before = self._tried.get(action.key)
        # The very same a moment ago came to nothing: it waits for the next full look, or for the world to move.
        if before is not None and before[0] == action and now < before[1]:
            return
        if self.errands.start(action):
            self._tried[action.key] = (action, now + min(self.settings.rescan, 20.0))
            if not action.routine:
                self.log.say(f"{action.kind} {action.subject}: {action.why}")

    def _errand_ended(self, key: str, error: str) -> None:
        if error:
            self._failure(key, error)
        else:
            self._failed.pop(key, None)
        self.watcher.poke(ERRANDS)

    # -- trouble -----------------------------------------------------------
    def _failure(self, key: str, error: str, trace: BaseException | None = None) -> None:
        """Said, and not tried again for a while: 30 s, doubled up to 10 m; success clears it."""
        _, pause = self._failed.get(key, (0.0, 0.0))
        pause = min(max(_FAILED_FIRST, pause * 2), _FAILED_MOST)
        self._failed[key] = (time.monotonic(), pause)
        self.log.say(f"{key} failed, again in {pause:.0f} s: {error}", trace)

    def _wrong(self, name: str, error: str, trace: BaseException | None = None) -> None:
        """A patrol could not look: said once, and tried again at the next occasion."""
        if self._told_wrong.get(name) != error:
            self._told_wrong[name] = error
            self.log.say(f"{name}: {error}", trace)

    def _read_settings(self) -> None:
        self.town.refresh()
        try:
            self.settings = settings_of.read(self.town)
            self.errands.most = self.settings.errands
        except GtError as error:
            self._wrong("town.yaml", str(error))

    def _watching_changed(self) -> None:
        powers.say_running(self.town.root, self.watcher.said)
        self.log.say(self.watcher.said)


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


def once(town: Town) -> list[tuple[Patrol, Action]]:
    """What a deacon would do now, and why (`gt deacon plan`). Changes nothing.

    Raises Refused where it would rest, as the town is not on its branch, and what a patrol cannot read.
    """
    footing.require_home(town.repo)
    memory, pulse = Memory(town.root), Pulse(town)
    memory.update(time.time())
    pulse.look()
    since = stamp(town.root, mail.STAMP) or town.clock()
    world = World(town, memory, pulse, since=since)
    settings = settings_of.read(town)
    return [
        (patrol, action)
        for patrol in PATROLS
        for action in patrol.decide(patrol.gather(world), settings, world.now)
    ]
