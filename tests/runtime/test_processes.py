from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gastown.model.errors import GtError
from gastown.runtime import processes
from gastown.runtime.processes import Proc

from .conftest import until

SLEEPER = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEPER, stdout=subprocess.PIPE, start_new_session=True) as one:
        assert one.stdout
        one.stdout.readline()
        yield one
        one.kill()


@pytest.fixture(params=["/proc", "ps"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to know a process: the one of Linux, and the one of every other system."""
    if request.param == "/proc" and not os.path.exists("/proc/self/stat"):
        pytest.skip("no /proc here")
    if request.param == "ps":
        if subprocess.run(["sh", "-c", "command -v ps"], capture_output=True, check=False).returncode:
            pytest.skip("ps is not installed")
        monkeypatch.setattr(processes, "_has_proc", lambda: False)
    return str(request.param)


@pytest.mark.usefixtures("source")
def test_a_process_is_known_by_pid_and_start(child: subprocess.Popen[bytes]) -> None:
    one = processes.proc(child.pid)
    assert processes.alive(one)
    assert one == processes.proc(child.pid)
    assert not processes.alive(Proc(child.pid, "another start"))
    assert processes.start_time(child.pid) == one.start
    assert one in processes.descendants(processes.current())


@pytest.mark.usefixtures("source")
def test_a_zombie_is_not_alive(child: subprocess.Popen[bytes]) -> None:
    one = processes.proc(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    until(lambda: not processes.alive(one))
    assert child.returncode is None  # nobody has reaped it
    child.wait()
    assert processes.start_time(child.pid) is None
    with pytest.raises(GtError):
        processes.proc(child.pid)


def test_a_reused_pid_is_never_signalled(child: subprocess.Popen[bytes]) -> None:
    stale = Proc(child.pid, "the start of a process that is gone")
    assert not processes.signal_group(stale, signal.SIGKILL)
    assert processes.terminate(stale, 0.1)
    assert processes.descendants(stale) == []
    assert child.poll() is None


def test_terminate_is_gentle_then_not() -> None:
    code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as stubborn:
        assert stubborn.stdout
        stubborn.stdout.readline()
        assert processes.terminate(processes.proc(stubborn.pid), 0.05)
        assert stubborn.wait() == -signal.SIGKILL


def test_terminate_reaches_a_stopped_group_and_what_it_started() -> None:
    argv = ["sh", "-c", "sleep 60 & echo $!; wait"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout
        below = processes.proc(int(parent.stdout.readline()))
        leader = processes.proc(parent.pid)
        assert processes.descendants(leader) == [below]
        processes.signal_group(leader, signal.SIGSTOP)
        assert processes.terminate(leader, 5)
        assert parent.wait() == -signal.SIGTERM
        until(lambda: not processes.alive(below))


def test_what_leads_no_group_is_signalled_alone(child: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen(SLEEPER, stdout=subprocess.PIPE) as other:  # in pytest's own group
        assert other.stdout
        other.stdout.readline()
        assert processes.terminate(processes.proc(other.pid), 5)
        assert other.wait() == -signal.SIGTERM
