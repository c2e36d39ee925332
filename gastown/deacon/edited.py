"""What was edited by hand: the files that are not as they were committed, judged, and which of them go together."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gastown.model import groups
from gastown.model.bead import HELD, TRANSITIONS
from gastown.model.errors import InvalidFile
from gastown.services.files import halves, handedits, lint
from gastown.store import files, git, layout, links, schema
from gastown.store.fitting import Fitting
from gastown.store.stale import Versions
from gastown.store.town import Town

_FOLDERS = ("beads", "rigs", "mail", "machines", "agents", "roles", "formulas", "town.yaml")
_TEXTS = {"roles": ".md", "formulas": ".toml"}
# The marks of what has no content to be named by.
NO_CONTENT = _LINK, _UNREADABLE = "link", "unreadable"
HELD_BACK = "held:"
# The kinds of files of which two may be the halves of one move.
MOVED = ("bead", "rig", "worker")
_FRESH = ("open", "deferred", "hooked", "closed")


@dataclass(frozen=True)
class Edit:
    """One file that is not as it was committed. `old`, `new` are documents (None: absent, or no YAML).

    `mark` names its content, `age` is how many seconds ago it was written. `held`: it stays out because another does.
    """

    path: str
    kind: str
    mark: str
    age: float
    old: Mapping[str, Any] | None = None
    new: Mapping[str, Any] | None = None
    gone: bool = False
    problem: str = ""
    hint: str = ""
    held: bool = False


def mark_of(data: bytes | None) -> str:
    """A short name of a file's content."""
    return "gone" if data is None else hashlib.sha256(data).hexdigest()[:16]


def key_of(path: str, mark: str) -> str:
    """Under which the report of one content of a file is remembered."""
    return f"invalid:{path}:{mark}"


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


def edits(town: Town, tree: bytes | None, paths: Iterable[str]) -> list[Edit]:
    """Those of the files that are not as they were committed. A bead that was moved goes on from what it was."""
    wanted = [(path, kind) for path in paths if (kind := kind_of(path)) and path.isprintable()]
    versions = Versions(town.repo, [path for path, _ in wanted])
    looked = [edit for path, kind in wanted if (edit := _look(town, tree, path, kind, versions))]
    looked = _fitting(town, tree, looked)
    gone = {bead: edit.path for edit in looked if edit.gone and (bead := layout.bead_of_path(edit.path))}
    found = []
    for edit in looked:
        came_from = gone.get(layout.bead_of_path(edit.path) or "") if edit.new is not None else None
        before = town.repo.blob(tree, came_from) if came_from and is_new(town, tree, edit.path) else None
        found.append(replace(edit, old=_doc(str(came_from), before)) if before is not None else edit)
    return found


def is_new(town: Town, tree: bytes | None, path: str) -> bool:
    """True if a tree has nothing at the path."""
    return town.repo.find(tree, path) is None


def _doc(path: str, data: bytes) -> Mapping[str, Any] | None:
    try:
        return lint.parse(path, data)
    except InvalidFile:
        return None


def with_held(town: Town, tree: bytes | None, edited: list[Edit], paths: Iterable[str]) -> list[Edit]:
    """The edits, with those marked that stay out because others do, and what is to be told of them.

    `paths`: where they are from, with files that have names that cannot be shown: these stay out, too.
    """
    out = [edit.path for edit in edited if edit.problem or lifecycle_problem(edit)]
    odd = [path for path in paths if kind_of(path) and not path.isprintable()]
    good = [edit for edit in edited if edit.path not in out and edit.kind != "mail"]
    gone = [edit.path for edit in good if edit.gone]
    there = [edit.path for edit in good if not edit.gone]
    marks = {edit.path: edit.mark for edit in edited}
    stays = handedits.contents(town.root, [*out, *odd])
    found = {edit.path: edit for edit in edited}
    for one in halves.held(town.repo, tree, gone, there, stays):
        for path in one.paths:
            found[path] = replace(found[path], held=True)
        told, mark = one.problem, HELD_BACK + marks.get(one.cause, "")
        same = found.get(told.path) or Edit(told.path, "rig", mark, 60.0, held=True)
        found[told.path] = replace(same, mark=mark, problem=told.message, hint=told.hint)
    return list(found.values())


def _fitting(town: Town, tree: bytes | None, edited: list[Edit]) -> list[Edit]:
    """The edits, with what is wrong about the names of those that no other machine would take."""
    fitting = Fitting(town.repo, tree, gone=[edit.path for edit in edited if edit.gone])
    found = []
    for edit in edited:
        wrong = None if edit.gone or edit.problem or edit.kind == "mail" else handedits.unfit(fitting, edit.path)
        found.append(replace(edit, problem=wrong.message, hint=wrong.hint) if wrong else edit)
    return found


def uncommitted(town: Town) -> list[str]:
    """Every path that git finds changed, removed or new; read-only."""
    there = [name for name in _FOLDERS if os.path.lexists(os.path.join(town.root, name))]
    args = ["--no-optional-locks", "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--"]
    _, out = git.run([*args, *there], cwd=town.root)
    return sorted({item[3:] for item in out.decode("utf-8", "surrogateescape").split("\0") if len(item) > 3})


def _look(town: Town, tree: bytes | None, path: str, kind: str, versions: Versions) -> Edit | None:
    absolute = layout.absolute(town.root, path)
    if os.path.islink(absolute) and (link := links.first(town.root, path)):
        return Edit(path, kind, _LINK, 60.0, problem=link.message, hint=link.hint)
    if os.path.isdir(absolute):
        return None
    try:
        data = files.read_or_none(absolute)
        age = time.time() - os.stat(absolute).st_mtime if data is not None else 60.0
    except FileNotFoundError:
        data, age = None, 60.0
    except NotADirectoryError:
        return None
    except OSError as error:
        return Edit(path, kind, _UNREADABLE, 60.0, problem=f"{path}: cannot be read: {error.strerror}")
    if not town.repo.differs(tree, path, data):
        return None
    mark = mark_of(data)
    if data is None:
        return Edit(path, kind, mark, age, gone=True)
    if kind in ("mail", "text"):
        return Edit(path, kind, mark, age)
    before = town.repo.blob(tree, path)
    try:
        new = handedits.comes_to(town, tree, path, data, versions)
    except InvalidFile as problem:
        return Edit(path, kind, mark, age, problem=problem.message, hint=problem.remedy(is_new=before is None))
    known = before
    if before is None and kind == "bead" and new and str(new.get("status", "open")) not in _FRESH:
        known = handedits.removed(town.root, path)
    try:
        old = lint.parse(path, known) if known is not None else None
    except InvalidFile:
        old = None
    return Edit(path, kind, mark, age, old, new)


def lifecycle_problem(edit: Edit) -> str:
    """Why an edit of a bead breaks the rules of its life cycle; "" if it does not."""
    if edit.kind != "bead" or edit.new is None:
        return ""
    now = str(edit.new.get("status", "open"))
    if edit.old is None:
        if now in _FRESH:
            return ""
        return f"{edit.path} (status): a new bead cannot be {now}; it may be: {', '.join(_FRESH)}"
    was = str(edit.old.get("status", "open"))
    if now != was and now not in TRANSITIONS[was]:
        allowed = ", ".join(TRANSITIONS[was])
        return f"{edit.path} (status): {edit.new['id']} was {was} and cannot become {now}; it may become: {allowed}"
    holder = edit.old.get("assignee")
    if was in HELD and now in HELD and edit.new.get("assignee") != holder:
        return (
            f"{edit.path} (assignee): {edit.new['id']} is held by {holder}; "
            f"gt sling {edit.new['id']} {edit.new.get('assignee')} --force takes it over"
        )
    if was in HELD and now in HELD and edit.new.get("branch") != edit.old.get("branch"):
        return f"{edit.path} (branch): {edit.new['id']} is being worked on at {edit.old.get('branch')}"
    return ""
