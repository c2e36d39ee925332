"""The comments of a hand-written YAML text, so that a merge of two such texts loses none of them."""

from __future__ import annotations

from collections.abc import Iterator

from gastown.model.errors import InvalidFile
from gastown.store.yamltree import Node, decode, parse

# A comment, and the top-level key that it stands at or before ("" behind the last one).
Comment = tuple[str, str]


def found(data: bytes, path: str) -> list[Comment]:
    """Every comment of a text in order; [] for one that cannot be read."""
    try:
        text = decode(data, path)
        tree = parse(text, path)
    except InvalidFile:
        return []
    spans = sorted(_scalars(tree))
    keys = [(key.start, max(key.end, value.end), key.value) for key, value in tree.items if key is not None]
    comments = []
    at = 0
    for line in text.split("\n"):
        start = next((n for n in _marks(line) if not any(a <= at + n < b for a, b in spans)), None)
        if start is not None:
            comments.append((line[start:].rstrip(), _key(keys, at, at + start)))
        at += len(line) + 1
    return comments


def kept(data: bytes, wanted: list[Comment], path: str) -> bytes:
    """The text with these comments put in, each on a line of its own before its key, or at the end."""
    text = data.decode("utf-8")
    tree = parse(text, path)
    places = {key.value: text.rfind("\n", 0, key.start) + 1 for key, _ in tree.items if key is not None}
    if tree.flow:
        places = {}
    lines: dict[int, str] = {}
    for comment, key in wanted:
        at = places.get(key, len(text))
        lines[at] = lines.get(at, "") + comment + "\n"
    for at in sorted(lines, reverse=True):
        lead = "" if at == 0 or text[at - 1] == "\n" else "\n"
        text = text[:at] + lead + lines[at] + text[at:]
    return text.encode("utf-8")


def _marks(line: str) -> Iterator[int]:
    """Where a comment may begin in a line."""
    return (n for n, c in enumerate(line) if c == "#" and (n == 0 or line[n - 1] in " \t"))


def _key(keys: list[tuple[int, int, str]], line: int, at: int) -> str:
    """The entry that a place lies in, on the last line of (which begins at `line`), or before."""
    inside = [name for start, end, name in keys if start <= at and end > line]
    return (inside or [name for start, _, name in keys if start > at] or [""])[0]


def _scalars(node: Node) -> Iterator[tuple[int, int]]:
    for key, value in node.items:
        if key is not None:
            yield key.start, key.end
        if value.kind == "scalar":
            yield value.start, value.end
        else:
            yield from _scalars(value)
