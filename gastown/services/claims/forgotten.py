"""A claim of this clone whose note was lost or damaged: told from what else of its work is only here."""

from __future__ import annotations

from gastown.model.bead import Bead
from gastown.model.errors import GtError
from gastown.runtime import sessions
from gastown.services.claims import ownclaims
from gastown.services.claims.claimrefs import Claim
from gastown.services.sessions import attempts
from gastown.store import runstate
from gastown.store.town import Town


def regain(town: Town, bead: Bead, one: Claim) -> None:
    """Take the claim on a bead held here for ours again where the note of it is gone, if its work is here.

    Raises GtError where that is not known: a claim that names this very work is never somebody else's for sure. Names
    alone prove nothing, since a copied disk has the same; nor does this ask anything while the note is whole.
    """
    said = (one.claimant, one.machine, one.attempt, one.fence)
    if said != (bead.assignee, town.machine, bead.attempt, bead.fence) or not ownclaims.is_lost(town, bead.id):
        return
    if not _works_here(town, bead):
        raise GtError(
            f"{bead.id} is claimed by {one.claimant} on {one.machine}, and whether that is this clone is not known: "
            "its note of the claim is lost, and nothing shows that it worked on it here",
            f"if this is that machine: gt release {bead.id} --force, then give it out again",
        )
    ownclaims.note_made(town, bead.id, one.nonce)


def _works_here(town: Town, bead: Bead) -> bool:
    """True if this machine's own records show the attempt: its session, or the hook that it was put on."""
    if runstate.hook_hint(town.root, str(bead.assignee)) == bead.path:
        return True
    records, _ = sessions.all_sessions(attempts.run_dir(town))
    return any((one.bead, one.address, one.attempt) == (bead.id, bead.assignee, bead.attempt) for one in records)
