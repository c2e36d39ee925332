"""The canonical text of a committed YAML file (design/town.md).

On the hook-time path: no regular expressions, no heavy imports. `fastread` reads exactly this form.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing collections costs a tenth of a bare Python start
    from collections.abc import Mapping, Sequence
    from typing import Any, TypeGuard

TEXT_KEYS = frozenset({"text", "description", "acceptance", "body"})
FLOW_KEYS = frozenset({"created", "closed", "acked", "dispatch"})
MAX_DEPTH = 64
LONGEST_KEY = 1000  # YAML readers give up on a simple key past 1,024 characters
ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}

_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_BAD_FIRST = frozenset(" -?:,[]{}#&*!|>'\"%@`=<~.+")
# ":" because libyaml before 0.2.2 (ruamel's own copy too) ends a plain scalar there inside a flow map
_FLOW_MARKS = frozenset(",[]{}?:")
_NUMERIC = "0123456789_.:+-eETtZz "


def printable(text: str) -> bool:
    """Whether a YAML file may hold every character of `text` raw, for every reader.

    NEL, LS and PS are refused: YAML 1.1 readers take them for line ends, 1.2 readers do not.
    """
    if text.isascii() and text.replace("\n", "").isprintable():
        return True
    return all(_raw(c) for c in set(text))


def _raw(c: str) -> bool:
    if c < "\x7f":
        return c >= " " or c in "\n\t"
    if c <= "\ud7ff":
        return c >= "\xa0" and c not in "\u2028\u2029"
    return c > "\uffff" or ("\ue000" <= c <= "\ufffd" and c != "\ufeff")


def is_plain(text: str, *, flow: bool = False) -> bool:
    """Whether printable one-line `text` may stand unquoted and is a string to YAML 1.1 and 1.2 alike.

    RFC 3339 times (`2026-11-23T09:30:00Z`) count as strings here: that is our model.
    """
    if not text or text[0] in _BAD_FIRST or ": " in text or " #" in text or text[-1] in ": " or "\t" in text:
        return False
    if flow and not (_FLOW_MARKS.isdisjoint(text) or is_time(text)):
        return False
    if "0" <= text[0] <= "9":
        if text[1:2] in ("x", "X", "o", "O", "b", "B") and text[0] == "0":
            return False
        return bool(text.strip(_NUMERIC)) or is_time(text)
    return len(text) > 5 or text.lower() not in _WORDS


def is_time(text: str) -> bool:
    """Whether `text` has the form of our times, `2026-11-23T09:30:00Z`."""
    # Its marks stand at every third character from the fifth on.
    return len(text) == 20 and text[4::3] == "--T::Z" and (text[:4] + text[5::3] + text[6::3]).isdigit()


# -- writing ---------------------------------------------------------------------------------------


def dump(doc: Mapping[str, object], order: Sequence[str] = ()) -> bytes:
    """The canonical bytes of `doc`: keys of `order` first, the rest as they come.

    Lossless for str, int, float, bool, None, lists and maps with string keys. Raises ValueError for
    lone surrogates, other types, more than 64 levels and keys no YAML reader would take.
    """
    if not doc:
        return b"{}\n"
    keys = [key for key in order if key in doc]
    first = frozenset(keys)
    keys += [key for key in doc if key not in first]
    out: list[str] = []
    for key in keys:
        # a kept literal (`|+`) ends in blank lines that are its text: one more would be added to it
        if out and out[-1]:
            out.append("")
        out += entry_lines(key, doc[key], 0)
    out.append("")
    try:
        return "\n".join(out).encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(error.object[error.start])
        # Python's way to keep a byte of a command line that is no UTF-8.
        what = f"the byte 0x{code & 0xFF:02x}, which is no UTF-8" if 0xDC80 <= code <= 0xDCFF else "a lone surrogate"
        raise ValueError(f"text holds {what}") from None


def entry_lines(key: str, value: object, indent: int, depth: int = 1) -> list[str]:
    """The lines of one `key: value` of a block map that stands at column `indent`."""
    head, body = node_lines(value, indent, key=key, depth=depth + 1)
    return [f"{' ' * indent}{_key(key)}:{' ' + head if head else ''}", *body]


def item_lines(value: object, indent: int, depth: int = 1) -> list[str]:
    """The lines of one `- value` of a block list whose dashes stand at column `indent`."""
    head, body = node_lines(value, indent, item=True, depth=depth + 1)
    pad = " " * indent
    if head:
        return [f"{pad}- {head}", *body]
    return [f"{pad}- {body[0][indent + 2 :]}", *body[1:]]


def node_lines(
    value: object, indent: int, *, key: str = "", item: bool = False, depth: int = 2
) -> tuple[str, list[str]]:
    """What follows `key:` or `-` (at column `indent`): the rest of that line, and the lines below it."""
    if isinstance(value, str):
        value = str.__str__(value)
        if key in TEXT_KEYS or "\n" in value:
            literal = _literal(value, indent + 2)
            if literal is not None:
                return literal
        return scalar(value), []
    if isinstance(value, (list, tuple)):
        _check_depth(depth)
        return ("", [ln for v in value for ln in item_lines(v, indent + 2, depth)]) if value else ("[]", [])
    if _is_map(value):
        _check_depth(depth)
        if not value or ((item or key in FLOW_KEYS) and _fits_flow(value)):
            return flow_map(value), []
        return "", [ln for k, v in value.items() for ln in entry_lines(k, v, indent + 2, depth)]
    return scalar(value), []


def _is_map(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, dict) or hasattr(value, "items")


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def _fits_flow(value: Mapping[str, object]) -> bool:
    return not any(
        isinstance(v, (list, tuple)) or _is_map(v) or k in TEXT_KEYS or (isinstance(v, str) and "\n" in v)
        for k, v in value.items()
    )


def flow_map(value: Mapping[str, object]) -> str:
    """`{a: 1, b: x}` on one line; the values must be scalars."""
    return "{" + ", ".join(f"{_key(k, flow=True)}: {scalar(v, flow=True)}" for k, v in value.items()) + "}"


def scalar(value: object, *, flow: bool = False) -> str:
    """One scalar on one line: plain where no reader can misread it, else double-quoted."""
    if isinstance(value, str):
        value = str.__str__(value)
        plain = is_plain(value, flow=flow) and "\n" not in value and printable(value)
        return value if plain else _quote(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return _float(value)
    raise ValueError(f"cannot be written as YAML: {type(value).__name__}")


def _float(value: float) -> str:
    text = float.__repr__(value)
    if text in ("inf", "-inf", "nan"):
        return text.replace("inf", ".inf").replace("nan", ".nan")
    mantissa, e, exponent = text.partition("e")
    # YAML 1.1 readers take 1e+16 for a string: they want the point
    return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else text


def _key(key: object, *, flow: bool = False) -> str:
    if not isinstance(key, str):
        raise ValueError(f"a key must be a string, not {type(key).__name__}")
    text = scalar(key, flow=flow)
    if len(text) > LONGEST_KEY:
        raise ValueError(f"a key of {len(text)} characters is too long")
    return text


def _quote(text: str) -> str:
    out = ['"']
    for c in text:
        if c in ESCAPES:
            out.append(ESCAPES[c])
        elif _raw(c) or "\ud800" <= c <= "\udfff":  # a lone surrogate: refused when the whole is encoded
            out.append(c)
        elif c <= "\xff":
            out.append(f"\\x{ord(c):02x}")
        else:
            out.append(f"\\u{ord(c):04x}")
    out.append('"')
    return "".join(out)


def _literal(text: str, indent: int) -> tuple[str, list[str]] | None:
    """`text` as a `|` block at column `indent`; None if a literal block cannot hold it."""
    if not text.strip(" \t\n") or not printable(text):
        return None
    lines = text.split("\n")
    chomp = "-"
    if not lines[-1]:
        lines.pop()
        chomp = "" if lines[-1] else "+"
    hint = "2" if text[0] in "\n \t" else ""  # else readers would guess the indentation wrong
    pad = " " * indent
    return f"|{hint}{chomp}", [pad + line if line else "" for line in lines]
