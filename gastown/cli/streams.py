"""The standard streams as commands may rely on them: all three there, talk that cannot fail, results that say so."""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


class Unwritten(OSError):
    """stdout took no more: what the command says is lost, what it did is not."""


def settle() -> None:
    """Take a closed stream as /dev/null, and tell what fails on stdout or stderr from what fails on the town's disk."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free number is the one that was closed: left free, the town's next file would get it, and
            # a child's words would go there.
            number = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, encoding="utf-8", errors="backslashreplace"))  # noqa: SIM115
    sys.stdout = _over(sys.stdout, _Result)
    sys.stderr = _over(sys.stderr, _Talk)


def _over(stream: TextIO, kind: type[io.TextIOWrapper]) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    ways = {"line_buffering": stream.line_buffering, "write_through": stream.write_through}
    encoding, errors = stream.encoding, stream.errors
    return kind(stream.detach(), encoding=encoding, errors=errors, newline="\n", **ways)


class _Result(io.TextIOWrapper):
    """stdout. A reader that went away stays a BrokenPipeError: that is no failure."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Unwritten(error.errno, error.strerror) from None

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Unwritten(error.errno, error.strerror) from None


class _Talk(io.TextIOWrapper):
    """stderr. Where nobody can be told, the work goes on: it must not end half-way for want of a listener."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            return
