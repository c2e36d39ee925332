"""Streams that are closed, full or gone: no crash, no false word, and nothing done twice for want of one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gastown.store.town import Town
from tests.conftest import PROJECT, Ran, gt_argv

Shell = Callable[[str], Ran]


@pytest.fixture
def shell(town: Town) -> Shell:
    """`shell("gt list >&-")`: what bash makes of it in the town."""
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    define = f'set -o pipefail; gt() {{ {" ".join(gt_argv())} "$@"; }}; '

    def run(line: str) -> Ran:
        done = subprocess.run(["bash", "-c", define + line], cwd=town.root, env=env, capture_output=True, text=True)
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.mark.parametrize("line", ["gt create x -q >/dev/full", "gt create x --json >/dev/full"])
def test_an_output_that_cannot_be_written_is_told_apart_from_a_full_disk(shell: Shell, town: Town, line: str) -> None:
    ran = shell(line)
    assert ran.code == 1
    assert ran.err.startswith("error: the output could not be written: the disk is full\nhint: what was done ")
    assert "stands" in ran.err
    assert "half written" not in ran.err
    assert len(town.index().rows) == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_as_good_as_dev_null(shell: Shell, town: Town, closed: str) -> None:
    ran = shell(f"gt create x {closed}")
    assert (ran.code, ran.err) == (0, "")
    assert len(town.index().rows) == 1
    assert shell("git status --porcelain && git fsck --strict").out == ""


@pytest.mark.parametrize("talk", ["2>/dev/full", ">&- 2>&-"])
def test_what_cannot_be_told_does_not_stop_the_work(
    shell: Shell, town: Town, git_repo: Callable[..., Path], talk: str
) -> None:
    shell(f"gt rig add app {git_repo(bare=True)} --gate t=true")
    ran = shell(f"gt sling 'a b' app --runtime process --wait {talk} -- touch made")
    assert (ran.code, ran.err) == (0, "")
    assert {(row.title, row.status) for row in town.index().rows if row.type == "task"} == {("a b", "closed")}


def test_reading_into_a_full_stream_fails_in_a_sentence(shell: Shell) -> None:
    shell("gt create x")
    for line in ("gt list --json", "gt list", "gt status", "gt --help"):
        ran = shell(f"{line} >/dev/full")
        assert ran.code == 1
        assert ran.err.startswith("error: the output could not be written"), ran.err
    ran = shell("gt show nope --json >/dev/full")
    assert (ran.code, ran.err.splitlines()[0]) == (6, "error: no bead 'nope'")


def test_a_pipe_that_closes_early_stays_silent(shell: Shell, town: Town) -> None:
    with town.change("create") as change:
        for number in range(300):
            change.create(None, title=f"bead {number} " + "x" * 300)
        change.emit("create", "many")
    for line in ("gt list", "gt list --json", "gt create y", "gt show nope --json 2>/dev/null"):
        assert shell(f"{line} | true").err == ""


@pytest.mark.parametrize("source", ["<&-", "</dev/null"])
def test_a_closed_stdin_is_an_empty_one(shell: Shell, source: str) -> None:
    shell("gt create x")
    ran = shell(f"gt note @last --stdin {source}")
    assert (ran.code, ran.err.splitlines()[0]) == (2, "error: a note needs a text")


def test_a_stdin_that_cannot_be_read_is_said(shell: Shell) -> None:
    shell("gt create x")
    ran = shell("gt note @last --stdin 0>/dev/null")
    assert (ran.code, ran.err.splitlines()[0]) == (2, "error: stdin cannot be read: Bad file descriptor")


@pytest.mark.parametrize(
    "line",
    [
        "gt note @last -", "gt note @last -m -", "gt update @last -d -", "gt update @last --acceptance -",
        "gt update @last -F -", "gt close @last -r -", "gt mail send mayor -s s -m -", "gt escalate -",
    ],
)  # fmt: skip
def test_a_dash_means_stdin_wherever_a_text_is_given(shell: Shell, town: Town, line: str) -> None:
    shell("gt create x")
    ran = shell(f"printf 'from the pipe' | {line}")
    assert ran.code == 0, ran.err
    assert "from the pipe" in shell("git grep -h 'from the pipe' HEAD --").out


def test_stdin_is_taken_for_one_text_only_and_for_no_title(shell: Shell, town: Town) -> None:
    ran = shell("echo t | gt create x -d - --acceptance -")
    assert (ran.code, ran.err.splitlines()[0]) == (2, "error: stdin can be taken for one text only")
    assert shell("echo t | gt create -").code == 2
    assert shell("echo t | gt note @last -m - --stdin").code == 2
    assert not town.index().rows
