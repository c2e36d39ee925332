"""The entry of `gt`: the short way for hook-time commands, else typer; every error ends here as an exit code."""

from __future__ import annotations

import os
import sys

from gastown.cli import streams

BUG = 70
INTERRUPTED = 130
BROKEN_PIPE = 141


def main(argv: list[str] | None = None) -> int:
    """Run `gt ARGV…` and return its exit code (cli.md, Conventions). Never raises for a user's mistake."""
    if argv is not None:
        return _guarded(list(argv))
    streams.settle()
    code = _guarded(sys.argv[1:])
    # Taking ten thousand rows apart one by one takes as long as reading them; the system does it at once.
    sys.stderr.flush()
    os._exit(code)


def _guarded(args: list[str]) -> int:
    try:
        code = _run(args)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as stop:
        return getattr(stop, "exit_code", INTERRUPTED)
    except BrokenPipeError:
        # The reader went away: nothing to say, and nothing left to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        return _report(args, error)


def _run(args: list[str]) -> int:
    from gastown.cli import fast

    code = fast.run(args)
    if code is not None:
        return code
    import gc

    gc.set_threshold(100_000)  # most commands end before a collection would find anything
    from gastown.cli.app import run
    from gastown.cli.context import Ctx

    ctx = Ctx()
    code = run(args, ctx)
    if ctx.wrote is not None and "town-hook" not in args:
        from gastown.cli.edge import warn_astray

        warn_astray(ctx.wrote)
    return code


def _report(args: list[str], error: Exception) -> int:
    from gastown.cli.edge import report

    return report(args, error)
