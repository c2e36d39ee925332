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


CHOOSER = """
import os, subprocess, sys, tty
tty.setraw(0)
print('Really?\\r\\n> 1. No\\r\\n  2. Yes, I accept', flush=True)
keys = [os.read(0, 64), os.read(0, 64)]
assert keys == [b'\\x1b[B', b'\\r'], keys
print('\\x1b[2J\\x1b[Hready> ', flush=True)
subprocess.run(['gt', 'done', '--no-changes', 'it was chosen'])
"""


@pytest.mark.skipif(not tmux.available(), reason="tmux is not installed")
def test_the_keys_of_an_answer_come_one_by_one(work):
    """Programs that read their terminal raw take two keys at once for one that they do not know."""
    bead = work.bead("Choose")
    name = install(work)
    (work.path / "talker.py").write_text(CHOOSER)
    dialogs = [{"match": "Really[\\s\\S]*I accept", "send": ["Down", "Enter"]}]
    doc = work.town.load(f"agents/{name}.yaml")
    work.configure(f"agents/{name}.yaml", terminal={**doc["terminal"], "prompt": {"mode": "none"}, "dialogs": dialogs})
    work.ended(work.one(bead.id, agent=name, runtime="tmux").session)
    assert work.now(bead).closed["reason"].startswith("no changes"), work.now(bead).notes


def test_an_agent_for_terminals_is_refused_without_one(work):
    assert "runs only in a terminal" in work.refused(work.bead().id, agent=install(work), runtime="process").message
