"""The default names of polecats, and which one is free next."""

from __future__ import annotations

from collections.abc import Container, Sequence

# Short, easy to say, and told apart by their first letter for as long as letters last.
DEFAULT_NAMES = (
    "amber", "birch", "cedar", "dune", "ember", "fern", "gale", "heath", "iris", "jade", "kelp", "lotus", "moss",
    "nova", "onyx", "pine", "quartz", "reed", "slate", "thorn", "ulex", "vale", "wren", "xenon", "yarrow", "zinc",
    "ash", "brook", "cliff", "dew", "elm", "flint", "glen", "hazel", "indigo", "juniper", "koa", "lark", "marsh",
    "nettle", "oak", "pebble", "quill", "rook", "sage", "tide", "ursa", "violet", "willow", "yew",
)  # fmt: skip
_LONGEST = 32


def next_free(pool: Sequence[str], used: Container[str]) -> str:
    """The first name of `pool` not in `used`; past the end of the pool `amber-2`, `birch-2` … `amber-3`.

    Order is the pool's, so two machines that see the same town choose the same name. An
    empty pool means the default one. What is used is derived by the caller, never stored.
    """
    names = tuple(pool) or DEFAULT_NAMES
    for name in names:
        if name not in used:
            return name
    round_ = 2
    while True:
        suffix = f"-{round_}"
        for name in names:
            candidate = name[: _LONGEST - len(suffix)].rstrip("-") + suffix
            if candidate not in used:
                return candidate
        round_ += 1
