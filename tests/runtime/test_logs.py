"""Logs that are cut while others write to them."""

from __future__ import annotations

import os
import subprocess

import pytest

from gastown.runtime import logs

MOST = 6 << 20
CUT = "gt: what stood before this was removed: the log had grown past 6 MiB"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


def test_a_short_log_is_left_as_it_is(log):
    log.write_text("a line\n" * 10)
    before = os.stat(log)
    logs.keep_short(str(log), MOST)
    assert os.stat(log) == before
    logs.keep_short(str(log.with_name("none")), MOST)


def test_a_cut_log_says_so_and_keeps_its_end_in_whole_lines(log):
    log.write_text("".join(f"line {number:07}\n" for number in range(MOST // 12)))
    logs.keep_short(str(log), MOST)
    first, *kept = log.read_text().splitlines()
    assert first == CUT
    numbers = [int(line.removeprefix("line ")) for line in kept]
    assert numbers == list(range(numbers[0], MOST // 12))
    assert logs.KEPT - 13 <= log.stat().st_size - len(CUT) - 1 <= logs.KEPT


def test_of_one_line_without_end_the_end_is_kept(log):
    log.write_text("x" * (MOST + 1) + "\n")
    logs.keep_short(str(log), MOST)
    first, kept = log.read_text().splitlines()
    assert first == CUT
    assert kept == "x" * (logs.KEPT - 1)


def test_what_is_written_once_a_log_is_short_comes_last(log):
    writer = f"""
import os
for number in range(40):
    os.write(1, b"x" * {MOST} + b"\\n")
    while os.fstat(1).st_size > {MOST}:
        pass
    os.write(1, b"end %d\\n" % number)
    assert os.pread(0, 99, os.fstat(1).st_size - 99).endswith(b"\\nend %d\\n" % number), number
"""
    with log.open("ab") as output, log.open("rb") as read:
        child = subprocess.Popen(["python3", "-c", writer], stdin=read, stdout=output)
    while child.poll() is None:
        logs.keep_short(str(log), MOST)
    assert child.returncode == 0
