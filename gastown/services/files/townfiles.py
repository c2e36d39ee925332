"""Where the files of a town lie that are judged by what they hold."""

from __future__ import annotations

from collections.abc import Iterator

from gastown.model import groups
from gastown.model.ids import is_name
from gastown.store import layout
from gastown.store.view import View

FORMULAS = "formulas"


def settings(view: View) -> Iterator[str]:
    """Every file but the beads, the mail and the feed, by kind."""
    yield layout.TOWN_FILE
    if view.exists(groups.PATH):
        yield groups.PATH
    for folder in ("agents", layout.MACHINES):
        yield from inside(view, folder)
    yield from inside(view, FORMULAS, ".toml")
    for rig in filter(is_name, sorted(view.names(layout.RIGS))):
        if view.exists(layout.rig_file(rig)):
            yield layout.rig_file(rig)
        for kind in ("polecats", "crew"):
            yield from inside(view, f"{layout.RIGS}/{rig}/{kind}")


def beads(view: View) -> Iterator[str]:
    """Every file of a bead in a day's folder, even where no rig can be."""
    for place in bead_places(view):
        for day in sorted(view.names(place)):
            yield from inside(view, f"{place}/{day}")


def bead_places(view: View) -> list[str]:
    """The folders that hold the days' folders of beads."""
    return ["beads", *(f"{layout.RIGS}/{rig}/beads" for rig in sorted(view.names(layout.RIGS)))]


def inside(view: View, folder: str, suffix: str = ".yaml") -> list[str]:
    """The files of a kind in one folder."""
    names = sorted(view.names(folder))
    return [f"{folder}/{name}" for name in names if name.endswith(suffix) and not name.startswith(".")]
