"""Whose clone a rig's bare repository is: what its `origin` names, and making it the clone of another repository."""

from __future__ import annotations

import os

from gastown.model.errors import GtError, Refused
from gastown.runtime import clones, git, remotes
from gastown.runtime.git import StrPath
from gastown.store import files, refs

# Where a branch of the repository before is kept, which no branch of the new one goes on from.
BEFORE = "refs/gt/before/"


def of(repo: StrPath) -> list[str]:
    """The addresses of the clone's origin: one, unless somebody wrote there.

    They are read from its config file, which takes no process.
    """
    text = (files.read_or_none(os.path.join(repo, "config")) or b"").decode("utf-8", "surrogateescape")
    return refs.urls(text, "origin")


def is_of(repo: StrPath, source: str) -> bool:
    """True if the clone's origin is `source` (a URL, or an absolute path), and nothing besides."""
    there = of(repo)
    if there == [source]:
        return True
    if not there or any(character in source for character in '"\\#;'):
        # How such a value is quoted is git's to know.
        asked = git.run(["config", "--local", "-z", "--get-all", "remote.origin.url"], git_dir=repo, check=False)
        there = asked.fields()
    return there == [source] or (len(there) == 1 and _same_folder(there[0], source))


def _same_folder(one: str, other: str) -> bool:
    return os.path.isabs(one) and os.path.isabs(other) and os.path.realpath(one) == os.path.realpath(other)


def follow(repo: StrPath, source: str, branch: str, *, local: bool) -> None:
    """Make the clone at `repo` one of `source`: its branches take the place of all that was fetched before.

    Local branches stay, but where landing is `local` they are targets: those that share nothing with the new
    repository are kept under `BEFORE` instead. Raises RemoteUnreachable, NotFound (no such branch), Refused or
    GtError: then the clone counts as one of the old repository still.
    """
    with clones.locked(repo) as lock:
        if is_of(repo, source):
            return  # another process was first
        offered = remotes.look(source, cwd=repo)
        clones.choose(offered, source, branch)
        _check_format(repo, source, offered.refs[f"refs/heads/{branch}"])
        names = set(_names(repo, "refs/remotes/origin")) | {ref.removeprefix("refs/heads/") for ref in offered.refs}
        args = ["-c", "core.hooksPath=/dev/null", "fetch", "--quiet", "--prune", "--no-recurse-submodules"]
        args += ["--no-write-fetch-head", "--update-shallow", "--", source, "+refs/heads/*:refs/remotes/origin/*"]
        with remotes.fetching(repo) as turn:
            git.run(args, cwd=repo, timeout=remotes.MOVE_TIMEOUT, pass_fds=[lock, turn])
        if clones.resolve(repo, f"refs/remotes/origin/{branch}") is None:
            raise GtError(f"{git.mask(source)} changed while it was fetched", "try again")
        for name in sorted(names.intersection(_names(repo, "refs/heads"))) if local else ():
            _set_aside(repo, name, branch)
        git.run(["symbolic-ref", "refs/remotes/origin/HEAD", f"refs/remotes/origin/{branch}"], cwd=repo)
        git.run(["config", "--unset-all", "remote.origin.pushurl"], cwd=repo, check=False)
        # Last: whoever is killed before it leaves a clone that does not say it is the new one's.
        git.run(["config", "--replace-all", "remote.origin.url", source], cwd=repo)


def _check_format(repo: StrPath, source: str, sha: str) -> None:
    here = git.text(["rev-parse", "--show-object-format"], cwd=repo)
    if (len(sha) == 64) != (here == "sha256"):
        raise Refused(
            f"{git.mask(source)} keeps its objects in another format than the clone {os.fspath(repo)} ({here})",
            "hand in or save what is worked on in the rig, then remove the rig and add it anew",
        )


def _names(repo: StrPath, under: str) -> list[str]:
    listed = git.text(["for-each-ref", "--format=%(refname)", f"{under}/"], cwd=repo)
    return [ref.removeprefix(f"{under}/") for ref in listed.splitlines()]


def _set_aside(repo: StrPath, name: str, branch: str) -> None:
    """Keep a local target under another name if it is no part of the new repository's history."""
    ours = clones.resolve(repo, f"refs/heads/{name}")
    theirs = clones.resolve(repo, f"refs/remotes/origin/{name}") or f"refs/remotes/origin/{branch}"
    if ours is None or clones.merge_base(repo, ours, theirs) is not None:
        return
    git.run(["update-ref", f"{BEFORE}{name}/{ours[:12]}", ours], cwd=repo)
    clones.delete_branch(repo, name, expect=ours)
    # Nothing of it has landed in the new one.
    git.run(["update-ref", "-d", f"refs/gt/landed/{name}"], cwd=repo)
