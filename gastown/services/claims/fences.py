"""The refinery and claims: only who still has a bead may land it, and one machine at a time runs a rig's refinery."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gastown.model import times
from gastown.model.bead import parse_branch
from gastown.model.errors import GtError
from gastown.model.queue import Entry
from gastown.model.rig import Rig
from gastown.services.claims import claims, ownclaims
from gastown.services.claims.badclaims import Unreadable
from gastown.services.claims.claimrefs import Claim
from gastown.services.claims.rivals import Taken
from gastown.store.change import Change
from gastown.store.town import Town

# How long a machine stays a rig's refinery after its last run there; seconds.
LEASE = 1800.0
LOST = "claim_lost"


@dataclass(frozen=True)
class Checked:
    """`waits`: (entry, why it cannot be judged now); `lost`: (entry, the claim that came after it)."""

    waits: list[tuple[Entry, str]] = field(default_factory=list)
    lost: list[tuple[Entry, Claim]] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        """True if every entry may land."""
        return not (self.waits or self.lost)

    @property
    def ids(self) -> set[str]:
        """The entries that may not land now."""
        return {entry.id for entry, _ in [*self.waits, *self.lost]}


def check(town: Town, entries: Iterable[Entry]) -> Checked:
    """Hold the fences of entries against the claims at the remote; one that is lower is never landed.

    Nor is one that is equal, but of other work: where a claim was taken away before its bead was synced, the next has
    the same number.
    Where the remote does not answer, a claim whose lease runs is enough: nobody can have taken it.
    """
    found, entries = Checked(), [entry for entry in entries if entry.source]
    if not entries or not claims.needed(town):
        return found
    asked = claims.refresh(town)
    for entry in entries:
        try:
            one = claims.held(town, entry.source)
        except Unreadable as error:
            found.waits.append((entry, error.message))
            continue
        if one is None or entry.fence is None or one.fence < entry.fence:
            found.waits.append((entry, f"the claim on {entry.source} is not confirmed; gt sync settles it"))
        elif one.fence > entry.fence or _is_of_another(town, one, entry):
            found.lost.append((entry, one))
        elif not _is_of(town, one, entry):
            said = f"{one.claimant} on {one.machine}, attempt {one.attempt}"
            found.waits.append((entry, f"the claim on {entry.source} is {said}; gt sync settles it"))
        elif not asked and one.until < town.clock():
            found.waits.append((entry, f"offline: the claim on {entry.source} has lapsed, and nobody can be asked"))
    return found


def _is_of_another(town: Town, one: Claim, entry: Entry) -> bool:
    """True if a claim of the same fence is surely somebody else's: worker and machine are not those of the entry."""
    return one.claimant != entry.worker and one.machine != _machine(town, entry)


def _is_of(town: Town, one: Claim, entry: Entry) -> bool:
    """True if it is the claim under which the entry was made; its holder may not have said of the last attempt yet."""
    attempt = parse_branch(entry.branch)[2]
    alike = (one.claimant, one.machine) == (entry.worker, _machine(town, entry))
    return alike and (one.attempt <= attempt or not attempt)


def _machine(town: Town, entry: Entry) -> str | None:
    """Where the entry was made; None if its work goes on elsewhere by now."""
    row = town.index().by_id.get(entry.source)
    return row.machine if row is not None and row.branch == entry.branch else None


def put_out(town: Town, rig: Rig, lost: Iterable[tuple[Entry, Claim]]) -> None:
    """Take entries of those who lost their work out of the queue. The work itself is the winner's, and stays so."""

    def body(change: Change) -> None:
        for entry, one in lost:
            merge = change.bead(entry.id)
            if merge.status == "closed":
                continue
            merge.close(at=change.at, by=change.actor, reason=LOST)
            change.save(merge)
            text = f"{entry.branch} is not landed: {one.claimant} on {one.machine} has {entry.source} since "
            text += times.text(one.since)
            change.emit(LOST, text, bead=entry.source, rig=rig.name, merge=entry.id, worker=entry.worker,
                        fence=entry.fence, current=one.fence)  # fmt: skip

    town.transact(LOST, body, actor=f"{rig.name}/refinery")


# -- one refinery a rig ---------------------------------------------------------------------------
def subject(rig: Rig) -> str:
    """The name under which machines claim to be the rig's refinery."""
    return f"refinery.{rig.name}"


def elsewhere(town: Town, rig: Rig) -> str:
    """Which other machine runs the rig's refinery, as last heard, in a phrase; "" if this one may."""
    home = rig.refinery_machine
    if home:
        here = home == town.machine
        return "" if here else f"the refinery of {rig.name} runs on machine {home} (rig.yaml, refinery.machine)"
    if not claims.needed(town):
        return ""
    try:
        one = claims.held(town, subject(rig))
    except Unreadable as error:
        return f"which machine runs the refinery of {rig.name} is not known: {error.message}"
    if one is None or ownclaims.is_ours(town, one) or claims.lapsed(town, one):
        return ""
    return f"the refinery of {rig.name} runs on machine {one.machine}"


def holder(town: Town, rig: Rig) -> Claim | None:
    """The claim of another machine to be the rig's refinery, as last fetched, lapsed or not; None if there is none."""
    if not claims.needed(town):
        return None
    one = claims.known(town, subject(rig))
    return None if one is None or ownclaims.is_ours(town, one) else one


def take_over(town: Town, rig: Rig, *, force: bool = False) -> str:
    """Become the rig's refinery among all machines, or stay it; why not, in a phrase, "" if it is so.

    rig.yaml `refinery.machine` decides where it is set. `force` takes it from whichever machine has it. What was
    another machine's before is said in the feed.
    """
    if rig.refinery_machine or not claims.needed(town):
        return elsewhere(town, rig)
    one = claims.known(town, subject(rig))
    if one is not None and ownclaims.is_ours(town, one) and one.until - town.clock() > LEASE / 2:
        return ""
    former = holder(town, rig)
    try:
        claims.claim(town, subject(rig), 1, claimant=f"{rig.name}/refinery", force=force, lease=LEASE)
    except Taken:
        return elsewhere(town, rig) or f"another machine runs the refinery of {rig.name}"
    except GtError as error:
        if one is not None and ownclaims.is_ours(town, one) and one.until > town.clock():
            return ""
        return f"which machine runs the refinery of {rig.name} cannot be asked: {error.message.splitlines()[0]}"
    if former is not None:
        _tell_taken(town, rig, former)
    return ""


def _tell_taken(town: Town, rig: Rig, former: Claim) -> None:
    text = f"the refinery of {rig.name} runs on machine {town.machine} now; {former.machine} had it since "
    text += f"{times.text(former.since)}, until {times.text(former.until)}"
    with town.change("claim", actor=f"{rig.name}/refinery") as change:
        change.emit("claim", text, rig=rig.name, machine=town.machine, former=former.machine)
