"""Patterns by which git overlooks the town's own files: what is written there by hand is never committed or synced."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.model import ids
from gastown.runtime import git
from gastown.services.files import editable
from gastown.store import files, layout
from gastown.store.town import Town

_PLACES = ("agents", "beads", "formulas", layout.MACHINES, layout.MAIL, layout.RIGS, "roles")
# As gt and people name them. Whether a pattern hides such a file is asked of git; they need not be there.
_SAMPLES = (
    "town.yaml", "agents/sample.yaml", "beads/2026-01-31/hq-x7k2m.yaml", "formulas/sample.toml", "roles/mayor.md",
    "machines/sample.yaml", "mail/overseer/new/1769850000.M1P1.sample", "mail/overseer/cur/1769850000.M1P1.sample:2,S",
)  # fmt: skip
_OF_RIG = ("rig.yaml", "beads/2026-01-31/hq-x7k2m.yaml", "polecats/amber.yaml", "crew/sample.yaml", "roles/crew.md")


@dataclass(frozen=True)
class Hiding:
    """A pattern, the file and line it stands in, one path that it hides, and how many of those that are there."""

    file: str
    line: str
    pattern: str
    path: str
    count: int

    @property
    def text(self) -> str:
        there = f"{self.count} hidden now, as {self.path}" if self.count else f"as {self.path} would be"
        return (
            f"{self.file}:{self.line} has `{self.pattern}`, which hides the town's own files from git ({there}): "
            "what is written there by hand is never committed or synced"
        )


def hiding(town: Town) -> list[Hiding]:
    """Every such pattern, wherever git finds it: a .gitignore, .git/info/exclude, or the person's own."""
    args = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--", layout.TOWN_FILE, *_PLACES]
    there = [path for path in git.run(args, cwd=town.root).fields() if editable.is_editable(path)]
    found: dict[tuple[str, str, str], Hiding] = {}
    for count, paths in ((1, there), (0, samples(town))):
        for *place, path in _asked(town, paths):
            file, line, pattern = place
            one = found.setdefault((file, line, pattern), Hiding(file, line, pattern, path, 0))
            found[file, line, pattern] = Hiding(file, line, pattern, one.path, one.count + count)
    return list(found.values())


def samples(town: Town) -> list[str]:
    """Paths as a file of each kind has, in the town and in each of its rigs."""
    rigs = sorted(name for name in town.names(layout.RIGS) if ids.is_name(name))
    return [*_SAMPLES, *(f"{layout.RIGS}/{rig}/{name}" for rig in rigs for name in _OF_RIG)]


def known(town: Town) -> bytes:
    """What a verdict on the town's own .gitignore hangs on, as bytes to compare."""
    try:
        data = files.read_or_none(layout.absolute(town.root, ".gitignore")) or b""
    except OSError as error:
        data = str(error).encode()
    return "\n".join(town.names(layout.RIGS)).encode("utf-8", "surrogateescape") + b"\0" + data


def _asked(town: Town, paths: list[str]) -> list[tuple[str, ...]]:
    """Of those that git ignores: the file, line and pattern that does it, and the path."""
    if not paths:
        return []
    data = "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")
    args = ["check-ignore", "--no-index", "--verbose", "-z", "--stdin"]
    ran = git.run(args, cwd=town.root, input=data, check=False)
    if ran.code not in (0, 1):
        raise git.GitFailed(args, town.root, ran.code, ran.err)
    fields = [one.decode("utf-8", "surrogateescape") for one in ran.out.split(b"\0")[:-1]]
    rows = [tuple(fields[at : at + 4]) for at in range(0, len(fields) - 3, 4)]
    return [row for row in rows if not row[2].startswith("!")]  # that one takes it back
