"""The default names of polecats, and which one is free next."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator, Sequence

# Short, easy to say, and told apart by their first letter for as long as letters last.
DEFAULT_NAMES = (
    "amber", "birch", "cedar", "dune", "ember", "fern", "gale", "heath", "iris", "jade", "kelp", "lotus", "moss",
    "nova", "onyx", "pine", "quartz", "reed", "slate", "thorn", "ulex", "vale", "wren", "xenon", "yarrow", "zinc",
    "ash", "brook", "cliff", "dew", "elm", "flint", "glen", "hazel", "indigo", "juniper", "koa", "lark", "marsh",
    "nettle", "oak", "pebble", "quill", "rook", "sage", "tide", "ursa", "violet", "willow", "yew",
)  # fmt: skip
_LONGEST = 32


def next_free(pool: Sequence[str], used: Container[str], *, share: int = 0, of: int = 1) -> str:
    """The first name of `pool` not in `used`; past the end of the pool `amber-2`, `birch-2` … `amber-3`.

    Of several machines that cannot ask each other, each takes only its own `share` (0 to `of` - 1) of that
    series, so that no two draw one name. An empty pool means the default one. What is used is derived by the
    caller, never stored.
    """
    series = _series(tuple(pool) or DEFAULT_NAMES)
    return next(name for name in itertools.islice(series, share, None, of) if name not in used)


def _series(names: Sequence[str]) -> Iterator[str]:
    yield from names
    for number in itertools.count(2):
        suffix = f"-{number}"
        for name in names:
            yield name[: _LONGEST - len(suffix)].rstrip("-") + suffix
