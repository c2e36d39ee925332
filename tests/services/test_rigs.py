"""Rigs by their service: prefixes, what landing means, two at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gastown.model.errors import GtError, Refused, UsageError
from gastown.services import rigs, trust
from gastown.services.rigs import NewRig
from gastown.store import layout
from gastown.store.town import Town
from tests.conftest import git

Repo = Callable[..., Path]


def test_prefixes_are_made_and_stay_apart(town: Town, git_repo: Repo) -> None:
    repo = str(git_repo())
    made = [rigs.add(town, NewRig(name, repo), base="/").prefix for name in ("green", "grey", "great-place")]
    assert len(set(made)) == 3
    assert made[0] == "gr"


def test_gates_typed_here_are_trusted(town: Town, git_repo: Repo) -> None:
    rigs.add(town, NewRig("green", str(git_repo()), gates=(("test", "make test"),)), base="/")
    git("remote", "add", "origin", "/nowhere", cwd=town.root)
    trust.require(town, "gate", "green/test", "make test")
    with pytest.raises(Refused):
        trust.require(town, "gate", "green/test", "make evil")


def test_what_happens_in_between_is_undone(town: Town, git_repo: Repo) -> None:
    """Somebody takes the prefix while we clone: our clone goes again."""
    repo = str(git_repo())

    def steal(text: str) -> None:
        if not town.exists(layout.rig_file("other")):
            doc = {"name": "other", "prefix": "zz", "git": repo, "branch": "main"}

            def body(change):
                change.put(layout.rig_file("other"), doc)
                change.emit("rig_add", "added", rig="other")

            town.transact("rig add", body)

    with pytest.raises(Refused, match="zz"):
        rigs.add(town, NewRig("green", repo, prefix="zz"), base="/", progress=steal)
    assert not Path(layout.work(town.root, "green")).exists()
    assert town.rig_names() == ["other"]


@pytest.mark.parametrize("text", ["x", "=cmd", "x=", " = ", "A=b", "a/b=c"])
def test_gates_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        rigs.parse_gate(text)


def test_parse_gate_keeps_the_command_whole() -> None:
    assert rigs.parse_gate("test=a=b c='d'") == ("test", "a=b c='d'")


def test_landing_by_what_the_source_is(git_repo: Repo, tmp_path: Path) -> None:
    repo, bare = git_repo("a"), git_repo("b", bare=True)
    assert rigs.landing_for(str(repo)) == "local"
    assert rigs.landing_for(f"file://{repo}") == "local"
    assert rigs.landing_for(str(bare)) == "push"
    assert rigs.landing_for("https://example.org/r.git") == "push"


def test_a_clone_with_work_is_never_taken_for_a_leftover(town: Town, git_repo: Repo) -> None:
    repo = git_repo()
    bare = layout.bare(town.root, "green")
    git("clone", "--quiet", "--bare", str(repo), bare, cwd=town.root)
    with pytest.raises(GtError, match="earlier rig"):
        rigs.add(town, NewRig("green", str(repo)), base="/")
    assert git("rev-parse", "main", cwd=bare) == git("rev-parse", "main", cwd=repo)
