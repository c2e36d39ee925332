"""A town with a bare remote and clones of it, each as on a machine of its own."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from gastown.services.machines.clone import attach_remote, clone
from gastown.services.sync.sync import sync
from gastown.store import layout
from gastown.store.town import Town, open_town
from tests.conftest import PROJECT, Clock, copy_town, git

RIG = "name: greenplace\n\nprefix: gp\n\ngit: /nowhere\n\nbranch: main\n\nlanding: local\n"


class Ground:
    """Clones of one town by machine name; `remote` is the bare repository between them."""

    def __init__(self, base: Path, town: Town, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("PYTHONPATH", str(PROJECT))
        self.base, self.patch = base, patch
        self.remote = base / "remote.git"
        self.clock = town.clock
        self.towns = {"anvil": town}
        with town.change("rig_add") as change:
            change.write("rigs/greenplace/rig.yaml", RIG.encode())
        git("init", "--quiet", "--bare", "--initial-branch=main", str(self.remote), cwd=base)
        attach_remote(town, str(self.remote))

    def add(self, name: str, clock: Clock | None = None) -> Town:
        """Another machine joins the town."""
        self.patch.setattr(platform, "node", lambda: f"{name}.local")
        clone(str(self.remote), str(self.base / name))
        self.towns[name] = open_town(str(self.base / name), clock=clock or self.clock)
        return self.towns[name]

    def twin(self, town: Town, name: str) -> Town:
        """The clone as it is now, once more, with a copy of the remote of its own: what happens there is not seen."""
        root, remote = self.base / name, self.base / f"{name}.git"
        copy_town(Path(town.root), root)
        shutil.copytree(self.remote, remote)
        git("remote", "set-url", "origin", str(remote), cwd=root)
        return open_town(str(root), clock=town.clock)


def plain(town: Town, *args: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """A git command as a person types it in the town. `code`: how it must end (None: any)."""
    done = subprocess.run(["git", *args], cwd=town.root, capture_output=True, text=True)
    if code is not None:
        assert done.returncode == code, f"git {' '.join(args)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def contents(town: Town, *, feed: bool = False) -> dict[str, str]:
    """Every committed file by path; without the feed, which tells of the ways too."""
    lines = git("ls-tree", "-r", "-z", "HEAD", cwd=town.root).split("\0")
    found = {line.partition("\t")[2]: line.split()[2] for line in lines if line}
    return {path: sha for path, sha in found.items() if feed or not path.startswith("feed/")}


def bead(town: Town, title: str = "A bead", **fields: object) -> str:
    """A new bead in the rig; its id."""
    with town.change("create") as change:
        made = change.create("greenplace", title=title, **fields)
        change.emit("create", title, bead=made.id)
    return made.id


def note(town: Town, bead_id: str, text: str) -> None:
    """A note on a bead."""
    with town.change("note") as change:
        one = change.bead(bead_id)
        one.add_note(change.at, "overseer", text)
        change.save(one)
        change.emit("note", text, bead=bead_id)


def update(town: Town, bead_id: str, **keys: object) -> None:
    """Set keys of a bead."""
    with town.change("edit") as change:
        one = change.bead(bead_id)
        for key, value in keys.items():
            one.set(key, value)
        change.save(one)
        change.emit("edit", "edited", bead=bead_id)


def tree(town: Town) -> str:
    """The tree of HEAD."""
    return git("rev-parse", "HEAD^{tree}", cwd=town.root)


def check_clean(town: Town) -> None:
    """git finds nothing uncommitted, nothing broken, and no file of the town holds a conflict marker."""
    assert git("status", "--porcelain", cwd=town.root) == ""
    assert git("fsck", "--no-dangling", "--no-progress", cwd=town.root) == ""
    for here, folders, names in os.walk(town.root):
        folders[:] = [one for one in folders if one not in (".git", layout.LOCAL, layout.WORK)]
        for name in names:
            data = Path(here, name).read_bytes()
            assert b"<<<<<<<" not in data, f"{here}/{name}"
            assert not name.endswith(layout.TEMP_SUFFIX)
    assert town.index().problems == []


def quiet(*towns: Town) -> None:
    """Sync until all hold the same, and nothing is broken."""
    for _ in range(2):
        for town in towns:
            sync(town)
    assert len({tree(town) for town in towns}) == 1
    for town in towns:
        check_clean(town)
