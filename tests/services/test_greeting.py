"""Agents in a terminal: their first questions are answered and their prompt is typed."""

from __future__ import annotations

import sys

import pytest

from gastown.runtime import git, tmux
from tests.services.work_lab import Lab

AGENT = """
import subprocess, sys
print('Do you trust this folder?  1. Yes', flush=True)
assert sys.stdin.readline() == '\\n'
print('\\x1b[2J\\x1b[Hready> ', flush=True)
lines = []
while len(lines) < 200:
    lines.append(sys.stdin.readline())
    if 'what is in the way' in lines[-1]:
        break
open('heard', 'w').write(''.join(lines))
subprocess.run(['gt', 'done'])
"""


def install(lab: Lab) -> str:
    script = lab.path / "talker.py"
    script.write_text(AGENT)
    preset = {
        "name": "talker",
        "terminal": {
            "command": [sys.executable, str(script)],
            "prompt": {"mode": "paste"},
            "ready": {"screen": "ready> ?", "timeout": "20s"},
            "dialogs": [{"match": "trust this folder", "send": ["Enter"]}],
            "paste": {"pause": "0.1s"},
        },
    }
    lab.town.transact("config", lambda change: change.put("agents/talker.yaml", preset))
    return "talker"


@pytest.mark.skipif(not tmux.available(), reason="tmux is not installed")
def test_a_dialog_is_answered_and_the_prompt_is_typed(work):
    bead = work.bead("Listen", description="every word of it")
    done = work.one(bead.id, agent=install(work), runtime="tmux")
    work.ended(done.session)
    now = work.now(bead)
    assert now.status == "merging", now.notes
    heard = git.text(["show", f"{now.branch}:heard"], cwd=work.bare)
    assert f"## Your hook: {bead.id}" in heard
    assert "every word of it" in heard


def test_an_agent_for_terminals_is_refused_without_one(work):
    assert "runs only in a terminal" in work.refused(work.bead().id, agent=install(work), runtime="process").message
