"""Times and durations: epoch seconds inside, RFC 3339 UTC text in files.

`datetime` is imported where text has to be understood: hook-time commands only write.
"""

from __future__ import annotations

import time

from gastown.model.errors import UsageError

_UNITS = {
    "s": 1, "sec": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400,
    "w": 604800, "week": 604800, "weeks": 604800,
}  # fmt: skip


def text(epoch: float) -> str:
    """Seconds since 1970 as `2026-11-23T09:30:00Z`, the only form files hold."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))


def millis(epoch: float) -> str:
    """As `text`, with milliseconds: `2026-11-23T09:30:00.123Z` (feed events)."""
    thousandths = int(epoch * 1000)
    return f"{text(thousandths // 1000)[:-1]}.{thousandths % 1000:03d}Z"


def day(epoch: float) -> str:
    """The UTC day, `2026-11-23`: a bead's folder, a feed segment's folder."""
    return time.strftime("%Y-%m-%d", time.gmtime(epoch))


def parse(stamp: str) -> float:
    """Seconds since 1970 of an RFC 3339 time with zone; raises UsageError."""
    from datetime import UTC, datetime

    try:
        value = datetime.fromisoformat(stamp)
    except ValueError:
        raise UsageError(f"{stamp!r} is not a time", "write it as 2026-11-23T09:30:00Z") from None
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value.timestamp()


def duration(span: str) -> float:
    """Seconds in `90s`, `15m`, `4h`, `7d`, `2 hours`, `1h30m`; raises UsageError."""
    total, rest = 0.0, span.strip().lower()
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        number, rest = rest[:digits], rest[digits:].lstrip()
        letters = len(rest) - len(rest.lstrip("abcdefghijklmnopqrstuvwxyz"))
        unit, rest = rest[:letters], rest[letters:].lstrip()
        try:
            total += float(number) * _UNITS[unit]
        except (ValueError, KeyError):
            raise _no_duration(span) from None
    if not span.strip():
        raise _no_duration(span)
    return total


def _no_duration(span: str) -> UsageError:
    return UsageError(f"{span!r} is not a duration", "write 90s, 15m, 4h or 7d")


def moment(when: str, now: float) -> float:
    """The moment meant by `2h`, `2 hours ago`, `7d`, `2026-11-23` or an RFC 3339 time; before 1970 there is none."""
    words = when.strip()
    if words == "now":
        return now
    span = words.removesuffix("ago").strip()
    if words[:4].isdigit() and words[4:5] == "-":
        return max(0.0, parse(words))
    try:
        return max(0.0, now - duration(span))
    except UsageError:
        raise UsageError(f"{when!r} is not a time", "write 2h, 7d, 2026-11-23 or 2026-11-23T09:30:00Z") from None


def ago(seconds: float) -> str:
    """A span as people say it, in its largest unit: `45s`, `3m`, `2h`, `5d`."""
    span = max(0, int(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if span >= size:
            return f"{span // size}{unit}"
    return f"{span}s"
