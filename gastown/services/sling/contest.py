"""Winning a bead where the town has a remote: the remote's compare-and-swap decides before anything here changes."""

from __future__ import annotations

import contextlib

from gastown.model import times
from gastown.model.bead import HELD
from gastown.model.errors import GtError
from gastown.services.claims import claims, ownclaims, turns
from gastown.services.claims.badclaims import Unreadable
from gastown.services.claims.claimrefs import Claim, parse
from gastown.services.claims.claims import Offline
from gastown.services.claims.rivals import lost_to
from gastown.services.remote import takeable
from gastown.services.sling.claim import Chosen, Ticket
from gastown.services.sync import sync
from gastown.store.town import Town


def win(town: Town, chosen: Chosen, *, force: bool = False, offline: bool = False, again: bool = False) -> Ticket:
    """The right to put a bead on a hook of this machine. Afterwards this clone knows what the remote knew of it.

    With `offline` nobody is asked: the ticket is not confirmed unless the claim is ours already. `again`: the same
    work goes on here, so a claim that is still ours is enough where the remote does not answer. `force` takes it from
    whoever has it. Raises RaceLost naming the holder, Offline, NotTaken for a remote that was rewritten.
    """
    bead, known = chosen.bead, claims.held(town, chosen.bead.id)
    ours = known is not None and ownclaims.is_ours(town, known)
    if offline:
        return _unasked(town, chosen, known if ours else None, force)
    try:
        mine = claims.claim(
            town, bead.id, chosen.attempt, claimant=chosen.address, above=bead.fence or 0, force=force
        )
    except Offline:
        if again and ours and known is not None and known.until > town.clock():
            return Ticket(known.fence, chosen.attempt)
        raise
    over = _taken_over(town, mine)
    try:
        mine = _up_to_date(town, mine)
    except BaseException:
        give_back(town, bead.id, Ticket(mine.fence, fresh=not ours))
        raise
    return Ticket(mine.fence, mine.attempt, fresh=not ours, over=over)


def _taken_over(town: Town, mine: Claim) -> str:
    """Who had it before this claim, where, and from when until when; "" if it was nobody's or ours."""
    parents = town.repo.commit(mine.commit.encode()).parents
    try:
        former = parse(town.repo, parents[0].decode(), mine.ref) if parents else None
    except Unreadable:
        return ""
    if former is None or ownclaims.is_ours(town, former):
        return ""
    span = f"since {times.text(former.since)}, until {times.text(former.until)}"
    return f"{former.claimant} on {former.machine}, who had it {span}"


def _unasked(town: Town, chosen: Chosen, mine: Claim | None, force: bool) -> Ticket:
    if mine is not None and mine.until > town.clock():
        return Ticket(mine.fence, chosen.attempt)
    known = claims.held(town, chosen.bead.id)
    if known is not None and mine is None and not (force or claims.lapsed(town, known)):
        raise lost_to(town, known)
    return Ticket(None, max(chosen.attempt, known.attempt + 1 if known else 1))


def _up_to_date(town: Town, mine: Claim) -> Claim:
    """A claim is taken away only after its end was sent: what was won is judged by what the remote holds by now."""
    if not mine.tip or takeable.is_taken(town, mine.tip):
        return mine
    sync.take(town)
    known = town.bead(mine.bead).fence or 0
    if known < mine.fence:
        return mine
    return claims.claim(town, mine.bead, mine.attempt, claimant=mine.claimant, above=known)


def give_back(town: Town, bead_id: str, ticket: Ticket | None) -> None:
    """The work did not start after all: a claim that was made for it is not kept from others.

    It is all the same if it cannot be given back now, or is wanted here: what nobody works under is given back at the
    next sync.
    """
    if ticket is None or not ticket.fresh:
        return
    with contextlib.suppress(GtError), turns.alone(town, bead_id, wait=claims.TIDY_TIMEOUT):
        bead = town.bead(bead_id)
        if bead.machine != town.machine or bead.status not in (*HELD, "merging"):
            claims.release(town, bead_id)
