"""`gt mq` and `gt refinery` as they are typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.refinery_lab import RIG, Lab

HOME = str(Path(__file__).parents[2])


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


def gt(lab: Lab, *args: str) -> tuple[int, str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("GT_", "GIT_"))}
    env |= {"PYTHONPATH": HOME, "GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(lab.path), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "gastown", *args]
    done = subprocess.run(command, cwd=lab.root, env=env, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def test_the_queue_is_listed_in_order_and_run(lab):
    later, urgent = lab.finish({"a": "1"}), lab.finish({"b": "1"}, priority=0, title="urgent\x1b[31m")
    code, out, _ = gt(lab, "mq", "list", "--json")
    docs = json.loads(out)
    assert code == 0
    seen = [(doc["id"], doc["position"], doc["state"]) for doc in docs]
    assert seen == [(urgent.id, 1, "queued"), (later.id, 2, "queued")]
    assert docs[0]["path"].startswith(f"rigs/{RIG}/beads/")
    code, out, _ = gt(lab, "mq", "list")
    assert code == 0
    assert out.splitlines()[0].split()[:5] == [RIG, "1", urgent.id, urgent.source, "P0"]
    assert "\x1b" not in out
    code, out, err = gt(lab, "mq", "run")
    assert code == 0, err
    assert [line.split()[:2] for line in out.splitlines()] == [["merged", urgent.source], ["merged", later.source]]
    lab.assert_landed_once(later, urgent)
    code, out, err = gt(lab, "mq", "run")
    assert (code, out) == (0, "")
    assert "nothing waits" in err


def test_what_cannot_land_is_said_with_exit_1(lab):
    lab.gate("no-such-command")
    entry = lab.finish({"a": "1"})
    code, out, _ = gt(lab, "refinery", "run", RIG, "--once", "--json")
    (report,) = json.loads(out)
    assert code == 1
    assert report["could_not_run"][0]["merge"] == entry.id
    code, out, err = gt(lab, "mq", "list")
    assert "was not found" in err
    code, out, _ = gt(lab, "mq", "show", entry.source)
    assert code == 0
    assert "was not found" in out
    assert "could_not_run" in out
    code, out, _ = gt(lab, "refinery", "status")
    assert out.split() == [RIG, "0", "1", "0", "test", "-"]


def test_what_a_remote_says_stands_under_why(lab):
    entry = lab.finish({"a": "1"})
    lab.hook("pre-receive", 'echo "use a pull request" >&2; exit 1')
    assert gt(lab, "mq", "run")[0] == 1
    code, out, _ = gt(lab, "mq", "show", entry.id)
    assert code == 0
    whole = out.splitlines()
    began = next(n for n, line in enumerate(whole) if line.startswith("why "))
    assert len(whole) > began + 1
    assert all(line.startswith(" " * 11) and not line[11:].startswith(" ") for line in whole[began + 1 :])


def test_reject_and_retry(lab):
    entry = lab.finish({"a": "1"})
    code, _, err = gt(lab, "mq", "reject", entry.id)
    assert code == 2
    assert "needs a reason" in err
    reason = lab.path / "why.txt"
    reason.write_text("no, for it has no test")
    code, out, _ = gt(lab, "mq", "reject", entry.source, "-F", str(reason), "--json")
    assert json.loads(out)["closed"]["reason"] == "rejected"
    assert gt(lab, "mq", "retry", entry.id, "-q") == (0, entry.id + "\n", "")
    assert gt(lab, "mq", "run", RIG)[0] == 0
    lab.assert_landed_once(entry)
    assert gt(lab, "mq", "retry", entry.id)[0] == 2
    assert gt(lab, "mq", "show", "gp-zzzzz")[0] == 6
    other = gt(lab, "create", "never handed in", "-q")[1].strip()
    for verb in (["show"], ["retry"], ["reject", "-r", "x"]):
        assert gt(lab, "mq", verb[0], other, *verb[1:])[0] == 6
    assert gt(lab, "mq", "list", "nowhere")[0] == 6


def test_the_queue_as_it_was(lab):
    entry = lab.finish({"a": "1"})
    gt(lab, "mq", "run")
    assert json.loads(gt(lab, "mq", "list", "--json")[1]) == []
    docs = json.loads(gt(lab, "mq", "list", "--json", "--at", "HEAD~1")[1])
    assert [doc["id"] for doc in docs] == [entry.id]
