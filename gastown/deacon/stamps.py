"""When this machine did what it does now and then. Hints: losing them means doing it earlier."""

from __future__ import annotations

import os

from gastown.store import files, layout


def _path(root: str, name: str) -> str:
    return layout.run(root, "deacon", f"{name}.stamp")


def stamp(root: str, name: str, now: float) -> float:
    """When `name` was done last (epoch seconds); 0 if that is not known, as by a clock that was ahead of `now`."""
    try:
        when = float(files.read_or_none(_path(root, name)) or b"0")
    except ValueError:
        return 0.0
    return when if 0 <= when <= now else 0.0


def set_stamp(root: str, name: str, when: float) -> None:
    """Remember that `name` was done at `when`."""
    path = _path(root, name)
    if not os.path.isdir(layout.local(root)):
        return  # the town is gone, and must not come back as an empty folder
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.write(path, f"{when:.3f}".encode(), temp=f"{path}.{os.getpid()}{layout.TEMP_SUFFIX}", durable=False)
