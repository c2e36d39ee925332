"""What the deacon waits for and how long, as town.yaml says under `deacon:` and `sync:`. All times are seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gastown.model.errors import InvalidFile, UsageError
from gastown.model.times import duration
from gastown.store import layout
from gastown.store.view import View


@dataclass(frozen=True)
class Settings:
    """The thresholds of lifecycle.md. `kill_quiet_after` None: a quiet session is never killed."""

    settle: float = 0.3
    rescan: float = 60.0
    quiet: float = 900.0
    kill_quiet_after: float | None = None
    begin: float = 120.0
    idle: float = 900.0
    closing: float = 60.0
    rescue: float = 600.0
    pack: float = 3600.0
    sync: float = 60.0
    raise_after: float = 14_400.0
    backoff: float = 30.0
    backoff_most: float = 600.0
    recoveries: int = 3
    mass_deaths: int = 3
    mass_window: float = 60.0
    mass_pause: float = 300.0
    errands: int = 4


_WHOLE = ("recoveries", "mass_deaths", "errands")


def read(view: View) -> Settings:
    """The settings of a town; raises InvalidFile naming the key of one that cannot be used."""
    found: dict[str, Any] = {}
    own = view.setting("deacon") or {}
    if not isinstance(own, dict):
        raise InvalidFile(layout.TOWN_FILE, "deacon must be a map", key="deacon")
    for name in Settings.__dataclass_fields__:
        value = own.get(name) if name != "sync" else None
        if value is not None:
            found[name] = _whole(name, value) if name in _WHOLE else _seconds(f"deacon.{name}", value)
    interval = view.setting("sync.interval")
    if interval is not None:
        found["sync"] = _seconds("sync.interval", interval)
    return Settings(**found)


def _seconds(key: str, value: object) -> float:
    try:
        return duration(str(value))
    except UsageError as error:
        raise InvalidFile(layout.TOWN_FILE, error.message, key=key) from None


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidFile(layout.TOWN_FILE, f"{value!r} is not a number from 1", key=f"deacon.{name}")
    return value
