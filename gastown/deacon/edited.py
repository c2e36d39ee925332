"""What was edited by hand: the files that are not as they were committed, judged, and which of them go together."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gastown.model.errors import InvalidFile
from gastown.services.files import editable, halves, handedits, lifecycle, lint
from gastown.services.mail import mailbox
from gastown.store import files, layout, links
from gastown.store.fitting import Fitting
from gastown.store.stale import Versions
from gastown.store.town import Town

# The marks of what has no content to be named by.
NO_CONTENT = _LINK, _UNREADABLE = "link", "unreadable"
HELD_BACK = "held:"
# The kinds of files of which two may be the halves of one move.
MOVED = ("bead", "rig", "worker")


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


def edits(town: Town, tree: bytes | None, paths: Iterable[str]) -> list[Edit]:
    """Those of the files that are not as they were committed. A bead that was moved goes on from what it was."""
    wanted = [(path, kind) for path in paths if (kind := editable.kind_of(path)) and path.isprintable()]
    versions = Versions(town.repo, [path for path, _ in wanted])
    looked = [edit for path, kind in wanted if (edit := _look(town, tree, path, kind, versions))]
    looked = _fitting(town, tree, looked)
    moved = lifecycle.came_from(edit.path for edit in looked if edit.gone)
    return [_went_on(town, tree, edit, moved) for edit in looked]


def _went_on(town: Town, tree: bytes | None, edit: Edit, moved: Mapping[str, str]) -> Edit:
    """An edit of a bead with what it goes on from, and what is wrong about that."""
    if edit.kind != "bead" or edit.new is None or edit.problem:
        return edit
    old = lifecycle.before(town.repo, tree, edit.path, edit.new, moved)
    wrong = lifecycle.breach(edit.path, old, edit.new)
    if wrong is None:
        return replace(edit, old=old)
    return replace(edit, old=old, problem=wrong.message, hint=wrong.remedy(is_new=old is None))


def is_new(town: Town, tree: bytes | None, path: str) -> bool:
    """True if a tree has nothing at the path."""
    return town.repo.find(tree, path) is None


def with_held(town: Town, tree: bytes | None, edited: list[Edit], paths: Iterable[str]) -> list[Edit]:
    """The edits, with those marked that stay out because others do, and what is to be told of them.

    `paths`: where they are from, with files that have names that cannot be shown: these stay out, too.
    """
    out = [edit.path for edit in edited if edit.problem and edit.kind != "mail"]
    odd = [path for path in paths if editable.kind_of(path) and not path.isprintable()]
    good = [edit for edit in edited if not edit.problem and edit.kind != "mail"]
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
        wrong = None if edit.gone or edit.problem else handedits.unfit(fitting, edit.path)
        found.append(replace(edit, problem=wrong.message, hint=wrong.hint) if wrong else edit)
    return found


def _look(town: Town, tree: bytes | None, path: str, kind: str, versions: Versions) -> Edit | None:
    absolute = layout.absolute(town.root, path)
    if os.path.islink(absolute) and (link := links.first(town.root, path)):
        return Edit(path, kind, _LINK, 60.0, problem=link.message, hint=link.hint)
    if os.path.isdir(absolute):
        return None
    if kind == "mail" and (wrong := mailbox.unusable(town.root, path)):
        return Edit(path, kind, _UNREADABLE, 60.0, problem=wrong.message, hint=f"move it out of the mailbox: {path}")
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
        # Mail programs move messages and never write to them: one that was written to is a text somebody edited.
        moved = kind == "mail" and is_new(town, tree, path)
        return Edit(path, "mail" if moved else "text", mark, age)
    before = town.repo.blob(tree, path)
    try:
        new = handedits.comes_to(town, tree, path, data, versions)
    except InvalidFile as problem:
        return Edit(path, kind, mark, age, problem=problem.message, hint=problem.remedy(is_new=before is None))
    try:
        old = lint.parse(path, before) if before is not None else None
    except InvalidFile:
        old = None
    return Edit(path, kind, mark, age, old, new)
