"""Calling the git command for the town itself: few calls, a clean environment, no prose read."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from gastown.model.errors import GtError

# Inherited by hooks of other repositories; with them git would work on the wrong one.
_KEEP = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_EXEC_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM",
         "GIT_CONFIG_NOSYSTEM")  # fmt: skip


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """This process's environment without inherited GIT_* variables, in the C locale, never prompting."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k in _KEEP}
    env.update({"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"})
    env.update(extra or {})
    return env


def run(
    args: Sequence[str], *, cwd: str, env: dict[str, str] | None = None, data: bytes | None = None, check: bool = True
) -> tuple[int, bytes]:
    """Run `git args` in `cwd`: (exit code, stdout). Raises GtError with git's last words if `check` and it failed."""
    return Running(args, cwd=cwd, env=env, listens=data is not None).finish(data, check=check)


class Running:
    """A git that works while we do something else. Whoever starts it waits for its end by `finish`."""

    def __init__(
        self, args: Sequence[str], *, cwd: str, env: dict[str, str] | None = None, listens: bool = False
    ) -> None:
        """Start `git args` in `cwd`; only if it `listens` its stdin is open. Raises GtError if there is no git."""
        verb = next((one for one in args if not one.startswith("-") and not os.path.isabs(one)), args[0])
        self._what = f"git {verb} failed in {cwd}"
        try:
            self._process = subprocess.Popen(
                ["git", *args],
                cwd=cwd,
                env=environment(env),
                stdin=subprocess.PIPE if listens else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError:
            raise GtError("git is not installed, or not on PATH", "install git 2.30 or newer") from None

    def finish(self, data: bytes | None = None, *, check: bool = True) -> tuple[int, bytes]:
        """Give it `data`, wait for its end: (exit code, stdout). Raises GtError if `check` and it failed."""
        try:
            out, err = self._process.communicate(data)
        except BaseException:
            self._process.terminate()  # git takes its temporary files away
            self._process.wait()
            raise
        code = self._process.returncode
        if check and code:
            said = err.decode("utf-8", "replace").strip().splitlines()
            raise GtError(f"{self._what}: {said[-1] if said else f'exit {code}'}")
        return code, out


def identity(cwd: str) -> tuple[str, str] | None:
    """The person's (name, e-mail) as git is configured here; None if it is not."""
    name, email = os.environ.get("GIT_AUTHOR_NAME"), os.environ.get("GIT_AUTHOR_EMAIL")
    if not (name and email):
        _, out = run(["config", "-z", "--get-regexp", r"^user\.(name|email)$"], cwd=cwd, check=False)
        found = dict(
            item.split("\n", 1) for item in out.decode("utf-8", "replace").split("\0") if "\n" in item
        )
        name, email = name or found.get("user.name"), email or found.get("user.email")
    return (name, email) if name and email else None
