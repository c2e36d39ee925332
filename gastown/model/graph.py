"""Who waits for whom: blockers, readiness, cycles. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

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


def need_circles(live: Iterable[Row]) -> list[list[str]]:
    """A path `one … one` through each knot of beads, none of them closed, that wait for one another for ever."""
    waiting = {row.id: row.needs for row in live if row.needs and row.status != "closed"}
    # Most wait for what itself waits for nothing: those are in no circle, and a status asks every time.
    edges = {one: [need for need in needs if need in waiting] for one, needs in waiting.items()}
    return circles({one: needs for one, needs in edges.items() if needs})


def parent_circles(rows: Iterable[Row]) -> list[list[str]]:
    """A path `one … one` through each ring of beads that are below one another."""
    return circles({row.id: [row.parent] for row in rows if row.parent})


def circles(edges: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """One path `one … one` for each set of nodes that all reach each other, in the order of their smallest nodes.

    In linear time, and not by recursion: a town may hold a chain of any length.
    """
    found = []
    for knot in _knots(edges):
        members = set(knot)
        here, seen = min(knot), dict[str, int]()
        while here not in seen:
            seen[here] = len(seen)
            here = next(one for one in edges[here] if one in members)
        path = list(seen)[seen[here] :]
        first = path.index(min(path))
        found.append([*path[first:], *path[: first + 1]])
    return sorted(found)


def _knots(edges: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """The strongly connected parts that hold an edge (Tarjan's way)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    on_path: set[str] = set()
    for start in edges:
        work = [] if start in number else [(start, iter(edges[start]))]
        while work:
            here, left = work[-1]
            if here not in number:
                number[here] = low[here] = len(number)
                path.append(here)
                on_path.add(here)
            for one in left:
                if one not in number:
                    work.append((one, iter(edges.get(one, ()))))
                    break
                if one in on_path:
                    low[here] = min(low[here], number[one])
            else:
                work.pop()
                if work:
                    above = work[-1][0]
                    low[above] = min(low[above], low[here])
                if low[here] == number[here]:
                    knot = [path.pop()]
                    while knot[-1] != here:
                        knot.append(path.pop())
                    on_path.difference_update(knot)
                    if len(knot) > 1 or here in edges.get(here, ()):
                        yield knot
