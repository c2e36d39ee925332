"""Where a town has folders and where it has files (town.md): one in the place of the other hides all that lay there."""

from __future__ import annotations

from gastown.model.ids import RESERVED, is_name
from gastown.store import layout, schema

_TOP = frozenset(("agents", "beads", "formulas", "roles", layout.FEED, layout.MACHINES, layout.MAIL, layout.RIGS))
_IN_RIG = frozenset(("beads", "crew", "polecats", "roles"))
_MAILDIR = ("new", "cur", "tmp")


def wrong(path: str, *, folder: bool, before: bool = False) -> str:
    """Why no file (`folder`: no folder) may lie at a path; "" if it may, or if the town has nothing there.

    `before`: there was a folder.
    """
    if not folder and _is_folder(path.split("/")):
        return "a file where a town has a folder"
    if before and not folder and path.startswith(f"{layout.MAIL}/"):
        return "a file where mail lay"
    return "a folder where a town has a file" if folder and _is_file(path) else ""


def _is_folder(parts: list[str]) -> bool:
    match parts:
        case [top]:
            return top in _TOP
        case ["beads" | layout.FEED, day] | [layout.RIGS, _, "beads", day]:
            return _is_day(day)
        case [layout.RIGS | layout.MAIL, name]:
            return is_name(name) or name in RESERVED
        case [layout.RIGS, _, name]:
            return name in _IN_RIG
        case [layout.MAIL, _, *_, name]:
            return name in (*_MAILDIR, ".Archive") and parts[-2] not in _MAILDIR
    return False


def _is_file(path: str) -> bool:
    parts = path.split("/")
    message = parts[0] == layout.MAIL and len(parts) > 3 and parts[-2] in ("new", "cur")
    return message or path in (".gitattributes", ".gitignore") or schema.kind_of(path) is not None


def _is_day(name: str) -> bool:
    return len(name) == 10 and name[4] == name[7] == "-" and name.replace("-", "").isdigit()
