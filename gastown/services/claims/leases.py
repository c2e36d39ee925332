"""When the lease of a claim is over: never judged by two clocks alone, but by what this machine itself has watched.

A holder that lives renews its claim long before the lease ends, so one that has stood unchanged here for a while by
this machine's own clock is the sign of a holder that does not. A clock that is far ahead takes nothing away by that,
and one of the holder that is far ahead holds nothing for longer than its lease.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gastown.store import layout, runstate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gastown.services.claims.claimrefs import Claim
    from gastown.store.town import Town

# Clocks of two machines may be this far apart before a lease that lapsed is taken for lapsed.
GRACE = 600.0
# Whose deacon runs renews within a good quarter of the lease: it was silent who did not within this part of it.
SILENT = 1 / 3


def _path(town: Town) -> str:
    return layout.run(town.root, "claims-watched.json")


def _watched(town: Town) -> dict[str, Any]:
    doc = runstate.read_json(_path(town))
    return doc if isinstance(doc, dict) else {}


def watch(town: Town, standing: Iterable[tuple[str, str]]) -> None:
    """Remember since when each claim has stood as it does: all there are, as `claimrefs.mirrored` has them."""
    now, before = town.clock(), _watched(town)
    found = {ref: [commit, _since(before, ref, commit, now)] for commit, ref in standing}
    if found != before:
        runstate.write_json(_path(town), found, durable=False)


def watch_one(town: Town, ref: str, commit: str) -> None:
    """As `watch`, for a claim that was looked at by itself."""
    before = _watched(town)
    entry = [commit, _since(before, ref, commit, town.clock())]
    if before.get(ref) != entry:
        runstate.write_json(_path(town), {**before, ref: entry}, durable=False)


def _since(before: dict[str, Any], ref: str, commit: str, now: float) -> float:
    entry = before.get(ref)
    if not isinstance(entry, list) or len(entry) != 2 or entry[0] != commit:
        return now
    # One that was noted in the future was noted by a clock that has been set since.
    return float(entry[1]) if float(entry[1]) <= now else now


def watched_since(town: Town, one: Claim) -> float:
    """Since when this machine has seen the claim as it is now; from now on if it never was looked at before."""
    return _since(_watched(town), one.ref, one.commit, town.clock())


def free_from(town: Town, one: Claim) -> float:
    """From when on it may be taken over, by this machine's clock (epoch seconds), if it stays as it is.

    That is when its lease is over and its holder was watched for a while and did not renew it, or when it was watched
    for a whole lease.
    """
    seen, length = watched_since(town, one), max(0.0, one.until - one.written)
    return min(max(one.until, seen + length * SILENT), seen + length) + GRACE


def lapsed(town: Town, one: Claim) -> bool:
    """True if it may be taken over."""
    return free_from(town, one) < town.clock()
