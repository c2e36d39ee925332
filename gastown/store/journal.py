"""What a change is about to write, recorded before the first byte of it: a killed change is finished.

The journal is a redo record: whoever next holds the town lock completes it, so that a change is
in the town whole or not at all. It was never reported as done, and finishing it twice is harmless.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, field

from gastown.model.errors import GtError
from gastown.store import files, layout

_NAME = layout.UNFINISHED[0]


@dataclass(frozen=True)
class FileOp:
    """One file: its content before (None: absent) and after (None: removed).

    `append_at` is set for an append-only file: then only what lies behind that byte is written.
    """

    path: str
    old: bytes | None
    new: bytes | None
    append_at: int | None = None


@dataclass(frozen=True)
class Plan:
    """A change as it will stand in the files and in git. `epoch` in seconds."""

    verb: str
    message: str
    author: tuple[str, str]
    epoch: float
    ops: tuple[FileOp, ...]
    ref: str = ""
    old_head: bytes | None = None
    new_head: bytes | None = None
    pid: int = field(default_factory=os.getpid)


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def path(root: str) -> str:
    """Where the journal of a town lies while a change is being written."""
    return layout.run(root, _NAME)


def record(root: str, plan: Plan) -> None:
    """Make `plan` durable. From here on it will be finished, by us or by the next writer."""
    value = {
        "format": 1,
        "verb": plan.verb,
        "message": plan.message,
        "author": list(plan.author),
        "epoch": plan.epoch,
        "pid": plan.pid,
        "ref": plan.ref,
        "old_head": (plan.old_head or b"").decode(),
        "new_head": (plan.new_head or b"").decode(),
        "ops": [[op.path, _text(op.old), _text(op.new), op.append_at] for op in plan.ops],
    }
    os.makedirs(os.path.dirname(path(root)), exist_ok=True)
    files.write(path(root), json.dumps(value).encode())


def clear(root: str) -> None:
    """The plan is in the town and in git, or was undone: forget it.

    Not synced: should it come back after a power loss, finishing it again changes nothing.
    """
    files.remove(path(root))


def pending(root: str) -> Plan | None:
    """The plan that a killed process left; None if there is none. Raises GtError if it is unreadable."""
    data = files.read_or_none(path(root))
    if data is None:
        return None
    try:
        value = json.loads(data)
        return Plan(
            verb=value["verb"],
            message=value["message"],
            author=(value["author"][0], value["author"][1]),
            epoch=value["epoch"],
            ops=tuple(FileOp(p, _bytes(old), _bytes(new), at) for p, old, new, at in value["ops"]),
            ref=value["ref"],
            old_head=value["old_head"].encode() or None,
            new_head=value["new_head"].encode() or None,
            pid=value["pid"],
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise GtError(
            f"{path(root)} cannot be read ({error})",
            "it records a change that was interrupted; look into it, then move it away",
        ) from None
