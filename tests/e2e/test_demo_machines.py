"""`gt demo --machines 2`: what it promises, and that the two towns it leaves are towns that work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import git, run_gt


@pytest.mark.slow
def test_work_crosses_between_two_machines_and_edits_made_apart_meet(tmp_path: Path) -> None:
    place = tmp_path / "demo"
    done = run_gt("demo", "--machines", "2", "--runtime", "process", "--json", str(place), cwd=tmp_path).json
    assert set(done["beads"].values()) == {"merged"}
    assert done["alike"]
    assert done["well"]
    north, south = done["north"], done["south"]
    assert git("rev-parse", "HEAD", cwd=north) == git("rev-parse", "main", cwd=done["remote"])
    events = [one for one in run_gt("feed", "--json", cwd=north).lines if '"merged"' in one]
    assert any('"wordtools/refinery"' in one for one in events)
    assert any('"wordplay/refinery"' in one for one in events)
    for town in (north, south):
        assert git("status", "--porcelain", cwd=town) == ""
        assert git("fsck", "--no-dangling", "--no-progress", cwd=town) == ""
        assert run_gt("status", "--json", cwd=town).json["deacon"] is None
    claims = git("for-each-ref", "--format=%(refname)", "refs/gt/claims", cwd=done["remote"])
    assert all(".word" in ref for ref in claims.splitlines()), claims
    assert not [one for one in os.listdir(place) if "unplugged" in one]
