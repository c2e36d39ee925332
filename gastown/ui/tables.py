"""Records in columns: aligned, one a line, without tabs, an empty cell as `-`, so that awk can split them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gastown.model.text import clip, safe
from gastown.ui.style import paint

Cell = object
# So many different values in a column are looked at once each, not once a row.
_FEW = 64


def cell(value: Cell) -> str:
    """One value as a word for a column: safe for a terminal, never empty."""
    return "-" if value is None or value == "" else safe(value)


def columns(
    rows: Sequence[Sequence[Cell]],
    *,
    head: Sequence[str] = (),
    styles: Mapping[int, Mapping[str, str]] | None = None,
    colour: bool = False,
    width: int | None = None,
) -> list[str]:
    """The lines of a table; the last column is not padded. `head` only where a person looks (`colour`).

    `styles`: for a column, the style of a value. `width`: cut lines to this many characters.
    """
    if not rows:
        return []
    if width is None and not colour:
        return plain(list(zip(*rows, strict=True)))
    texts = [[cell(value) for value in row] for row in rows]
    heads = [list(head)] if head and colour else []
    widths = [max(map(len, column)) for column in zip(*heads, *texts, strict=True)]
    lines = [paint(_line(heads[0], widths, width), "dim", True)] if heads else []
    for row in texts:
        if not styles or not colour:
            lines.append(_line(row, widths, width))
            continue
        row = _clipped(row, widths, width)
        padded = [text.ljust(size) for text, size in zip(row[:-1], widths, strict=False)] + row[-1:]
        lines.append(
            "  ".join(paint(padded[i], styles.get(i, {}).get(row[i]), colour) for i in range(len(row))).rstrip()
        )
    return lines


def plain(table: Sequence[Sequence[Cell]]) -> list[str]:
    """The lines of a table given by whole columns, as programs read it: uncoloured and uncut.

    Looking at a column at once is much faster than at each of fifty thousand values.
    """
    last = len(table) - 1
    texts = [_texts(column, pad=number < last) for number, column in enumerate(table)]
    return list(map(str.rstrip, map("  ".join, zip(*texts, strict=True))))


def _texts(column: Sequence[Cell], *, pad: bool) -> list[str]:
    """A column's values as cells, of one width if `pad`."""
    words = set(map(type, column)) <= {str, type(None)}
    if words and len(set(column[: 4 * _FEW])) <= _FEW and len(kinds := set(column)) <= _FEW:
        size = max(map(len, map(cell, kinds)), default=0) if pad else 0
        known = {kind: cell(kind).ljust(size) for kind in kinds}
        return list(map(known.__getitem__, column))
    texts = [one or "-" if one is None or isinstance(one, str) else str(one) for one in column]
    whole = "".join(texts)
    if not (whole.isascii() and whole.isprintable()):
        texts = list(map(safe, texts))
    size = max(map(len, texts), default=0) if pad else 0
    return [text.ljust(size) for text in texts] if size > min(map(len, texts), default=0) else texts


def _clipped(row: list[str], widths: list[int], width: int | None) -> list[str]:
    if width is None:
        return row
    room = width - sum(widths[:-1]) - 2 * (len(widths) - 1)
    return [*row[:-1], clip(row[-1], max(10, room))]


def _line(row: list[str], widths: list[int], width: int | None) -> str:
    row = _clipped(row, widths, width)
    return "  ".join([*map(str.ljust, row[:-1], widths), row[-1]]).rstrip()
