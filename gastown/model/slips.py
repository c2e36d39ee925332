"""Keys that nobody reads and that look like a slip: one letter off a key that means something.

A key of one's own is welcome in every file; one that begins with `x-` is never taken for a slip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gastown.model.errors import InvalidFile

# Shorter words are near to too much; in longer ones two letters may be wrong.
_SHORT, _LONG = 4, 8


class Slip(InvalidFile):
    """A key that was probably meant to be another. The file is usable all the same."""


def meant(key: object, known: Iterable[str]) -> str:
    """The known key that `key` was probably meant to be; "" for a known one, and for one's own."""
    if not isinstance(key, str) or key.lower().startswith(("x-", "x_")) or key in (known := list(known)):
        return ""
    plain = _plain(key)
    same = next((one for one in known if _plain(one) == plain), "")
    if same or len(plain) < _SHORT:
        return same
    near = [(_distance(plain, _plain(one)), one) for one in known if len(one) >= _SHORT]
    close = ((far, one) for far, one in near if far <= (2 if len(one) >= _LONG else 1))
    return min(close, default=(0, ""))[1]


def found(doc: Mapping[str, Any], known: Iterable[str], path: str, *, inside: str = "") -> list[Slip]:
    """One for each key of `doc` that looks like a slip; `inside` is where in the file the map lies."""
    known = list(known)
    pairs = [(str(key), meant(key, known)) for key in doc]
    return [_slip(path, f"{inside}{key}", key, other) for key, other in pairs if other]


def _slip(path: str, where: str, key: str, other: str) -> Slip:
    hint = f"rename it in {path}; a key of your own begins with x-: x-{key.lower()}"
    return Slip(path, f"nothing reads `{key}`: did you mean `{other}`?", key=where, hint=hint)


def _plain(key: str) -> str:
    return key.lower().replace("-", "").replace("_", "").strip()


def _distance(one: str, other: str) -> int:
    """How many letters were left out, put in, mistaken, or swapped with the next."""
    if abs(len(one) - len(other)) > 2:
        return 3
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        last, row = row, [i]
        for j, b in enumerate(other, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if before and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before = last
    return row[-1]
