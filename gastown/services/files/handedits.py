"""Edits made by hand that nobody committed yet: what a sync takes along, as the person's."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gastown.model.errors import InvalidFile
from gastown.model.text import safe
from gastown.runtime import git
from gastown.services.files import halves, lint
from gastown.store import editbases, files, layout, links, schema, shape
from gastown.store.fitting import Fitting
from gastown.store.gitrepo import Repo
from gastown.store.stale import Versions
from gastown.store.town import Town

# An edit counts as finished when its file has been quiet for so long (sync.md): slow editors write in pieces.
QUIET = 0.25
_WAIT = 1.5
_TEXTS = {"roles": ".md", "formulas": ".toml"}


@dataclass(frozen=True)
class HandEdits:
    """`committed` paths; files that cannot be used and stay out; files that are being written right now."""

    committed: tuple[str, ...] = ()
    invalid: tuple[InvalidFile, ...] = ()
    busy: tuple[str, ...] = ()


def uncommitted(root: str) -> list[str]:
    """Every path that git finds changed, removed or new. Read-only."""
    args = ["--no-optional-locks", "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all"]
    return sorted({item[3:] for item in git.run(args, cwd=root).fields() if len(item) > 3})


def commit(town: Town, paths: list[str]) -> HandEdits:
    """Commit the edits among `paths` that are whole and valid, as the person's; one commit, one feed event."""
    wanted = [path for path in paths if is_editable(path)]
    if not wanted:
        return HandEdits()
    busy = _wait(town.root, wanted)
    with town.change("hand_edit", actor="overseer") as change:
        tree = _tree(town.repo)
        found, invalid = _sorted(town, tree, wanted, busy)
        names = ", ".join([layout.bead_of_path(path) or path for path in found][:5])
        names += f" and {len(found) - 5} more" if len(found) > 5 else ""
        done = editbases.commit(
            town.repo,
            found,
            message=f"hand_edit: {names} edited by hand\n",
            who=town.repo.person(),
            epoch=change.now,
        )
        if done:
            bead = layout.bead_of_path(next(iter(done))) if len(done) == 1 else None
            new = _tree(town.repo)
            assign = _assigned(town.repo, tree, {path: town.repo.blob(new, path) for path in done})
            facts: dict[str, Any] = {"paths": list(done)} | ({"assign": assign} if assign else {})
            change.emit("hand_edit", f"{names} edited by hand{told(done)}", bead=bead, **facts)
    return HandEdits(tuple(done), tuple(invalid), tuple(sorted(busy)))


def _sorted(
    town: Town, tree: bytes | None, paths: list[str], busy: set[str]
) -> tuple[dict[str, bytes | None], list[InvalidFile]]:
    """The edits that may be committed, path to content, and what is wrong with those that stay out.

    What has to stay out because a file that is being written does is `busy`, too.
    """
    found: dict[str, bytes | None] = {}
    invalid: dict[str, InvalidFile] = {}
    stays = sorted(busy)
    versions = Versions(town.repo, paths)
    fitting = Fitting(town.repo, tree, gone=[path for path in paths if not _lies(town.root, path)])
    for path in paths:
        if path in busy:
            continue
        try:
            data = _look(town, tree, path, fitting, versions)
        except InvalidFile as problem:
            invalid.setdefault(problem.path, problem)
            stays += [path] if _lies(town.root, path) else []
            continue
        if town.repo.differs(tree, path, data):
            found[path] = data
    gone = [path for path, data in found.items() if data is None]
    for one in halves.held(town.repo, tree, gone, found.keys() - gone, contents(town.root, stays)):
        for path in one.paths:
            del found[path]
        if one.cause in busy:
            busy.update(one.paths)
        else:
            invalid.setdefault(one.problem.path, one.problem)
    return found, list(invalid.values())


def contents(root: str, paths: Iterable[str]) -> dict[str, bytes]:
    """What lies at paths, as far as it can be read, else nothing: for telling what a file was meant to be."""
    found = {}
    for path in paths:
        where = layout.absolute(root, path)
        try:
            found[path] = files.read(where) if not os.path.islink(where) else b""
        except OSError:
            found[path] = b""
    return found


def told(done: Mapping[str, str]) -> str:
    """What became of edits that could not be taken as they were saved (path to phrase), for the feed."""
    whys = {why: layout.bead_of_path(path) or path for path, why in done.items() if why}
    if len(done) == 1:
        return "".join(f" ({why})" for why in whys)
    return "".join(f" ({name}: {why})" for why, name in whys.items())


def given_to(old: Mapping[str, object] | None, new: Mapping[str, object]) -> str:
    """Whom an edit gives its bead to (`assignee:` set by hand is a sling); "" if it does not."""
    before = old or {}
    to, status = str(new.get("assignee") or ""), new.get("status", "open")
    if status == "hooked" and before.get("status", "open") != "hooked":
        return to
    return to if status == "open" and to != str(before.get("assignee") or "") else ""


def _assigned(repo: Repo, tree: bytes | None, edited: Mapping[str, bytes | None]) -> dict[str, str]:
    """Whom edits give their beads to, by bead: the deacon starts them, whoever commits the edit."""
    found = {}
    for path, data in edited.items():
        bead = layout.bead_of_path(path)
        new = _doc(path, data) if bead else None
        to = given_to(_doc(path, repo.blob(tree, path)), new) if new else ""
        if bead and to:
            found[bead] = to
    return found


def _doc(path: str, data: bytes | None) -> dict[str, Any] | None:
    try:
        return lint.parse(path, data) if data is not None else None
    except InvalidFile:
        return None


def is_editable(path: str) -> bool:
    """True for the files whose edits are taken along: documents, messages, directives, formulas, kept versions."""
    parts = path.split("/")
    name = parts[-1]
    if ".theirs-" in name:
        return True
    if name.startswith(".") and path != "mail/.groups.yaml":
        return False
    if parts[0] == layout.MAIL:
        return path == "mail/.groups.yaml" or (len(parts) in (4, 5, 6) and parts[-2] in ("new", "cur"))
    if parts[0] in _TEXTS or (parts[0] == layout.RIGS and len(parts) == 4 and parts[2] == "roles"):
        return name.endswith(_TEXTS.get(parts[0], ".md"))
    return schema.kind_of(path) not in (None, "event")


def removed(root: str, path: str) -> bytes | None:
    """What git had of a file before it was removed; None if it had none. A file brought back goes on from there."""
    gone = git.run(["log", "-1", "--format=%H", "--diff-filter=D", "--", path], cwd=root, check=False).text
    if not gone:
        return None
    found = git.run(["show", f"{gone}^:{path}"], cwd=root, check=False)
    return found.out if found.code == 0 else None


def _wait(root: str, paths: list[str]) -> set[str]:
    """Those that are still being written after a short wait."""
    deadline = time.monotonic() + _WAIT
    young = set(paths)
    while True:
        now = time.time()
        young = {path for path in young if 0 <= now - _mtime(root, path) < QUIET}
        if not young or time.monotonic() > deadline:
            return young
        time.sleep(0.05)


def _mtime(root: str, path: str) -> float:
    try:
        return os.lstat(layout.absolute(root, path)).st_mtime
    except OSError:
        return 0.0


def _tree(repo: Repo) -> bytes | None:
    _, head = repo.head()
    return bytes(repo.commit(head).tree) if head else None


def _lies(root: str, path: str) -> bool:
    return os.path.lexists(layout.absolute(root, path))


def unfit(fitting: Fitting, path: str) -> InvalidFile | None:
    """Why an edit that adds the file `path` stays out, whatever it holds: no other machine would take it."""
    why = fitting.wrong(path)
    if not why and not path.isprintable():
        why = "has a name with characters that cannot be shown"
    return InvalidFile(path, f"{why}; it stays out of the town", hint=f"rename it: {safe(path)}") if why else None


def comes_to(
    town: Town, tree: bytes | None, path: str, data: bytes, versions: Versions
) -> dict[str, Any] | None:
    """The document that an edited file comes to on top of what came meanwhile (`lint.parse`). Raises InvalidFile."""
    doc = lint.parse(path, data, town)
    whole = editbases.on_top(town.repo, tree, path, data, versions).data if doc is not None else None
    return doc if whole is None or whole == data else lint.parse(path, whole)


def _require_folders(root: str, path: str) -> None:
    """Raise InvalidFile where a file lies in the place of a folder of the town's: what was in it is not removed."""
    for depth in range(1, path.count("/") + 1):
        above = "/".join(path.split("/")[:depth])
        if _lies(root, above) and not os.path.isdir(layout.absolute(root, above)):
            why = shape.wrong(above, folder=False)
            if why:
                hint = f"move it away, then: git checkout -- {shlex.quote(above)}"
                raise InvalidFile(above, f"is {why}; what was in it stays in git", hint=hint)
            return


def _look(town: Town, tree: bytes | None, path: str, fitting: Fitting, versions: Versions) -> bytes | None:
    """The content of an edited file, None if it was removed; raises InvalidFile for what may not be committed."""
    where = layout.absolute(town.root, path)
    wrong = unfit(fitting, path) if _lies(town.root, path) else None
    if wrong is not None:
        raise wrong
    if os.path.islink(where) and (link := links.first(town.root, path)):
        raise link
    try:
        data = files.read_or_none(where)
    except NotADirectoryError:
        _require_folders(town.root, path)
        return None
    except OSError as error:
        raise InvalidFile(path, f"cannot be read: {error.strerror}") from None
    if data is None or ".theirs-" in path:
        return data
    doc = comes_to(town, tree, path, data, versions)
    before = town.repo.blob(tree, path)
    if doc is not None and before is not None:
        try:
            wrong = lint.moved_wrongly(path, lint.parse(path, before), doc)
        except InvalidFile:
            wrong = None  # mending a broken file is always welcome
        if wrong is not None:
            raise wrong
    return data
