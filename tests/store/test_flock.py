"""The kernel's lock on a file: one holder, freed by any death, and never through a symlink."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from gastown.store import flock

HOLDER = """
import sys
from gastown.store import flock
with flock.hold(sys.argv[1], timeout=0) as handle:
    print("held" if handle is not None else "taken", flush=True)
    sys.stdin.read()
"""


def holder(path):
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True
    )


def test_one_holder_and_any_death_frees(tmp_path):
    path = tmp_path / "lock"
    with holder(path) as other:
        assert other.stdout.readline() == "held\n"
        with flock.hold(path, timeout=0.02) as handle:
            assert handle is None
        other.send_signal(signal.SIGKILL)
        other.wait()
        with flock.hold(path, timeout=5) as handle:
            assert handle is not None
            with holder(path) as third:
                assert third.stdout.readline() == "taken\n"
                third.communicate("")


def test_a_second_hold_in_one_process_waits_as_well(tmp_path):
    with flock.hold(tmp_path / "lock", timeout=0) as first, flock.hold(tmp_path / "lock", timeout=0) as second:
        assert first is not None
        assert second is None
    with flock.hold(tmp_path / "lock", timeout=0) as again:
        assert again is not None


def test_a_removed_lock_file_is_no_lock(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    real = flock.fcntl.flock

    def removed_meanwhile(handle, operation):
        path.unlink()
        monkeypatch.setattr(flock.fcntl, "flock", real)
        real(handle, operation)

    monkeypatch.setattr(flock.fcntl, "flock", removed_meanwhile)
    with flock.hold(path, timeout=5) as handle:
        assert handle is not None
        assert os.fstat(handle).st_ino == path.stat().st_ino


def test_a_symlink_is_refused(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"), flock.hold(tmp_path / "lock", timeout=0):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_both_ways_are_one_lock(tmp_path):
    path = tmp_path / "lock"
    with holder(path) as other:
        assert other.stdout.readline() == "held\n"
        with flock.alone(path, timeout=0.02) as alone:
            assert not alone
        other.send_signal(signal.SIGKILL)
        other.wait()
    with flock.alone(path, timeout=5) as alone:
        assert alone
        with flock.hold(path, timeout=0) as handle:
            assert handle is None
    with flock.hold(path, timeout=0) as handle:
        assert handle is not None
