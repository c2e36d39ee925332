"""Starting the runner without tmux: detached from our terminal, our session and our output."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from gastown.model.errors import GtError


def start(argv: Sequence[str], *, cwd: str, env: Mapping[str, str], log: str) -> None:
    """Start `argv` in a session of its own, stdin empty, output appended to `log`; returns when it has detached.

    The command detaches itself (`runner --detach` forks and its first process exits 0), so that it is nobody's
    child here and can leave no zombie. Raises GtError if it could not.
    """
    with open(log, "ab") as output:
        try:
            child = subprocess.Popen(
                argv,
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            raise GtError(f"cannot start {argv[0]}: {error.strerror or error}") from None
    try:
        code = child.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, 9)
        child.wait()
        raise GtError("the runner did not detach within 20 s", f"see {log}") from None
    if code != 0:
        raise GtError(f"the runner could not start (exit {code})", f"see {log}")
