"""What closing lines of test runners mean."""

from __future__ import annotations

import pytest

from gastown.services.landing.evidence import why_not_run

NOTHING_RAN = [
    (5, "collected 0 items\n\n===== no tests ran in 0.01s =====\n"),
    (4, "ERROR: file or directory not found: tests\n\n== no tests ran in 0.00s ==\n"),
    (0, "\n------\nRan 0 tests in 0.000s\n\nOK\n"),
    (5, "\n------\nRan 0 tests in 0.000s\n\nNO TESTS RAN\n"),
    (1, "No tests found, exiting with code 1\nRun with `--passWithNoTests`\n"),
    (0, "?   \texample.com/a\t[no test files]\n"),
    (0, "testing: warning: no tests to run\nPASS\nok  \texample.com/a\t0.002s [no tests to run]\n"),
    (0, "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; finished in 0.00s\n"),
    (0, "\n  0 passing (1ms)\n"),
    (0, "# tests 0\n# suites 0\n# pass 0\n"),
    (0, "No examples found.\n\n0 examples, 0 failures\n"),
    (127, "sh: 1: pytset: not found\n"),
    (126, "sh: 1: ./gate: Permission denied\n"),
]
SOMETHING_RAN = [
    (0, "....\n4 passed in 0.01s\n"),
    (1, "1 failed, 3 passed in 0.01s\n"),
    (2, "collected 0 items / 1 error\n\n=== 1 error in 0.10s ===\n"),
    (0, "Ran 3 tests in 0.000s\n\nOK\n"),
    (0, "ok  \texample.com/a\t0.002s\n?   \texample.com/b\t[no test files]\n"),
    (0, "running 3 tests\ntest result: ok. 3 passed; 0 failed; 0 ignored\n\n   Doc-tests x\n\nrunning 0 tests\n\n"
        "test result: ok. 0 passed; 0 failed; 0 ignored\n"),
    (0, "Tests:       3 passed, 3 total\n"),
    (0, "# tests 4\n# pass 4\n"),
    (0, ""),
    (1, "make: *** [Makefile:2: check] Error 1\n"),
    (0, "All checks passed!\n"),
    (5, "linter: five complaints\n"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "output"), NOTHING_RAN)
def test_a_runner_that_ran_nothing_could_not_run(code, output):
    assert why_not_run(code, output)


@pytest.mark.parametrize(("code", "output"), SOMETHING_RAN)
def test_a_runner_that_ran_something_counts(code, output):
    assert why_not_run(code, output) == ""
