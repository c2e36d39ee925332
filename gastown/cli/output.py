"""The one place where commands print: results on stdout, talk on stderr, JSON in one form."""

from __future__ import annotations

import os
import sys

from gastown.model.errors import UsageError
from gastown.model.text import safe, safe_block

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# json escapes what is below 0x20; C1 controls, bidi overrides and lone surrogates are left to us.
_ESCAPED = {
    code: f"\\u{code:04x}"
    for code in (*range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
}


_taken = False


def put(text: str = "") -> None:
    """One line of the result. Text from files must have gone through model.text.safe."""
    sys.stdout.write(text + "\n")


def put_lines(lines: Iterable[str]) -> None:
    """Lines of the result."""
    text = "\n".join(lines)
    if text:
        sys.stdout.write(text + "\n")


def say(text: str) -> None:
    """Talk: what is done, what to do next. Never part of the result."""
    sys.stderr.write(text + "\n")


def hint(text: str) -> None:
    """The next step, for a person."""
    say(f"hint: {text}")


def say_error(message: str, hint: str = "") -> None:
    """An error, and what to do about it."""
    for kind, text in (("error", message), ("hint", hint)):
        if text:
            say(f"{kind}: " + safe_block(text).rstrip("\n").replace("\n", "\n  "))


def error_doc(code: str, message: str, hint: str) -> dict[str, Any]:
    """An error for --json."""
    return {"error": {"code": code, "message": message, "hint": hint}}


def dumps(value: Any, *, indent: int | None = 2) -> str:
    """JSON whose strings reach a terminal without a single control character."""
    import json

    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text.translate(_ESCAPED))


def put_json(value: Any) -> None:
    """One JSON document on stdout."""
    put(dumps(value))


def put_json_line(value: Any) -> None:
    """One line of JSON Lines."""
    put(dumps(value, indent=None))


def problems(found: Iterable[Exception]) -> int:
    """Name files that could not be used, on stderr; returns how many there were."""
    told = [f"warning: {safe(one)}" for one in found]
    for line in told:
        say(line)
    return len(told)


def text_from(message: str | None, file: str | None, stdin: bool, *, option: str = "-m") -> str | None:
    """Text given as an option, from a file (-F) or from stdin, which `-` for either means; None if none was given.

    Raises UsageError if two sources are named, and where a file cannot be read as UTF-8 text.
    """
    given = [name for name, there in ((option, message is not None), ("-F", file), ("--stdin", stdin)) if there]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} cannot be used together", "give the text once")
    if stdin or "-" in (message, file):
        return _decode(read_stdin(), "stdin")
    if message is not None:
        return message
    if file is None:
        return None
    try:
        with open(os.path.expanduser(file), "rb") as source:
            return _decode(source.read(), file)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", "name a readable text file") from None


def text_or_stdin(text: str | None, option: str) -> str | None:
    """Text of an option that has no -F and --stdin beside it; `-` means stdin here, too. Raises as `text_from`."""
    return text_from(text, None, False, option=option)


def read_stdin() -> bytes:
    """All of stdin; raises UsageError where it cannot be read, or was taken for another text already."""
    global _taken
    if _taken:
        raise UsageError("stdin can be taken for one text only", "give the other one from a file, or as it is")
    _taken = True
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise UsageError(f"stdin cannot be read: {error.strerror}", "redirect a file or a pipe into it") from None


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not UTF-8 text") from None
