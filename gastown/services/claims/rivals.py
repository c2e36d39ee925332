"""What stands in the way of a claim: somebody else's, or one of the other form, of which one has to give way."""

from __future__ import annotations

import random
import time
from dataclasses import replace

from gastown.model import times
from gastown.model.errors import GtError, RaceLost
from gastown.services.claims import leases, ownclaims
from gastown.services.claims.claimrefs import BRANCHES, Claim
from gastown.services.claims.claimsight import Standing, look
from gastown.services.claims.ownclaims import is_ours
from gastown.services.remote.wire import Wire
from gastown.store.town import Town

# So long may somebody who claimed in the other form at the same moment take to give way, in seconds.
_YIELDS = 5.0


class Taken(RaceLost):
    """Somebody else has the claim; any other RaceLost says only that this is not the moment to ask."""


def lost_to(town: Town, one: Claim) -> Taken:
    """The refusal of work that another claim stands on: who, where, since when; and why a lapsed lease is waited on."""
    over = ""
    if one.until < town.clock() < leases.free_from(town, one):
        seen = times.ago(town.clock() - leases.watched_since(town, one))
        over = f"; by this clock that is over, but it was first seen here {seen} ago, and who works on it may yet "
        over += f"renew it: free from {times.text(leases.free_from(town, one))}"
    return Taken(
        f"{one.bead} is claimed by {one.claimant} on {one.machine} since {times.text(one.since)} "
        f"(attempt {one.attempt}, until {times.text(one.until)}){over}",
        f"it becomes free when it is released or that lease lapses; gt release {one.bead} --force takes it away",
    )


def _may_replace(town: Town, old: Claim, force: bool) -> bool:
    return force or is_ours(town, old) or leases.lapsed(town, old)


def in_the_way(town: Town, seen: Standing, force: bool) -> GtError | None:
    """Why what stands there is not to be replaced by us; None if it is. What was won goes on, whoever comes beside."""
    claims = seen.claims.values()
    if any(ownclaims.is_won(town, one) for one in claims):
        return None
    if seen.odd:
        return seen.odd
    return next((lost_to(town, one) for one in claims if not _may_replace(town, one, force)), None)


def require_free(town: Town, seen: Standing, force: bool) -> None:
    if (error := in_the_way(town, seen, force)) is not None:
        raise error


def sole(town: Town, line: Wire, mine: Claim, seen: Standing, *, sure: bool, force: bool) -> bool:
    """True if the claim of ours that stands at the remote is the only one that counts; False: look again.

    Claims of two forms do not meet in one compare-and-swap, so each claimer looks for the other form after its own
    push: of any two at least one sees the other. A ref that sees a branch yields. A branch that sees a ref cannot
    tell whether that one saw it too: it waits for it to yield, and else yields itself. Raises RaceLost or Unreadable,
    with nothing of ours left at the remote. `sure`: this was so already for the claim it renews.
    """
    deadline = time.monotonic() + _YIELDS
    while True:
        if mine.ref not in seen.claims or seen.claims[mine.ref].commit != mine.commit:
            return False
        rivals = [one for ref, one in seen.claims.items() if ref != mine.ref]
        bars = in_the_way(town, replace(seen, claims={one.ref: one for one in rivals}), force)
        if bars is None:
            for one in rivals:
                line.push(f":{one.ref}", lease=f"{one.ref}:{one.commit}")
            return all(one.fence < mine.fence for one in rivals) and not (rivals and _look_beside(town, line, mine))
        if sure:
            return True
        if not mine.ref.startswith(BRANCHES) or seen.odd or time.monotonic() > deadline:
            line.push(f":{mine.ref}", lease=f"{mine.ref}:{mine.commit}")
            look(town, line, mine.bead)
            raise bars
        time.sleep(random.uniform(0.1, 0.3))
        seen = look(town, line, mine.bead)


def _look_beside(town: Town, line: Wire, mine: Claim) -> bool:
    """True if something stands there beside ours."""
    seen = look(town, line, mine.bead)
    return seen.odd is not None or list(seen.claims) != [mine.ref]
