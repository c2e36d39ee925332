"""Worktrees of a rig's bare repository: made so that a crash can be repeated, and never emptied of unsaved work."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gastown.model.errors import NotFound, Refused
from gastown.runtime import clones, git, intact, nested, rescue
from gastown.runtime.git import StrPath

# What git writes into a new worktree's lock, and takes away once all files are there.
_UNFINISHED = "initializing"
_REUSED = "an attempt is never reused: start a new one"
_OPERATIONS = {
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}


@dataclass(frozen=True)
class WorktreeState:
    """What lies in a worktree. `unpushed` are the commits of HEAD that none of the asked refs has."""

    branch: str | None
    head: str | None
    staged: tuple[str, ...]
    unstaged: tuple[str, ...]
    untracked: tuple[str, ...]
    conflicts: tuple[str, ...]
    stashes: int
    unpushed: int
    operation: str | None

    @property
    def detached(self) -> bool:
        """True on no branch."""
        return self.branch is None

    @property
    def clean(self) -> bool:
        """True if nothing is staged, changed, untracked or under way. Ignored files and stashes do not count."""
        return not (self.staged or self.unstaged or self.untracked or self.conflicts or self.operation)


@dataclass(frozen=True)
class FileChange:
    """One file of a commit: `A` added, `M` changed, `D` deleted, `T` another kind of file."""

    kind: str
    path: str


def add(repo: StrPath, path: StrPath, branch: str, base: str, *, existing: bool = False) -> None:
    """A worktree at `path` on the new branch `branch` from `base`; finding exactly that already is success.

    A branch that exists is taken only if it still is at `base`, or with `existing` (a resumed attempt): then as it
    is. What a killed add left is cleared if it holds no work. Raises NotFound (base), Refused (path or branch in
    other use).
    """
    path = os.path.realpath(path)
    clones.configure(repo)
    start = clones.resolve(repo, base)
    if start is None:
        raise NotFound(f"{base!r} names no commit in {os.fspath(repo)}", "fetch first, or check the branch's name")
    with clones.locked(repo) as lock:
        entry = _registered(repo, path)
        if entry is not None and entry.get("locked") == _UNFINISHED:
            _clear_unfinished(repo, path, entry)
            entry = None
        if entry is not None and not os.path.isdir(path):
            _forget_missing(repo, path, entry)
            entry = None
        if entry is not None:
            if entry.get("branch") != f"refs/heads/{branch}":
                on = entry.get("branch", "a detached HEAD").removeprefix("refs/heads/")
                raise Refused(f"{path} is a worktree already, on {on}", "switch it, or choose another place")
            return
        if os.path.isdir(path) and os.listdir(path):
            raise Refused(f"{path} holds files that belong to no worktree", "look at them and move them away")
        git.run(["worktree", "add", "--quiet", *_which(repo, path, branch, start, existing)], cwd=repo, pass_fds=[lock])


def _which(repo: StrPath, path: str, branch: str, start: str, existing: bool) -> list[str]:
    now = clones.resolve(repo, f"refs/heads/{branch}")
    if now is None:
        return ["--no-track", "-b", branch, path, start]
    if now != start and not existing:
        raise Refused(f"branch {branch} exists and holds {now[:12]}", _REUSED)
    if (at := clones.branch_checked_out_at(repo, branch)) is not None:
        raise Refused(f"branch {branch} is checked out at {at}", "work there, or free it first")
    return [path, branch]


def _registered(repo: StrPath, path: str) -> dict[str, str] | None:
    for entry in clones.worktrees(repo):
        if os.path.realpath(entry["worktree"]) == path:
            return entry
    return None


def is_unfinished(repo: StrPath, path: StrPath) -> bool:
    """True while git makes a worktree there, and after that was killed until `add` clears it."""
    if not os.path.isdir(repo):
        return False
    entry = _registered(repo, os.path.realpath(path))
    return entry is not None and entry.get("locked") == _UNFINISHED


def _clear_unfinished(repo: StrPath, path: str, entry: Mapping[str, str]) -> None:
    """Remove a worktree whose making was killed, unless a file in it is not (the beginning of) one of its commit."""
    head = entry.get("HEAD", "")
    if os.path.isdir(path):
        listed = git.run(["ls-tree", "-r", "-z", head], cwd=repo).fields()
        blobs = {row.split("\t", 1)[1]: row.split()[2] for row in listed if row.startswith(("100", "120"))}
        for folder, folders, names in os.walk(path):
            names += [name for name in folders if os.path.islink(os.path.join(folder, name))]
            for name in names:
                file = os.path.relpath(os.path.join(folder, name), path)
                if file != ".git" and not _begins(repo, os.path.join(path, file), blobs.get(file)):
                    raise Refused(
                        f"{path} was left by a killed start, and {file} in it is not from git",
                        "look at it and move it away, then try again",
                    )
    git.run(["worktree", "unlock", path], cwd=repo)
    _drop(repo, path)


def _begins(repo: StrPath, file: str, blob: str | None) -> bool:
    """True if `file` is what checking `blob` out left, perhaps torn. A filtered file (LFS, line ends) is not known."""
    if blob is None:
        return False
    whole = git.run(["cat-file", "blob", blob], cwd=repo).out
    if os.path.islink(file):
        return os.fsencode(os.readlink(file)) == whole
    data = Path(file).read_bytes()
    return whole.startswith(data)


def _drop(repo: StrPath, path: str) -> None:
    # Twice forced: submodules stop git otherwise, and it is proven that nothing is lost.
    if os.path.lexists(os.path.join(path, ".git")):
        git.run(["worktree", "remove", "--force", "--force", path], cwd=repo)
    shutil.rmtree(path, ignore_errors=True)
    git.run(["worktree", "prune"], cwd=repo)


def _forget_missing(repo: StrPath, path: str, entry: Mapping[str, str]) -> None:
    """Forget a worktree whose folder was deleted by hand, keeping what only its HEAD and index name."""
    git_dir = admin_dir(repo, path)
    if git_dir is not None:
        wanted = {"head": entry.get("HEAD", "")}
        tree = git.run(["write-tree"], git_dir=git_dir, check=False)
        if tree.code == 0 and (index := git_dir / "index").exists():
            who = git.author_env("gt rescue", "rescue@gt.invalid", 0)
            args = ["commit-tree", "-p", wanted["head"], "-m", f"rescue: the index ({index.stat().st_size} bytes)"]
            wanted["index"] = git.text([*args, tree.text], cwd=repo, env=who)
        for part, sha in wanted.items():
            if sha:
                git.run(["update-ref", f"{rescue.PREFIX}missing-{git_dir.name}-{sha[:12]}/{part}", sha], cwd=repo)
    if "locked" in entry:
        git.run(["worktree", "unlock", path], cwd=repo)
    git.run(["worktree", "prune", "--expire=now"], cwd=repo)


def admin_dir(repo: StrPath, path: StrPath) -> Path | None:
    """The folder in the repository that holds a worktree's HEAD and index; None if git knows no such worktree."""
    wanted = os.path.join(os.path.realpath(path), ".git")
    for marker in Path(repo, "worktrees").glob("*/gitdir"):
        if os.path.realpath(marker.read_text("utf-8", "surrogateescape").rstrip("\n")) == wanted:
            return marker.parent
    return None


def state(path: StrPath, refs: Sequence[str] = ("--remotes=origin",)) -> WorktreeState:
    """Look at a worktree without changing it. `refs` are the revisions that count as pushed.

    Raises GtError if it cannot be read: that is never "clean".
    """
    args = ["-c", "core.fsmonitor=false", "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all"]
    fields = git.run([*args, "--no-renames", "--ignore-submodules=none"], cwd=path).fields()
    branch = head = None
    staged: list[str] = []
    unstaged: list[str] = []
    untracked: list[str] = []
    conflicts: list[str] = []
    for field in fields:
        if field.startswith("# branch.head "):
            branch = field.removeprefix("# branch.head ")
        elif field.startswith("# branch.oid "):
            head = field.removeprefix("# branch.oid ")
        elif field.startswith("? "):
            untracked.append(field[2:])
        elif field.startswith("u "):
            conflicts.append(field.split(" ", 10)[10])
        elif field.startswith("1 "):
            _, changed, *_, file = field.split(" ", 8)
            if changed[0] != ".":
                staged.append(file)
            if changed[1] != ".":
                unstaged.append(file)
    head = None if head == "(initial)" else head
    # git prints "(detached)" for no branch; a branch cannot be called that, but ask rather than compare.
    named = git.run(["symbolic-ref", "--quiet", "--short", "HEAD"], cwd=path, check=False)
    branch = named.text if named.code == 0 else None
    unpushed = int(git.text(["rev-list", "--count", "HEAD", "--not", *refs], cwd=path)) if head else 0
    return WorktreeState(
        branch, head, tuple(staged), tuple(unstaged), tuple(untracked), tuple(conflicts),
        len(rescue.stashes(path)), unpushed, operation(path),
    )  # fmt: skip


def operation(path: StrPath) -> str | None:
    """The merge, rebase, cherry-pick, revert or bisect that is under way in the worktree, None if there is none."""
    git_dir = Path(git.text(["rev-parse", "--absolute-git-dir"], cwd=path))
    return next((name for file, name in _OPERATIONS.items() if (git_dir / file).exists()), None)


def is_clean(path: StrPath) -> bool:
    """True if nothing is staged, changed, untracked or under way there."""
    return state(path).clean


def commit_all(
    path: StrPath, message: str, env: Mapping[str, str] | None = None
) -> tuple[str | None, tuple[FileChange, ...]]:
    """Commit everything that .gitignore lets in, deletions too; the sha and its files, (None, ()) if nothing changed.

    The repository's commit-msg hook adds the trailers from `env`. A repository nested in the worktree stays
    untouched: git could not hold its bytes. Raises Refused while a merge or rebase is unfinished.
    """
    now = state(path)
    if now.operation or now.conflicts:
        raise Refused(
            f"a {now.operation or 'merge'} is unfinished in {os.fspath(path)}", "finish or abort it: see git status"
        )
    if now.detached:
        raise Refused(f"{os.fspath(path)} is on no branch (detached HEAD)", "git switch -c NAME keeps its commits")
    git.run(["add", "--update"], cwd=path)
    new = [file for file in now.untracked if not file.endswith("/")]
    if new:
        data = "".join(f"{file}\0" for file in new).encode("utf-8", "surrogateescape")
        args = ["update-index", "--add", "--replace", "-z", "--stdin"]
        git.run(args, cwd=path, input=data)
    if git.succeeds(["diff-index", "--cached", "--quiet", "--ignore-submodules=none", "HEAD"], cwd=path):
        return None, ()
    git.run(["commit", "--quiet", "--no-gpg-sign", "-F", "-"], cwd=path, env=env, input=message.encode())
    return git.text(["rev-parse", "HEAD"], cwd=path), changes(path, "HEAD")


def changes(path: StrPath, commit: str, since: str | None = None) -> tuple[FileChange, ...]:
    """The files that `commit` changed against its first parent, or against `since`."""
    args = ["diff-tree", "-r", "-z", "--name-status", "--no-renames"]
    args += [since, commit] if since else ["--root", "--no-commit-id", "-m", "--first-parent", commit]
    fields = git.run(args, cwd=path).fields()
    return tuple(FileChange(kind, file) for kind, file in zip(fields[::2], fields[1::2], strict=True))


class Unsaved(Refused):
    """A worktree holds what is nowhere else, and so is not emptied."""


def switch_fresh(
    repo: StrPath, path: StrPath, branch: str, base: str, *, clear: Callable[[], object] = lambda: None
) -> None:
    """Put an idle worktree on the new branch `branch` from `base`, with `base`'s files. Repeating it is success.

    Ignored files stay, so that a build is fast. Raises Unsaved if anything in it is not saved (`rescue.save`).
    `clear` is called when `base`'s files are there and it is on no branch yet: killed then, it is done again.
    """
    clones.configure(repo)
    start = clones.resolve(repo, base)
    if start is None:
        raise NotFound(f"{base!r} names no commit in {os.fspath(repo)}", "fetch first, or check the branch's name")
    with clones.locked(repo) as lock:
        intact.require(repo, path)
        now = state(path)
        if now.branch == branch and now.head == start and now.clean:
            return
        existing = clones.resolve(repo, f"refs/heads/{branch}")
        if existing is not None and existing != start:
            raise Refused(f"branch {branch} exists and holds {existing[:12]}", _REUSED)
        _require_saved(repo, path, now, ignored=False)
        if not now.clean:
            _empty(path, now, lock)
        # Untracked files that the new base has are saved by now: they may give way.
        git.run(["switch", "--quiet", "--force", "--detach", start], cwd=path, pass_fds=[lock])
        clear()
        args = ["switch", "--quiet", "--force", "--no-track", "--ignore-other-worktrees", "-C", branch, start]
        git.run(args, cwd=path, pass_fds=[lock])


def _empty(path: StrPath, now: WorktreeState, lock: int) -> None:
    """Throw away what is proven to be saved: the operation under way, changes, untracked files."""
    if now.operation:
        git_dir = Path(git.text(["rev-parse", "--absolute-git-dir"], cwd=path))
        for name in _OPERATIONS:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(git_dir / name) if (git_dir / name).is_dir() else (git_dir / name).unlink()
    git.run(["reset", "--quiet", "--hard"], cwd=path, pass_fds=[lock])
    git.run(["clean", "--quiet", "-ffd"], cwd=path, pass_fds=[lock])


def _require_saved(repo: StrPath, path: StrPath, now: WorktreeState, *, ignored: bool = True) -> None:
    missing = rescue.unsaved(repo, path)
    if missing and not ignored:
        missing = rescue.unsaved(repo, path, ignored=False)
    # A stash belongs to the repository and stays there whatever happens to this worktree.
    if any(not part.startswith("stash-") for part in missing):
        count = len(now.staged) + len(now.unstaged) + len(now.untracked) + len(now.conflicts)
        what = f"{count} changed files" if count else "commits or ignored files that are nowhere else"
        raise Unsaved(
            f"{os.fspath(path)} holds unsaved work: {what}", "commit it, or let gt save it first; nothing was touched"
        )


def remove(repo: StrPath, path: StrPath) -> None:
    """Remove a worktree in which every byte is on a branch or saved by `rescue.save`; gone already is success.

    Raises Refused otherwise. Ignored files that `save` left out (caches, large files) go with it.
    """
    path = os.path.realpath(path)
    with clones.locked(repo):
        entry = _registered(repo, path)
        if entry is None:
            if os.path.isdir(path) and os.listdir(path):
                raise Refused(f"{path} holds files that belong to no worktree", "look at them and move them away")
            return
        if not os.path.isdir(path):
            _forget_missing(repo, path, entry)
            return
        intact.require(repo, path)
        now = state(path)
        _require_saved(repo, path, now)
        _drop(repo, path)


def clear_locks(path: StrPath) -> list[str]:
    """Remove index and HEAD locks that a killed git left in the worktree; the files removed.

    Only for a worktree whose session is proven to be over: git's locks do not say whose they are.
    """
    git_dir = Path(git.text(["rev-parse", "--absolute-git-dir"], cwd=path))
    found = [git_dir / "index.lock", git_dir / "HEAD.lock"]
    removed = [os.fspath(lock) for lock in found if lock.exists()]
    for lock in removed:
        os.unlink(lock)
    return removed


def submodules(path: StrPath) -> list[str]:
    """The submodules that are checked out in the worktree."""
    return nested.submodules(path)
