"""Is every file of a town usable: the check of `gt lint`, of the town's hooks, and of a forge's CI."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from gastown.model import graph, groups, ids
from gastown.model.bead import check
from gastown.model.beadcheck import Misnamed
from gastown.model.errors import InvalidFile, NotFound
from gastown.model.ids import is_name
from gastown.model.row import Row
from gastown.services.files import townfiles
from gastown.store import git, layout, links, schema
from gastown.store import yaml as yaml_store
from gastown.store.gitrepo import Repo
from gastown.store.view import View

# How far back a version is looked for that can be used.
_VERSIONS = 20


def parse(path: str, data: bytes, view: View | None = None) -> dict[str, Any] | None:
    """The valid document of a town file; None for a file of no kind we know. Raises InvalidFile.

    `view` is where the file lies: what is said of it takes the others there into account.
    """
    try:
        return _parse(path, data)
    except InvalidFile as problem:
        raise in_view(problem, view) from None


def in_view(problem: InvalidFile, view: View | None) -> InvalidFile:
    """The same problem of a file, knowing what lies beside it: a copy of a bead is not to be put in its place."""
    twin = view.bead_path(problem.bead) if view is not None and isinstance(problem, Misnamed) else None
    return problem.with_twin(twin) if twin and isinstance(problem, Misnamed) else problem


def wrong(path: str, data: bytes) -> list[InvalidFile]:
    """All that is wrong with a file, where `parse` stops at the first; keys that look like slips as well."""
    if path.endswith(".toml"):
        return _wrong_toml(path, data)
    try:
        doc = parse(path, data)
    except InvalidFile as first:
        kind = schema.kind_of(path)
        try:
            found = schema.validate(kind, yaml_store.load(data, path), path) if kind else []
        except InvalidFile:
            found = []
        return found if str(first) in map(str, found) else [first]
    kind = schema.kind_of(path)
    return [*schema.slips(kind, doc, path)] if doc is not None and kind is not None else []


def _wrong_toml(path: str, data: bytes) -> list[InvalidFile]:
    import tomllib

    try:
        tomllib.loads(data.decode())
    except ValueError as error:  # no UTF-8 is one, too
        return [InvalidFile(path, f"is no TOML: {error}")]
    return []


def _parse(path: str, data: bytes) -> dict[str, Any] | None:
    kind = "groups" if path == groups.PATH else schema.kind_of(path)
    if kind is None or not path.endswith(".yaml"):
        return None
    if len(data) > yaml_store.MAX_BYTES:
        raise InvalidFile(path, f"{len(data)} bytes is more than the {yaml_store.MAX_BYTES} a file may have")
    if kind == "bead" and path.count("/") in (1, 3):
        raise _misplaced(path)
    doc: dict[str, Any] = yaml_store.load(data, path)
    if kind == "bead" and layout.bead_of_path(path) is None:
        check(doc, path)  # which refuses any name that is no id
        raise InvalidFile(path, f"nothing reads it: {path.split('/')[1]!r} cannot name a rig")
    if kind == "groups":
        groups.groups_of(doc)
        return doc
    schema.check(kind, doc, path)
    if kind == "bead":
        check(doc, path)
    elif kind == "rig":
        from gastown.model import rig

        rig.rig_of(doc, path)
    elif kind == "agent":
        from gastown.runtime import presets

        presets.check(doc, path)
    elif kind in ("worker", "machine"):
        stem = path.rpartition("/")[2].removesuffix(".yaml")
        if not is_name(stem) or doc.get("name", stem) != stem:
            raise InvalidFile(path, f"the file is named {stem} but says {doc.get('name')!r}", key="name")
    return doc


def _misplaced(path: str) -> InvalidFile:
    place = path[: path.index("beads/")] + "beads/<day>/<id>.yaml"
    hint = f"move it to {place}, the day as 2026-01-31; gt create makes beads in their place"
    return InvalidFile(path, f"is no place of a bead, and nothing reads it: beads lie in {place}", hint=hint)


def misplaced(view: View) -> list[InvalidFile]:
    """One for each YAML file that lies beside the days' folders of beads, where it is overlooked."""
    return [_misplaced(path) for place in townfiles.bead_places(view) for path in townfiles.inside(view, place)]


def doubled(paths: Iterable[str]) -> list[InvalidFile]:
    """One for each bead file whose id another one has."""
    places: dict[str, list[str]] = {}
    for path in paths:
        bead = layout.bead_of_path(path)
        if bead:
            places.setdefault(bead, []).append(path)
    return [
        InvalidFile(path, f"the same id stands in {', '.join(one for one in same if one != path)}", hint=ids.ONE_BEAD)
        for same in places.values()
        if len(same) > 1
        for path in same
    ]


def circles(rows: Sequence[Row]) -> list[InvalidFile]:
    """One for each circle of needs, in which nothing can ever start, and of parents.

    `gt` makes none; two machines can, each with one half.
    """
    by_id = {row.id: row for row in rows}
    found = []
    for path in graph.need_circles(rows):
        text = f"a circle, in which nothing can ever start: {' needs '.join(path)}"
        hint = f"take one need away: gt bead dep remove {path[0]} {path[1]}"
        found.append(InvalidFile(by_id[path[0]].path, text, key="needs", hint=hint))
    for path in graph.parent_circles(rows):
        text = f"a circle of parents: {' is below '.join(path)}"
        hint = f'take one out of it: gt update {path[0]} --parent ""'
        found.append(InvalidFile(by_id[path[0]].path, text, key="parent", hint=hint))
    return found


def problems(view: View, paths: Iterable[str]) -> list[InvalidFile]:
    """What is wrong with the files at `paths`: the links on the way to them first, then the files in their order.

    Slips of keys as well, which leave a file usable.
    """
    found: list[InvalidFile] = []
    linked = _Links(view)
    for path in paths:
        if linked.lead_to(path):
            continue
        try:
            found += [in_view(problem, view) for problem in wrong(path, view.read(path))]
        except NotFound:
            found.append(InvalidFile(path, "was removed just now"))
        except OSError as error:
            found.append(InvalidFile(path, f"cannot be read: {error.strerror}"))
    return [*linked.found, *found]


class _Links:
    """The symbolic links on the way to the files of a view, each found once. A commit is held to its own rules."""

    def __init__(self, view: View) -> None:
        self._root = view.root if view.revision is None else None
        self._folders: dict[str, bool] = {}
        self.found: list[InvalidFile] = []

    def lead_to(self, path: str) -> bool:
        """True if a part of `path` is a link."""
        if self._root is None:
            return False
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            self._folders[folder] = bool(folder) and self._is_link(folder)
        return self._folders[folder] or (os.path.islink(f"{self._root}/{path}") and self._is_link(path))

    def _is_link(self, path: str) -> bool:
        link = links.first(str(self._root), path)
        if link is not None and str(link) not in map(str, self.found):
            self.found.append(link)
        return link is not None


def remedy(repo: Repo, problem: InvalidFile) -> str:
    """What to do about a file that cannot be used: mend it, or go back to the last version in git that can be."""
    path = problem.path
    _, head = repo.head()
    if not problem.by_git or head is None:
        return problem.hint
    if repo.find(repo.commit(head).tree, path) is None:
        return problem.remedy(is_new=True)
    listed = git.run(["log", "-n", str(_VERSIONS), "--format=%H", "--", path], cwd=repo.root)[1].split()
    good = next((one.decode() for one in listed if _usable(path, repo.blob(repo.commit(one).tree, path))), "")
    return problem.remedy(is_new=False, version=good[:10])


def _usable(path: str, data: bytes | None) -> bool:
    try:
        return data is not None and parse(path, data) is not None
    except InvalidFile:
        return False


def all_paths(view: View) -> list[str]:
    """Every file of a town that is judged by what it holds."""
    wrongly = [problem.path for problem in misplaced(view)]
    return [*townfiles.settings(view), *wrongly, *townfiles.beads(view)]
