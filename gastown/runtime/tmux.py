"""tmux, always on a socket of the town's own: the person's server, sessions and configuration are never touched."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence

from gastown.model.errors import GtError

MIN_TMUX = (2, 6)
_OPTIONS = (("history-limit", "20000"), ("default-terminal", "screen-256color"), ("escape-time", "10"))
# What its server needs of our environment; agents get theirs from their session's own file.
_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TERM", "TMPDIR")
_TIMEOUT = 15.0
# Agents take a paste in before they look at Enter; with less, the key becomes part of the text.
ENTER_PAUSE = 0.5


@functools.cache
def version() -> tuple[int, ...] | None:
    """tmux's version, such as (3, 3); None if it is not installed."""
    if shutil.which("tmux") is None:
        return None
    said = subprocess.run(["tmux", "-V"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False).stdout
    digits = "".join(c if c.isdigit() or c == "." else " " for c in said).split()
    return tuple(int(part) for part in digits[0].split(".")[:2]) if digits else None


def available() -> bool:
    """True if tmux is installed and new enough."""
    found = version()
    return found is not None and found >= MIN_TMUX


class Server:
    """The tmux server on socket `-L name`. It starts with its first session and ends with its last."""

    def __init__(self, name: str) -> None:
        if not name or not all(c.isalnum() or c in "-_" for c in name):
            raise ValueError(f"{name!r} cannot name a socket")
        self.name = name

    def _argv(self, *args: str) -> list[str]:
        return ["tmux", "-L", self.name, "-f", os.devnull, "-u", *args]

    def _run(self, *args: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        # Without TMUX_TMPDIR, so that a shell, a cron job and the deacon mean the same socket.
        env = {key: os.environ[key] for key in _INHERITED if key in os.environ} | {"SHELL": "/bin/sh"}
        env.setdefault("TERM", "screen")
        try:
            return subprocess.run(
                self._argv(*args),
                input=data,
                stdin=None if data is not None else subprocess.DEVNULL,
                capture_output=True,
                env=env,
                cwd="/",
                timeout=_TIMEOUT,
                check=False,
            )
        except FileNotFoundError:
            raise GtError("tmux is not installed", "install tmux, or use --runtime process") from None
        except subprocess.TimeoutExpired:
            raise GtError(f"tmux did not answer within {_TIMEOUT:g} s (tmux -L {self.name})") from None

    def _do(self, *args: str, data: bytes | None = None) -> bytes:
        done = self._run(*args, data=data)
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise GtError(f"`tmux -L {self.name} {args[0]}` failed: {said or f'exit {done.returncode}'}")
        return done.stdout

    @property
    def socket(self) -> str:
        """The path of its socket, as tmux makes it."""
        return f"/tmp/tmux-{os.geteuid()}/{self.name}"

    def running(self) -> bool:
        """True if a server answers on the socket. Anything but a clear no is raised."""
        import socket

        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_TIMEOUT)
            try:
                probe.connect(self.socket)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
                    return False
                raise GtError(f"cannot reach tmux at {self.socket}: {error}") from None
        return True

    def new_session(
        self,
        name: str,
        *,
        cwd: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        log_path: str | None = None,
        size: tuple[int, int] = (200, 50),
    ) -> None:
        """Start `argv` in a detached session; from its first byte its output is appended to `log_path`.

        No shell sees `argv`: it goes through `env(1)`, which sets `env`. Raises GtError if the name is taken.
        """
        words = ["env", *(f"{key}={value}" for key, value in env.items()), *argv]
        commands: list[str] = ["start-server", ";"]
        for option, value in _OPTIONS:
            commands += ["set-option", "-g", option, value, ";"]
        commands += ["new-session", "-d", "-s", name, "-x", str(size[0]), "-y", str(size[1]), "-c", cwd]
        # An argument that ends in a semicolon would end the command for tmux.
        commands += ["--", *(word[:-1] + "\\;" if word.endswith(";") else word for word in words)]
        if log_path is not None:
            # In the same request, so that nothing is printed before the pipe is there.
            commands += [";", "pipe-pane", "-o", "-t", f"={name}:", _pipe(log_path)]
        self._do(*commands)

    def pipe_log(self, name: str, log_path: str) -> None:
        """From now on append the session's output to `log_path`."""
        self._do("pipe-pane", "-t", f"={name}:", _pipe(log_path))

    def list_sessions(self) -> list[str]:
        """The names of all sessions; empty only if there is provably none."""
        if not self.running():
            return []
        done = self._run("list-sessions", "-F", "#{session_name}")
        if done.returncode != 0:
            if not self.running():
                return []
            raise GtError(f"cannot list the sessions of tmux -L {self.name}: {done.stderr.decode('utf-8', 'replace')}")
        return done.stdout.decode("utf-8", "replace").splitlines()

    def exists(self, name: str) -> bool:
        """True if there is a session of exactly that name."""
        return name in self.list_sessions()

    def kill_session(self, name: str) -> None:
        """End a session; none of that name is success."""
        if self._run("kill-session", "-t", f"={name}").returncode != 0 and self.exists(name):
            raise GtError(f"tmux did not end session {name}")

    def kill_server(self) -> None:
        """End the town's server and all its sessions; none running is success."""
        if self.running() and self._run("kill-server").returncode != 0 and self.running():
            raise GtError(f"tmux -L {self.name} did not end")
        deadline = time.monotonic() + 5
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.01)
        if not self.running():
            # tmux leaves its socket lying about.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.socket)

    def capture(self, name: str, lines: int) -> str:
        """The last `lines` lines of a session's screen and history, as plain text."""
        out = self._do("capture-pane", "-p", "-S", f"-{max(lines, 1)}", "-t", f"={name}:").decode("utf-8", "replace")
        kept = [line.rstrip() for line in out.rstrip().splitlines()]
        return "\n".join(kept[-lines:])

    def send_text(self, name: str, text: str, *, pause: float = ENTER_PAUSE, enter: bool = True) -> None:
        """Give `text` to the session as one paste (several lines stay one prompt), then Enter after `pause` seconds."""
        buffer = f"gt-{os.getpid()}-{time.monotonic_ns()}"
        self._do("load-buffer", "-b", buffer, "-", data=text.encode())
        self._do("paste-buffer", "-p", "-d", "-b", buffer, "-t", f"={name}:")
        if enter:
            time.sleep(pause)
            self.send_key(name, "Enter")

    def send_key(self, name: str, key: str) -> None:
        """Press one key by tmux's name for it: Enter, Escape, C-c."""
        self._do("send-keys", "-t", f"={name}:", key)

    def attach_argv(self, name: str) -> list[str]:
        """The command that shows a session in the person's terminal, also from inside a tmux of theirs."""
        return ["env", "-u", "TMUX", "-u", "TMUX_TMPDIR", *self._argv("attach-session", "-t", f"={name}")]


def _pipe(log_path: str) -> str:
    # tmux expands #{...} and strftime's % in this command before its shell sees it.
    import shlex

    return "exec cat >> " + shlex.quote(log_path).replace("#", "##").replace("%", "%%")
