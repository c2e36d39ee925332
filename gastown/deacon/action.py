"""What a patrol may decide: an action with its reason. One value is done, planned (`gt deacon plan`) and logged."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from gastown.store.town import Town

WORK, REFINERY = "work", "refinery"


@dataclass(frozen=True)
class Action:
    """One thing to do. `subject` is what it is done to, `why` one phrase for people.

    `slow` ones run in a child process, so that the watcher never waits; two of one `lane` and key never run at once.
    """

    subject: str
    why: str
    slow: ClassVar[bool] = False
    lane: ClassVar[str] = WORK
    # Done at most once by one run of the deacon, whatever is decided again.
    once: ClassVar[bool] = False
    # Done over and over: the log holds it only where it fails.
    routine: ClassVar[bool] = False

    @property
    def kind(self) -> str:
        """The action's name in lists and logs."""
        return type(self).__name__.lower()

    @property
    def key(self) -> str:
        """Two actions with one key are the same thing to do."""
        return f"{self.kind}:{self.subject}"

    def apply(self, town: Town) -> Later | None:
        """Do it, by calling a service. Safe to repeat, and safe if the world moved meanwhile. Raises GtError.

        One that is not `slow` may return when to look again, where something stood in its way for a moment.
        """
        raise NotImplementedError

    def as_json(self) -> dict[str, Any]:
        """Every fact by its name; `gastown.deacon.errand` makes the action again from it."""
        return {"action": self.kind, **asdict(self)}

    def digest(self) -> str:
        """A short name of the key that fits into a file name."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Later(Action):
    """Nothing yet: look again at `at` (epoch seconds)."""

    at: float = 0.0

    def apply(self, town: Town) -> None:
        """Nothing."""


def dumps(action: Action) -> str:
    """An action as one line of JSON."""
    return json.dumps(action.as_json())
