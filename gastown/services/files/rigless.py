"""Beads and workers below a rig's folder that has no rig.yaml: nothing can be done with them until it is back."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.model.errors import InvalidFile
from gastown.model.ids import is_name
from gastown.model.text import counted
from gastown.services.files import townfiles
from gastown.store import git, layout
from gastown.store.view import View


@dataclass(frozen=True)
class Lost:
    """A rig that has no rig.yaml any more: what is wrong, and the `command` that brings it back, if git can."""

    rig: str
    text: str
    command: str

    @property
    def todo(self) -> str:
        """What to do, in words."""
        return f"bring it back: {self.command}" if self.command else "write one, or move all below another rig"

    @property
    def problem(self) -> InvalidFile:
        """The same as what is wrong with a file."""
        return InvalidFile(layout.rig_file(self.rig), f"is missing, and {self.text}; {self.todo}", hint=self.todo)


def found(view: View) -> list[Lost]:
    """Every rig that lost its rig.yaml."""
    return [lost for name in sorted(view.names(layout.RIGS)) if (lost := look(view, name)) is not None]


def look(view: View, rig: str) -> Lost | None:
    """The same of one rig; None if it has its file, or nothing lies in it. A file that cannot be used is there."""
    if not is_name(rig) or view.exists(layout.rig_file(rig)):
        return None
    above = layout.rig_dir(rig)
    beads = sum(len(townfiles.inside(view, f"{above}/beads/{day}")) for day in view.names(f"{above}/beads"))
    workers = sum(len(townfiles.inside(view, f"{above}/{kind}")) for kind in ("polecats", "crew"))
    if not beads and not workers:
        return None
    many = " and ".join(counted(count, what) for count, what in ((beads, "bead"), (workers, "worker")) if count)
    return Lost(rig, f"{many} below {above} cannot be worked on without it", _restore(view.root, rig))


def _restore(root: str, rig: str) -> str:
    """The command that brings rig.yaml back from the last commit that had it."""
    path = layout.rig_file(rig)
    if git.run(["cat-file", "-e", f"HEAD:{path}"], cwd=root, check=False)[0] == 0:
        return f"git checkout HEAD -- {path}"
    last = git.run(["log", "-1", "--format=%h", "--diff-filter=AM", "--", path], cwd=root, check=False)[1]
    return f"git checkout {last.decode().strip()} -- {path}" if last.strip() else ""
