"""Claims by ref: who works on a bead is decided by the remote's compare-and-swap (sync.md, Claims).

One ref a bead (claimrefs.py beside this); it points to a commit that holds the claim, whose parent is the claim it
took over. A claim stays in the form in which it was made until it is released.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace

from gastown.model import times
from gastown.model.address import author
from gastown.model.errors import GtError
from gastown.model.ids import is_id
from gastown.model.merge import Doc
from gastown.model.merge_bead import Confirmed
from gastown.runtime import git
from gastown.runtime.remotes import RemoteUnreachable
from gastown.services.claims import leases, ownclaims, turns
from gastown.services.claims.badclaims import Unreadable
from gastown.services.claims.claimrefs import BRANCHES, Claim, mirrored, parse, ref_of
from gastown.services.claims.claimsight import Standing, foremost, last_seen, look
from gastown.services.claims.ownclaims import is_ours
from gastown.services.claims.rivals import in_the_way, lost_to, require_free, sole
from gastown.services.remote import takeable, wire
from gastown.services.remote.wire import Wire
from gastown.store.gitrepo import Repo, new_commit
from gastown.store.town import Town

LEASE = "24h"
# A remote that says nothing for so long is offline; who only tidies up waits less.
TIMEOUT = 15.0
TIDY_TIMEOUT = 5.0
_TRIES = 6


class Offline(RemoteUnreachable):
    """The town's remote cannot be asked, so nobody knows who has the bead. Work may begin unconfirmed."""

    code = "offline"


def needed(town: Town) -> bool:
    """True if the town has a remote: without one the town lock decides."""
    return town.repo.remote() is not None


def claim(
    town: Town, bead_id: str, attempt: int, *, claimant: str, above: int = 0, force: bool = False,
    lease: float | None = None, timeout: float = TIMEOUT,
) -> Claim:  # fmt: skip
    """Win the right to work on a bead, or take over a claim whose lease lapsed; nothing starts before this returned.

    A claim that this clone holds already is renewed for the new attempt. The fence is greater than `above`, what was
    known of earlier ones. `force` takes it from whoever has it. `lease` in seconds, else as town.yaml says.
    Raises Taken naming the holder, Offline if the remote cannot be asked (`gt sling --offline` works unconfirmed),
    NotTaken while it is known to have been rewritten, RaceLost if another gt here is claiming it all the time.
    """
    with turns.alone(town, bead_id), _asked(town, bead_id, timeout) as line:
        takeable.require_kept(town, line)
        seen = last_seen(town, bead_id)
        if not seen.claims and ref_of(town, bead_id).startswith(BRANCHES):
            seen = look(town, line, bead_id)  # what stands there now is no rival of the moment: see `sole`
        said = ""
        for turn in range(_TRIES):
            if in_the_way(town, seen, force):
                seen = look(town, line, bead_id)  # the mirror may be old: ask before giving up
                require_free(town, seen, force)
            over = foremost(town, seen)
            ref = over.ref if over else ref_of(town, bead_id)
            fresh = _write(town, bead_id, attempt, claimant, over, ref, lease, above)
            result = line.push(f"{fresh.commit}:{ref}", lease=f"{ref}:{over.commit if over else ''}")
            said = git.tail(result.err) if result.code else ""
            seen = look(town, line, bead_id)
            above = max([above, *(one.fence for one in seen.claims.values() if one.ref != ref)])
            now = seen.claims.get(ref)
            if now is not None and now.nonce == fresh.nonce:
                sure = over is not None and ownclaims.is_won(town, over)
                if sole(town, line, now, seen, sure=sure, force=force):
                    ownclaims.note_won(town, now)
                    return replace(now, tip=seen.tip)
                seen = look(town, line, bead_id)
            elif said and (now.commit if now else "") == (over.commit if over else ""):
                # Nobody was faster: another push held the ref's lock for a moment, or the host takes no such refs.
                _pause(turn)
        require_free(town, seen, force)
    raise GtError(
        f"the remote does not take the claim on {bead_id}:\n{said}",
        "a host that forbids refs of other names takes branches: gt config set sync.claims branches (where another "
        "machine has set it: gt sync)",
    )


def release(town: Town, bead_id: str, *, only: Claim | None = None, timeout: float = TIDY_TIMEOUT) -> bool:
    """Give this clone's claim back, in whichever form it stands; False if there was none. `only`: take that one away.

    It is deleted only while it is the claim that was seen: one that was taken over stays, and where somebody else
    stands instead of `only` (whose it was, renewed or not), Taken names them. Raises Offline, RaceLost if another gt
    here is claiming it.
    """
    with turns.alone(town, bead_id, wait=timeout):
        return _give_back(town, bead_id, timeout) if only is None else _take_away(town, only, timeout)


def _give_back(town: Town, bead_id: str, timeout: float) -> bool:
    mine = [one for one in last_seen(town, bead_id).claims.values() if is_ours(town, one)]
    if not mine:
        ownclaims.forget(town, bead_id)
        return False
    with _asked(town, bead_id, timeout) as line:
        for one in mine:
            line.push(f":{one.ref}", lease=f"{one.ref}:{one.commit}")
        left = look(town, line, bead_id)
    if all(one.commit != was.commit for one in left.claims.values() for was in mine):
        ownclaims.forget(town, bead_id)
    return not any(one.ref in left.claims for one in mine)


def _take_away(town: Town, only: Claim, timeout: float) -> bool:
    with _asked(town, only.bead, timeout) as line:
        seen = look(town, line, only.bead)
        found, other = _holding(seen, only), foremost(town, seen)
        if found is None and other is not None:
            raise lost_to(town, other)
        if found is None:
            return False
        for turn in range(_TRIES):
            pushed = line.push(f":{found.ref}", lease=f"{found.ref}:{found.commit}")
            found = _holding(look(town, line, only.bead), only)
            if found is None:
                return True
            _pause(turn)  # it was renewed at this moment, or the host forbids it
    raise GtError(
        f"the remote keeps the claim of {only.claimant} on {only.machine} on {only.bead}:\n{git.tail(pushed.err)}",
        "see whether you may delete refs there, then again",
    )


def _holding(seen: Standing, only: Claim) -> Claim | None:
    return next((one for one in seen.claims.values() if is_one_holding(one, only)), None)


def is_one_holding(one: Claim, other: Claim) -> bool:
    """True if it is the same claim, renewed or not: who renews keeps its fence, and since when it is theirs."""
    return all(getattr(one, key) == getattr(other, key) for key in ("claimant", "machine", "fence", "since"))


def refresh(town: Town, *, timeout: float = TIMEOUT) -> bool:
    """Fetch every claim as it stands at the remote now; False if the remote does not answer."""
    try:
        with wire.opened(town, timeout=timeout, alone=False) as line:
            line.fetch_claims()
        leases.watch(town, mirrored(town))
    except RemoteUnreachable:
        return False
    return True


def current(town: Town, bead_id: str, *, timeout: float = TIMEOUT) -> Claim | None:
    """The claim at the remote right now; None if there is none. Raises Offline: that is never None."""
    if not needed(town):
        return None
    with _asked(town, bead_id, timeout) as line:
        return foremost(town, look(town, line, bead_id))


def held(town: Town, bead_id: str) -> Claim | None:
    """The claim on a bead as last fetched; None if there is none. Raises Unreadable for what is no claim."""
    return foremost(town, last_seen(town, bead_id))


def known(town: Town, bead_id: str) -> Claim | None:
    """As `held`, but None for what cannot be read: for those who do not ask whether the bead is free."""
    try:
        return held(town, bead_id)
    except Unreadable:
        return None


def lapsed(town: Town, one: Claim) -> bool:
    """True if its lease is over, whatever two clocks differ, and its holder did not renew it before our eyes."""
    return leases.lapsed(town, one)


def held_here(town: Town) -> list[Claim]:
    """The claims this clone holds, as last fetched."""
    return [one for one in _all(town) if is_ours(town, one)]


def everyone(town: Town) -> list[Claim]:
    """Every claim on a bead of the town that can be read, as last fetched; one a bead."""
    return [one for bead_id in sorted({one.bead for one in _all(town)}) if (one := known(town, bead_id))]


def _all(town: Town) -> Iterator[Claim]:
    for sha, ref in mirrored(town):
        if is_id(ref.rpartition("/")[2]):
            with contextlib.suppress(Unreadable):
                yield parse(town.repo, sha, ref)


def is_due(town: Town, one: Claim) -> bool:
    """True for a claim with less than three quarters of its lease left: it is to be renewed at the next occasion."""
    return one.until - town.clock() < lease_of(town) * 0.75


def confirmed(town: Town) -> Confirmed:
    """For merging: tells whether a bead's state is the one its claim names."""

    def check(doc: Doc) -> bool:
        one = known(town, str(doc.get("id")))
        return one is not None and (one.claimant, one.machine) == (doc.get("assignee"), doc.get("machine"))

    return check


def lease_of(town: Town) -> float:
    """How long a claim holds without being renewed, in seconds."""
    return town.span("sync.lease", LEASE)


# -- one claim ------------------------------------------------------------------------------------
@contextlib.contextmanager
def _asked(town: Town, bead_id: str, timeout: float) -> Iterator[Wire]:
    """The wire to the remote; what keeps it from answering is said as being offline."""
    try:
        with wire.opened(town, timeout=timeout, alone=False) as line:
            yield line
    except RemoteUnreachable as error:
        raise Offline(
            f"offline: who has {bead_id} cannot be asked: {error.message}",
            "`gt sling --offline` works on it unconfirmed, until the next sync settles it",
        ) from error


def _pause(turn: int) -> None:
    time.sleep(random.uniform(0.02, 0.05) * (turn + 1))


def _write(
    town: Town, bead_id: str, attempt: int, claimant: str, over: Claim | None, ref: str, lease: float | None, above: int
) -> Claim:
    """The commit of a new claim on top of the one it replaces. The nonce makes two alike claims two objects."""
    now, nonce = town.clock(), secrets.token_hex(12)
    ours = over if over is not None and is_ours(town, over) and over.fence > above else None
    fence = ours.fence if ours else max(over.fence if over else 0, above) + 1
    attempt = attempt if over is None or is_ours(town, over) else max(attempt, over.attempt + 1)
    until = times.text(now + (lease_of(town) if lease is None else lease))
    since = times.text(ours.since if ours else now)
    facts = {
        "Bead": bead_id, "Claimant": claimant, "Machine": town.machine, "Attempt": attempt, "Fence": fence,
        "Since": since, "Lease": until, "Nonce": nonce,
    }  # fmt: skip
    lines = "".join(f"{key}: {value}\n" for key, value in facts.items())
    message = f"claim {bead_id} for {claimant}\n\n{lines}"
    parents = [over.commit.encode()] if over else []
    commit = new_commit(_tree(town.repo), parents, author=author(claimant, town.name), epoch=now, message=message)
    town.repo.put([commit])
    ownclaims.note_made(town, bead_id, nonce, over=over)
    return parse(town.repo, commit.id.decode(), ref)


def _tree(repo: Repo) -> bytes:
    from dulwich.objects import Tree

    empty = Tree()
    repo.put([empty])
    return bytes(empty.id)
