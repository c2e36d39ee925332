"""What an edit made by hand comes to on top of what came meanwhile, by gt itself or by a sync.

The notes of what a sync moved on beneath an edit are this machine's; without them it is told by the content alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from gastown.model.errors import GtError
from gastown.store import aslies, files, layout, runstate, stale
from gastown.store.filemerge import merge_file
from gastown.store.gitrepo import Repo, new_blob
from gastown.store.stale import Versions

_NONE = ""


def _path(root: str) -> str:
    return layout.run(root, "edit-bases.json")


def _load(root: str) -> dict[str, dict[str, Any]]:
    doc = runstate.read_json(_path(root))
    known = doc if isinstance(doc, dict) else {}
    return {key: dict(known.get(key) or {}) for key in ("started", "replaced")}


def remember(root: str, *, started: Mapping[str, bytes | None], replaced: Mapping[str, bytes]) -> None:
    """Note that the edits lying at `started` began from these blobs (None: no file), and which ones were replaced."""
    if not started and not replaced:
        return
    doc, now = _load(root), time.time()
    for path, sha in started.items():
        doc["started"].setdefault(path, sha.decode() if sha else _NONE)
    for path, blob in replaced.items():
        doc["replaced"][path] = [*doc["replaced"].get(path, []), [blob.decode(), now]][-8:]
    doc["replaced"] = {path: seen for path, seen in doc["replaced"].items() if seen and seen[-1][1] > now - stale.KEPT}
    runstate.write_json(_path(root), doc)


def forget(root: str, paths: Iterable[str]) -> None:
    """The edits at these paths are committed, or dropped."""
    doc = _load(root)
    wanted = [path for path in paths if path in doc["started"]]
    for path in wanted:
        del doc["started"][path]
    if wanted:
        runstate.write_json(_path(root), doc)


def pending(root: str) -> set[str]:
    """The paths whose edits lie over a newer version."""
    return set(_load(root)["started"]) if os.path.exists(_path(root)) else set()


def forget_dropped(repo: Repo, tree: bytes | None) -> set[str]:
    """Forget the edits whose files are as `tree`, that of HEAD, has them; what is `pending` then.

    Nobody goes on with these: the next edit of such a file begins from what HEAD holds. Under the town lock.
    """
    there = pending(repo.root)
    dropped = {path for path in there if _is_as_in(repo, tree, path)}
    if dropped:
        forget(repo.root, dropped)
    return there - dropped


def _is_as_in(repo: Repo, tree: bytes | None, path: str) -> bool:
    try:
        return not repo.differs(tree, path, files.read_or_none(layout.absolute(repo.root, path)))
    except OSError:
        return False  # whatever lies there, it is not what HEAD has


class Settled(NamedTuple):
    """What an edit comes to (None: the file is removed), and in a phrase why that is not just what was saved.

    `gave_way`: of each key whose value in the saved file did not stay, the one that stays and that one (sync.md:
    nothing disappears silently). `aside`: a version that could not be merged in, to be kept beside the file.
    """

    data: bytes | None
    why: str = ""
    gave_way: Mapping[str, tuple[str, str]] = MappingProxyType({})
    aside: bytes | None = None


def on_top(repo: Repo, tree: bytes | None, path: str, data: bytes | None, versions: Versions | None = None) -> Settled:
    """What an edit comes to on top of what HEAD holds: itself, or merged where it was started from an older version.

    `data` is the edited file, None if it was removed. A file that was changed by others is not removed, and no edit
    takes away the notes of a bead. An old version put back is meant so, unless it would take away sessions or notes:
    then an editor saved an old buffer, and only git can say that it is meant (`stale.is_staged`).
    """
    doc = _load(repo.root)
    now = repo.blob(tree, path)
    if path in doc["started"]:
        started = _blob(repo, doc["started"][path])
        # Nearer to what HEAD holds, it is another edit: the one that was noted was dropped, and nobody looked since.
        if now is None or data is None or started is None or not stale.is_nearer(path, now, started, data):
            return _merged(path, started, now, data)
    if now is None or data is None or data == now or path.startswith(layout.FEED + "/"):
        return Settled(data)
    seen = [_blob(repo, sha) for sha, at in doc["replaced"].get(path, []) if at > time.time() - stale.KEPT]
    olds = [one for one in reversed(seen) if one is not None]
    if not path.startswith(layout.MAIL + "/"):
        olds += (versions or Versions(repo, [path])).of(path)
    base = stale.began_from(path, now, olds, data)
    if base == now:
        whole = stale.kept(path, now, data, ["notes"])
        return Settled(whole, "its notes stay" if whole != data else "")
    if not stale.is_that(path, base, data):
        return _merged(path, base, now, data)
    if not stale.loses(path, now, data):
        return Settled(data, "as it was before")
    if stale.is_staged(repo, path, data):
        return Settled(stale.kept(path, now, data), "put back by git to an older version; its notes and sessions stay")
    found = _merged(path, base, now, data)
    return Settled(now, "an older version was saved; all that came since stays") if found.data == now else found


def commit(
    repo: Repo, found: Mapping[str, bytes | None], *, message: str, who: tuple[str, str], epoch: float,
    versions: Versions | None = None,
) -> dict[str, Settled]:  # fmt: skip
    """Commit edits (path to what lies there, None: removed) as `who`'s, each on top of what HEAD holds.

    Under the town lock. `versions` of all their files, where the caller has asked for them. Returns the paths that
    were committed or put right, each with what it came to. Raises RaceLost.
    """
    tree = repo.head_tree()
    versions = versions or Versions(repo, found)
    settled = {path: on_top(repo, tree, path, data, versions) for path, data in found.items()}
    done = {path: one.data for path, one in settled.items()}
    wanted = {path: data for path, data in done.items() if data != repo.blob(tree, path)}
    wanted |= _keep_aside(repo, settled)
    if wanted:
        aslies.commit(repo, wanted, message=message, who=who, epoch=epoch)
    for path, data in done.items():
        where = layout.absolute(repo.root, path)
        if data is not None and data != found[path] and files.read_or_none(where) == found[path]:
            files.make_folders(os.path.dirname(where))
            files.write(where, data)
    forget(repo.root, found)
    return {path: one for path, one in sorted(settled.items()) if path in wanted or one.why}


def _keep_aside(repo: Repo, settled: Mapping[str, Settled]) -> dict[str, bytes]:
    """Write the versions that could not be merged in beside their files; path to content."""
    kept = {}
    for path, one in settled.items():
        if one.aside is not None:
            name = _aside(path, one.aside)
            files.write(layout.absolute(repo.root, name), one.aside)
            kept[name] = one.aside
    return kept


def _aside(path: str, data: bytes) -> str:
    return layout.aside(path, new_blob(data).id.decode())


def _merged(path: str, base: bytes | None, now: bytes | None, data: bytes | None) -> Settled:
    if now is None or data is None:
        return Settled(now if data is None and now != base else data)
    merged = merge_file(path, base, now, data)
    why = "from an older version; what came since stays"
    if merged.aside is not None:
        why = f"it could not be merged with what came since, and is kept as {_aside(path, merged.aside)}"
    return Settled(merged.data, why, stale.gave_way(path, data, merged.data), merged.aside)


def _blob(repo: Repo, sha: str) -> bytes | None:
    if not sha:
        return None
    try:
        return bytes(repo.get(sha.encode()).as_raw_string())
    except KeyError:
        raise GtError(f"an older version that an edit was made from is missing in {repo.root}", "git fsck") from None
