"""Saving every byte of a worktree before it is reset or removed, without touching it or its index.

What is saved: the working tree with untracked files (ignored ones while they are small), the index, commits that
only a detached HEAD, its log or an unfinished operation names, the stash, and repositories nested inside.
It lands under refs/gt/rescue/<date>-<name>-<n>/ and, for reading, in a binary patch.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gastown.model import times
from gastown.model.errors import GtError, Refused
from gastown.model.text import counted
from gastown.runtime import git
from gastown.runtime.git import StrPath

PREFIX = "refs/gt/rescue/"
UNTRACKED_CAP = 2 << 30
IGNORED_FILE_CAP = 1 << 20
IGNORED_CAP = 50 << 20
# Folders that tools rebuild; saving them would cost more than making them again.
CACHES = frozenset(
    "node_modules .venv venv __pycache__ .tox .nox .mypy_cache .ruff_cache .pytest_cache .hypothesis target dist"
    " build .gradle .next .turbo .parcel-cache vendor .cache .eggs .terraform _build".split()
)
_OPERATIONS = (
    *("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "REBASE_HEAD", "ORIG_HEAD", "MERGE_AUTOSTASH"),
    *("rebase-merge/autostash", "rebase-apply/autostash", "rebase-merge/orig-head", "rebase-apply/orig-head"),
)
# Names that outlive a worktree: its own refs (bisect, refs/worktree) and HEAD go with it, a snapshot's ref moves on.
_LASTING = ("--branches", "--tags", "--remotes", "--glob=refs/gt/joined/*", f"--glob={PREFIX}*/*", "--glob=refs/stash")
DURABLE = ("-c", "core.fsync=all", "-c", "core.fsyncMethod=batch")
_RAW = ("-c", "core.autocrlf=false", "-c", "core.safecrlf=false", "-c", "core.fsmonitor=false")


@dataclass(frozen=True)
class Saved:
    """What was saved: new and older refs that hold it, the patch file, a line for people, what was left out."""

    refs: Mapping[str, str]
    patch: str | None
    description: str
    new: bool
    left_out: tuple[str, ...] = ()


@dataclass
class _Parts:
    """The commits that hold everything of one worktree, by the part of the ref's name; nothing points at them yet."""

    head: str | None
    wanted: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)


def save(repo: StrPath, path: StrPath, name: str, rescue_dir: StrPath, now: float) -> Saved:
    """Save every byte of the worktree `path` of `repo`; see the module. The same content again makes nothing new.

    Raises Refused if more untracked bytes than UNTRACKED_CAP would have to be saved, GtError if anything could
    not be read. When it returns, every ref was read back and its objects were found.
    """
    if "/" in name or not name:
        raise ValueError(f"{name!r} cannot be part of a ref")
    with _scratch() as scratch:
        parts = _collect(path, scratch)
    known = _rescued(repo)
    held = {part: known[sha] for part, sha in parts.wanted.items() if sha in known}
    fresh = {part: sha for part, sha in parts.wanted.items() if sha not in known}
    refs = {held[part]: parts.wanted[part] for part in held}
    stem = free_stem(repo, f"{times.day(now)}-{name}")
    made = {f"{PREFIX}{stem}/{part}": sha for part, sha in fresh.items()}
    if made:
        zero = "0" * len(next(iter(made.values())))
        lines = "".join(f"create {ref}\0{sha}\0" for ref, sha in made.items())
        git.run([*DURABLE, "update-ref", "--stdin", "-z"], cwd=repo, input=lines.encode())
        _verify(repo, made, zero)
    refs |= made
    patch = _write_patch(repo, parts, Path(rescue_dir), stem) if "work" in parts.wanted else None
    text = ", ".join(parts.counts) if parts.counts else "nothing to save: every byte is in a commit on a branch"
    return Saved(refs, patch, text, bool(made), tuple(parts.left_out))


def unsaved(repo: StrPath, path: StrPath, *, ignored: bool = True) -> dict[str, str]:
    """What of the worktree is neither on a lasting ref nor saved by `save`; empty: it may be reset or removed.

    By its part (work, index, commit-N, stash-N), the commit that would hold it. Without `ignored` files that
    .gitignore names do not count.
    """
    with _scratch() as scratch:
        parts = _collect(path, scratch, ignored=ignored)
    known = _rescued(repo)
    return {part: sha for part, sha in parts.wanted.items() if sha not in known}


def snapshot(repo: StrPath, path: StrPath, name: str) -> str | None:
    """Point refs/gt/rescue/<name> at the working tree as it is; the sha, None if it equals HEAD."""
    with _scratch() as scratch:
        parts = _Parts(_head(path))
        _working_tree(path, parts, scratch, ignored=False)
    sha = parts.wanted.get("work")
    if sha is not None:
        git.run(["update-ref", f"{PREFIX}{name}", sha], cwd=repo)
    return sha


def keep(repo: StrPath, sha: str, name: str, now: float) -> str:
    """Point a ref of its own at a commit that is about to be on no branch; its name. Kept already: that one."""
    if (known := _rescued(repo).get(sha)) is not None:
        return known
    stem = free_stem(repo, f"{times.day(now)}-{name.replace('/', '-')}")
    ref = f"{PREFIX}{stem}/commit-0"
    git.run([*DURABLE, "update-ref", ref, sha, "0" * len(sha)], cwd=repo)
    return ref


@contextmanager
def _scratch() -> Iterator[Path]:
    folder = tempfile.mkdtemp(prefix="gt-rescue-")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _head(path: StrPath) -> str | None:
    result = git.run(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], cwd=path, check=False)
    if result.code not in (0, 1):
        raise git.GitFailed(["rev-parse", "HEAD"], path, result.code, result.err)
    return result.text or None


def _collect(path: StrPath, scratch: Path, *, ignored: bool = True) -> _Parts:
    """Write the objects that hold the worktree, and say which commits must be kept."""
    parts = _Parts(_head(path))
    _index(path, parts, scratch)
    _working_tree(path, parts, scratch, ignored=ignored)
    _loose_commits(path, parts)
    for number, sha in enumerate(stashes(path)):
        parts.wanted[f"stash-{number}"] = sha
    if number := sum(part.startswith("stash-") for part in parts.wanted):
        parts.counts.append(f"{number} stashed")
    return parts


def _commit(path: StrPath, tree: str, head: str | None, message: str) -> str:
    """A commit whose sha follows from its content alone, so that saving the same again finds it."""
    when = float(git.text(["show", "-s", "--format=%ct", head], cwd=path)) if head else 0.0
    who = git.author_env("gt rescue", "rescue@gt.invalid", when)
    parent = ["-p", head] if head else []
    return git.text([*DURABLE, "commit-tree", "--no-gpg-sign", *parent, "-m", message, tree], cwd=path, env=who)


def _tree_of(path: StrPath, commit: str | None) -> str:
    if commit:
        return git.text(["rev-parse", f"{commit}^{{tree}}"], cwd=path)
    return git.text(["hash-object", "-t", "tree", "-w", "--stdin"], cwd=path, input=b"")


def _git_path(path: StrPath, name: str) -> Path:
    return Path(path, git.text(["rev-parse", "--git-path", name], cwd=path))


def _copy_index(path: StrPath, copy: Path) -> dict[str, str]:
    """The environment that makes `copy` the index; it starts as the worktree's own, which stays as it is."""
    env = {"GIT_INDEX_FILE": os.fspath(copy), "GIT_LITERAL_PATHSPECS": "1"}
    index = _git_path(path, "index")
    if index.exists():
        # With its time: git re-reads files that are as young as the index, and only those.
        shutil.copy2(index, copy)
    else:
        git.run(["read-tree", "--empty"], cwd=path, env=env)
    return env


def _index(path: StrPath, parts: _Parts, scratch: Path) -> None:
    """Keep the index if it differs from HEAD; a conflict's sides are kept as .gt-conflict/<stage>/<path>."""
    env = _copy_index(path, scratch / "index")
    unmerged = git.run(["ls-files", "--unmerged", "-z"], cwd=path, env=env).fields()
    if unmerged:
        zero = "0" * len(unmerged[0].split()[1])
        lines = []
        for entry in unmerged:
            info, _, file = entry.partition("\t")
            mode, sha, stage = info.split()
            lines += [f"0 {zero}\t{file}\0", f"{mode} {sha}\t.gt-conflict/{stage}/{file}\0"]
        data = "".join(lines).encode("utf-8", "surrogateescape")
        git.run(["update-index", "-z", "--index-info"], cwd=path, env=env, input=data)
    tree = git.text([*DURABLE, "write-tree"], cwd=path, env=env)
    if tree != _tree_of(path, parts.head):
        parts.wanted["index"] = _commit(path, tree, parts.head, "rescue: the index")
        parts.counts.append("staged changes")


def _working_tree(path: StrPath, parts: _Parts, scratch: Path, *, ignored: bool) -> None:
    """Keep what lies in the folder, if it differs from HEAD."""
    from gastown.runtime import nested

    env = _copy_index(path, scratch / "work")
    _unhide(path, env)
    asked = [*_RAW, "diff-files", "--name-only", "-z", "--ignore-submodules=none"]
    changed = git.run(asked, cwd=path, env=env).fields()
    others = git.run(["ls-files", "--others", "--exclude-standard", "-z"], cwd=path, env=env).fields()
    untracked = [file for file in others if not file.endswith("/")]
    _check_size(path, untracked)
    small = _small_ignored(path, env, parts) if ignored else []
    if changed:
        git.run([*DURABLE, *_RAW, "add", "--update"], cwd=path, env=env)
    if files := [*untracked, *small]:
        data = "".join(f"{file}\0" for file in files).encode("utf-8", "surrogateescape")
        args = [*DURABLE, *_RAW, "update-index", "--add", "--remove", "--replace", "-z", "--stdin"]
        git.run(args, cwd=path, env=env, input=data)
    archives = nested.archives(path, [file for file in others if file.endswith("/")], env)
    for name, archive in archives.items():
        blob = git.text([*DURABLE, "hash-object", "-w", "--no-filters", os.fspath(archive)], cwd=path)
        line = f"100644 {blob}\t.gt-nested/{name}.tar\0".encode("utf-8", "surrogateescape")
        git.run(["update-index", "-z", "--add", "--index-info"], cwd=path, env=env, input=line)
        archive.unlink()
    tree = git.text([*DURABLE, "write-tree"], cwd=path, env=env)
    for number, what in ((len(set(changed)), "changed"), (len(untracked), "untracked"), (len(small), "ignored")):
        if number:
            parts.counts.append(f"{number} {what}")
    parts.counts += [f"repository {name}" for name in archives]
    if tree != _tree_of(path, parts.head):
        parts.wanted["work"] = _commit(path, tree, parts.head, "rescue: the working tree")


def _unhide(path: StrPath, env: Mapping[str, str]) -> None:
    """Make files flagged assume-unchanged or skip-worktree count as what they are, in the copied index only."""
    rows = [entry.partition(" ")[::2] for entry in git.run(["ls-files", "-v", "-z"], cwd=path, env=env).fields()]
    hidden = [file for tag, file in rows if tag.islower() or tag == "S"]
    shown = [file for file in hidden if os.path.lexists(os.path.join(path, file))]
    if shown:
        data = "".join(f"{file}\0" for file in shown).encode("utf-8", "surrogateescape")
        for flag in ("--no-assume-unchanged", "--no-skip-worktree"):
            git.run(["update-index", flag, "-z", "--stdin"], cwd=path, env=env, input=data)


def _check_size(path: StrPath, files: list[str]) -> None:
    total = sum(os.lstat(os.path.join(path, file)).st_size for file in files)
    if total > UNTRACKED_CAP:
        raise Refused(
            f"{len(files)} untracked files in {os.fspath(path)} hold {total >> 20} MiB, too much to save",
            "commit, move or remove them, then try again; nothing was touched",
        )


def _small_ignored(path: StrPath, env: Mapping[str, str], parts: _Parts) -> list[str]:
    """Ignored files that are small, readable and not a tool's cache; the others are named in `left_out`."""
    args = ["ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"]
    kept: list[str] = []
    budget = IGNORED_CAP
    for entry in git.run(args, cwd=path, env=env).fields():
        for file in _walk(path, entry):
            parted = file.rstrip("/").split("/")
            full = os.path.join(path, file)
            if file.endswith("/") or CACHES.intersection(parted[:-1]) or parted[-1].endswith((".pyc", ".o", ".class")):
                parts.left_out.append(file)
                continue
            size = _readable_size(full)
            if size is None or size >= IGNORED_FILE_CAP or size > budget:
                parts.left_out.append(file)
                continue
            budget -= size
            kept.append(file)
    return kept


def _readable_size(path: str) -> int | None:
    """How many bytes there are to save; None if we may not read them."""
    try:
        found = os.lstat(path)
    except PermissionError:
        return None
    return found.st_size if stat.S_ISLNK(found.st_mode) or os.access(path, os.R_OK) else None


def _walk(path: StrPath, entry: str) -> Iterator[str]:
    """The regular files and links below an ignored entry.

    A cache, a repository, or a folder that we may not read (a container's) comes as one name ending in `/`.
    """
    if not entry.endswith("/"):
        yield entry
        return
    if os.path.basename(entry.rstrip("/")) in CACHES or os.path.lexists(os.path.join(path, entry, ".git")):
        yield entry
        return
    try:
        with os.scandir(os.path.join(path, entry)) as found:
            inside = sorted(found, key=lambda item: item.name)
    except PermissionError:
        yield entry
        return
    for one in inside:
        if one.is_dir(follow_symlinks=False):
            yield from _walk(path, f"{entry}{one.name}/")
        elif one.is_file(follow_symlinks=False) or one.is_symlink():
            yield f"{entry}{one.name}"


def _loose_commits(path: StrPath, parts: _Parts) -> None:
    """Keep commits that only this worktree's HEAD, its log or an unfinished operation names."""
    names = [parts.head] if parts.head else []
    for operation in _OPERATIONS:
        file = _git_path(path, operation)
        if file.exists():
            names += [word for word in file.read_text("utf-8").split() if _exists(path, word)]
    log = git.run(["rev-list", "--walk-reflogs", "--max-count=1000", "HEAD"], cwd=path, check=False)
    names += [sha for sha in log.text.splitlines() if log.code == 0]
    if not names:
        return
    listed = git.text(["rev-list", "--parents", *dict.fromkeys(names), "--not", *_LASTING], cwd=path)
    rows = [row.split() for row in listed.splitlines()]
    inner = {parent for row in rows for parent in row[1:]}
    tips = [row[0] for row in rows if row[0] not in inner]
    for number, sha in enumerate(tips):
        parts.wanted[f"commit-{number}"] = sha
    if rows:
        parts.counts.append(f"{counted(len(rows), 'commit')} on no branch")


def _exists(path: StrPath, sha: str) -> bool:
    return git.run(["cat-file", "-e", f"{sha}^{{commit}}"], cwd=path, check=False).code == 0


def stashes(path: StrPath) -> list[str]:
    """Every entry of the stash, newest first. It belongs to all worktrees, and stays as it is."""
    if git.run(["rev-parse", "--verify", "--quiet", "refs/stash"], cwd=path, check=False).code == 1:
        return []
    found = git.run(["rev-list", "--walk-reflogs", "refs/stash"], cwd=path, check=False)
    listed = found.text.splitlines() if found.code == 0 else []
    return listed or [git.text(["rev-parse", "refs/stash"], cwd=path)]


def _rescued(repo: StrPath) -> dict[str, str]:
    """Ref by sha of everything saved for good (a snapshot ref moves on, so it does not count)."""
    rows = git.text(["for-each-ref", "--format=%(objectname) %(refname)", PREFIX], cwd=repo).splitlines()
    found: dict[str, str] = {}
    for row in rows:
        sha, ref = row.split(" ", 1)
        if "/" in ref.removeprefix(PREFIX):
            found.setdefault(sha, ref)
    return found


def free_stem(repo: StrPath, stem: str) -> str:
    """`stem` with the first number under which nothing was saved yet."""
    rows = git.text(["for-each-ref", "--format=%(refname)", PREFIX], cwd=repo).splitlines()
    taken = {row.removeprefix(PREFIX).split("/")[0] for row in rows}
    number = 1
    while f"{stem}-{number}" in taken:
        number += 1
    return f"{stem}-{number}"


def _verify(repo: StrPath, made: Mapping[str, str], zero: str) -> None:
    """Read every new ref back and find every object it needs (beyond its parents' history)."""
    for ref, sha in made.items():
        if git.text(["rev-parse", "--verify", ref], cwd=repo) != sha or sha == zero:
            raise GtError(f"{ref} does not hold what was saved", "nothing was reset or removed; see `gt doctor`")
        git.run(["rev-list", "--objects", "--quiet", ref, "--not", f"{ref}^@"], cwd=repo)


def _write_patch(repo: StrPath, parts: _Parts, folder: Path, stem: str) -> str:
    """The saved working tree as a binary patch on HEAD. The same patch as before is not written twice."""
    from gastown.store import files

    base = parts.head or git.text(["hash-object", "-t", "tree", "--stdin"], cwd=repo, input=b"")
    args = ["diff-tree", "-p", "--binary", "--no-renames", "--no-ext-diff", "--no-textconv", base, parts.wanted["work"]]
    data = git.run(["-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false", *args], cwd=repo).out
    short = stem.rpartition("-")[0]
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = folder / (f"{short}.patch" if number == 1 else f"{short}-{number}.patch")
        if not path.exists():
            files.write(os.fspath(path), data)
            return os.fspath(path)
        if path.read_bytes() == data:
            return os.fspath(path)
        number += 1
