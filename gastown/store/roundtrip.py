"""Reads any YAML a person may have written, and changes such a file without losing what they wrote.

The home of ruamel, imported only for files that are not canonical.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gastown.model.errors import InvalidFile
from gastown.store import canonical
from gastown.store.splice import Unfit, same, spliced
from gastown.store.yamltree import decode, parse, plain


def load_safe(data: bytes, path: str) -> dict[str, Any]:
    """The map in `data`: YAML 1.2 core schema, times as strings, no tags, anchors, aliases or merge keys.

    Raises InvalidFile(path, reason, line, key) for everything else: more than 1 MiB or 64 levels,
    conflict markers, duplicate or non-string keys, several documents, an empty file.
    """
    doc: dict[str, Any] = plain(parse(decode(data, path), path))
    return doc


def edit(data: bytes, new: Mapping[str, object], order: Sequence[str], path: str) -> bytes:
    """The text of `data` changed just enough to load equal to `new`.

    Comments, key order and the writing of untouched values stay. New top-level keys go where `order`
    puts them. Where the text cannot take the change, the canonical form with the leading comments kept.
    Raises InvalidFile if `data` cannot be read, ValueError if `new` cannot be written.
    """
    text = decode(data, path)
    if text and not text.endswith("\n"):
        text += "\n"
    tree = parse(text, path)
    clean = canonical.dump(new, order)
    target = load_safe(clean, path)
    try:
        result = spliced(text, tree, target, order).encode("utf-8")
        if same(load_safe(result, path), target):
            return result
    except (Unfit, InvalidFile):  # our change made it unreadable: it is not written, the clean form is
        pass
    return _leading_comments(text, tree.start) + clean


def _leading_comments(text: str, start: int) -> bytes:
    lines = [line for line in text[:start].split("\n") if not line or line.startswith("#")]
    head = "\n".join(lines).strip("\n")
    return (head + "\n\n").encode("utf-8") if head else b""
