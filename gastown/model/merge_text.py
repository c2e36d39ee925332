"""The three-way merge of lines. Pure, and the same whichever side is called ours."""

from __future__ import annotations

from collections.abc import Sequence

# Beyond this a line-by-line comparison takes longer than anybody waits; such texts count as one line.
_MOST_LINES = 20_000
Hunk = tuple[int, int, list[str]]


def merge_lines(base: str, ours: str, theirs: str) -> str | None:
    """The text with the changes of both sides; None where they overlap or touch.

    Equal changes count once. Nothing that one side wrote is dropped or reordered.
    """
    if ours == theirs or theirs == base:
        return ours
    if ours == base:
        return theirs
    old = _lines(base)
    mine, other = _hunks(old, _lines(ours)), _hunks(old, _lines(theirs))
    merged = _weave(old, mine, other)
    return None if merged is None else "".join(merged)


def _lines(text: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    return lines if len(lines) <= _MOST_LINES else [text]


def _hunks(old: Sequence[str], new: Sequence[str]) -> list[Hunk]:
    """(first, end, replacement) for every changed stretch of `old`."""
    most = min(len(old), len(new))
    head = next((i for i in range(most) if old[i] != new[i]), most)
    tail = next((i for i in range(most - head) if old[-1 - i] != new[-1 - i]), most - head)
    from difflib import SequenceMatcher  # dear, and few merges come here

    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    matcher = SequenceMatcher(None, middle_old, middle_new, autojunk=False)
    return [
        (head + i1, head + i2, list(middle_new[j1:j2]))
        for tag, i1, i2, j1, j2 in matcher.get_opcodes()
        if tag != "equal"
    ]


def _weave(old: Sequence[str], mine: list[Hunk], other: list[Hunk]) -> list[str] | None:
    out: list[str] = []
    done = 0
    mine, other = list(mine), list(other)
    while mine or other:
        if mine and other and mine[0] == other[0]:
            hunk = mine.pop(0)
            other.pop(0)
        elif mine and other and _touch(mine[0], other[0]):
            return None
        else:
            hunk = (mine if not other or (mine and mine[0][0] < other[0][0]) else other).pop(0)
        out += [*old[done : hunk[0]], *hunk[2]]
        done = hunk[1]
    return out + list(old[done:])


def _touch(one: Hunk, other: Hunk) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]
