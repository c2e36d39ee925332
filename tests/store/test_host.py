"""What the system tells of itself: ids that are there, that are not, and that are none."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from gastown.store import host


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    for one in (host.computer, host.boot):
        one.cache_clear()
    yield
    for one in (host.computer, host.boot):
        one.cache_clear()


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["0123456789abcdef0123456789abcdef\n"], "0123456789abcdef0123456789abcdef"),
        (["", "fedcba9876543210fedcba9876543210\n"], "fedcba9876543210fedcba9876543210"),
        (["uninitialized\n"], ""),
        (["0123456789ABCDEF0123456789abcdef\n"], ""),
        ([None, None], ""),
    ],
)
def test_the_id_of_a_computer(tmp_path, monkeypatch, texts, found):
    paths = []
    for number, text in enumerate(texts):
        paths.append(str(tmp_path / str(number)))
        if text is not None:
            (tmp_path / str(number)).write_text(text)
    monkeypatch.setattr(host, "_MACHINE_ID", tuple(paths))
    monkeypatch.setattr(host, "DEAR", False)
    assert host.computer() == found


@pytest.mark.skipif(not os.path.exists("/proc/sys/kernel/random/boot_id"), reason="no such file here")
def test_a_run_of_the_computer_has_an_id_and_a_beginning():
    assert len(host.boot()) == 36
    assert 0 < host.started(time.time()) < time.time()
    assert abs(host.started(time.time() + 100) - host.started(time.time()) - 100) < 5
