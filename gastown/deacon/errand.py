"""A slow action in a process of its own: `python -m gastown.deacon.errand ROOT NOTE`; the note holds the action.

It may be killed at any moment, and goes on if the deacon is: every action is safe to repeat.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from gastown.deacon.action import Action
from gastown.model.errors import GtError
from gastown.runtime.processes import current
from gastown.services.files.opening import open_town
from gastown.store import runstate

if TYPE_CHECKING:
    from types import FrameType

FAILED, GONE = 1, 4


def actions() -> dict[str, Any]:
    """Every kind of action by its name."""
    from gastown.deacon import table

    assert table.PATROLS
    found: dict[str, Any] = {}
    todo: list[Any] = [Action]
    while todo:
        one = todo.pop()
        found[one.__name__.lower()] = one
        todo += one.__subclasses__()
    return found


def make(doc: dict[str, Any]) -> Action:
    """The action that `as_json` described; lists become tuples again. Raises GtError for an unknown one."""
    kind = actions().get(str(doc.get("action")))
    if kind is None:
        raise GtError(f"there is no action {doc.get('action')!r}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in doc.items() if key != "action"}
    made: Action = kind(**values)
    return made


def main(argv: list[str]) -> int:
    """Do the action in the note argv[1] for the town argv[0]; what went wrong is written back into the note."""
    root, note = argv
    signal.signal(signal.SIGTERM, _end)
    me = current()
    doc = runstate.read_json(note)
    if not isinstance(doc, dict) or not os.path.isdir(os.path.dirname(note)):
        return GONE
    runstate.write_json(note, {**doc, "pid": me.pid, "start": me.start}, durable=False)
    try:
        make(doc["do"]).apply(open_town(root, actor="deacon"))
    except GtError as error:
        if not os.path.isdir(os.path.dirname(note)):
            return GONE
        runstate.write_json(note, {**doc, "error": error.message}, durable=False)
        return FAILED
    return 0


def _end(number: int, frame: FrameType | None) -> None:
    # As an exception, so that what was started is ended on the way out.
    raise SystemExit(128 + number)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
