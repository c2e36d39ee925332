"""Names and bead ids: what is allowed, and how new ids are made.

No path is ever built from a string that has not passed `check_name` or `check_id`.
Only string methods here, no `re`: every command that agents' hooks call imports this.
"""

from __future__ import annotations

from gastown.model.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz")
_ALNUM = frozenset(ALPHABET)
_NAME = _ALNUM | {"-"}
RESERVED = frozenset(
    ("mayor", "deacon", "witness", "refinery", "overseer", "crew", "polecats", "town", "all", "new", "cur", "tmp")
)
TOWN_PREFIX = "hq"
ID_LOOKS = "an id is a prefix, a dash and 4 to 10 of a-z and 0-9, such as gp-x7k2m"
# What to do when two files have one id.
ONE_BEAD = (
    "an id means one bead: in a town with a remote, gt sync joins copies of one and gives the later of two its own id; "
    "else remove the file that is not meant, or give its bead another id, in the file and as its name"
)


def is_name(text: str) -> bool:
    """True if `text` may name a rig, worker, machine or group: ^[a-z][a-z0-9-]{0,31}$, not reserved."""
    return 0 < len(text) <= 32 and text[0] in _LOWER and _NAME.issuperset(text) and text not in RESERVED


def check_name(text: str, what: str) -> str:
    """Return `text`; raise UsageError naming `what` it should have named."""
    if is_name(text):
        return text
    if text in RESERVED:
        raise UsageError(f"{text!r} is reserved and cannot name a {what}", "choose another name")
    raise UsageError(
        f"{text!r} cannot name a {what}",
        "names are 1 to 32 of a-z, 0-9 and '-', and begin with a letter",
    )


def is_prefix(text: str) -> bool:
    """True if `text` may stand before the dash of an id: ^[a-z][a-z0-9]{0,7}$."""
    return 0 < len(text) <= 8 and text[0] in _LOWER and _ALNUM.issuperset(text)


def is_id(text: str) -> bool:
    """True for ^[a-z][a-z0-9]{0,7}-[0-9a-z]{4,10}(\\.[0-9]+)*$ and nothing else."""
    prefix, dash, rest = text.partition("-")
    if not dash or not is_prefix(prefix) or len(text) > 64:
        return False
    base, *children = rest.split(".")
    if not 4 <= len(base) <= 10 or not _ALNUM.issuperset(base):
        return False
    return all(part.isascii() and part.isdigit() for part in children)


def check_id(text: str) -> str:
    """Return `text` if it is a bead id; raise UsageError otherwise."""
    if not is_id(text):
        raise UsageError(f"{text!r} is not a bead id", "ids look like gp-x7k2m; `gt list` shows them")
    return text


def prefix_of(bead_id: str) -> str:
    """The part before the dash: it says which rig a bead belongs to."""
    return bead_id.partition("-")[0]


def width_for(count: int) -> int:
    """How many base-36 characters a new id gets in a prefix that holds `count` beads."""
    return 5 if count < 5_000 else 6 if count < 100_000 else 7


def new_id(prefix: str, count: int, taken: Callable[[str], bool], randbelow: Callable[[int], int]) -> str:
    """A fresh id in `prefix`; two offline machines practically never draw the same one."""
    width = width_for(count)
    while True:
        number = randbelow(36**width)
        digits = []
        for _ in range(width):
            number, digit = divmod(number, 36)
            digits.append(ALPHABET[digit])
        candidate = f"{prefix}-{''.join(reversed(digits))}"
        if not taken(candidate):
            return candidate


def order(bead_id: str) -> list[tuple[int, str]]:
    """What ids are sorted by so that a parent's children stand in the order of their numbers."""
    return [(len(part), part) for part in bead_id.split(".")]


def child_id(parent: str, siblings: Iterable[str]) -> str:
    """The next `<parent>.<n>` after the highest that exists."""
    numbers = [
        int(tail)
        for one in siblings
        if one.startswith(parent + ".") and (tail := one[len(parent) + 1 :]).isdigit()
    ]
    return f"{parent}.{max(numbers, default=0) + 1}"


def prefix_for_rig(name: str, taken: Iterable[str]) -> str:
    """A short, free prefix made from a rig's name: `green-place` gives `gp`, `tools` gives `to`."""
    parts = [part for part in name.split("-") if part]
    short = "".join(part[0] for part in parts) if len(parts) > 1 else name[:2]
    short = "".join(c for c in short if c in _ALNUM)[:8] or "r"
    if short[0] not in _LOWER:
        short = "r" + short[:7]
    used = set(taken) | {TOWN_PREFIX}
    if short not in used:
        return short
    for candidate in (name.replace("-", "")[:n] for n in range(3, 9)):
        if is_prefix(candidate) and candidate not in used:
            return candidate
    return next(c for n in range(2, 10_000) if (c := f"{short[:4]}{n}") not in used)
