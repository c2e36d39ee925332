"""Claims by ref: who works on a bead is decided by the remote's compare-and-swap (sync.md, Claims).

One ref a bead, `refs/gt/claims/<id>` (or `refs/heads/gt-claims/<id>` where a host forbids other refs).
It points to a commit that holds the claim; its parent is the claim it took over.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from gastown.model import times
from gastown.model.address import author
from gastown.model.errors import GtError, RaceLost, UsageError
from gastown.model.merge import Doc
from gastown.model.merge_bead import Confirmed
from gastown.runtime import git
from gastown.services import wire
from gastown.services.wire import Wire
from gastown.store.gitrepo import Repo, new_commit
from gastown.store.town import Town

LEASE = "24h"
# Clocks of two machines may be this far apart before a lease that lapsed is taken for lapsed.
GRACE = 600.0


@dataclass(frozen=True)
class Claim:
    """One claim: `fence` grows with every claimant of the bead; `until` is the lease's end (epoch seconds).

    `ref` is where it stands at the remote, `commit` what it points to; "" where no remote decides.
    """

    bead: str
    claimant: str
    machine: str
    attempt: int
    fence: int
    until: float
    nonce: str
    ref: str = ""
    commit: str = ""


def ref_of(town: Town, bead_id: str) -> str:
    """The full name of a bead's claim ref in this town."""
    if str(town.setting("sync.claims", "refs")) == "branches":
        return f"refs/heads/gt-claims/{bead_id}"
    return f"{wire.CLAIMS}{bead_id}"


def needed(town: Town) -> bool:
    """True if the town has a remote: without one the town lock decides."""
    return wire.remote_of(town.repo) is not None


def claim(town: Town, bead_id: str, attempt: int, *, claimant: str, timeout: float = 30.0) -> Claim:
    """Win the right to work on a bead, or take over a claim whose lease lapsed; nothing starts before this returned.

    A claim this machine holds already for this claimant is renewed for the new attempt. Raises RaceLost naming the
    holder, RemoteUnreachable if the remote cannot be asked (`gt sling --offline` works unconfirmed).
    """
    with wire.opened(town, timeout=timeout, alone=False) as line:
        ref = ref_of(town, bead_id)
        held = _mirror(town, bead_id)
        for _ in range(2):
            if held is not None and not _may_replace(town, held, claimant):
                held = _read(town, line, ref, bead_id)  # the mirror may be old: ask before giving up
                if held is not None and not _may_replace(town, held, claimant):
                    raise _lost(held)
            fresh = _write(town, bead_id, attempt, claimant, held)
            if _swap(line, ref, fresh, held.commit if held else ""):
                _keep(town, bead_id, fresh)
                return fresh
            now = _read(town, line, ref, bead_id)
            if now is not None and now.nonce == fresh.nonce:
                _keep(town, bead_id, now)
                return now  # the push went through although its answer was lost
            held = now
        if held is not None:
            raise _lost(held)
    raise RaceLost(f"{bead_id} is being claimed by others right now", "try again")


def renew(town: Town, held: Claim, *, timeout: float = 30.0) -> Claim:
    """Prolong a claim by a whole lease, with the same fence. Raises RaceLost if it was taken over meanwhile."""
    with wire.opened(town, timeout=timeout, alone=False) as line:
        fresh = _write(town, held.bead, held.attempt, held.claimant, held)
        if _swap(line, held.ref, fresh, held.commit):
            _keep(town, held.bead, fresh)
            return fresh
        now = _read(town, line, held.ref, held.bead)
        if now is not None and now.nonce == fresh.nonce:
            return now
        if now is None:
            raise RaceLost(f"the claim on {held.bead} is gone at the remote", f"gt sling {held.bead} claims it again")
        raise _lost(now)


def release(town: Town, bead_id: str, *, timeout: float = 30.0) -> bool:
    """Give a claim of this machine back; False if there was none of ours. Raises RemoteUnreachable."""
    held = _mirror(town, bead_id)
    if held is None or held.machine != town.machine:
        return False
    with wire.opened(town, timeout=timeout, alone=False) as line:
        result = line.push(f":{held.ref}", lease=f"{held.ref}:{held.commit}")
        now = line.read(held.ref)
        _forget(town, bead_id)
        return result.code == 0 and now is None


def held(town: Town, bead_id: str) -> Claim | None:
    """The claim on a bead as last fetched; None if there is none."""
    return _mirror(town, bead_id)


def held_here(town: Town) -> list[Claim]:
    """The claims this machine holds, as last fetched."""
    prefixes = [wire.CLAIMS, f"refs/remotes/{wire.remote_of(town.repo) or 'origin'}/gt-claims/"]
    out = git.text(["for-each-ref", "--format=%(refname)", *prefixes], cwd=town.root)
    ids = sorted({line.rpartition("/")[2] for line in out.splitlines()})
    found = [one for bead_id in ids if (one := _mirror(town, bead_id))]
    return [one for one in found if one.machine == town.machine]


def due(town: Town) -> list[Claim]:
    """The claims of this machine that have less than three quarters of their lease left."""
    lease = _lease(town)
    return [one for one in held_here(town) if one.until - town.clock() < lease * 0.75]


def confirmed(town: Town) -> Confirmed:
    """For merging: tells whether a bead's state is the one its claim names."""

    def check(doc: Doc) -> bool:
        one = _mirror(town, str(doc.get("id")))
        return one is not None and (one.claimant, one.machine) == (doc.get("assignee"), doc.get("machine"))

    return check


def fence_ok(town: Town, bead_id: str, fence: int) -> bool:
    """False if a later claimant has the bead: the refinery refuses what carries a lower fence."""
    one = _mirror(town, bead_id)
    return one is None or fence >= one.fence


# -- one claim ------------------------------------------------------------------------------------
def _lease(town: Town) -> float:
    return times.duration(str(town.setting("sync.lease", LEASE)))


def _may_replace(town: Town, old: Claim, claimant: str) -> bool:
    mine = (old.machine, old.claimant) == (town.machine, claimant)
    return mine or old.until + GRACE < town.clock()


def _lost(held: Claim) -> RaceLost:
    return RaceLost(
        f"{held.bead} is claimed by {held.claimant} on {held.machine} (attempt {held.attempt}, "
        f"until {times.text(held.until)})",
        f"gt show {held.bead}; it becomes free when it is released or that lease lapses",
    )


def _write(town: Town, bead_id: str, attempt: int, claimant: str, over: Claim | None) -> Claim:
    """The commit of a new claim on top of the one it replaces. The nonce makes two alike claims two objects."""
    now, same = town.clock(), over is not None and (over.machine, over.claimant) == (town.machine, claimant)
    fence = 1 if over is None else over.fence + (0 if same and over.attempt == attempt else 1)
    facts: dict[str, Any] = {
        "bead": bead_id, "claimant": claimant, "machine": town.machine, "attempt": attempt, "fence": fence,
        "until": times.text(now + _lease(town)), "nonce": secrets.token_hex(12),
    }  # fmt: skip
    message = f"claim {bead_id} for {claimant}\n\n{json.dumps(facts)}\n"
    who = author(claimant, town.name)
    parents = [over.commit.encode()] if over else []
    commit = new_commit(_tree(town.repo), parents, author=who, epoch=now, message=message)
    town.repo.put([commit])
    known = {**facts, "until": times.parse(facts["until"])}
    return Claim(**known, ref=ref_of(town, bead_id), commit=commit.id.decode())


def _tree(repo: Repo) -> bytes:
    from dulwich.objects import Tree

    empty = Tree()
    repo.put([empty])
    return bytes(empty.id)


def _parse(repo: Repo, sha: str, ref: str) -> Claim:
    try:
        message = repo.commit(sha.encode()).message.decode("utf-8")
        facts = json.loads(message.partition("\n\n")[2])
        return Claim(
            bead=str(facts["bead"]), claimant=str(facts["claimant"]), machine=str(facts["machine"]),
            attempt=int(facts["attempt"]), fence=int(facts["fence"]), until=times.parse(str(facts["until"])),
            nonce=str(facts["nonce"]), ref=ref, commit=sha,
        )  # fmt: skip
    except (KeyError, ValueError, TypeError, UsageError, AssertionError) as error:
        raise GtError(f"the claim {ref} cannot be read: {error}", f"git show {sha[:12]}") from None


def _swap(line: Wire, ref: str, fresh: Claim, old: str) -> bool:
    """Put a claim at the remote if the ref is still `old` ("" for absent)."""
    return line.push(f"{fresh.commit}:{ref}", lease=f"{ref}:{old}").code == 0


def _read(town: Town, line: Wire, ref: str, bead_id: str) -> Claim | None:
    """The claim at the remote right now, mirrored here."""
    sha = line.read(ref)
    if sha is None:
        _forget(town, bead_id)
        return None
    spec = f"+{ref}:{_mirror_ref(town, bead_id)}"
    line.run(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", line.remote, spec])
    return _mirror(town, bead_id)


def _mirror_ref(town: Town, bead_id: str) -> str:
    ref = ref_of(town, bead_id)
    if ref.startswith("refs/heads/"):
        return f"refs/remotes/{wire.remote_of(town.repo) or 'origin'}/{ref.removeprefix('refs/heads/')}"
    return ref


def _mirror(town: Town, bead_id: str) -> Claim | None:
    sha = town.repo.ref(_mirror_ref(town, bead_id))
    return _parse(town.repo, sha.decode(), ref_of(town, bead_id)) if sha else None


def _keep(town: Town, bead_id: str, fresh: Claim) -> None:
    git.run(["update-ref", _mirror_ref(town, bead_id), fresh.commit], cwd=town.root)


def _forget(town: Town, bead_id: str) -> None:
    git.run(["update-ref", "-d", _mirror_ref(town, bead_id)], cwd=town.root, check=False)


__all__ = [
    "Claim", "claim", "confirmed", "due", "fence_ok", "held", "held_here", "needed", "ref_of", "release", "renew",
]  # fmt: skip
