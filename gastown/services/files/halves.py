"""Edits that go together or not at all: the two halves of a move by hand, and a rig with what lies below it.

Committed alone, the half that takes a bead or a rig from its old place would take it from every other machine.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from gastown.model.errors import InvalidFile
from gastown.model.text import counted
from gastown.store import layout, rigfiles, schema
from gastown.store import yaml as yaml_store
from gastown.store.gitrepo import Repo

# What is one thing by its name, wherever it lies.
_NAMED = ("bead", "worker", "machine", "agent")
# What tells one rig from another.
_RIG_KEYS = ("name", "prefix", "git")


@dataclass(frozen=True)
class Held:
    """Edits at `paths` stay out, because the file at `cause` does ("" if none is there); and what to tell of it."""

    paths: tuple[str, ...]
    cause: str
    problem: InvalidFile


def held(
    repo: Repo, tree: bytes | None, gone: Collection[str], there: Collection[str], stays: Mapping[str, bytes]
) -> list[Held]:
    """What has to stay out of the edits that could be committed on `tree`: files that are `gone`, and those `there`.

    `stays`: the content of the edited files that stay out anyway, as far as it can be read.
    """
    rigs = {name for path in (*gone, *there) if (name := layout.rig_of_path(path))}
    if not rigs and not gone:
        return []
    look = _Look(repo, tree, frozenset(gone), frozenset(there), stays)
    found = list(look.renamed())
    while True:
        more = [one for one in (*look.new_rigs(rigs), *look.old_rigs(rigs), *look.moves()) if one.paths]
        if not more:
            return found
        found += more


def said(data: bytes, key: str) -> str:
    """What a line of a document says of a key, even where the whole is no valid YAML; "" if none can be read."""
    line = re.search(rb"^%b:[ \t]*([^\s#][^\r\n]*?)[ \t]*(?:[ \t]#.*)?\r?$" % key.encode(), data, re.MULTILINE)
    if line:
        return line[1].decode("utf-8", "replace").strip("\"'")
    try:
        return str(yaml_store.load(data, "").get(key) or "")  # written in one line, perhaps
    except InvalidFile:
        return ""


class _Look:
    """One look at what goes and what stays; `out` grows with what is found to stay."""

    def __init__(
        self, repo: Repo, tree: bytes | None, gone: frozenset[str], there: frozenset[str], stays: Mapping[str, bytes]
    ) -> None:
        self._repo, self._tree = repo, tree
        self._gone, self._there, self._stays = gone, there, stays
        self._new = frozenset(path for path in there if not self._in_tree(path))
        self._out: set[str] = set()

    def _in_tree(self, path: str) -> bool:
        return self._repo.find(self._tree, path) is not None

    def _hold(self, paths: Collection[str], cause: str, problem: InvalidFile) -> Held:
        fresh = tuple(sorted(path for path in paths if path not in self._out))
        self._out.update(fresh)
        return Held(fresh, cause, problem)

    def renamed(self) -> Iterator[Held]:
        """What is gone from its place and lies in a file that stays out: by that one's name, or by what it says."""
        where: dict[tuple[str, ...], str] = {}
        for path, data in sorted(self._stays.items()):
            for one in _named(path), _named(path, said(data, "id" if schema.kind_of(path) == "bead" else "name")):
                where.setdefault(one, path)
        for path in sorted(self._gone):
            kind, _, name = who = _named(path)
            if who in where and kind in _NAMED:
                yield self._hold([path], where[who], _moved(path, f"{kind} {name}", where[who]))

    def new_rigs(self, rigs: Collection[str]) -> Iterator[Held]:
        """What is new below a rig that has no rig.yaml yet, and gets none."""
        for rig in sorted(rigs):
            file = layout.rig_file(rig)
            if not self._in_tree(file) and file not in self._there - self._out:
                below = [path for path in self._new if layout.rig_of_path(path) == rig]
                yield self._hold(below, file if file in self._stays else "", _without(rig, len(below), self._stays))

    def moves(self) -> Iterator[Held]:
        """The other half of each move of a bead of which one half stays out, told once for all between two rigs."""
        by_id: dict[str, set[str]] = {}
        for path in (*self._gone, *self._new):
            bead = layout.bead_of_path(path)
            if bead:
                by_id.setdefault(bead, set()).add(path)
        between: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for _, paths in sorted(by_id.items()):
            stuck = sorted(paths & self._out)
            for path in sorted(paths - self._out) if stuck else ():
                between.setdefault((_place(path), _place(stuck[0])), []).append((path, stuck[0]))
        for halves in between.values():
            yield self._hold([path for path, _ in halves], halves[0][1], _half(halves))

    def old_rigs(self, rigs: Collection[str]) -> Iterator[Held]:
        """What is gone of a rig that lies in a file that stays out, or of which something is left without rig.yaml."""
        for rig in sorted(rigs):
            file = layout.rig_file(rig)
            if file not in self._gone or file in self._out:
                continue
            going = [path for path in self._gone if layout.rig_of_path(path) == rig]
            cause = self._elsewhere(rig)
            below = rigfiles.below(self._repo, self._tree, rig)
            left = [path for path in below if path not in self._gone or path in self._out]
            if cause:
                yield self._hold(going, cause, _moved(file, f"rig {rig}", cause))
            elif left:
                yield self._hold(going, "", _bare(rig, left))

    def _elsewhere(self, rig: str) -> str:
        """The file that stays out and holds the rig, as far as can be told; "" if there is none."""
        entry = self._repo.find(self._tree, layout.rig_file(rig))
        was = bytes(self._repo.get(entry[1]).as_raw_string()) if entry else b""
        for path, data in sorted(self._stays.items()):
            if schema.kind_of(path) == "rig":
                told = [(said(data, key), said(was, key)) for key in _RIG_KEYS]
                # A file of which nothing can be read may be any rig's.
                if any(now and now == before for now, before in told) or not any(now for now, _ in told):
                    return path
        return ""


def _named(path: str, name: str = "") -> tuple[str, str, str]:
    """What a file is of, by its kind and `name` (that of the file); a worker is one of its rig."""
    kind = schema.kind_of(path) or ""
    rig = layout.rig_of_path(path) if kind == "worker" else None
    return kind, rig or "", name or path.rpartition("/")[2].removesuffix(".yaml")


def _place(path: str) -> str:
    """The folder whose beads it is one of."""
    return path[: path.index("beads/") + len("beads")]


def _moved(path: str, what: str, cause: str) -> InvalidFile:
    reason = f"{what} is gone from here and lies in {cause}, which cannot be used; nothing of it is removed until then"
    return InvalidFile(path, reason, hint=f"mend {cause}, and both go; or remove that file, too")


def _half(halves: list[tuple[str, str]]) -> InvalidFile:
    path, other = halves[0]
    if len(halves) == 1:
        what, where = f"bead {layout.bead_of_path(path)} was", path
    else:
        what, where = f"{len(halves)} beads were", _place(path)
    reason = f"{what} moved, and the other half of that ({other}) stays out; so this one does, too"
    return InvalidFile(where, reason, hint="mend what is told of the other half, and both go")


def _without(rig: str, count: int, stays: Collection[str]) -> InvalidFile:
    file, many = layout.rig_file(rig), counted(count, "new file")
    if file in stays:
        reason = f"{many} below it stay out until {file} can be used"
        return InvalidFile(layout.rig_dir(rig), reason, hint=f"mend {file}, and all of it goes")
    reason = f"{many} below it stay out: it has no rig.yaml, and without it they are no rig's"
    return InvalidFile(layout.rig_dir(rig), reason, hint=f"put {file} there (name: {rig}), or move them into a rig")


def _bare(rig: str, left: list[str]) -> InvalidFile:
    file = layout.rig_file(rig)
    some = ", ".join(left[:3]) + (", …" if len(left) > 3 else "")
    reason = f"was removed, but {some} would be left without it; nothing of rig {rig} is removed"
    return InvalidFile(file, reason, hint=f"bring it back: git checkout -- {file}; gt rig remove {rig} removes all")
