"""Commands that somebody may end while they wait for a remote: what is half made is cleared away, and that is said."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from gastown.cli.output import say

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal that ends the command; `exit_code` is what a shell makes of it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@contextmanager
def interruptible(said: str) -> Iterator[None]:
    """Within, a signal that ends the command is raised as Interrupted, once: what clears up is not interrupted again.

    `said` is told afterwards. Children in sessions of their own would else go on, and what was begun would lie about.
    """

    def end(number: int, frame: FrameType | None) -> None:
        for one in before:
            signal.signal(one, signal.SIG_IGN)
        raise Interrupted(number)

    # What whoever started us wants ignored (nohup) stays ignored.
    before = {one: signal.getsignal(one) for one in _ENDING if signal.getsignal(one) is not signal.SIG_IGN}
    for one in before:
        signal.signal(one, end)
    try:
        yield
    except KeyboardInterrupt:
        say(said)
        raise
    finally:
        for one, former in before.items():
            signal.signal(one, former)
