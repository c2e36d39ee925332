"""Text from files made safe for a terminal: no escape ever reaches it raw."""

from __future__ import annotations

from collections.abc import Sequence

# Unicode's bidirectional controls can make a line read differently from what it holds.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029\ufeff")


def _visible(char: str) -> str:
    code = ord(char)
    if code < 0x20 or 0x7F <= code < 0xA0:
        return f"\\x{code:02x}"
    if char in _BIDI or 0xD800 <= code < 0xE000:
        return f"\\u{code:04x}"
    return char


def safe(text: object) -> str:
    """`text` on one line, with control characters and bidi overrides spelled out."""
    line = str(text)
    if line.isascii() and line.isprintable():
        return line
    return "".join(" " if c in "\n\t" else _visible(c) for c in line)


def safe_block(text: object) -> str:
    """As `safe`, keeping line breaks and tabs."""
    return "".join(c if c in "\n\t" else _visible(c) for c in str(text))


def counted(count: int, what: str) -> str:
    """`1 bead`, `2 beads`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def some(names: Sequence[str], most: int = 5) -> str:
    """`a, b` or, of many, `a, b, c, d, e and 2 more`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def clip(text: str, width: int) -> str:
    """`text` cut to `width` characters, with an ellipsis where it was cut."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def nearest(word: str, among: list[str], most: int = 3) -> list[str]:
    """The names most like `word`, best first; for "did you mean"."""
    from difflib import get_close_matches

    starts = [name for name in among if name.startswith(word)][:most] if word else []
    close = get_close_matches(word, among, n=most, cutoff=0.6)
    return list(dict.fromkeys(starts + close))[:most]
