"""The sessions of this machine, looked at often and cheaply: what is over is never looked at again."""

from __future__ import annotations

import os
import time

from gastown.model.errors import GtError, NotFound
from gastown.runtime import sessions
from gastown.runtime.processes import alive
from gastown.runtime.runner import EXIT
from gastown.runtime.sessions import SessionRecord
from gastown.services.sessions import attempts
from gastown.store.town import Town

# The runner hands in by itself what ended well; only when it takes longer than this is it not waited for.
FINISHING = 30.0


class Pulse:
    """Knows which sessions live. `look` is a few stats for each of them."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._over: set[str] = set()
        self.live: dict[str, SessionRecord] = {}
        self.finishing: dict[str, SessionRecord] = {}
        self.unknown: dict[str, str] = {}

    def look(self) -> bool:
        """Look at every session that is not known to be over; True if any of them changed since the last look."""
        before = (set(self.live), set(self.finishing))
        live: dict[str, SessionRecord] = {}
        finishing: dict[str, SessionRecord] = {}
        self.unknown = {}
        home = os.path.join(attempts.run_dir(self._town), "sessions")
        for sid in os.listdir(home) if os.path.isdir(home) else ():
            if sid in self._over:
                continue
            try:
                self._look_at(sid, os.path.join(home, sid), live, finishing)
            except NotFound:
                continue  # it has no record yet
            except (GtError, OSError) as error:
                self.unknown[sid] = str(error)
        self.live, self.finishing = live, finishing
        return before != (set(live), set(finishing))

    def _look_at(
        self, sid: str, folder: str, live: dict[str, SessionRecord], finishing: dict[str, SessionRecord]
    ) -> None:
        record = self.live.get(sid)
        if record is None or record.agent_pid is None or record.runner is None:
            record = sessions.load(attempts.run_dir(self._town), sid)
        if os.path.exists(os.path.join(folder, EXIT)):
            record = sessions.reload(record)
            if record.ended and record.runner and alive(record.runner) and time.time() - record.ended < FINISHING:
                finishing[sid] = record
            else:
                self._over.add(sid)
        elif record.runner is not None and alive(record.runner):
            live[sid] = record
        else:
            life = attempts.look_at(self._town, sid)
            if life.live:
                live[sid] = record
            elif life.state == "unknown":
                self.unknown[sid] = life.why
            else:
                self._over.add(sid)

    def of(self, address: str) -> SessionRecord | None:
        """The live session of an address; the newest if there are several."""
        found = [one for one in self.live.values() if one.address == address]
        return max(found, key=lambda one: one.started, default=None)
