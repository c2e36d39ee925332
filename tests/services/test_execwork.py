"""The built-in exec agent: no shell, everything committed, nothing changed said, failures left as they are."""

from __future__ import annotations

import sys

import pytest

from gastown.model.errors import Refused
from gastown.runtime import git
from gastown.services.work import execwork


def test_everything_it_changed_is_committed_under_the_beads_title(work):
    bead = work.run("echo new > new; echo changed > README.md; rm old.txt", title="Tidy up")
    assert bead.status == "merging"
    said = git.text(["show", "--name-status", "--format=%s", str(bead.branch)], cwd=work.bare).split()
    assert said == ["Tidy", "up", "M", "README.md", "A", "new", "D", "old.txt"]


def test_no_escape_of_a_title_reaches_a_terminal_from_git_log(work):
    bead = work.run("echo new > new", title="Tidy \x1b[31mup\x07 \u202e now")
    ours = git.text(["log", "-1", "--format=%B", str(bead.branch)], cwd=work.bare)
    assert ours.splitlines()[0] == "Tidy [31mup now"
    towns = git.text(["log", "--format=%B"], cwd=work.root)
    assert rf"created {bead.id}: Tidy \x1b[31mup\x07 \u202e now" in towns
    assert all(line.isprintable() for line in towns.splitlines())


def test_no_shell_reads_the_command(work):
    program = "import sys; open('args', 'w').write(repr(sys.argv[1:]))"
    odd = ["a b", "$HOME", "*", ";", "'", "", "ü\n2"]
    bead = work.bead()
    done = work.one(bead.id, command=[sys.executable, "-c", program, *odd])
    work.ended(done.session)
    assert work.now(bead).command[3:] == odd
    assert git.text(["show", f"{work.now(bead).branch}:args"], cwd=work.bare) == repr(odd)


def test_nothing_changed_closes_it_with_that_reason(work):
    bead = work.run("true")
    assert (bead.status, bead.closed["reason"]) == ("closed", "no changes: the command changed nothing")


def test_a_command_that_commits_itself_is_handed_in(work):
    bead = work.run("echo x > x && git add x && git commit -qm own && echo y > y")
    assert bead.status == "merging"
    log = git.text(["log", "--format=%s", "-2", str(bead.branch)], cwd=work.bare).splitlines()
    assert log == ["Some work", "own"]


@pytest.mark.parametrize(("command", "code"), [(["sh", "-c", "exit 9"], 9), (["no-such-command-x"], 127)])
def test_a_failure_leaves_it_stalled_with_its_code(work, command, code):
    bead = work.bead()
    done = work.one(bead.id, command=command)
    work.ended(done.session)
    now = work.now(bead)
    assert (now.status, now.assignee) == ("in_progress", "app/amber")
    assert work.record(done.session).exit_code == code
    assert f"exit status {code}" in now.notes[-1]["text"]


def test_only_who_has_the_work_may_run_it(work):
    with pytest.raises(Refused):
        execwork.exec_work(work.town, "app/amber", bead_id=None, attempt=None, say=print)
