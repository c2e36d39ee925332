"""From which version a file edited by hand was started, where a sync moved on beneath it.

Notes of this machine: losing them means that an edit made over a newer version counts as meant against it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import Any

from gastown.model.errors import GtError
from gastown.store import aslies, files, layout, runstate
from gastown.store.filemerge import merge_file
from gastown.store.gitrepo import Repo

# An editor may keep a file open for long, but a day later nobody saves what it showed then.
KEPT = 86_400.0
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
    doc["replaced"] = {path: seen for path, seen in doc["replaced"].items() if seen and seen[-1][1] > now - KEPT}
    runstate.write_json(_path(root), doc)


def forget(root: str, paths: Iterable[str]) -> None:
    """The edits at these paths are committed."""
    doc = _load(root)
    wanted = [path for path in paths if path in doc["started"]]
    for path in wanted:
        del doc["started"][path]
    if wanted:
        runstate.write_json(_path(root), doc)


def pending(root: str) -> set[str]:
    """The paths whose edits lie over a newer version."""
    return set(_load(root)["started"]) if os.path.exists(_path(root)) else set()


def on_top(repo: Repo, tree: bytes | None, path: str, data: bytes | None) -> bytes | None:
    """What an edit comes to on top of what HEAD holds: itself, or merged where it was started from an older version.

    `data` is the edited file, None if it was removed. A file that was changed by others is not removed.
    """
    doc = _load(repo.root)
    now = repo.blob(tree, path)
    if path in doc["started"]:
        return _merged(path, _blob(repo, doc["started"][path]), now, data)
    seen = [_blob(repo, sha) for sha, at in doc["replaced"].get(path, []) if at > time.time() - KEPT]
    if now is None or data is None or data in (now, *seen):
        return data  # an old version put back exactly is meant so
    best = max([now, *(one for one in reversed(seen) if one is not None)], key=lambda one: _likeness(one, data))
    return data if best == now else _merged(path, best, now, data)


def commit(
    repo: Repo, found: Mapping[str, bytes | None], *, message: str, who: tuple[str, str], epoch: float
) -> list[str]:
    """Commit edits (path to what lies there, None: removed) as `who`'s, each on top of what HEAD holds.

    Under the town lock. Returns the paths that were committed. Raises RaceLost.
    """
    _, head = repo.head()
    tree = repo.commit(head).tree if head else None
    done = {path: on_top(repo, tree, path, data) for path, data in found.items()}
    wanted = {path: data for path, data in done.items() if data != repo.blob(tree, path)}
    if wanted:
        aslies.commit(repo, wanted, message=message, who=who, epoch=epoch)
    for path, data in done.items():
        where = layout.absolute(repo.root, path)
        if data is not None and data != found[path] and files.read_or_none(where) == found[path]:
            files.make_folders(os.path.dirname(where))
            files.write(where, data)
    forget(repo.root, found)
    return sorted(wanted)


def _merged(path: str, base: bytes | None, now: bytes | None, data: bytes | None) -> bytes | None:
    if now is None or data is None:
        return now if data is None and now != base else data
    return merge_file(path, base, now, data).data


def _blob(repo: Repo, sha: str) -> bytes | None:
    if not sha:
        return None
    try:
        return bytes(repo.get(sha.encode()).as_raw_string())
    except KeyError:
        raise GtError(f"an older version that an edit was made from is missing in {repo.root}", "git fsck") from None


def _likeness(one: bytes, other: bytes) -> float:
    matcher = SequenceMatcher(None, one.splitlines(), other.splitlines(), autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) * 2 / max(
        1, one.count(b"\n") + other.count(b"\n")
    )
