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
    try:
        done = subprocess.run(
            ["git", *args],
            cwd=cwd,
            env=environment(env),
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
        )
    except FileNotFoundError:
        raise GtError("git is not installed, or not on PATH", "install git 2.30 or newer") from None
    if check and done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GtError(f"git {args[0]} failed in {cwd}: {said[-1] if said else f'exit {done.returncode}'}")
    return done.returncode, done.stdout


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
