"""A small strict reader for canonical YAML: exactly what `canonical.dump` writes, or None.

About ten times as fast as ruamel's C loader; whatever it does not recognise is for ruamel to judge.
"""

from __future__ import annotations

from gastown.store.canonical import ESCAPES, LONGEST_KEY, MAX_DEPTH, is_plain, is_time, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CONSTANTS = {"null": None, "true": True, "false": False, ".inf": float("inf"), "-.inf": float("-inf")}
_HEADERS = frozenset({"|", "|-", "|+", "|2", "|2-", "|2+"})
_UNESCAPES = {v[1]: k for k, v in ESCAPES.items()}
_HEX_WIDTH = {"x": 2, "u": 4, "U": 8}
# Keys and short words once found plain; bounded. Of letters alone a word is plain inside a flow map as well.
_known_keys: set[str] = set()
_known_words: set[str] = set()
_MOST_KNOWN = 500


class _Unknown(Exception):
    """Not in the subset the writer writes; ruamel decides."""


def read_fast(data: bytes) -> dict[str, Any] | None:
    """The map in `data` if it is written the way `dump` writes, else None (never a different reading).

    Comments may stand above it, as in the files of a new town.
    """
    try:
        text = data.decode("utf-8")
        if text[-1:] != "\n" or not printable(text):
            return None
        lines = text.split("\n")
        lines.pop()
        # Comments before everything else belong to nothing; what is not printable may end a line for YAML.
        first = next((i for i, line in enumerate(lines) if line[:1] != "#" or not line.isprintable()), len(lines))
        del lines[:first]
        if lines == ["{}"]:
            return {}
        doc, _ = _read_map(lines, 0, 0, 1)
    except (_Unknown, UnicodeDecodeError):
        return None
    return doc or None


def _read_map(lines: list[str], i: int, indent: int, depth: int) -> tuple[dict[str, Any], int]:
    if depth > MAX_DEPTH:
        raise _Unknown
    out: dict[str, Any] = {}
    pad = " " * indent
    count = len(lines)
    while i < count:
        line = lines[i]
        i += 1
        if not line:
            if indent:
                return out, i - 1
            continue
        if indent:
            if line[:indent] != pad:
                return out, i - 1
            line = line[indent:]
        key, rest = _split_key(line)
        if key in out:
            raise _Unknown
        if not rest:
            out[key], i = _read_block(lines, i, indent + 2, depth + 1)
        elif rest[0] == "|":
            out[key], i = _read_literal(lines, i, indent + 2, rest)
        else:
            out[key] = _read_value(rest, depth)
    return out, i


def _split_key(line: str) -> tuple[str, str]:
    """The key of a map's line and what follows `: ` ("" if the line ends at the colon)."""
    if line[:1] == '"':
        end = _closing_quote(line, 0)
        key, rest = _unquote(line[1:end]), line[end + 1 :]
        if end > LONGEST_KEY or (rest != ":" and (rest[:2] != ": " or len(rest) == 2)):
            raise _Unknown
        return key, rest[2:]
    key, colon, rest = line.partition(": ")
    if not colon:
        if line[-1:] != ":":
            raise _Unknown
        key = line[:-1]
    elif not rest:
        raise _Unknown
    if key not in _known_keys:
        if len(key) > LONGEST_KEY or not is_plain(key):
            raise _Unknown
        if len(_known_keys) < _MOST_KNOWN:
            _known_keys.add(key)
    return key, rest


def _read_block(lines: list[str], i: int, indent: int, depth: int) -> tuple[Any, int]:
    if i >= len(lines) or lines[i][:indent] != " " * indent:
        raise _Unknown
    if lines[i][indent : indent + 2] == "- ":
        return _read_list(lines, i, indent, depth)
    return _read_map(lines, i, indent, depth)


def _read_list(lines: list[str], i: int, indent: int, depth: int) -> tuple[list[Any], int]:
    if depth > MAX_DEPTH:
        raise _Unknown
    out: list[Any] = []
    dash = " " * indent + "- "
    inner = indent + 2
    while i < len(lines) and lines[i][:inner] == dash:
        rest = lines[i][inner:]
        if not rest:
            raise _Unknown
        value: Any
        if rest[0] == "|":
            value, i = _read_literal(lines, i + 1, inner, rest)
        elif rest[:2] == "- " or _starts_map(rest):
            # the item's first line reads like the others once its dash is a blank
            lines[i] = " " * inner + rest
            value, i = _read_block(lines, i, inner, depth + 1)
        else:
            value, i = _read_value(rest, depth), i + 1
        out.append(value)
    return out, i


def _starts_map(rest: str) -> bool:
    if rest[0] == '"':
        return _closing_quote(rest, 0) != len(rest) - 1
    return rest[0] != "{" and (": " in rest or rest[-1] == ":")


def _read_literal(lines: list[str], i: int, indent: int, header: str) -> tuple[str, int]:
    if header not in _HEADERS or i >= len(lines):
        raise _Unknown
    if header[1:2] != "2" and (len(lines[i]) <= indent or lines[i][indent] in " \t"):
        raise _Unknown
    pad = " " * indent
    out: list[str] = []
    for line in lines[i:]:
        if line[:indent] == pad:
            out.append(line[indent:])
        elif not line:
            out.append("")
        else:
            break
    i += len(out)
    kept = len(out)
    while kept and not out[kept - 1]:
        kept -= 1
    if not kept or not "".join(out[:kept]).strip(" \t"):
        raise _Unknown
    if header[-1] == "+":
        return "\n".join(out) + "\n", i
    return "\n".join(out[:kept]) + ("" if header[-1] == "-" else "\n"), i


def _read_value(text: str, depth: int, *, flow: bool = False) -> Any:
    if text in _known_words:
        return text
    c = text[0]
    if c == '"':
        if _closing_quote(text, 0) != len(text) - 1:
            raise _Unknown
        return _unquote(text[1:-1])
    if "0" <= c <= "9" or c == "-":
        return _read_number(text, flow)
    if is_plain(text, flow=flow):
        _know(text)
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text == ".nan":
        return float("nan")
    if flow or depth >= MAX_DEPTH:
        raise _Unknown
    if c == "{":
        return _read_flow_map(text)
    if text == "[]":
        return []
    raise _Unknown


def _know(plain: str) -> None:
    if len(plain) <= 20 and len(_known_words) < _MOST_KNOWN and plain.isalpha():
        _known_words.add(plain)


def _read_number(text: str, flow: bool) -> Any:
    if is_time(text):
        return text
    digits = text[1:] if text[0] == "-" else text
    if not text.isascii() or len(text) > 4000:
        if is_plain(text, flow=flow):
            return text
        raise _Unknown
    if digits.isdigit():
        if digits[0] == "0" and text != "0":
            raise _Unknown
        return int(text)
    if is_plain(text, flow=flow):
        return text
    if text == "-.inf":
        return _CONSTANTS[text]
    mantissa, e, exponent = digits.partition("e")
    whole, _, part = mantissa.partition(".")
    if (
        whole.isdigit()
        and part.isdigit()
        and (not e or (exponent[0:1] in ("+", "-") and exponent[1:].isdigit()))
    ):
        return float(text)
    raise _Unknown


def _read_flow_map(text: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if text == "{}":
        return out
    if text[-1] != "}":
        raise _Unknown
    for part in _flow_parts(text[1:-1]):
        if part[:1] == '"':
            end = _closing_quote(part, 0)
            key, colon, rest = _unquote(part[1:end]), part[end + 1 : end + 3], part[end + 3 :]
            known = colon == ": " and end <= LONGEST_KEY
        else:
            key, _, rest = part.partition(": ")
            known = key in _known_words
            if not known and len(key) <= LONGEST_KEY and is_plain(key, flow=True):
                known = True
                _know(key)
        if not known or not rest or key in out:
            raise _Unknown
        out[key] = _read_value(rest, MAX_DEPTH, flow=True)
    return out


def _flow_parts(inner: str) -> list[str]:
    """The `key: value` parts of a one-line flow map, split at the commas outside quotes."""
    if '"' not in inner:
        return inner.split(", ")
    parts, start, i = [], 0, 0
    while i < len(inner):
        if inner[i] == '"' and inner[i - 1 : i] in ("", " "):
            i = _closing_quote(inner, i)
        elif inner[i : i + 2] == ", ":
            parts.append(inner[start:i])
            start = i + 2
        i += 1
    return [*parts, inner[start:]]


def _closing_quote(text: str, start: int) -> int:
    i = start + 1
    while True:
        end = text.find('"', i)
        if end < 0:
            raise _Unknown
        slash = text.find("\\", i, end)
        if slash < 0:
            return end
        i = slash + 2


def _unquote(text: str) -> str:
    """What stands between double quotes, escapes resolved; only the escapes the writer uses."""
    if "\\" not in text:
        return text
    head, *rest = text.split("\\")
    out = [head]
    pieces = iter(rest)
    for piece in pieces:
        if not piece:  # an escaped backslash: the text up to the next one is its own
            out.append("\\" + next(pieces, ""))
        elif piece[0] in _UNESCAPES:
            out.append(_UNESCAPES[piece[0]] + piece[1:])
        else:
            out.append(_hex_escape(piece))
    return "".join(out)


def _hex_escape(piece: str) -> str:
    end = 1 + _HEX_WIDTH.get(piece[0], 0)
    digits = piece[1:end]
    if end == 1 or len(digits) != end - 1 or digits.strip("0123456789abcdef"):
        raise _Unknown
    code = int(digits, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise _Unknown
    return chr(code) + piece[end:]
