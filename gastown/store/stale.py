"""Which version of a file an edit began from, where an editor may have kept an older one while gt wrote.

Nothing on the disk says it, so it is told by what the saved file holds: what only the newest version has cannot be in
a buffer that was opened before.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from gastown.model.errors import InvalidFile
from gastown.model.merge import MISSING, same, shown, text_of
from gastown.store import filemerge, git, gitindex, layout, orders
from gastown.store import yaml as yaml_store
from gastown.store.gitrepo import Repo, new_blob

# An editor may keep a file open for long, but a day later nobody saves what it showed then.
KEPT = 86_400.0
# What is only ever added to: by which keys an item is known.
_APPENDED = {"notes": ("at", "by"), "sessions": ("id",)}
_MOST = 16
_AT_ONCE = 200
_NULL = b"0" * 40


class Versions:
    """The recent versions of files, as git has them; asked of git once for all `paths`, and only if need be.

    git reads all commits of a day for it: who holds the town lock next calls `look` before.
    """

    def __init__(self, repo: Repo, paths: Iterable[str]) -> None:
        self._repo = repo
        self._paths = sorted(set(paths))
        self._found: dict[str, list[bytes]] = {}
        self._head: bytes | None = None

    def of(self, path: str) -> list[bytes]:
        """What a file held in the last day, newest first."""
        self.look()
        return [bytes(self._repo.get(sha).as_raw_string()) for sha in self._found.get(path, [])[:_MOST]]

    def look(self) -> None:
        """Ask git, if HEAD has moved since the last time: then only for the commits that came."""
        head = self._repo.head()[1]
        if head is None or head == self._head:
            return
        wanted = head if self._head is None else self._head + b".." + head
        came: dict[str, list[bytes]] = {}
        for start in range(0, len(self._paths), _AT_ONCE):
            self._ask(wanted.decode(), self._paths[start : start + _AT_ONCE], came)
        for path, seen in came.items():
            self._found[path] = [*seen, *(sha for sha in self._found.get(path, ()) if sha not in seen)]
        self._head = head

    def _ask(self, wanted: str, paths: list[str], found: dict[str, list[bytes]]) -> None:
        since = f"--since=@{int(time.time() - KEPT)}"
        args = ["--literal-pathspecs", "log", since, "--format=", "--raw", "-z", "--no-abbrev", "--no-renames"]
        fields = iter(git.run([*args, wanted, "--", *paths], cwd=self._repo.root)[1].split(b"\0"))
        for meta in fields:
            if not meta.strip().startswith(b":"):
                continue
            seen = found.setdefault(next(fields).decode("utf-8", "surrogateescape"), [])
            _, _, old, new, _ = meta.split()
            seen += [sha for sha in (new, old) if sha not in (*seen, _NULL)]


def began_from(path: str, now: bytes, olds: Sequence[bytes], data: bytes) -> bytes:
    """The version, of `now` and the `olds` (newest first), that an edit which came to `data` is nearest to.

    Only `now`, if it holds anything that came after the old one, or if any of them cannot be read.
    """
    newest, edited = facts(path, now), facts(path, data)
    if newest is None or edited is None:
        return now
    best, least = now, _distance(newest, edited)
    for old in olds:
        there = facts(path, old)
        if there is None or (edited - there) & (newest - there):
            continue
        if _distance(there, edited) < least:
            best, least = old, _distance(there, edited)
    return best


def is_nearer(path: str, now: bytes, old: bytes, data: bytes) -> bool:
    """True if an edit which came to `data` is nearer to `now` than to `old`, and holds something that only `now` has.

    False if any of them cannot be read.
    """
    newest, there, edited = facts(path, now), facts(path, old), facts(path, data)
    if newest is None or there is None or edited is None:
        return False
    came = newest - there
    return bool(came & (edited - there)) and _distance(newest, edited) < _distance(there, edited)


def gave_way(path: str, data: bytes, whole: bytes | None) -> dict[str, tuple[str, str]]:
    """By key where an edit that came to `data` says otherwise than what became of it: the value that stays, and its.

    Content alone cannot tell a value that was taken back from one that an old buffer still had. Notes and sessions are
    only ever added to: none of an edit's gives way.
    """
    after, before = _doc(path, whole) if filemerge.is_document(path) and whole else None, _doc(path, data)
    if after is None or before is None:
        return {}
    keys = [key for key in dict.fromkeys([*after, *before]) if key not in (*_APPENDED, "conflicts")]
    values = {key: (after.get(key, MISSING), before.get(key, MISSING)) for key in keys}
    return {key: (_said(one), _said(other)) for key, (one, other) in values.items() if not same(one, other)}


def _said(value: object) -> str:
    return "none" if value is MISSING else shown(value)


def is_that(path: str, version: bytes, data: bytes) -> bool:
    """True if an edit says nothing else than a version does."""
    return facts(path, version) == facts(path, data)


def facts(path: str, data: bytes) -> Counter[str] | None:
    """What a file says, one by one: the values and items of a document, the lines of a text; None if unreadable."""
    if not filemerge.is_document(path):
        return Counter(line for line in data.decode("utf-8", "replace").splitlines() if line.strip())
    doc = _doc(path, data)
    return None if doc is None else Counter(f"{key}: {one}" for key, value in doc.items() for one in _parts(key, value))


def _parts(key: str, value: Any) -> list[str]:
    if isinstance(value, list):
        # A note whose words were mended is that note all the same.
        named = [f"is {_name(key, one)}" for one in value] if key in _APPENDED else []
        return [*named, *(text_of(one) for one in value)]
    if isinstance(value, str) and "\n" in value:
        return [line for line in value.splitlines() if line.strip()]
    return [text_of(value)]


def _distance(one: Counter[str], other: Counter[str]) -> int:
    return ((one - other) + (other - one)).total()


def loses(path: str, now: bytes, data: bytes) -> bool:
    """True if notes or sessions that are in `now` are not in `data`."""
    before, after = _bead(path, now), _bead(path, data)
    return bool(before and after and any(_missing(key, before, after) for key in _APPENDED))


def kept(path: str, now: bytes, data: bytes, keys: Iterable[str] = tuple(_APPENDED)) -> bytes:
    """An edit with the items of append-only lists that it left out."""
    before, after = _bead(path, now), _bead(path, data)
    if before is None or after is None:
        return data
    gone = {key: items for key in keys if (items := _missing(key, before, after))}
    if not gone:
        return data
    whole = after | {key: _in_order(before[key], after.get(key) or [], items) for key, items in gone.items()}
    return yaml_store.rewrite(data, whole, orders.for_path(path), path)


def _missing(key: str, before: dict[str, Any], after: dict[str, Any]) -> list[Any]:
    """The items left out. Several may have one name, as two notes of a second have: the words tell which is gone."""
    old, new = before.get(key) or [], after.get(key) or []
    gone = Counter(_name(key, one) for one in old) - Counter(_name(key, one) for one in new)
    found = []
    for one in reversed(old):
        if gone[_name(key, one)] > 0 and one not in new:
            gone[_name(key, one)] -= 1
            found.append(one)
    return found


def _name(key: str, item: Any) -> str:
    return text_of([item.get(name) for name in _APPENDED[key]] if isinstance(item, dict) else item)


def _in_order(before: list[Any], after: list[Any], gone: list[Any]) -> list[Any]:
    """The items of both, those left out in their old places as far as there are any."""
    return [one for one in before if one in gone or one in after] + [one for one in after if one not in before]


def _bead(path: str, data: bytes) -> dict[str, Any] | None:
    return _doc(path, data) if layout.bead_of_path(path) else None


def _doc(path: str, data: bytes) -> dict[str, Any] | None:
    try:
        doc: dict[str, Any] = yaml_store.load(data, path)
    except InvalidFile:
        return None
    return doc


def is_staged(repo: Repo, path: str, data: bytes) -> bool:
    """True if git's index holds that content: who puts an old version back by `git checkout OLD -- FILE` means it.

    Not where gt itself could not bring the index up to date yet: then it is older by itself.
    """
    if path in gitindex.pending(repo.root):
        return False
    _, out = git.run(["--literal-pathspecs", "ls-files", "--stage", "-z", "--", path], cwd=repo.root)
    return new_blob(data).id in out.split()
