"""Who waits for whom: blockers, readiness, cycles. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from gastown.model.row import Row

# Containers and records of other work are not themselves picked up by workers.
NOT_WORK = frozenset(("epic", "convoy", "merge", "escalation", "decision"))


def satisfied(need: Row | None, dependent: Row) -> bool:
    """True if `need` no longer blocks: closed, and where it was merged, on the dependent's target.

    An unknown need blocks (unknown is never empty). Within one rig a merged blocker counts
    only when it landed on the branch that the dependent starts from (lifecycle.md, The deacon);
    whether that commit is really an ancestor of the base is asked of git when work is slung.
    """
    if need is None or need.status != "closed":
        return False
    if need.closed_commit and need.rig == dependent.rig and need.target and dependent.target:
        return need.target == dependent.target
    return True


def blockers(row: Row, by_id: Mapping[str, Row]) -> list[str]:
    """The needs of `row` that are not satisfied, unknown ones included."""
    return [need for need in row.needs if not satisfied(by_id.get(need), row)]


def is_ready(row: Row, by_id: Mapping[str, Row]) -> bool:
    """Open work that nobody holds, nothing blocks and nobody deferred."""
    return row.status == "open" and row.type not in NOT_WORK and not (row.needs and blockers(row, by_id))


def ready(rows: Iterable[Row], by_id: Mapping[str, Row]) -> list[Row]:
    """Those of many rows that are ready, as `is_ready` says of one."""
    free = [row for row in rows if row.status == "open" and row.type not in NOT_WORK]
    return [row for row in free if not row.needs or not blockers(row, by_id)]


def find_cycle(start: str, needs_of: Callable[[str], Iterable[str]]) -> list[str]:
    """A path `start … start` through needs, or [] if there is none."""
    stack: list[tuple[str, list[str]]] = [(start, [start])]
    seen: set[str] = set()
    while stack:
        here, path = stack.pop()
        for need in needs_of(here):
            if need == start:
                return [*path, need]
            if need not in seen:
                seen.add(need)
                stack.append((need, [*path, need]))
    return []
