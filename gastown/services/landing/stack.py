"""Stacking queued commits on a target in the refinery's own worktree: rebased, squashed or merged.

A conflict is never resolved here: the entry is set aside with what git says, and the stack
goes on without it (lifecycle.md, Refinery). No branch is touched, only a detached HEAD.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile

from gastown.model.message import header_text
from gastown.model.queue import Entry
from gastown.runtime import git, joins

# A person's own settings must not decide a merge: no recorded resolutions, no hooks, no signing prompts.
_PLAIN = (
    "-c", "rerere.enabled=false", "-c", "rerere.autoUpdate=false", "-c", "core.hooksPath=/dev/null",
    "-c", "commit.gpgSign=false", "-c", "merge.ff=true", "-c", "merge.conflictStyle=merge", "-c", "gc.auto=0",
    "-c", "advice.detachedHead=false",
)  # fmt: skip
_CONFLICT_LINES = 60


@dataclass(frozen=True)
class Stacked:
    """One entry on the stack: `tip` is the commit with which all of it is there."""

    entry: Entry
    tip: str


@dataclass(frozen=True)
class SetAside:
    """One entry that did not apply on `onto`: which files, and git's conflict text."""

    entry: Entry
    onto: str
    files: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Failed:
    """One entry that git could not put on the stack at all, and what it said: no conflict, but nothing known."""

    entry: Entry
    text: str


@dataclass(frozen=True)
class Stack:
    """What lies checked out in the worktree. `empty` entries changed nothing on top of the others."""

    base: str
    tip: str
    items: tuple[Stacked, ...]
    conflicts: tuple[SetAside, ...]
    empty: tuple[Entry, ...]
    failed: tuple[Failed, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What is on it, in order."""
        return tuple(item.entry for item in self.items)


def checkout(desk: str, commit: str, *, keep_ignored: bool) -> None:
    """Put exactly `commit` into the worktree, whatever a killed run or a gate left there.

    `keep_ignored` spares ignored files, which the rig's setup commands made.
    """
    _git(desk, "checkout", "--quiet", "--force", "--detach", commit)
    _git(desk, "reset", "--quiet", "--hard", commit)
    _git(desk, "clean", "-ffdq" if keep_ignored else "-ffdxq")


def build(
    desk: str, base: str, entries: Iterable[Entry], *, merge: str, identity: Mapping[str, str], keep_ignored: bool
) -> Stack:
    """Stack `entries` in order on commit `base`. `merge` is rebase, squash or merge; `identity` the committer's env.

    Raises GitFailed for trouble that is not one entry's own.
    """
    checkout(desk, base, keep_ignored=keep_ignored)
    tip = base
    items: list[Stacked] = []
    conflicts: list[SetAside] = []
    empty: list[Entry] = []
    failed: list[Failed] = []
    for entry in entries:
        done = _apply(desk, tip, base, entry, merge, identity)
        if isinstance(done, SetAside):
            conflicts.append(done)
        elif isinstance(done, Failed):
            failed.append(done)
        elif done == tip:
            empty.append(entry)
        else:
            tip = done
            items.append(Stacked(entry, tip))
            continue
        _git(desk, "reset", "--quiet", "--hard", tip)
        _git(desk, "clean", "-ffdq")
    return Stack(base, tip, tuple(items), tuple(conflicts), tuple(empty), tuple(failed))


def _apply(
    desk: str, tip: str, base: str, entry: Entry, merge: str, identity: Mapping[str, str]
) -> str | SetAside | Failed:
    """The new tip with `entry` on it; `tip` itself if that changes nothing."""
    try:
        if merge == "merge":
            return _merge(desk, tip, entry, identity)
        # Replaying a branch commit by commit would lose what a merge inside it has decided.
        if merge == "squash" or _merges_inside(desk, base, entry):
            return _squash(desk, tip, entry, identity)
        return _rebase(desk, tip, base, entry, identity)
    except git.GitFailed as error:
        return Failed(entry, error.message)


def _merges_inside(desk: str, base: str, entry: Entry) -> bool:
    """True if the branch has merges of its own: what it was begun on may have been a join that is none of its work."""
    span = (f"{base}..{entry.commit}", "--not", f"--glob={joins.JOINED}*")
    return bool(_git(desk, "rev-list", "--merges", "--max-count=1", *span))


def _rebase(desk: str, tip: str, base: str, entry: Entry, identity: Mapping[str, str]) -> str | SetAside:
    start = tip
    for commit in _not_there(desk, tip, base, entry):
        trouble = _try(desk, start, entry, "cherry-pick", "--no-commit", "--allow-empty", commit)
        if trouble:
            return trouble
        tree = _git(desk, "write-tree")
        if tree == _git(desk, "rev-parse", f"{tip}^{{tree}}"):
            continue
        message = _raw(desk, "show", "--no-patch", "--format=%B", commit)
        tip = _commit(desk, tree, (tip,), message, entry, {**identity, **_author(desk, commit)})
    return tip


def _not_there(desk: str, tip: str, base: str, entry: Entry) -> list[str]:
    """The entry's commits in order, without those at its beginning that the target has already.

    Each of these would only apply onto what came before it. That git finds their like is not enough: it ignores
    white space, and a like may have been reverted since. All of them together must change nothing any more.
    """
    listed = _git(desk, "rev-list", "--reverse", "--topo-order", "--cherry-mark", "--right-only",
                  f"{base}...{entry.commit}", "--not", f"--glob={joins.JOINED}*").split()  # fmt: skip
    marked = list(takewhile(lambda commit: commit.startswith("="), listed))
    commits = [commit.lstrip("=+") for commit in listed]
    there = bool(marked) and joins.adds_nothing(desk, tip, commits[len(marked) - 1])
    return commits[len(marked) :] if there else commits


def _squash(desk: str, tip: str, entry: Entry, identity: Mapping[str, str]) -> str | SetAside:
    trouble = _try(desk, tip, entry, "merge", "--squash", "--quiet", entry.commit)
    if trouble:
        return trouble
    tree = _git(desk, "write-tree")
    if tree == _git(desk, "rev-parse", f"{tip}^{{tree}}"):
        return tip
    subjects = _git(desk, "log", "--reverse", "--no-merges", "--format=%s", f"{tip}..{entry.commit}").splitlines()
    if len(subjects) == 1:
        message = _raw(desk, "show", "--no-patch", "--format=%B", entry.commit)
    else:
        message = (f"{header_text(entry.title)}\n\n" + "".join(f"* {subject}\n" for subject in subjects)).encode()
    return _commit(desk, tree, (tip,), message, entry, {**identity, **_author(desk, entry.commit)})


def _merge(desk: str, tip: str, entry: Entry, identity: Mapping[str, str]) -> str | SetAside:
    if git.succeeds(["merge-base", "--is-ancestor", entry.commit, tip], cwd=desk):
        return tip
    trouble = _try(desk, tip, entry, "merge", "--no-ff", "--no-commit", "--quiet", entry.commit)
    if trouble:
        return trouble
    tree = _git(desk, "write-tree")
    message = f"Merge {entry.branch}: {header_text(entry.title)}\n".encode()
    return _commit(desk, tree, (tip, entry.commit), message, entry, identity)


def _try(desk: str, onto: str, entry: Entry, *args: str) -> SetAside | None:
    """Run one applying command: None if it applied, the conflict if it did not; GitFailed for any other trouble.

    `onto` is what lay there before any of the entry's commits did.
    """
    result = git.run([*_PLAIN, *args], cwd=desk, check=False)
    files = git.run(["diff", "--name-only", "--diff-filter=U", "-z"], cwd=desk).fields()
    if result.code == 0 and not files:
        return None
    if not files:
        raise git.GitFailed(args, desk, result.code, result.err + result.out)
    shown = _git(desk, "diff", "--no-ext-diff", "--no-textconv").splitlines()
    more = [] if len(shown) <= _CONFLICT_LINES else [f"… {len(shown) - _CONFLICT_LINES} more lines"]
    return SetAside(entry, onto, tuple(files), "\n".join([*shown[:_CONFLICT_LINES], *more]))


def _commit(
    desk: str, tree: str, parents: tuple[str, ...], message: bytes, entry: Entry, env: Mapping[str, str]
) -> str:
    args = ["commit-tree", tree, *(word for parent in parents for word in ("-p", parent)), "-F", "-"]
    commit = git.run([*_PLAIN, *args], cwd=desk, env=env, input=_with_trailers(desk, message, entry)).text
    _git(desk, "reset", "--quiet", "--hard", commit)
    return commit


def _with_trailers(desk: str, message: bytes, entry: Entry) -> bytes:
    wanted = [f"Bead: {entry.source}"] if entry.source else []
    wanted += [f"Agent: {entry.worker}"] if entry.worker else []
    flags = [word for one in wanted for word in ("--trailer", one)]
    if not flags:
        return message
    args = ["interpret-trailers", "--if-exists", "doNothing", *flags]
    return git.run(args, cwd=desk, input=message.rstrip() + b"\n").out


def _author(desk: str, commit: str) -> dict[str, str]:
    shown = _raw(desk, "show", "--no-patch", "--date=raw", "--format=%an%x00%ae%x00%ad", commit)
    name, email, date = shown.decode("utf-8", "surrogateescape").strip("\n").split("\0")
    return {"GIT_AUTHOR_NAME": name or "unknown", "GIT_AUTHOR_EMAIL": email, "GIT_AUTHOR_DATE": f"@{date}"}


def _git(desk: str, *args: str) -> str:
    return git.text([*_PLAIN, *args], cwd=desk)


def _raw(desk: str, *args: str) -> bytes:
    return git.run([*_PLAIN, *args], cwd=desk).out
