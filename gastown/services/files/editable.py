"""Which of a town's files people edit by hand, and which of them are not as they were committed."""

from __future__ import annotations

from gastown.model import groups
from gastown.runtime import git
from gastown.store import layout, schema

# Where they lie: everything else that git knows of is gt's own, or no part of the town.
PLACES = ("beads", "rigs", "mail", "machines", "agents", "roles", "formulas", "town.yaml")
_TEXTS = {"roles": ".md", "formulas": ".toml"}


def kind_of(path: str) -> str | None:
    """What kind of file a path is the place of, if hand edits of it are committed: a schema's name, mail or text."""
    parts = path.split("/")
    name = parts[-1]
    if name.startswith(".") and path != groups.PATH:
        return None
    if parts[0] == layout.MAIL:
        box = len(parts) in (4, 5, 6) and parts[-2] in ("new", "cur")
        return "mail" if box else "groups" if path == groups.PATH else None
    if parts[0] in _TEXTS or (parts[0] == layout.RIGS and len(parts) == 4 and parts[2] == "roles"):
        return "text" if name.endswith(_TEXTS.get(parts[0], ".md")) else None
    kind = schema.kind_of(path)
    return None if kind == "event" else kind


def is_editable(path: str) -> bool:
    """True for the files whose edits a sync takes along: those that have a kind, and kept versions (`.theirs-`)."""
    return ".theirs-" in path.rpartition("/")[2] or kind_of(path) is not None


def uncommitted(root: str, places: tuple[str, ...] = ()) -> list[str]:
    """Every path (below `places`, if any are named) that git finds changed, removed or new. Read-only."""
    args = ["--no-optional-locks", "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--"]
    return sorted({item[3:] for item in git.run([*args, *places], cwd=root).fields() if len(item) > 3})
