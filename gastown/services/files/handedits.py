"""Edits made by hand that nobody committed yet: which may be committed, and committing them as the person's."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gastown.model.errors import GtError, InvalidFile, RaceLost
from gastown.model.text import clip, safe, some
from gastown.services.files import editable, halves, lifecycle, lint
from gastown.store import editbases, files, layout, links, lock, shape
from gastown.store.change import Change
from gastown.store.editbases import Settled
from gastown.store.fitting import Fitting
from gastown.store.stale import Versions
from gastown.store.town import Town

# An edit counts as finished when its file has been quiet for so long (sync.md): slow editors write in pieces.
QUIET = 0.25
_WAIT = 1.5
# So much of what gave way is said in the words of an event; its data hold all of it.
_MANY = 5


@dataclass(frozen=True)
class HandEdits:
    """`committed` paths; files that cannot be used and stay out; files that are being written right now."""

    committed: tuple[str, ...] = ()
    invalid: tuple[InvalidFile, ...] = ()
    busy: tuple[str, ...] = ()


def commit(town: Town, paths: list[str]) -> HandEdits:
    """Commit the edits among `paths` that are whole and valid, as the person's; one commit, one feed event."""
    wanted = [path for path in paths if editable.is_editable(path)]
    if not wanted:
        return HandEdits()
    busy = _wait(town.root, wanted)
    versions = Versions(town.repo, wanted)
    with town.change("hand_edit", actor="overseer") as change:
        found, invalid = _sorted(town, town.repo.head_tree(), wanted, busy, versions)
        done = take(change, found, _named(found), versions)
    return HandEdits(tuple(done), tuple(invalid), tuple(sorted(busy)))


def adopt(change: Change, edited: Mapping[str, bytes | None]) -> bool:
    """Take a person's edits of the files that `change` is about to write (path to what lies there), before it does.

    As a sync does: by the same rules, as theirs, with an event of their own. True if any was taken: then `change` has
    to be made again, on top of them. Raises InvalidFile for one that has to stay out, if the change was `asked` for.
    Others are what agents and gt itself have to write down: that is not held up, the edit goes along and is told of.
    """
    town = change.town
    tree = town.repo.head_tree()
    wanted = [path for path in edited if editable.kind_of(path) not in (None, "mail")]
    if not wanted:
        return False
    whole = _whole_moves(town, tree, wanted)
    versions = Versions(town.repo, whole)
    found, invalid = _sorted(town, tree, whole, set(), versions)
    if invalid and change.asked:
        raise invalid[0]
    against = [problem for problem in invalid if problem.path in wanted]
    own = Change(town, "hand_edit", "overseer")
    if found:
        take(own, found, _named(found), versions)
    if against:
        _take_along(own, {problem.path: edited[problem.path] for problem in against}, against)
    own.finish()
    return bool(found or against)


def _take_along(change: Change, found: Mapping[str, bytes | None], against: list[InvalidFile]) -> None:
    """Commit edits that break the rules, as what has to be written down now lies on top of them; each is told of."""
    repo = change.town.repo
    message = f"hand_edit: {_named(found)} edited by hand\n"
    editbases.commit(repo, found, message=message, who=repo.person(), epoch=change.now)
    for problem in against:
        bead = layout.bead_of_path(problem.path)
        text = f"{bead or problem.path} edited by hand, taken along though it should not be: {problem.reason}"
        change.emit("hand_edit", text, bead=bead, rig=layout.rig_of_path(problem.path), paths=[problem.path])


def _named(paths: Iterable[str]) -> str:
    return some([layout.bead_of_path(path) or path for path in paths])


def _whole_moves(town: Town, tree: bytes | None, paths: list[str]) -> list[str]:
    """The paths, with those where beads whose files are new were before: a move is one edit."""
    fresh = {layout.bead_of_path(path) for path in paths if town.repo.find(tree, path) is None} - {None}
    if not fresh:
        return paths
    others = (path for path in editable.uncommitted(town.root) if layout.bead_of_path(path) in fresh)
    return sorted({*paths, *others})


def forget_dropped(town: Town) -> None:
    """Forget what was noted of edits that nobody goes on with: their files are as they were committed."""
    if not editbases.pending(town.root):
        return
    # Who holds the lock writes, and does it as well.
    with contextlib.suppress(RaceLost), lock.town_lock(town.root, "hand_edit", timeout=0):
        editbases.forget_dropped(town.repo, town.repo.head_tree())


def take(
    change: Change, found: Mapping[str, bytes | None], said: str, versions: Versions | None = None
) -> dict[str, Settled]:
    """Commit edits (path to what lies there, None: removed) as the person's, with one feed event; `said` names them.

    An editor that saved over what came meanwhile is merged, not taken as the new truth. Whom a bead was given to
    stands in the event: the deacon starts it, whoever committed the edit. A held bead that was set open is let go.
    Returns the paths that were committed or put right, as `editbases.commit`. Raises RaceLost.
    """
    repo = change.town.repo
    tree = repo.head_tree()
    who = repo.person()
    message = f"hand_edit: {said}\n"
    done = editbases.commit(repo, found, message=message, who=who, epoch=change.now, versions=versions)
    if not done:
        return done
    moved = lifecycle.came_from(path for path, data in found.items() if data is None)
    after = repo.head_tree()
    assign = {}
    for path in done:
        bead, new = layout.bead_of_path(path), _doc(path, repo.blob(after, path))
        if bead is None or new is None:
            continue
        old = lifecycle.before(repo, tree, path, new, moved)
        to = lifecycle.given_to(old, new)
        if to:
            assign[bead] = to
        if lifecycle.lets_go(old, new):
            let_go(change, bead, to)
    one = next(iter(done)) if len(done) == 1 else ""
    facts: dict[str, Any] = {"paths": list(done)} | ({"assign": assign} if assign else {}) | _gave_way(done)
    bead, rig = layout.bead_of_path(one), layout.rig_of_path(one)
    change.emit("hand_edit", f"{said} edited by hand{_told(done)}", bead=bead, rig=rig, **facts)
    return done


def let_go(change: Change, bead_id: str, to: str = "") -> None:
    """What was held is nobody's now, or was given `to` another, and its session is over for it."""
    try:
        bead = change.bead(bead_id)
    except GtError:
        return
    bead.let_go(at=change.at, to=to or None)
    change.save(bead)


def _sorted(
    town: Town, tree: bytes | None, paths: list[str], busy: set[str], versions: Versions
) -> tuple[dict[str, bytes | None], list[InvalidFile]]:
    """The edits that may be committed, path to content, and what is wrong with those that stay out.

    What has to stay out because a file that is being written does is `busy`, too.
    """
    found: dict[str, bytes | None] = {}
    invalid: dict[str, InvalidFile] = {}
    stays = sorted(busy)
    missing = [path for path in paths if not _lies(town.root, path)]
    fitting, moved = Fitting(town.repo, tree, gone=missing), lifecycle.came_from(missing)
    for path in paths:
        if path in busy:
            continue
        try:
            data = _look(town, tree, path, fitting, versions, moved)
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


def _told(done: Mapping[str, Settled]) -> str:
    """What became of edits that could not be taken as they were saved, for the feed."""
    whys = {_why(one): layout.bead_of_path(path) or path for path, one in done.items() if one.why}
    if len(done) == 1:
        return "".join(f" ({why})" for why in whys)
    told = [f" ({name}: {why})" for why, name in whys.items()]
    return "".join(told[:_MANY]) + (f" and {len(told) - _MANY} more" if len(told) > _MANY else "")


def _why(one: Settled) -> str:
    stays = [f"{key} {_short(kept)} (saved: {_short(lost)})" for key, (kept, lost) in one.gave_way.items()]
    return one.why + (f": {some(stays, _MANY)}" if stays else "")


def _short(value: str) -> str:
    return clip(" ".join(value.split()), 60)


def _gave_way(done: Mapping[str, Settled]) -> dict[str, Any]:
    """The values of saved files that did not stay, beside those that do, for the feed."""
    found = {
        path: {key: {"kept": kept[:2000], "lost": lost[:2000]} for key, (kept, lost) in one.gave_way.items()}
        for path, one in done.items()
        if one.gave_way
    }
    return {"gave_way": found} if found else {}


def _doc(path: str, data: bytes | None) -> dict[str, Any] | None:
    try:
        return lint.parse(path, data) if data is not None else None
    except InvalidFile:
        return None


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


def _look(
    town: Town, tree: bytes | None, path: str, fitting: Fitting, versions: Versions, moved: Mapping[str, str]
) -> bytes | None:
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
    if doc is not None:
        wrong = lifecycle.breach(path, lifecycle.before(town.repo, tree, path, doc, moved), doc)
        if wrong is not None:
            raise wrong
    return data
