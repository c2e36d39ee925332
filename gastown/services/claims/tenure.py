"""What this machine holds, after each contact with the town's remote: claimed, renewed, found lost, or given back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gastown.model.address import name_of, rig_of
from gastown.model.bead import HELD, Bead, work_branch
from gastown.model.errors import GtError, NotFound
from gastown.model.text import safe
from gastown.runtime import clones, git
from gastown.runtime.rescue import PREFIX
from gastown.services.agents import worksite
from gastown.services.beads import hook
from gastown.services.claims import badclaims, claimrefs, claims, forgotten, leases, oddclaims, ownclaims, turns
from gastown.services.claims.badclaims import Unreadable
from gastown.services.claims.claimrefs import Claim
from gastown.services.claims.claims import Offline
from gastown.services.claims.rivals import Taken, lost_to
from gastown.services.sessions import attempts
from gastown.store import layout, runstate
from gastown.store.change import Change
from gastown.store.town import Town
from gastown.store.view import View

OUTCOME = "claim_lost"


@dataclass
class Tenure:
    """What was found: ids of beads whose claim was confirmed, lost, or given back, and what could not be settled.

    `unreadable`: what stands among the claims at the remote and is none. `busy`: another gt here is claiming them or
    giving them back, and they are settled at the next contact.
    """

    confirmed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    given_back: list[str] = field(default_factory=list)
    trouble: list[GtError] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """True if the town says something new that the remote does not have yet."""
        return bool(self.confirmed or self.lost)


def settle(town: Town, sent: str) -> Tenure:
    """Settle every claim of this machine; called when both sides hold the commit `sent`.

    Work begun without the remote's word is claimed now; what somebody else has won goes on with them, and what was
    made of it here is kept. A claim is given back only when the remote knows that its work has ended.
    """
    leases.watch(town, claimrefs.mirrored(town))
    if _settled(town, sent):
        return Tenure(unreadable=badclaims.noted(town.root))
    found = _settle(town, town.at(sent))
    if not (found.trouble or found.changed or found.busy):
        mark = {"seen": _seen(town, sent), "at": town.clock()}
        runstate.write_json(layout.run(town.root, "claims-settled.json"), mark, durable=False)
    return found


def _settled(town: Town, sent: str) -> bool:
    """True if neither the town nor any claim has changed since all was settled, and no lease is old enough to renew."""
    mark = runstate.read_json(layout.run(town.root, "claims-settled.json"))
    if not isinstance(mark, dict) or mark.get("seen") != _seen(town, sent):
        return False
    return 0 <= town.clock() - float(mark.get("at", 0)) < claims.lease_of(town) / 16


def _seen(town: Town, sent: str) -> str:
    return "\n".join([sent, *(f"{sha} {ref}" for sha, ref in claimrefs.mirrored(town))])


def _settle(town: Town, sent: View) -> Tenure:
    found = Tenure(unreadable=oddclaims.look(town))
    for bead_id in _held_here(town):
        try:
            with turns.tried(town, bead_id) as free:
                if free:
                    _settle_one(town, bead_id, found)
                else:
                    found.busy.append(bead_id)
        except Offline as error:
            found.trouble.append(error)
            return found
        except Unreadable:
            continue  # it is told of already
        except GtError as error:
            found.trouble.append(error)
    for bead in _lost_sessions(town, found):
        _lose(town, bead, _to_whom(town, bead))
        found.lost.append(bead.id)
    for one in claims.held_here(town):
        try:
            with turns.tried(town, one.bead) as free:
                if not free:
                    found.busy.append(one.bead)  # by a sling, of which the bead says nothing yet
                elif _is_over(town, sent, one) and claims.release(town, one.bead):
                    found.given_back.append(one.bead)
        except GtError as error:
            found.trouble.append(error)
    return found


def _settle_one(town: Town, bead_id: str, found: Tenure) -> None:
    bead = town.bead(bead_id)
    if not (bead.branch and bead.assignee and _works(town, bead_id, town.machine)):
        return
    try:
        _keep(town, bead, found)
    except Taken as error:
        _lose(town, bead, error.message)
        found.lost.append(bead.id)


def _held_here(town: Town) -> list[str]:
    rows = town.index().live
    return [row.id for row in rows if row.machine == town.machine and row.status in (*HELD, "merging")]


# -- kept -----------------------------------------------------------------------------------------
def _keep(town: Town, bead: Bead, found: Tenure) -> None:
    """Claim it, or renew the claim where that is due; raises Taken if somebody else has it."""
    one = claims.held(town, bead.id)
    if one is not None:
        forgotten.regain(town, bead, one)
    new = one is None or not ownclaims.is_ours(town, one)
    if one is None or new or claims.is_due(town, one) or _says_other(one, bead):
        above = (bead.fence or 0) if one is None or new else one.fence - 1
        one = claims.claim(town, bead.id, bead.attempt, claimant=str(bead.assignee), above=above)
    if one.fence != bead.fence and town.transact("claim", lambda change: _confirm(change, bead, one)):
        found.confirmed.append(bead.id)


def _says_other(one: Claim, bead: Bead) -> bool:
    return (one.claimant, one.machine, one.attempt) != (bead.assignee, bead.machine, bead.attempt)


def _confirm(change: Change, seen: Bead, one: Claim) -> bool:
    """Write the claim's fence into the bead, and into what of it waits to be merged."""
    bead = change.bead(seen.id)
    if bead.branch != seen.branch or bead.assignee != seen.assignee:
        return False
    bead.set("fence", one.fence)
    change.save(bead)
    for row in change.index().live:
        if row.type == "merge" and row.source == bead.id and row.branch == bead.branch:
            merge = change.bead(row.id)
            merge.set("fence", one.fence)
            change.save(merge)
    text = f"the claim of {bead.assignee} on {bead.id} is confirmed: {bead.title}"
    change.emit("claim", text, bead=bead.id, rig=layout.rig_of_path(bead.path), fence=one.fence, machine=one.machine)
    return True


# -- given back -----------------------------------------------------------------------------------
def _is_over(town: Town, sent: View, one: Claim) -> bool:
    """True if the work behind a claim has ended, here and in what the remote holds."""
    return not (_works(town, one.bead, town.machine) or _works(sent, one.bead, town.machine))


def _works(view: View, bead_id: str, here: str) -> bool:
    try:
        bead = view.bead(bead_id)
    except NotFound:
        return False
    return bead.machine == here and bead.status in (*HELD, "merging")


# -- lost -----------------------------------------------------------------------------------------
def _lost_sessions(town: Town, found: Tenure) -> list[Bead]:
    """Beads at which a session here still works, though a merge has shown them to be somebody else's."""
    lost = []
    for record in attempts.live_records(town)[0]:
        if not record.bead or town.bead_path(record.bead) is None:
            continue
        try:
            bead = town.bead(record.bead)
        except GtError as error:
            found.trouble.append(error)
            continue
        mine = next((one for one in bead.sessions if one.get("id") == record.id), None)
        here = hook.is_on(bead, record.address) and bead.machine == town.machine
        if mine is not None and not mine.get("ended") and not here and bead.machine not in (None, town.machine):
            lost.append(bead)
    return lost


def _to_whom(town: Town, bead: Bead) -> str:
    one = claims.known(town, bead.id)
    if one is not None:
        return lost_to(town, one).message
    return f"{bead.id} is worked on by {bead.assignee} on {bead.machine}"


def _lose(town: Town, bead: Bead, why: str) -> None:
    """Keep what was made of it here, say so on the bead, to the worker and to the overseer; it is nobody's here."""
    sessions = [one for one in bead.sessions if one.get("machine") == town.machine and not one.get("ended")]
    session = sessions[-1] if sessions else _last_here(town, bead)
    by = str(session.get("by") or bead.assignee)
    kept = _rescue(town, bead, by, int(session.get("attempt") or bead.attempt))
    text = f"{by} on {town.machine} lost {bead.id}: {why}"
    note = f"{text}.\nWhat was made of it there is kept: {kept}." if kept else f"{text}.\nNothing had been made of it."

    def body(change: Change) -> None:
        now = change.bead(bead.id)
        sid = str(session.get("id", ""))
        if any(one.get("id") == sid and not one.get("ended") for one in now.sessions):
            now.update_session(sid, ended=change.at, outcome=OUTCOME)
        if now.machine == town.machine and now.assignee == by and now.status in (*HELD, "merging"):
            _withdraw(change, now)
        now.add_note(change.at, change.actor, note)
        change.save(now)
        for who in ("overseer", by):
            subject = f"lost to another machine: {safe(now.title)}"
            change.deliver(who, subject, f"{note}\n", priority="high", bead=now.id)
        change.emit("claim_lost", text, bead=now.id, rig=layout.rig_of_path(now.path), worker=by, kept=kept)

    town.transact("claim_lost", body, actor="deacon")
    runstate.set_hook_hint(town.root, by, None)


def _last_here(town: Town, bead: Bead) -> dict[str, Any]:
    return next((one for one in reversed(bead.sessions) if one.get("machine") == town.machine), {})


def _withdraw(change: Change, bead: Bead) -> None:
    """It is open here until the winner's own state arrives; what waited to be merged does not wait any more."""
    for row in change.index().live:
        if row.type == "merge" and row.source == bead.id and row.branch == bead.branch:
            merge = change.bead(row.id)
            merge.close(at=change.at, by=change.actor, reason=OUTCOME)
            change.save(merge)
    if bead.status == "merging":
        bead.move("in_progress")
    bead.move("open")
    bead.set("assignee", None)
    bead.set("machine", None)


def _rescue(town: Town, bead: Bead, by: str, attempt: int) -> str:
    """Save the worktree's uncommitted work and pin the branch; what is kept where, "" if nothing was made."""
    rig_name = rig_of(by)
    if rig_name is None:
        return ""
    said = []
    branch = work_branch(name_of(by), bead.id, attempt)
    repo = layout.bare(town.root, rig_name)
    tip = clones.resolve(repo, f"refs/heads/{branch}")
    if tip is not None:
        ref = f"{PREFIX}{OUTCOME.replace('_', '-')}-{bead.id}.a{attempt}"
        git.run(["update-ref", ref, tip], git_dir=repo)
        said.append(f"its commits on {branch} and {ref}")
    saved = worksite.save(town, rig_name, name_of(by))
    return ", ".join([*said, *([saved] if saved else [])])
