"""What a worker has stashed. The stash is one for all worktrees of a repository, so what one leaves in it, any other
may take out; here it gets a ref of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gastown.model.errors import RaceLost
from gastown.runtime import clones, git, rescue
from gastown.runtime.git import StrPath

_REF = "refs/stash"
# Where the entries of others are held while the stash is written anew without some: a kill in between loses none.
_HELD = "refs/gt/stash/"
_TRIES = 5


@dataclass(frozen=True)
class Entry:
    """One entry of the stash: its commit, its line in the list, and who made it when."""

    sha: str
    line: str
    name: str
    email: str
    when: float


def entries(repo: StrPath) -> list[Entry]:
    """The stash, newest first."""
    _put_back(repo)
    return _entries(repo)


def _entries(repo: StrPath) -> list[Entry]:
    if git.run(["rev-parse", "--verify", "--quiet", _REF], cwd=repo, check=False).code:
        return []
    shown = git.run(["log", "-g", "-z", "--format=%H%n%gs%n%cn%n%ce%n%ct", _REF, "--"], cwd=repo).fields()
    return [Entry(sha, line, name, email, float(when)) for sha, line, name, email, when in map(_rows, shown)]


def _rows(shown: str) -> list[str]:
    return shown.strip("\n").split("\n")


def made_by(found: Iterable[Entry], email: str, branches: str) -> list[Entry]:
    """Those of them that the worker with this address made, or that were made on a branch that begins with `branches`.

    On which branch, git tells in the entry's line alone, in the same words in every language.
    """
    return [
        one for one in found if one.email == email or one.line.startswith((f"WIP on {branches}", f"On {branches}"))
    ]


def take(repo: StrPath, wanted: Sequence[Entry], name: str, day: str) -> list[str]:
    """Move entries from the stash to refs/gt/rescue/<day>-<name>-<n>/stash-<m>, which it returns. The others stay."""
    shas = {one.sha for one in wanted}
    with clones.locked(repo):
        _put_back(repo)
        for _ in range(_TRIES):
            there = _entries(repo)
            mine = [one for one in there if one.sha in shas]
            if not mine:
                return []
            stem = rescue.free_stem(repo, f"{day}-{name}")
            refs = {f"{rescue.PREFIX}{stem}/stash-{number}": one.sha for number, one in enumerate(mine)}
            others = [one for one in reversed(there) if one.sha not in shas]
            held = {f"{_HELD}{number:04d}": one.sha for number, one in enumerate(others)}
            _create(repo, refs | held)
            # All of it goes at once, and only if nobody stashed anything meanwhile: an entry has no name to go by.
            gone = git.run(["update-ref", "-d", _REF, there[0].sha], cwd=repo, check=False).code == 0
            if gone:
                _push(repo, others)
            _delete(repo, held if gone else refs | held)
            if gone:
                return list(refs)
    raise RaceLost("others use the stash again and again", "try again")


def _put_back(repo: StrPath) -> None:
    """Put back what a killed `take` held."""
    rows = git.text(["for-each-ref", "--format=%(refname) %(objectname)", _HELD], cwd=repo).splitlines()
    if not rows:
        return
    held = dict(row.split(" ") for row in rows)
    there = {one.sha for one in _entries(repo)}
    lost = [sha for _, sha in sorted(held.items()) if sha not in there]
    shown = git.run(["show", "-z", "--no-patch", "--format=%H%n%s%n%cn%n%ce%n%ct", *lost], cwd=repo) if lost else None
    rows_of = [_rows(one) for one in shown.fields()] if shown else []
    _push(repo, [Entry(sha, line, name, email, float(when)) for sha, line, name, email, when in rows_of])
    _delete(repo, held)


def _push(repo: StrPath, oldest_first: Iterable[Entry]) -> None:
    for one in oldest_first:
        who = git.author_env(one.name, one.email, one.when)
        git.run(["update-ref", "--create-reflog", "-m", one.line, _REF, one.sha], cwd=repo, env=who)


def _create(repo: StrPath, refs: dict[str, str]) -> None:
    lines = "".join(f"create {ref}\0{sha}\0" for ref, sha in refs.items())
    git.run([*rescue.DURABLE, "update-ref", "--stdin", "-z"], cwd=repo, input=lines.encode())


def _delete(repo: StrPath, refs: dict[str, str]) -> None:
    lines = "".join(f"delete {ref}\0{sha}\0" for ref, sha in refs.items())
    git.run(["update-ref", "--stdin", "-z"], cwd=repo, input=lines.encode())
