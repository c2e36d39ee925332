"""Turning an error into what the user reads and the exit code (cli.md, Conventions)."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
import time
from typing import Any

from gastown.cli import output
from gastown.cli.streams import Unwritten
from gastown.model.errors import GtError
from gastown.model.text import safe
from gastown.store import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gastown.store.town import Town

_ENVIRONMENT = {
    errno.ENOSPC: ("the disk is full", "free some space and try again; nothing was half written"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and try again; nothing was half written"),
    errno.EROFS: ("the file system is read-only", "mount it writable, or work on a copy"),
    errno.EACCES: ("permission denied", "check who owns it: ls -ld shows it"),
    errno.EPERM: ("operation not permitted", "check who owns it: ls -ld shows it"),
    errno.EIO: ("the disk reports an error", "look at the system's log"),
    errno.EMFILE: ("too many open files", "raise the limit: ulimit -n"),
    errno.ENFILE: ("too many open files on this machine", "close some programs"),
    errno.ENAMETOOLONG: ("the name is too long", ""),
    errno.ELOOP: ("too many symbolic links", ""),
}
# How typer calls the kinds of values, and how a person does.
_WORDS = (
    ("a valid int range", "a whole number"), ("a valid float range", "a number"), ("a valid int", "a whole number"),
    ("a valid float", "a number"),
)  # fmt: skip


def report(args: list[str], error: Exception) -> int:
    """Print `error` as users should see it and return the exit code; the unexpected goes to a log."""
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        return _usage(args, error)
    if isinstance(error, Unwritten):
        reason = _ENVIRONMENT.get(error.errno or 0, (str(error.strerror), ""))[0]
        hint = "what was done until then stands: look (`gt trail`, `gt list`) before you give the command again"
        return _tell(args, "failed", f"the output could not be written: {reason}", hint, 1)
    found = understood(error)
    if found is not None:
        return _tell(args, found.code, found.message, found.hint, found.exit_code)
    return _bug(args, error)


def understood(error: Exception) -> GtError | None:
    """What a person can act on: an error of ours, or what disk and system refuse, in words; None for anything else."""
    if isinstance(error, GtError):
        return error
    if isinstance(error, OSError) and error.errno in _ENVIRONMENT:
        reason, hint = _ENVIRONMENT[error.errno]
        where = error.filename2 or error.filename
        return GtError(f"{where}: {reason}" if where else reason, hint)
    return None


def warn_astray(town: Town) -> None:
    """Say so where what was just written reaches nobody, or would be lost: on no branch, or amid a person's git."""
    from gastown.services.files import footing

    found = footing.astray(town.repo)
    if found is not None:
        output.say(f"warning: the town in {safe(town.root)}: {safe(found.text)}")
        output.say(f"hint: {safe(found.command)}")


def _wants_json(args: list[str]) -> bool:
    return "--json" in (args[: args.index("--")] if "--" in args else args)


def _tell(args: list[str], code: str, message: str, hint: str, exit_code: int) -> int:
    if _wants_json(args):
        # A stdout that takes nothing may be the very error; stderr has the words as well.
        with contextlib.suppress(OSError):
            output.put_json(output.error_doc(code, message, hint))
    output.say_error(message, hint)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    return exit_code


def _usage(args: list[str], error: Any) -> int:
    """What typer says of a wrong command line: ours is one sentence, the nearest word, and the usage."""
    if type(error).__name__ == "NoArgsIsHelpError":
        output.say(error.ctx.get_help())
        return 2
    message, question, near = str(error.format_message()).partition("Did you mean")
    context = getattr(error, "ctx", None)
    hint = f"did you mean{near}" if question else ""
    if not hint and context is not None:
        hint = f"`{context.command_path} --help` tells more"
    message = message.strip().removesuffix(".")
    for theirs, ours in _WORDS:
        message = message.replace(theirs, ours)
    return _tell(args, "usage", message[:1].lower() + message[1:], hint, 2)


def _bug(args: list[str], error: Exception) -> int:
    import traceback

    text = f"gt {args!r}\ncwd {_cwd()}\n{sys.version}\n\n" + "".join(traceback.format_exception(error))
    where = _write_log(text)
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    return _tell(args, "bug", f"a bug in gt: {safe(what)}", f"the traceback is in {where}", 70)


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "?"


def _write_log(text: str) -> str:
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}.log"
    root = layout.find_root(_cwd())
    folders = ([layout.log(root)] if root else []) + [tempfile.gettempdir()]
    for folder in folders:
        try:
            os.makedirs(folder, exist_ok=True)
            path = os.path.join(folder, name)
            with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return path
        except OSError:
            continue
    return "nowhere: no folder could be written"
