"""A rig's bare repository, `work/<rig>/.repo.git`: made once, configured, asked and moved by compare-and-swap.

The remote's branches live under refs/remotes/origin/, so refs/heads/ holds the agents' work and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from gastown.model.errors import GtError, NotFound, RaceLost, Refused
from gastown.runtime import git, remotes
from gastown.runtime.git import StrPath
from gastown.store import files, flock, refs
from gastown.store.resources import data_path

_REFINERY_KEY = "gt.refinery"
# What git names as the repository that it cannot push to, where a person's own is the origin.
NO_PUSH = "nothing is pushed from here, work lands in this clone by gt done"
_LFS = ("clean", "smudge", "process")
_LIKELY = ("main", "master", "trunk", "develop")
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
# Who waits longer for another process says so; seconds.
WORD_AFTER = 2.0


def clone(
    source: str,
    dest: StrPath,
    *,
    branch: str | None = None,
    base: StrPath = ".",
    progress: Callable[[str], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> str:
    """Clone `source` (a URL, or a path relative to `base`) bare to `dest`; return the rig's target branch.

    That is `branch`, or what the remote's HEAD names. It is made beside `dest` and renamed at the end: after a
    failure nothing is left. One process at a time makes it; who has to wait long says so to `say`.
    Raises RemoteUnreachable, NotFound (no such branch, with near ones), Refused (it is there already) or GtError.
    """
    dest = Path(dest)
    _require_free(dest)
    source = git.absolute(source, base)
    with _making(dest, say or (lambda _: None)) as handle:
        _require_free(dest)
        offered = remotes.look(source, cwd=base)
        target = choose(offered, source, branch)
        sha256 = len(offered.refs[f"refs/heads/{target}"]) == 64
        _clone_to(source, dest, target, sha256, progress, handle)
    return target


def _require_free(dest: Path) -> None:
    if dest.exists():
        raise Refused(f"{dest} exists already", "remove the rig first, or choose another name")


@contextlib.contextmanager
def _making(dest: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Be the one who makes `dest`, once whoever was first is done; yields the lock's descriptor.

    Lock and folder go again while the lock is held: who waits for a file that is gone by then makes both anew.
    """
    lock = dest.with_name(f"{dest.name}.cloning.lock")
    holder = f"another clone to {dest}"
    with contextlib.ExitStack() as stack:
        handle, made, patience = None, False, [WORD_AFTER, remotes.MOVE_TIMEOUT]
        while handle is None:
            try:
                made = not dest.parent.exists()
                dest.parent.mkdir(parents=True, exist_ok=True)
                handle = stack.enter_context(flock.hold(lock, timeout=patience[0], poll=0.02))
            except FileNotFoundError:
                continue  # it was removed between the two
            if handle is None and len(patience) == 1:
                raise RaceLost(f"{holder} is at work", "try again in a moment")
            if handle is None:
                say(f"waiting for {holder}, which is at work")
                del patience[0]
        try:
            yield handle
        finally:
            lock.unlink(missing_ok=True)
            if made:
                with contextlib.suppress(OSError):
                    dest.parent.rmdir()


def _clone_to(
    source: str, dest: Path, target: str, sha256: bool, progress: Callable[[str], None] | None, handle: int
) -> None:
    # One fixed name, so that what a killed clone left is found; under the lock, which its git would still hold.
    repo = dest.with_name(f"{dest.name}.cloning")
    shutil.rmtree(repo, ignore_errors=True)
    try:
        form = ["--object-format=sha256"] if sha256 else []
        git.run(["init", "--quiet", "--bare", "--template=", *form, os.fspath(repo)], cwd=dest.parent)
        git.run(["config", "remote.origin.url", source], cwd=repo)
        git.run(["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"], cwd=repo)
        args = ["-c", "maintenance.auto=false", "-c", "gc.auto=0", "fetch", "--no-recurse-submodules"]
        args += ["--no-write-fetch-head", "--update-shallow", "--progress", "origin"]
        git.run(args, cwd=repo, on_progress=progress, timeout=remotes.MOVE_TIMEOUT, pass_fds=[handle])
        if resolve(repo, f"refs/remotes/origin/{target}") is None:
            raise GtError(f"{git.mask(source)} changed while it was cloned", "try again")
        git.run(["symbolic-ref", "refs/remotes/origin/HEAD", f"refs/remotes/origin/{target}"], cwd=repo)
        # Its own HEAD names no branch of anybody's: no local branch must look checked out here.
        git.run(["symbolic-ref", "HEAD", "refs/heads/gt/none"], cwd=repo)
        configure(repo, home=dest)
        os.rename(repo, dest)
    finally:
        shutil.rmtree(repo, ignore_errors=True)


def choose(offered: remotes.RemoteHeads, source: str, wanted: str | None) -> str:
    """The target branch: the wanted one, the remote's HEAD, or the one that a detached HEAD must mean.

    Raises NotFound where there is no such branch (with near ones), GtError where there is none at all.
    """
    heads = [ref.removeprefix("refs/heads/") for ref in offered.refs if ref.startswith("refs/heads/")]
    shown = git.mask(source)
    if not heads:
        raise GtError(f"{shown} has no commits on any branch", "make a first commit there, then add the rig again")
    if wanted is not None:
        if wanted in heads:
            return wanted
        import difflib

        near = difflib.get_close_matches(wanted, heads, n=3, cutoff=0.4) or heads[:3]
        raise NotFound(f"{shown} has no branch {wanted!r}", near=near)
    if offered.head:
        return offered.head
    here = [head for head in heads if offered.refs[f"refs/heads/{head}"] == offered.head_sha]
    for candidates in (here, heads):
        if len(candidates) == 1:
            return candidates[0]
        for likely in _LIKELY:
            if likely in candidates:
                return likely
    raise GtError(f"{shown} is on no branch (detached HEAD), and has {len(heads)} of them", "say which: --branch NAME")


def configure(repo: StrPath, *, home: StrPath | None = None) -> None:
    """Bring the repository's settings and hooks to what they must be; idempotent, done before every worktree.

    Its hooks are ours, whatever the person's global config says, and wherever the town was moved to. Signing is
    off: an agent has no key, and would wait for a passphrase. Identity is never set here. `home` is where the
    repository will lie in the end.
    """
    repo = Path(repo).absolute()
    hooks = repo / "hooks"
    hooks.mkdir(exist_ok=True)
    for source in sorted((data_path("hooks") / "rig").iterdir()):
        _install(source.read_bytes(), hooks / source.name)
    lasting = os.path.join(os.path.abspath(home or repo), "hooks")
    wanted = {"core.hooksPath": lasting, "commit.gpgSign": "false", "tag.gpgSign": "false"}
    if shutil.which("git-lfs") is None:
        # Files kept by LFS stay the pointers that are in git: usable, and clean in `git status`.
        wanted |= {"filter.lfs.required": "false"} | {f"filter.lfs.{key}": "" for key in _LFS}
    for key, value in wanted.items():
        if _setting(repo, key) != value:
            git.run(["config", "--replace-all", key, value], cwd=repo)
    if "filter.lfs.required" not in wanted and _setting(repo, "filter.lfs.required") == "false":
        git.run(["config", "--remove-section", "filter.lfs"], cwd=repo)


def _setting(repo: StrPath, key: str) -> str | None:
    result = git.run(["config", "--local", "--get", key], cwd=repo, check=False)
    return result.out.decode("utf-8", "surrogateescape").rstrip("\n") if result.code == 0 else None


def _install(data: bytes, path: Path) -> None:
    """An executable hook, replaced whole: git may be about to run it."""
    if path.exists() and path.read_bytes() == data and os.access(path, os.X_OK):
        return
    spare = path.with_name(f".{path.name}.{os.getpid()}")
    spare.write_bytes(data)
    spare.chmod(0o755)
    os.replace(spare, path)


def guard(repo: StrPath, targets: list[str], refinery: str, *, local: bool = False) -> None:
    """Let only the refinery that calls itself `refinery` push the branches `targets` from this repository.

    `local`: they are where work lands. Then only it moves them here at all, and nothing is pushed to the origin.
    """
    if is_guarded(repo, targets, refinery, local=local):
        return
    git.run(["config", "--replace-all", _REFINERY_KEY, refinery], cwd=repo)
    for key, wanted in _guards(targets, local):
        there = git.run(["config", "--local", "--get-all", "-z", key], cwd=repo, check=False).fields()
        # What stays guarded is so all the while: an agent may push at this very moment.
        for value in wanted:
            if value not in there:
                git.run(["config", "--add", key, value], cwd=repo)
        for value in sorted(set(there) - set(wanted)):
            git.run(["config", "--fixed-value", "--unset-all", key, value], cwd=repo)


def _guards(targets: list[str], local: bool) -> list[tuple[str, list[str]]]:
    return [
        ("gt.target", targets), ("gt.landing", ["local"] if local else []),
        ("remote.origin.pushurl", [NO_PUSH] if local else []),
    ]  # fmt: skip


def is_guarded(repo: StrPath, targets: list[str], refinery: str, *, local: bool = False) -> bool:
    """True if `guard` has nothing to do. Read from the config file, which takes no process."""
    text = (files.read_or_none(os.path.join(repo, "config")) or b"").decode("utf-8", "surrogateescape")
    if refs.values(text, "[gt]", "refinery") != [refinery]:
        return False
    for key, wanted in _guards(targets, local):
        section, _, name = key.rpartition(".")
        head = '[remote "origin"]' if section == "remote.origin" else f"[{section}]"
        if set(refs.values(text, head, name)) != set(wanted):
            return False
    return True


def refinery_env(repo: StrPath) -> dict[str, str]:
    """The variable by which the refinery passes the guard; only the refinery may use it."""
    name = _setting(repo, _REFINERY_KEY)
    return {"GT_REFINERY": name} if name else {}


@contextlib.contextmanager
def locked(repo: StrPath, *, timeout: float = 120.0) -> Iterator[int]:
    """One gt at a time on this repository's worktrees and settings; yields the lock's descriptor.

    A git that gets the descriptor (`pass_fds`) keeps the lock if we are killed before it ends.
    Raises RaceLost after `timeout` seconds.
    """
    with _flock(Path(repo, "gt.lock"), timeout, f"another gt on {os.fspath(repo)}") as handle:
        yield handle


@contextlib.contextmanager
def _flock(path: Path, timeout: float, holder: str) -> Iterator[int]:
    with flock.hold(path, timeout=timeout) as handle:
        if handle is None:
            raise RaceLost(f"{holder} is at work", "try again in a moment")
        yield handle


def default_branch(repo: StrPath) -> str:
    """The branch that the remote's HEAD named when the rig was added; raises NotFound if that is not recorded."""
    result = git.run(["symbolic-ref", "--quiet", "refs/remotes/origin/HEAD"], cwd=repo, check=False)
    if result.code != 0:
        raise NotFound(f"{os.fspath(repo)} records no default branch", "set `branch:` in rig.yaml")
    return result.text.removeprefix("refs/remotes/origin/")


def resolve(repo: StrPath, rev: str) -> str | None:
    """The commit that `rev` names, None if it names none."""
    args = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}"]
    result = git.run(args, cwd=repo, check=False)
    if result.code not in (0, 1, 128):
        raise git.GitFailed(args, repo, result.code, result.err)
    if result.code == 128 and not os.path.exists(os.path.join(repo, "HEAD")) and not os.path.exists(
        os.path.join(repo, ".git")
    ):
        raise git.GitFailed(args, repo, result.code, result.err, "that is no git repository")
    return result.text if result.code == 0 and _SHA.fullmatch(result.text) else None


def is_ancestor(repo: StrPath, old: str, new: str) -> bool:
    """True if every commit of `old` is in `new`. An unknown revision raises GitFailed: it is not a no."""
    return git.succeeds(["merge-base", "--is-ancestor", old, new], cwd=repo)


def merge_base(repo: StrPath, one: str, other: str) -> str | None:
    """The best common ancestor; None if the two histories share nothing."""
    args = ["merge-base", one, other]
    result = git.run(args, cwd=repo, check=False)
    if result.code not in (0, 1):
        raise git.GitFailed(args, repo, result.code, result.err)
    return result.text or None


def update_ref(repo: StrPath, ref: str, new: str, old: str | None) -> None:
    """Move full ref name `ref` to `new` if it has `old` ("" or None: if it does not exist). Raises RaceLost."""
    expected = old or "0" * len(new)
    args = ["update-ref", ref, new, expected]
    result = git.run(args, cwd=repo, check=False)
    if result.code == 0:
        return
    if (now := resolve(repo, ref) or "") != (old or ""):
        was = (old or "nothing")[:12]
        raise RaceLost(f"{ref} is at {now[:12] or 'nothing'}, not at {was}", "look again, then retry")
    raise git.GitFailed(args, repo, result.code, result.err)


def delete_branch(repo: StrPath, branch: str, *, expect: str) -> None:
    """Delete a local branch that still has `expect`; gone already is success. Raises RaceLost or Refused (in use)."""
    if (at := branch_checked_out_at(repo, branch)) is not None:
        raise Refused(f"branch {branch} is checked out at {at}", "remove that worktree or switch it first")
    ref = f"refs/heads/{branch}"
    args = ["update-ref", "-d", ref, expect]
    result = git.run(args, cwd=repo, check=False)
    now = resolve(repo, ref)
    if now is None:
        return
    if now != expect:
        raise RaceLost(f"branch {branch} moved to {now[:12]}; it was kept", "look again, then retry")
    raise git.GitFailed(args, repo, result.code, result.err)


def worktrees(repo: StrPath) -> list[dict[str, str]]:
    """`git worktree list --porcelain` as one dict a worktree: worktree, HEAD, branch, detached, locked, prunable."""
    found: list[dict[str, str]] = []
    listed = git.run(["worktree", "list", "--porcelain"], cwd=repo).out.decode("utf-8", "surrogateescape")
    for block in listed.split("\n\n"):
        entry = dict(line.partition(" ")[::2] for line in block.splitlines() if line)
        if entry and "bare" not in entry:
            found.append(entry)
    return found


def branch_checked_out_at(repo: StrPath, branch: str) -> str | None:
    """The path of the worktree that has `branch` checked out, None if none has."""
    for entry in worktrees(repo):
        if entry.get("branch") == f"refs/heads/{branch}":
            return entry["worktree"]
    return None
