"""Did a gate's command really test something? Read from its exit code and closing lines. Pure.

A test command that cannot run, or that finds no test, must never count as green or as red:
it is told apart here as *could not run* (lifecycle.md, Refinery).
"""

from __future__ import annotations

import re

NOT_EXECUTABLE, NOT_FOUND = 126, 127
PYTEST_NO_TESTS = 5
CLOSING_LINES = 15

# What runners print when they found nothing to run.
_NONE = re.compile(
    r"""no\ tests\ ran | \bran\ 0\ tests?\b | no\ tests?\ (were\ )?found | no\ test\ files?\ found
    | \bno\ test\ files\b | no\ tests\ executed | no\ tests\ to\ run | ^\s*0\ passing\b
    | \b0\ examples,\ 0\ failures\b | ^\#\ tests\ 0$ | ^1\.\.0\b | ^\s*(tests:\s+)?0\ (tests?|total)\b
    | \bok\.\ 0\ passed;\ 0\ failed | ^running\ 0\ tests$""",
    re.IGNORECASE | re.VERBOSE,
)
# What they print when something did run, somewhere in the output.
_SOME = re.compile(
    r"""\b[1-9]\d*\ (tests?\ )?(passed|passing|passes|succeeded|failed|failing|failures?|errors?)\b
    | \bran\ [1-9]\d*\ tests?\b | \b[1-9]\d*\ (tests?|examples?|specs?|assertions?|total)\b
    | ^ok\s+\S+\s+[\d.(] | ^ok\ \d+\b | ^\#\ tests\ [1-9]""",
    re.IGNORECASE | re.VERBOSE,
)


def ran_no_test(output: str) -> bool:
    """True if the closing lines say that no test ran and no line says that one did."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if not any(_NONE.search(line) for line in lines[-CLOSING_LINES:]):
        return False
    return not any(_SOME.search(line) for line in lines if not _NONE.search(line))


def why_not_run(code: int, output: str) -> str:
    """Why a finished command tells nothing about the code; "" if its result counts."""
    if code == NOT_FOUND:
        return "the command was not found (exit 127)"
    if code == NOT_EXECUTABLE:
        return "the command could not be executed (exit 126)"
    if ran_no_test(output) or (code == PYTEST_NO_TESTS and "no tests ran" in output.lower()):
        return f"the test runner ran no test (exit {code})"
    return ""
