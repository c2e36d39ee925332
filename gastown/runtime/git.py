"""The git command: one way to start it, one way for it to fail.

Nothing here or above decides on git's prose: exit codes, `--porcelain` and `-z` output only.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gastown.model.errors import GtError
from gastown.runtime.held import HeldSignals
from gastown.store import files

MIN_GIT = (2, 30)
_KEEP = frozenset(
    "GIT_SSH GIT_SSH_COMMAND GIT_ASKPASS GIT_EXEC_PATH GIT_CONFIG_GLOBAL GIT_CONFIG_SYSTEM"
    " GIT_CONFIG_NOSYSTEM GIT_CONFIG_COUNT".split()
)
_KEEP_STARTS = ("GIT_SSL_", "GIT_TRACE", "GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_")
# Settings of a person's own that would change what a command does or prints, or make it wait for them.
_STEADY = (
    "-c", "submodule.recurse=false", "-c", "color.ui=false", "-c", "safe.bareRepository=all",
    # How what is made here is called and kept: everything above reads `origin` and plain refs.
    "-c", "clone.defaultRemoteName=origin", "-c", "init.defaultObjectFormat=sha1", "-c", "init.defaultRefFormat=files",
)  # fmt: skip
_TAIL_LINES = 12
# How long an interrupted git may take to clear up behind itself, in seconds.
_GRACE = 2.0
# A signal that comes just before a wait begins does not end it, and is raised only when Python's own code goes on: so
# no single wait is longer than this, in seconds.
_WAIT = 0.5
StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Result:
    """What a command left: its exit code, and both streams as bytes."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """stdout, decoded and without surrounding whitespace."""
        return self.out.decode("utf-8", "surrogateescape").strip()

    def fields(self) -> list[str]:
        """stdout of a `-z` command as its NUL-separated fields."""
        return [field.decode("utf-8", "surrogateescape") for field in self.out.split(b"\0") if field]


class GitFailed(GtError):
    """A git command failed; holds the command (credentials masked), where it ran, its code and its last words."""

    code = "git_failed"

    def __init__(self, args: Sequence[str], cwd: StrPath | None, status: int, err: bytes, hint: str = "") -> None:
        self.command = mask(shlex.join(["git", *args]))
        self.cwd = os.fspath(cwd) if cwd is not None else os.getcwd()
        self.status = status
        self.tail = tail(err)
        said = f":\n{self.tail}" if self.tail else ""
        super().__init__(f"`{self.command}` failed in {self.cwd} (exit {status}){said}", hint or _hint(self.tail))


class TimedOut(GitFailed):
    """A git command was ended after `after` seconds: its time was over, or it had said nothing for so long."""

    def __init__(self, args: Sequence[str], cwd: StrPath | None, after: float, err: bytes) -> None:
        self.after = after
        super().__init__(args, cwd, -signal.SIGKILL, err + f"\nended: not done after {after:g} s".encode())


def _hint(said: str) -> str:
    """A hint for the failures where git's own text leaves a person without a next step. Never decides anything."""
    if "index.lock" in said or ".lock': File exists" in said:
        return "another git works there, or one was killed there: when none runs any more, remove that lock file"
    if "No space left" in said:
        return "free some disk space, then run the same command again"
    if "dubious ownership" in said:
        return "the repository belongs to another user; git config --global --add safe.directory <path> accepts it"
    with contextlib.suppress(GtError):
        require_git()  # an old one fails at what it does not know, and does not say so
        return "run the same command in that folder to see all it says"
    return f"git is too old here, or missing: {'.'.join(map(str, MIN_GIT))} or newer is needed"


def mask(text: str) -> str:
    """`text` with the credentials of every URL in it replaced by `***`."""
    return re.sub(r"(\w[\w+.-]*://)[^/@\s'\"]+@", r"\1***@", text)


def tail(err: bytes, lines: int = _TAIL_LINES) -> str:
    """The last `lines` lines of what a command said, credentials masked, progress overwritten as a terminal would."""
    text = err.decode("utf-8", "replace")
    kept = [line.rsplit("\r", 1)[-1].rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    return mask("\n".join([line for line in kept if line][-lines:]))


def clean_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what an outer git (a hook, an editor) put in it, plus `extra`.

    What a person sets to reach their servers and their config files is kept.
    """
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("GIT_") or key in _KEEP or key.startswith(_KEEP_STARTS)
    }
    env |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    return env | dict(extra or {})


def ceiling(folder: StrPath) -> dict[str, str]:
    """The variable that keeps git, run in `folder` or below it, from taking a repository further up for its own."""
    return {"GIT_CEILING_DIRECTORIES": os.path.dirname(os.path.realpath(folder))}


def run(
    args: Sequence[str],
    *,
    cwd: StrPath | None = None,
    above: bool = False,
    git_dir: StrPath | None = None,
    env: Mapping[str, str] | None = None,
    input: bytes | None = None,
    check: bool = True,
    timeout: float | None = None,
    silence: float | None = None,
    on_progress: Callable[[str], None] | None = None,
    on_start: Callable[[int], None] | None = None,
    pass_fds: Sequence[int] = (),
) -> Result:
    """Run git and return what it left; with `check` a code other than 0 raises GitFailed, its end by us TimedOut.

    It works on the repository whose top `cwd` is. One that begins `above` it is found only if asked for: around a
    worktree that lost its .git lies the town's. `env` is added to `clean_env()`; stdin is empty unless `input`.
    After `timeout` seconds, `silence` seconds without a word on stderr (give it --progress), or when interrupted, its
    whole process group is ended (it has a session of its own, so no prompt can hang it). `on_progress` gets each line
    of stderr as it comes, `on_start` the pid. `pass_fds` stay open in the child: a lock held by one outlives us.
    """
    command = ["git", *_STEADY]
    if git_dir is not None:
        command.append(f"--git-dir={os.fspath(git_dir)}")
    command += args
    _require_folder(cwd)
    files.fault_point()
    held = HeldSignals()
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=clean_env(env if cwd is None or above else {**ceiling(cwd), **(env or {})}),
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    except BaseException as error:
        held.release()
        if isinstance(error, FileNotFoundError):
            raise _missing() from None
        raise
    with process:
        try:
            held.release()
            if on_start is not None:
                on_start(process.pid)
            out, err = _collect(process, input, timeout, silence, on_progress)
        except BaseException as error:
            _end(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise TimedOut(args, cwd or git_dir, error.timeout, error.stderr or b"") from None
            raise
    files.fault_point()
    if check and process.returncode != 0:
        raise GitFailed(args, cwd or git_dir, process.returncode, err)
    return Result(process.returncode, out, err)


def _require_folder(cwd: StrPath | None) -> None:
    if cwd is not None and not os.path.isdir(cwd):
        raise GtError(f"there is no folder {os.fspath(cwd)} to run git in", "it was moved or removed: `gt doctor`")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git and what it started: politely first, so that it takes its locks and temporary files away."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _collect(
    process: subprocess.Popen[bytes],
    data: bytes | None,
    timeout: float | None,
    silence: float | None,
    on_progress: Callable[[str], None] | None,
) -> tuple[bytes, bytes]:
    if data is not None:
        assert process.stdin is not None
        # Not by `communicate`: after a wait that was cut short it does not go on with what is left of its input.
        feeder = _Feeder(process.stdin, data)
        process.stdin = None
        feeder.start()
    if on_progress is None and silence is None:
        return _listen(process, timeout, None, None)
    assert process.stderr is not None
    ear = _Ear(process.stderr, on_progress)
    process.stderr = None
    ear.start()
    try:
        out, _ = _listen(process, timeout, silence, ear)
    finally:
        if process.poll() is None:
            _end(process)
        ear.join(5)
        ear.stream.close()
    return out, b"".join(ear.said)


def _listen(
    process: subprocess.Popen[bytes], timeout: float | None, silence: float | None, ear: _Ear | None
) -> tuple[bytes, bytes]:
    """What it wrote, without what an ear takes in; raises TimeoutExpired."""
    end = time.monotonic() + timeout if timeout else math.inf
    said: bytes | None = None
    while True:
        quiet = ear.heard + silence if silence and ear else math.inf
        wait = min(end, quiet) - time.monotonic()
        try:
            if wait > 0:
                return process.communicate(timeout=min(wait, _WAIT))
        except subprocess.TimeoutExpired as error:
            said = error.stderr
            continue  # as begun; perhaps it said something meanwhile
        limit = timeout if timeout and end <= quiet else silence
        raise subprocess.TimeoutExpired(process.args, limit or 0.0, stderr=b"".join(ear.said) if ear else said)


class _Feeder(threading.Thread):
    """Gives a git its stdin, and closes it. One that ends without reading all of it has had enough."""

    def __init__(self, stream: IO[bytes], data: bytes) -> None:
        super().__init__(daemon=True)
        self._stream, self._data = stream, data

    def run(self) -> None:
        with contextlib.suppress(BrokenPipeError), self._stream:
            self._stream.write(self._data)


class _Ear(threading.Thread):
    """Takes in a git's stderr. `said` is all of it, `heard` when (monotonic) something came last."""

    def __init__(self, stream: IO[bytes], tell: Callable[[str], None] | None) -> None:
        super().__init__(daemon=True)
        self.stream, self.tell = stream, tell
        self.said: list[bytes] = []
        self.heard = time.monotonic()

    def run(self) -> None:
        line = b""
        while chunk := os.read(self.stream.fileno(), 4096):
            self.heard = time.monotonic()
            self.said.append(chunk)
            *lines, line = re.split(rb"[\r\n]", line + chunk)
            for one in lines:
                if self.tell is not None and one.strip():
                    self.tell(mask(one.decode("utf-8", "replace").strip()))


def text(args: Sequence[str], **options: Any) -> str:
    """stdout of `run`, decoded and stripped."""
    return run(args, **options).text


def succeeds(args: Sequence[str], **options: Any) -> bool:
    """True for exit 0, False for 1: the yes and no of git's plumbing. Any other code raises GitFailed."""
    result = run(args, check=False, **options)
    if result.code not in (0, 1):
        raise GitFailed(args, options.get("cwd") or options.get("git_dir"), result.code, result.err)
    return result.code == 0


@functools.cache
def version() -> tuple[int, ...]:
    """The installed git's version, such as (2, 39, 5); raises GtError if there is no git."""
    try:
        said = subprocess.run(["git", "version"], capture_output=True, env=clean_env(), check=False).stdout
    except FileNotFoundError:
        raise _missing() from None
    found = re.search(rb"(\d+)\.(\d+)(?:\.(\d+))?", said)
    if not found:
        raise GtError("`git version` printed no version", "check what `git` is on your PATH")
    return tuple(int(part) for part in found.groups() if part)


def require_git() -> None:
    """Raise GtError, saying what was found and what is needed, unless git is there and new enough."""
    found = version()
    if found < MIN_GIT:
        needed = ".".join(map(str, MIN_GIT))
        here = ".".join(map(str, found))
        raise GtError(f"git {here} is too old: {needed} or newer is needed", f"install git {needed}+")


def _missing() -> GtError:
    needed = ".".join(map(str, MIN_GIT))
    return GtError(f"git is not installed (no `git` on PATH); {needed} or newer is needed", f"install git {needed}+")


def author_env(name: str, email: str, when: float | None = None) -> dict[str, str]:
    """The variables that make commits `name`'s, at `when` (epoch seconds) if given."""
    env: dict[str, str] = {}
    for part in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{part}_NAME": name, f"GIT_{part}_EMAIL": email}
        if when is not None:
            env[f"GIT_{part}_DATE"] = f"@{int(when)} +0000"
    return env


def identity(cwd: StrPath) -> tuple[str, str] | None:
    """(name, email) as the person configured them for `cwd`; None if either is not set."""
    values = []
    for key in ("user.name", "user.email"):
        result = run(["config", "--get", key], cwd=cwd, check=False)
        if result.code not in (0, 1):
            raise GitFailed(["config", "--get", key], cwd, result.code, result.err)
        values.append(result.text)
    return (values[0], values[1]) if all(values) else None


def absolute(source: str, base: StrPath) -> str:
    """A clone source with a local path made absolute from `base`; URLs and host:path are left as they are."""
    if "://" in source:
        return source
    path = Path(base, os.path.expanduser(source))
    colon = source.split("/", 1)[0].find(":")
    return source if colon > 0 and not path.exists() else os.path.abspath(path)
