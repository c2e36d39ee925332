"""What tells this computer, and this run of it, from every other: the system's own ids, and when it was started.

Where a system tells none of it the answer is empty, and nothing is concluded from that. Kept under `.gt/` alone;
what others may read is a hash of it.
"""

from __future__ import annotations

import sys
import time
from functools import cache
from typing import Any

from gastown.store import files

_MACHINE_ID = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
# Asking macOS means loading ctypes: worth it only where there is a doubt already.
DEAR = sys.platform == "darwin"


@cache
def computer() -> str:
    """The id of this computer's installation, the same after a restart; "" if the system has none of its own."""
    for path in _MACHINE_ID:
        found = _text(path)
        if len(found) == 32 and set(found) <= set("0123456789abcdef"):
            return found
    return _mac_computer() if DEAR else ""


@cache
def boot() -> str:
    """The id of this run of the computer, another one after each restart; "" if the system has none."""
    return _text(_BOOT_ID) or (_mac_boot() if DEAR else "")


def started(now: float) -> float:
    """When this run of the computer began (epoch seconds), by the clock that says `now`. Sleep counts."""
    # On Linux the monotonic clock stands still while the computer sleeps; elsewhere there is no other.
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return now - time.clock_gettime(clock)


def _text(path: str) -> str:
    try:
        return (files.read_or_none(path) or b"").decode("ascii", "replace").strip()
    except OSError:
        return ""


def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None)


def _mac_computer() -> str:
    import ctypes

    found, wait = ctypes.create_string_buffer(16), (ctypes.c_long * 2)(1, 0)
    try:
        return found.raw.hex() if _libc().gethostuuid(found, ctypes.byref(wait)) == 0 else ""
    except (OSError, AttributeError):
        return ""


def _mac_boot() -> str:
    import ctypes

    found, size = ctypes.create_string_buffer(64), ctypes.c_size_t(64)
    try:
        failed = _libc().sysctlbyname(b"kern.bootsessionuuid", found, ctypes.byref(size), None, 0)
    except (OSError, AttributeError):
        return ""
    return "" if failed else found.value.decode("ascii", "replace")
