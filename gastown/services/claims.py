"""Claims by ref: who works on a bead is decided by the remote's compare-and-swap (sync.md, Claims).

One ref a bead, `refs/gt/claims/<id>` (or `refs/heads/gt-claims/<id>` where a host forbids other refs).
It points to a commit that holds the claim; its parent is the claim it took over. What this clone itself
has claimed is known by the claim's nonce (`.gt/run/claims/`), never by a name: a copied disk has the same names.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dulwich.errors import FileFormatException

from gastown.model import times
from gastown.model.address import author
from gastown.model.errors import GtError, RaceLost
from gastown.model.ids import is_id
from gastown.model.merge import Doc
from gastown.model.merge_bead import Confirmed
from gastown.model.text import safe
from gastown.runtime import git
from gastown.runtime.remotes import RemoteUnreachable
from gastown.services import wire
from gastown.services.badclaims import Unreadable
from gastown.services.wire import Wire
from gastown.store import layout, runstate
from gastown.store.gitrepo import Repo, new_commit
from gastown.store.town import Town

BRANCHES = "refs/heads/gt-claims/"
LEASE = "24h"
# Clocks of two machines may be this far apart before a lease that lapsed is taken for lapsed.
GRACE = 600.0
# A remote that says nothing for so long is offline; who only tidies up waits less.
TIMEOUT = 15.0
TIDY_TIMEOUT = 5.0
_TRIES = 6
_REMEMBERED = 8


@dataclass(frozen=True)
class Claim:
    """One claim: `fence` grows with every holder of the bead; `until` is the lease's end (epoch seconds).

    `ref` is where it stands at the remote, `commit` what it points to; `since` is when it was made. `tip` is where
    the town's branch stood there at that moment, where it was asked.
    """

    bead: str
    claimant: str
    machine: str
    attempt: int
    fence: int
    until: float
    nonce: str
    since: float = 0.0
    ref: str = ""
    commit: str = ""
    tip: str = ""


class Offline(RemoteUnreachable):
    """The town's remote cannot be asked, so nobody knows who has the bead. Work may begin unconfirmed."""

    code = "offline"


def ref_of(town: Town, bead_id: str) -> str:
    """The full name of a bead's claim ref in this town."""
    if str(town.setting("sync.claims", "refs")) == "branches":
        return f"{BRANCHES}{bead_id}"
    return f"{wire.CLAIMS}{bead_id}"


def needed(town: Town) -> bool:
    """True if the town has a remote: without one the town lock decides."""
    return wire.remote_of(town.repo) is not None


def claim(
    town: Town, bead_id: str, attempt: int, *, claimant: str, above: int = 0, force: bool = False,
    lease: float | None = None, timeout: float = TIMEOUT,
) -> Claim:  # fmt: skip
    """Win the right to work on a bead, or take over a claim whose lease lapsed; nothing starts before this returned.

    A claim that this clone holds already is renewed for the new attempt. The fence is greater than `above`, what was
    known of earlier ones. `force` takes it from whoever has it. `lease` in seconds, else as town.yaml says.
    Raises RaceLost naming the holder, Offline if the remote cannot be asked (`gt sling --offline` works unconfirmed).
    """
    with _asked(town, bead_id, timeout) as line:
        ref, found = ref_of(town, bead_id), held(town, bead_id)
        for turn in range(_TRIES):
            if found is not None and not _may_replace(town, found, force):
                found = _read(town, line, ref, bead_id)  # the mirror may be old: ask before giving up
                if found is not None and not _may_replace(town, found, force):
                    raise lost_to(found)
            fresh = _write(town, bead_id, attempt, claimant, found, lease, above)
            now, said = _swap(town, line, ref, fresh, found)
            if now is not None and now.nonce == fresh.nonce:
                return now
            if said and (now.commit if now else "") == (found.commit if found else ""):
                # Nobody was faster: another push held the ref's lock for a moment, or the host takes no such refs.
                _pause(turn)
            found = now
        if found is not None and not _may_replace(town, found, force):
            raise lost_to(found)
    raise GtError(
        f"the remote does not take the claim on {bead_id}:\n{said}",
        "a host that forbids refs of other names takes branches: gt config set sync.claims branches",
    )


def release(town: Town, bead_id: str, *, force: bool = False, timeout: float = TIDY_TIMEOUT) -> bool:
    """Give this clone's claim back (`force`: whoever's it is); False if there was none. Raises Offline.

    It is deleted only while it is the claim that was seen: one that was taken over stays.
    """
    mine = held(town, bead_id)
    if not force and (mine is None or not is_ours(town, mine)):
        _forget_own(town, bead_id)
        return False
    with _asked(town, bead_id, timeout) as line:
        if force:
            mine = _read(town, line, ref_of(town, bead_id), bead_id)
        if mine is None:
            return False
        line.push(f":{mine.ref}", lease=f"{mine.ref}:{mine.commit}")
        now = line.read(mine.ref)
        if now != mine.commit:
            _forget_own(town, bead_id)
        if now is None:
            _forget(town, bead_id)
        return now is None


def let_go(town: Town, bead_id: str) -> str:
    """`release`, as far as it goes now: what cannot be deleted is deleted at a later sync. Says what is in the way."""
    if not needed(town):
        return ""
    try:
        release(town, bead_id)
    except GtError as error:
        return error.message.splitlines()[0]
    return ""


def refresh(town: Town, *, timeout: float = TIMEOUT) -> bool:
    """Fetch every claim as it stands at the remote now; False if the remote does not answer."""
    try:
        with wire.opened(town, timeout=timeout, alone=False) as line:
            line.fetch_claims()
    except RemoteUnreachable:
        return False
    return True


def current(town: Town, bead_id: str, *, timeout: float = TIMEOUT) -> Claim | None:
    """The claim at the remote right now; None if there is none. Raises Offline: that is never None."""
    if not needed(town):
        return None
    with _asked(town, bead_id, timeout) as line:
        return _read(town, line, ref_of(town, bead_id), bead_id)


def held(town: Town, bead_id: str) -> Claim | None:
    """The claim on a bead as last fetched; None if there is none. Raises Unreadable for what is no claim."""
    sha = town.repo.ref(_mirror_ref(town, bead_id))
    return parse(town.repo, sha.decode(), ref_of(town, bead_id)) if sha else None


def known(town: Town, bead_id: str) -> Claim | None:
    """As `held`, but None for what cannot be read: for those who do not ask whether the bead is free."""
    try:
        return held(town, bead_id)
    except Unreadable:
        return None


def is_ours(town: Town, one: Claim) -> bool:
    """True if this very clone made that claim."""
    note = runstate.read_json(_own_path(town, one.bead))
    return isinstance(note, dict) and one.nonce in (note.get("nonces") or ())


def lapsed(town: Town, one: Claim) -> bool:
    """True if its lease is over, whatever two clocks differ."""
    return one.until + GRACE < town.clock()


def held_here(town: Town) -> list[Claim]:
    """The claims this clone holds, as last fetched."""
    return [one for one in everyone(town) if is_ours(town, one)]


def everyone(town: Town) -> list[Claim]:
    """Every claim on a bead of the town that can be read, as last fetched."""
    names = sorted({line.rpartition("/")[2] for line in mirrored(town)})
    return [one for name in names if is_id(name) and (one := known(town, name))]


def mirrored(town: Town) -> list[str]:
    """The claims as last fetched, a line each: commit and ref."""
    prefixes = [wire.CLAIMS, f"refs/remotes/{_remote(town.repo)}/gt-claims/"]
    return git.text(["for-each-ref", "--format=%(objectname) %(refname)", *prefixes], cwd=town.root).splitlines()


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


def lost_to(one: Claim) -> RaceLost:
    """The refusal of work that another claim stands on: who, where, since when."""
    return RaceLost(
        f"{one.bead} is claimed by {one.claimant} on {one.machine} since {times.text(one.since)} "
        f"(attempt {one.attempt}, until {times.text(one.until)})",
        f"it becomes free when it is released or that lease lapses; gt release {one.bead} --force takes it away",
    )


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


def _may_replace(town: Town, old: Claim, force: bool) -> bool:
    return force or is_ours(town, old) or lapsed(town, old)


def _write(
    town: Town, bead_id: str, attempt: int, claimant: str, over: Claim | None, lease: float | None, above: int
) -> Claim:
    """The commit of a new claim on top of the one it replaces. The nonce makes two alike claims two objects.

    Written down as ours before it is pushed, so that a push whose answer was lost is known again.
    """
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
    note = runstate.read_json(_own_path(town, bead_id))
    known = note.get("nonces") or [] if isinstance(note, dict) else []
    runstate.write_json(_own_path(town, bead_id), {"nonces": [*known, nonce][-_REMEMBERED:]})
    return parse(town.repo, commit.id.decode(), ref_of(town, bead_id))


def _tree(repo: Repo) -> bytes:
    from dulwich.objects import Tree

    empty = Tree()
    repo.put([empty])
    return bytes(empty.id)


def parse(repo: Repo, sha: str, ref: str) -> Claim:
    """The claim that stands at `ref` of the remote and points to `sha`; raises Unreadable for anything else."""
    try:
        body = repo.commit(sha.encode()).message.decode("utf-8").partition("\n\n")[2]
        facts = dict(line.split(": ", 1) for line in body.splitlines() if line)
        if facts["Bead"] != ref.rpartition("/")[2]:
            raise ValueError(f"it is one on {facts['Bead']}")
        return Claim(
            bead=facts["Bead"], claimant=facts["Claimant"], machine=facts["Machine"], attempt=int(facts["Attempt"]),
            fence=int(facts["Fence"]), until=times.parse(facts["Lease"]), nonce=facts["Nonce"],
            since=times.parse(facts["Since"]), ref=ref, commit=sha,
        )  # fmt: skip
    except KeyError as error:
        raise Unreadable(ref, f"nothing in it says {error.args[0]!r}", _remote(repo)) from None
    except (ValueError, TypeError, GtError, AssertionError, FileFormatException) as error:
        why = error.message if isinstance(error, GtError) else str(error)
        raise Unreadable(ref, safe(why), _remote(repo)) from None


def _remote(repo: Repo) -> str:
    return wire.remote_of(repo) or "origin"


def _swap(town: Town, line: Wire, ref: str, fresh: Claim, old: Claim | None) -> tuple[Claim | None, str]:
    """Put a claim at the remote if the old one still stands there; what stands there then, and what git said."""
    result = line.push(f"{fresh.commit}:{ref}", lease=f"{ref}:{old.commit if old else ''}")
    said = git.tail(result.err) if result.code else ""
    branch = town.repo.head()[0]
    now = line.read_all([ref, branch])
    found = _mirror(town, line, ref, fresh.bead, now.get(ref))
    return replace(found, tip=now.get(branch, "")) if found else None, said


def _read(town: Town, line: Wire, ref: str, bead_id: str) -> Claim | None:
    """The claim at the remote right now, mirrored here."""
    return _mirror(town, line, ref, bead_id, line.read(ref))


def _mirror(town: Town, line: Wire, ref: str, bead_id: str, sha: str | None) -> Claim | None:
    """Keep here what the remote was seen to hold."""
    if sha is None:
        _forget(town, bead_id)
        return None
    if not git.succeeds(["cat-file", "-e", sha], cwd=town.root):
        line.bring(ref)
    found = parse(town.repo, sha, ref)
    git.run(["update-ref", _mirror_ref(town, bead_id), sha], cwd=town.root)
    return found


def _mirror_ref(town: Town, bead_id: str) -> str:
    ref = ref_of(town, bead_id)
    if ref.startswith("refs/heads/"):
        return f"refs/remotes/{_remote(town.repo)}/{ref.removeprefix('refs/heads/')}"
    return ref


def _forget(town: Town, bead_id: str) -> None:
    git.run(["update-ref", "-d", _mirror_ref(town, bead_id)], cwd=town.root, check=False)


def _own_path(town: Town, bead_id: str) -> str:
    return layout.run(town.root, "claims", f"{bead_id}.json")


def _forget_own(town: Town, bead_id: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_own_path(town, bead_id))
