"""Reading and writing the town's YAML files: canonical ones fast, hand-written ones with care.

Light at import: ruamel is loaded only when a file is not canonical.
"""

from __future__ import annotations

from gastown.model.errors import UsageError
from gastown.store import canonical
from gastown.store.fastread import read_fast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

MAX_BYTES = 1_048_576


def load(data: bytes, path: str) -> dict[str, Any]:
    """The map in a committed YAML file; times are strings.

    Raises InvalidFile (path, line, key, reason) for whatever is not a safe YAML map of at most
    1 MiB and 64 levels; an unreadable file is never taken for an empty one.
    """
    if len(data) <= MAX_BYTES:
        doc = read_fast(data)
        if doc is not None:
            return doc
    from gastown.store.roundtrip import load_safe

    return load_safe(data, path)


def dump(doc: Mapping[str, object], order: Sequence[str] = ()) -> bytes:
    """The canonical bytes of `doc`, keys of `order` first; `load` gives `doc` back.

    Raises UsageError for values no YAML file can hold (lone surrogates, more than 64 levels) and for
    more than 1 MiB, which `load` would refuse.
    """
    try:
        return _limited(canonical.dump(doc, order))
    except ValueError as error:
        raise UsageError(f"cannot be written as YAML: {error}", "nothing was written") from None


def rewrite(old: bytes | None, new: Mapping[str, object], order: Sequence[str], path: str) -> bytes:
    """The bytes that replace `old` and hold `new`.

    Canonical if `old` is None or canonical; otherwise `old` with only the changes made, so that a
    person's comments, key order and quoting stay. Raises InvalidFile if `old` cannot be read,
    UsageError like `dump`.
    """
    fresh = dump(new, order)
    if old is None or is_canonical(old, order):
        return fresh
    from gastown.store.roundtrip import edit

    return _limited(edit(old, new, order, path))


def is_canonical(data: bytes, order: Sequence[str] = ()) -> bool:
    """Whether `data` is exactly what `dump` writes for its own content."""
    doc = read_fast(data)
    return doc is not None and canonical.dump(doc, order) == data


def _limited(data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        raise UsageError(
            f"the file would be {len(data):,} bytes; the limit is {MAX_BYTES:,}",
            "keep long texts in a file of the repository and name it here",
        )
    return data
