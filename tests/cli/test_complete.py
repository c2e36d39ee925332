"""Completion offers what may really come next, and never fails."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gastown.store.town import Town
from tests.conftest import PROJECT, Runner, gt_argv, run_gt


def words(gt: Runner, *before: str) -> list[str]:
    return [line.split("\t")[0] for line in gt("complete-words", "--", *before).lines]


def test_commands_groups_options(gt: Runner) -> None:
    assert words(gt, "cre") == ["create"]
    assert {"add", "list", "show", "remove"} <= set(words(gt, "rig", ""))
    assert "--priority" in words(gt, "create", "x", "--pr")
    assert words(gt, "bead", "dep", "a") == ["add"]
    assert "exec-work" not in words(gt, "")


def test_ids_with_titles_statuses_types(gt: Runner) -> None:
    bead = gt("create", "Mend the roof", "-q").out.strip()
    assert f"{bead}\tMend the roof" in gt("complete-words", "--", "show", "").lines
    assert words(gt, "close", bead[3:7]) == [bead[3:]]
    assert words(gt, "reopen", "hq") == []
    assert "in_progress" in words(gt, "list", "--status", "")
    assert words(gt, "update", bead, "-s", "") == ["open", "deferred"]
    assert words(gt, "feed", "-t", "sl") == ["sling"]


def test_outside_a_town_it_offers_nothing_and_does_not_fail(tmp_path: Path) -> None:
    assert run_gt("complete-words", "--", "show", "", cwd=tmp_path).out == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(gt: Runner, shell: str) -> None:
    assert "complete-words" in gt("completion", shell).out


def test_unknown_shell(gt: Runner) -> None:
    assert "bash zsh fish" in gt("completion", "csh", code=2).err


def test_the_bash_script_completes(gt: Runner, town: Town, tmp_path: Path) -> None:
    command = tmp_path / "bin" / "gt"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH={PROJECT} exec {" ".join(gt_argv())} "$@"\n')
    command.chmod(0o755)
    script = gt("completion", "bash").out + (
        'COMP_WORDS=(gt blo); COMP_CWORD=1; _gt_complete; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "-c", f"PATH={command.parent}:$PATH\n{script}"], cwd=town.root, capture_output=True, text=True
    )
    assert done.stdout == "blocked\n", done.stderr
