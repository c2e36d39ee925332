"""What stands on one bead in either form: as last fetched, or at the remote right now; and which of it counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gastown.model.errors import GtError
from gastown.runtime import git
from gastown.services.claims import leases, ownclaims
from gastown.services.claims.badclaims import Unreadable
from gastown.services.claims.claimrefs import Claim, forms, mirror_of, parse
from gastown.services.remote.wire import Wire
from gastown.store.town import Town


@dataclass(frozen=True)
class Standing:
    """What stands on one bead: the claims by their ref, what is none, and where the town's branch stood then."""

    claims: dict[str, Claim]
    odd: Unreadable | None = None
    tip: str = ""


def last_seen(town: Town, bead_id: str) -> Standing:
    """As last fetched."""
    found = {ref: town.repo.ref(mirror_of(town.repo, ref)) for ref in forms(bead_id)}
    return _judged(town, {ref: sha.decode() for ref, sha in found.items() if sha})


def look(town: Town, line: Wire, bead_id: str) -> Standing:
    """At the remote right now, in one question; kept here as the mirror."""
    branch, refs = town.repo.head()[0], forms(bead_id)
    there = line.read_all([*refs, branch])
    for ref in refs:
        mirror, sha = mirror_of(town.repo, ref), there.get(ref)
        if sha is None:
            if town.repo.ref(mirror) is not None:
                git.run(["update-ref", "-d", mirror], cwd=town.root, check=False)
            continue
        if not git.succeeds(["cat-file", "-e", sha], cwd=town.root):
            line.bring(ref)
        git.run(["update-ref", mirror, sha], cwd=town.root)
        leases.watch_one(town, ref, sha)
    return replace(_judged(town, {ref: there[ref] for ref in refs if ref in there}), tip=there.get(branch, ""))


def _judged(town: Town, shas: dict[str, str]) -> Standing:
    found, odd = {}, None
    for ref, sha in shas.items():
        try:
            found[ref] = parse(town.repo, sha, ref)
        except Unreadable as error:
            odd = error
    return Standing(found, odd)


def foremost(town: Town, seen: Standing) -> Claim | None:
    """The claim that counts: ours if it was won, else whose the bead says it is, else the older. Raises Unreadable.

    There are two only for the moment until one yields, or because a machine died in it.
    """
    claims = list(seen.claims.values())
    won = next((one for one in claims if ownclaims.is_won(town, one)), None)
    if won is None and seen.odd:
        raise seen.odd
    if len(claims) < 2:
        return won or (claims[0] if claims else None)
    try:
        bead = town.bead(claims[0].bead)
        said = (bead.assignee, bead.machine)
    except GtError:
        said = (None, None)
    return won or min(claims, key=lambda one: ((one.claimant, one.machine) != said, one.since, one.nonce))
