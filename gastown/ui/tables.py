"""Records in columns: aligned, one a line, without tabs, an empty cell as `-`, so that awk can split them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gastown.model.text import clip, safe
from gastown.ui.style import paint

Cell = object


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
    texts = [_texts(column) for column in zip(*rows, strict=True)]
    heads = list(head) if head and colour else []
    widths = [max(map(len, column)) for column in texts]
    if heads:
        widths = [max(size, len(name)) for size, name in zip(widths, heads, strict=True)]
    lines = [paint(_line(heads, widths, width), "dim", True)] if heads else []
    if width is None and not colour:
        form = "  ".join([*(f"%-{size}s" for size in widths[:-1]), "%s"])
        return [(form % row).rstrip() for row in zip(*texts, strict=True)]
    for cells in zip(*texts, strict=True):
        if not styles or not colour:
            lines.append(_line(list(cells), widths, width))
            continue
        row = _clipped(list(cells), widths, width)
        padded = [text.ljust(size) for text, size in zip(row[:-1], widths, strict=False)] + row[-1:]
        lines.append(
            "  ".join(paint(padded[i], styles.get(i, {}).get(row[i]), colour) for i in range(len(row))).rstrip()
        )
    return lines


def _texts(column: Sequence[Cell]) -> list[str]:
    """A column's values as cells. Looking at all of them at once is much faster than at each."""
    texts = [one or "-" if one is None or isinstance(one, str) else str(one) for one in column]
    whole = "".join(texts)
    return texts if whole.isascii() and whole.isprintable() else list(map(safe, texts))


def _clipped(row: list[str], widths: list[int], width: int | None) -> list[str]:
    if width is None:
        return row
    room = width - sum(widths[:-1]) - 2 * (len(widths) - 1)
    return [*row[:-1], clip(row[-1], max(10, room))]


def _line(row: list[str], widths: list[int], width: int | None) -> str:
    row = _clipped(row, widths, width)
    return "  ".join([*map(str.ljust, row[:-1], widths), row[-1]]).rstrip()
