"""What a rig's remote really holds, and moving it by compare-and-swap.

Nothing is believed because a push said so: the remote ref is read back afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from gastown.model.errors import GtError, RaceLost, Refused
from gastown.runtime import git
from gastown.runtime.git import GitFailed, StrPath
from gastown.store import flock

# A server that says nothing for so long is not reached; a pack may take its time.
LOOK_TIMEOUT = 60.0
MOVE_TIMEOUT = 1800.0
# A fetch tells how far it is; a server that packs much may say nothing for a while.
SILENCE = 120.0
# Whoever fetches into a rig's clone holds this file in it.
_LOCK = "gt-fetch.lock"
_DIGITS = 20
_TRIES = 6


class RemoteUnreachable(GtError):
    """The remote did not answer; what it holds is unknown."""

    code = "remote_unreachable"


class PushRejected(GtError):
    """The remote (or a hook here) did not take a push.

    `summary` is git's own word for the ref ("" if a hook here stopped it), `tail` the end of what was said,
    `now` the sha that the remote ref has (None: no such ref), `moved` whether that is not what the pusher expected.
    """

    code = "push_rejected"

    def __init__(self, ref: str, summary: str, said: str, *, now: str | None, moved: bool) -> None:
        what = f"{ref} is now at {now or 'nothing'}, not where it was" if moved else summary or "refused"
        super().__init__(
            f"the push of {ref} was rejected: {what}" + (f"\n{said}" if said else ""),
            "fetch, and stack the work on what is there now" if moved else "clear what it complains of, then push",
        )
        self.ref = ref
        self.summary = summary
        self.tail = said
        self.now = now
        self.moved = moved


@dataclass(frozen=True)
class RemoteHeads:
    """What a remote offers: sha by full ref name, and the branch its HEAD names (None: detached or unborn)."""

    refs: Mapping[str, str]
    head: str | None
    head_sha: str | None


def look(remote: str, *, cwd: StrPath, timeout: float = LOOK_TIMEOUT) -> RemoteHeads:
    """Ask `remote` (a URL, path or remote's name) for its HEAD, branches and tags. Raises RemoteUnreachable."""
    lines = _ls_remote(["--symref", "--", remote], remote, cwd, timeout)
    refs: dict[str, str] = {}
    head = None
    for line in lines:
        value, _, ref = line.partition("\t")
        if value.startswith("ref: ") and ref == "HEAD":
            head = value.removeprefix("ref: ").removeprefix("refs/heads/")
        elif not ref.endswith("^{}"):
            refs[ref] = value
    head_sha = refs.pop("HEAD", None)
    return RemoteHeads(refs, head if f"refs/heads/{head}" in refs else None, head_sha)


def remote_ref(repo: StrPath, ref: str, *, remote: str = "origin", timeout: float = LOOK_TIMEOUT) -> str | None:
    """The sha that full ref name `ref` has on the remote right now, None if it is not there.

    Raises RemoteUnreachable: that is never "not there".
    """
    for line in _ls_remote(["--", remote, ref], remote, repo, timeout):
        sha, _, name = line.partition("\t")
        if name == ref:
            return sha
    return None


def _ls_remote(args: list[str], remote: str, cwd: StrPath, timeout: float) -> list[str]:
    with _answering(remote):
        result = git.run(["ls-remote", *args], cwd=cwd, check=False, timeout=timeout)
    if result.code != 0:
        said = git.tail(result.err)
        raise RemoteUnreachable(f"cannot read {git.mask(remote)}" + (f":\n{said}" if said else ""), _access(remote))
    return result.text.splitlines()


@contextlib.contextmanager
def _answering(remote: str) -> Iterator[None]:
    """One that is not done in its time, or falls silent, does not answer: a network may drop what is sent."""
    try:
        yield
    except git.TimedOut as error:
        raise RemoteUnreachable(f"{git.mask(remote)} did not answer for {error.after:g} s", _access(remote)) from error


def _access(remote: str) -> str:
    return f"check the address, the network and your access: git ls-remote {shlex.quote(git.mask(remote))}"


def push(
    repo: StrPath,
    src: str,
    ref: str,
    *,
    expect: str | None = None,
    force: bool = False,
    remote: str = "origin",
    env: Mapping[str, str] | None = None,
    timeout: float = MOVE_TIMEOUT,
) -> str:
    """Push commit `src` to full ref name `ref` of the remote; return the sha the remote then really has.

    `expect` is what the remote ref must have for the push to happen: a sha, "" for "no such ref yet", None for
    "anything that fast-forwards". With a sha, history is only replaced if `force` (else Refused before pushing).
    Raises PushRejected (with what the remote holds now) or RemoteUnreachable. The caller compares the returned
    sha with what it sent: somebody may have pushed on top meanwhile, or the remote may have lied.
    """
    sha = git.text(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{src}^{{commit}}"], cwd=repo)
    args = ["push", "--porcelain", "--no-recurse-submodules"]
    if expect is not None:
        if expect and not force and not _follows(repo, expect, sha):
            raise Refused(
                f"{sha[:12]} does not follow {expect[:12]}, which {ref} should have on the remote",
                "fetch and restack it; a push never drops commits",
            )
        args.append(f"--force-with-lease={ref}:{expect}")
    with _answering(remote):
        result = git.run([*args, remote, f"{sha}:{ref}"], cwd=repo, env=env, check=False, timeout=timeout)
    now = remote_ref(repo, ref, remote=remote)
    if result.code != 0 or now is None:
        moved = expect is not None and (now or "") != expect
        raise PushRejected(ref, _summary(result.out), git.tail(result.err), now=now, moved=moved)
    return now


def _follows(repo: StrPath, old: str, new: str) -> bool:
    known = git.run(["cat-file", "-e", f"{old}^{{commit}}"], cwd=repo, check=False).code == 0
    return known and git.succeeds(["merge-base", "--is-ancestor", old, new], cwd=repo)


def _summary(out: bytes) -> str:
    """What `push --porcelain` says of the ref that was not taken: the third field of its `!` line."""
    for line in out.decode("utf-8", "replace").splitlines():
        if line.startswith("!\t"):
            return line.split("\t")[-1]
    return ""


def delete(
    repo: StrPath, ref: str, *, expect: str, remote: str = "origin", env: Mapping[str, str] | None = None
) -> None:
    """Delete `ref` on the remote if it still has `expect`; already gone is success. Raises as `push`."""
    args = ["push", "--porcelain", f"--force-with-lease={ref}:{expect}", remote, f":{ref}"]
    with _answering(remote):
        result = git.run(args, cwd=repo, env=env, check=False, timeout=MOVE_TIMEOUT)
    now = remote_ref(repo, ref, remote=remote)
    if now is not None:
        raise PushRejected(ref, _summary(result.out), git.tail(result.err), now=now, moved=now != expect)


# -- fetching -------------------------------------------------------------------------------------
def fetch(repo: StrPath, *, timeout: float = MOVE_TIMEOUT) -> None:
    """Bring refs/remotes/origin/* of a rig's bare clone up to date, dropping those that are gone there.

    One process at a time fetches into a clone. Who had to wait for one that began after it was asked takes that
    one's word: it has seen the remote as it was then, or later. Raises RemoteUnreachable if the remote does not
    answer, GitFailed if it is this side that failed, RaceLost if others hold the clone for `timeout` seconds.
    """
    before = _begun(repo)
    with fetching(repo, timeout=timeout) as handle:
        last = _outcome(handle)
        if last.begun > before and last.ended == last.begun:
            if last.failed:
                raise RemoteUnreachable(*last.failed)
            return
        mine = _Outcome(max(last.begun, 0) + 1)
        _note(handle, mine)
        try:
            _fetch(repo, timeout, handle)
        except RemoteUnreachable as error:
            _note(handle, replace(mine, ended=mine.begun, failed=(error.message, error.hint)))
            raise
        _note(handle, replace(mine, ended=mine.begun))


@contextlib.contextmanager
def fetching(repo: StrPath, *, timeout: float = MOVE_TIMEOUT) -> Iterator[int]:
    """Be the one who fetches into the bare clone; yields the lock's descriptor, for git to hold on to."""
    with flock.hold(os.path.join(repo, _LOCK), timeout=timeout, poll=0.01) as handle:
        if handle is None:
            raise RaceLost(f"another fetch into {os.fspath(repo)} is at work", "try again when it is over")
        yield handle


def _fetch(repo: StrPath, timeout: float, handle: int) -> None:
    """Fetch; again where the remote answers: a git that a person runs beside us holds a ref only for a moment."""
    # No hook has a say in what the remote holds, and one for each of many refs would take its time.
    args = ["-c", "core.hooksPath=/dev/null", "fetch", "--progress", "--prune", "--no-recurse-submodules"]
    args += ["--no-write-fetch-head", "--update-shallow", "origin"]
    for turn in range(_TRIES):
        with _answering("origin"):
            result = git.run(args, cwd=repo, check=False, timeout=timeout, silence=SILENCE, pass_fds=[handle])
        if result.code == 0:
            return
        look("origin", cwd=repo)
        time.sleep(random.uniform(0.02, 0.1) * (turn + 1))
    raise GitFailed(args, repo, result.code, result.err)


@dataclass(frozen=True)
class _Outcome:
    """What the lock's file tells: the number of the last fetch that began, of the last that ended, and how."""

    begun: int = 0
    ended: int = 0
    failed: tuple[str, str] | None = None


def _begun(repo: StrPath) -> int:
    """The last fetch that began by now. Its number stands first, and is read while others write behind it."""
    try:
        with open(os.path.join(repo, _LOCK), "rb") as file:
            return int(file.read(_DIGITS) or b"0")
    except FileNotFoundError:
        return 0
    except ValueError:
        return sys.maxsize  # not ours: then nobody's word is taken


def _outcome(handle: int) -> _Outcome:
    text = os.pread(handle, 1 << 16, 0).decode("utf-8", "replace")
    try:
        ended, failed = json.loads(text[_DIGITS:])
        return _Outcome(int(text[:_DIGITS]), int(ended), (str(failed[0]), str(failed[1])) if failed else None)
    except (ValueError, TypeError, IndexError):
        return _Outcome()


def _note(handle: int, one: _Outcome) -> None:
    text = f"{one.begun:0{_DIGITS}d}\n{json.dumps([one.ended, one.failed])}\n"
    os.ftruncate(handle, _DIGITS)
    os.pwrite(handle, text.encode(), 0)
