"""Finding the entries that turn a stack red, with few runs of the gates. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def find_culprits(
    suspects: tuple[T, ...], is_green: Callable[[tuple[T, ...]], bool]
) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Split a red stack into (good, culprits), each in the stack's order.

    `suspects` as a whole is known red and the empty stack known green. `good` is empty or was
    itself the last stack for which `is_green` said yes, so it may land as it was tested.
    Two entries that are red only together leave the earlier one good.
    """
    return _narrow((), suspects, is_green)


def _narrow(
    good: tuple[T, ...], suspects: tuple[T, ...], is_green: Callable[[tuple[T, ...]], bool]
) -> tuple[tuple[T, ...], tuple[T, ...]]:
    # Known: `good` is green, `good + suspects` is red.
    if len(suspects) == 1:
        return good, suspects
    half = len(suspects) // 2
    left, right = suspects[:half], suspects[half:]
    if is_green(good + left):
        return _narrow(good + left, right, is_green)
    good, culprits = _narrow(good, left, is_green)
    if is_green(good + right):
        return good + right, culprits
    good, more = _narrow(good, right, is_green)
    return good, culprits + more
