"""Joining two histories of a branch in one commit: without a worktree of anybody's, and alike whoever does it."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass

from gastown.runtime import clones, git
from gastown.runtime.git import StrPath

# Every join that was made and has not landed, named by what it joins. What began on one keeps it in reach.
JOINED = "refs/gt/joined/"
# The first git that merges without a worktree.
_MERGE_TREE = (2, 38)
_PLAIN = ("-c", "core.hooksPath=/dev/null", "-c", "merge.renames=true", "-c", "merge.directoryRenames=conflict",
          "-c", "rerere.enabled=false", "-c", "advice.detachedHead=false", "-c", "commit.gpgSign=false")  # fmt: skip


@dataclass(frozen=True)
class Join:
    """`commit` holds all of both; None where they conflict in `files` (none: they share no commit at all)."""

    commit: str | None
    files: tuple[str, ...] = ()


def join(repo: StrPath, ours: str, theirs: str, *, message: str, who: tuple[str, str]) -> Join:
    """The merge of two commits. The same two give the same commit, made only once: its time is that of the newer."""
    ref = f"{JOINED}{ours[:20]}-{theirs[:20]}"
    known = clones.resolve(repo, ref)
    if known is not None:
        return Join(known)
    if clones.merge_base(repo, ours, theirs) is None:
        return Join(None)
    tree, files = _merged(repo, ours, theirs)
    if tree is None:
        return Join(None, files)
    when = max(float(git.text(["show", "-s", "--format=%ct", one], cwd=repo)) for one in (ours, theirs))
    args = ["commit-tree", "--no-gpg-sign", tree, "-p", ours, "-p", theirs, "-m", message]
    made = git.text(args, cwd=repo, env=git.author_env(*who, when))
    git.run(["update-ref", ref, made], cwd=repo)
    return Join(made)


def adds_nothing(repo: StrPath, ours: str, theirs: str) -> bool:
    """True if `ours` holds all that `theirs` has changed: merging it, of which nothing is kept, leaves its tree."""
    return _merged(repo, ours, theirs)[0] == git.text(["rev-parse", f"{ours}^{{tree}}"], cwd=repo)


def _merged(repo: StrPath, ours: str, theirs: str) -> tuple[str | None, tuple[str, ...]]:
    return _merge_tree(repo, ours, theirs) if git.version() >= _MERGE_TREE else _merge(repo, ours, theirs)


def _merge_tree(repo: StrPath, ours: str, theirs: str) -> tuple[str | None, tuple[str, ...]]:
    args = [*_PLAIN, "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", ours, theirs]
    done = git.run(args, cwd=repo, check=False)
    if done.code not in (0, 1):
        raise git.GitFailed(args, repo, done.code, done.err)
    tree, *files = done.fields()
    return (tree, ()) if done.code == 0 else (None, tuple(files))


def _merge(repo: StrPath, ours: str, theirs: str) -> tuple[str | None, tuple[str, ...]]:
    """The same in a worktree that is there only for this."""
    with tempfile.TemporaryDirectory(prefix="gt-join-") as folder:
        path = os.path.join(folder, "tree")
        git.run([*_PLAIN, "worktree", "add", "--quiet", "--detach", path, ours], cwd=repo)
        try:
            args = [*_PLAIN, "merge", "--quiet", "--no-ff", "--no-commit", theirs]
            done = git.run(args, cwd=path, env=git.author_env("gt", "gt@gt.invalid"), check=False)
            files = git.run(["diff", "--name-only", "--diff-filter=U", "-z"], cwd=path).fields()
            if done.code and not files:
                raise git.GitFailed(args, path, done.code, done.err)
            return (None, tuple(files)) if files else (git.text(["write-tree"], cwd=path), ())
        finally:
            git.run(["worktree", "remove", "--force", path], cwd=repo)


def forget(repo: StrPath, landed: str) -> None:
    """Let go of the joins that `landed` holds."""
    refs = git.text(["for-each-ref", "--format=%(refname)", f"--merged={landed}", JOINED], cwd=repo).split()
    for ref in refs:
        git.run(["update-ref", "-d", ref], cwd=repo)
