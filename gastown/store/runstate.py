"""This machine's small notes under `.gt/run/`: heartbeats, hook hints, last bead. Never committed.

All of them may be deleted: they are hints and checkpoints, and whoever reads one verifies it.
"""

from __future__ import annotations

import os

from gastown.store import files, layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def read_json(path: str) -> Any:
    """The value in a JSON file, None if there is none or it is torn."""
    import json

    data = files.read_or_none(path)
    if data is None:
        return None
    try:
        return json.loads(data)
    except ValueError:
        return None


def write_json(path: str, value: object, *, durable: bool = True) -> None:
    """Write a JSON file atomically, making its folder."""
    import json

    os.makedirs(os.path.dirname(path), exist_ok=True)
    temp = f"{path}.{os.getpid()}{layout.TEMP_SUFFIX}"
    files.write(path, json.dumps(value, indent=1).encode() + b"\n", temp=temp, durable=durable)


def _slot(root: str, kind: str, address: str) -> str:
    return layout.run(root, kind, address.replace("/", "__"))


def _put(path: str, data: bytes) -> None:
    try:
        files.write(path, data, temp=f"{path}.{os.getpid()}{layout.TEMP_SUFFIX}", durable=False)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        files.write(path, data, temp=f"{path}.{os.getpid()}{layout.TEMP_SUFFIX}", durable=False)


def touch_heartbeat(root: str, address: str, text: str = "") -> None:
    """Say that `address` lives; its file's mtime is the heartbeat, `text` what it is doing."""
    _put(_slot(root, "heartbeats", address), text.encode("utf-8", "replace"))


def heartbeat(root: str, address: str) -> tuple[float, str] | None:
    """(epoch seconds, text) of the last heartbeat; None if there never was one here."""
    path = _slot(root, "heartbeats", address)
    try:
        return os.stat(path).st_mtime, files.read(path).decode("utf-8", "replace")
    except FileNotFoundError:
        return None


def set_hook_hint(root: str, address: str, bead_path: str | None) -> None:
    """Remember where the bead on `address`'s hook lies; None forgets it."""
    path = _slot(root, "hooks", address)
    if bead_path is None:
        files.remove(path)
    else:
        _put(path, bead_path.encode())


def hook_hint(root: str, address: str) -> str | None:
    """The path remembered by `set_hook_hint`. A hint: the bead itself must say the same."""
    return _hint(_slot(root, "hooks", address))


def set_last(root: str, address: str, bead_id: str) -> None:
    """Remember `@last`, the bead this actor last touched."""
    _put(_slot(root, "last", address), bead_id.encode())


def last(root: str, address: str) -> str | None:
    """The bead `address` last touched on this machine."""
    return _hint(_slot(root, "last", address))


def _hint(path: str) -> str | None:
    """The one line of a hint; None if there is none, or if it is garbage: a hint is not worth an error."""
    try:
        text = (files.read_or_none(path) or b"").decode().strip()
    except (UnicodeDecodeError, IsADirectoryError):
        return None
    return text if text.isprintable() and text else None
