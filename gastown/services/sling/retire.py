"""Retiring a machine that will not come back: what it held is free again, and those concerned are told."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from gastown.model.address import is_address
from gastown.model.bead import HELD, Bead
from gastown.model.errors import GtError, Refused
from gastown.model.message import header_text
from gastown.model.queue import Entry
from gastown.model.rig import Rig
from gastown.model.row import Row
from gastown.runtime import clones
from gastown.services.landing import held, landing, queue
from gastown.services.machines import machine
from gastown.services.sessions import dispatch
from gastown.store import layout
from gastown.store.change import Change
from gastown.store.town import Town


@dataclass(frozen=True)
class Retired:
    """What became of it. `released` beads are open again, `unaddressed` ones wait for any machine now.

    `merging` stays in the queue; of it `missing` has (bead, why): its branch can be seen nowhere. `rigs` had their
    refinery there, `stranded` ones their repository too. `claims` were taken away at the remote, `standing` could not
    be: (bead, why). `unmet`: why the town's remote could not be asked first, so that something of it may be missing.
    """

    machine: str
    already: bool = False
    released: tuple[str, ...] = ()
    unaddressed: tuple[str, ...] = ()
    rigs: tuple[str, ...] = ()
    stranded: tuple[str, ...] = ()
    merging: tuple[str, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    claims: tuple[str, ...] = ()
    standing: tuple[tuple[str, str], ...] = ()
    unmet: str = ""


def retire(town: Town, name: str, *, force: bool = False) -> Retired:
    """Mark a machine as retired and release what it held, in one change; again it finishes what is left.

    What it held is judged by what the remote has by now, where that can be asked. Raises NotFound, and
    Refused for the machine we are on without `force`.
    """
    machine.machine(town, name, town.machine)
    if name == town.machine and not force:
        raise Refused(f"{name} is the machine you are on", "retire it from another one; --force does it here")
    unmet = _meet(town)
    machine.machine(town, name, town.machine)  # it may have another name by now
    done = town.transact("machine retire", lambda change: _retire(change, name))
    missing = _look_for_branches(town, name, done.merging)
    taken, standing = _take_claims(town, name, done.merging, unmet)
    return replace(done, missing=tuple(missing), claims=tuple(taken), standing=tuple(standing), unmet=unmet)


def _meet(town: Town) -> str:
    """Hear what was said last; why that could not be, in a line, "" if it could."""
    from gastown.services.claims import claims
    from gastown.services.machines import exchange

    try:
        if claims.needed(town):
            exchange.exchange(town)
    except GtError as error:
        return error.message.splitlines()[0]
    return ""


def _retire(change: Change, name: str) -> Retired:
    path = layout.machine_file(name)
    doc = change.load(path)
    already = bool(doc.get("retired"))
    rows = change.index().live
    released = [_release(change, row, name) for row in rows if row.machine == name and row.status in HELD]
    waiting = [row for row in rows if row.status not in (*HELD, "merging")]
    unaddressed = [row.id for row in waiting if _unaddress(change, row, name)]
    bound = [rig for rig in change.town.rigs()[0] if rig.refinery_machine == name]
    # What lands in a clone on that machine can land nowhere else: no other machine has that clone.
    stranded = [rig.name for rig in bound if rig.landing == "local"]
    free = [rig for rig in bound if rig.landing != "local"]
    for rig in free:
        _free_refinery(change, rig)
    rigs = [rig.name for rig in free]
    if not already:
        change.put(path, {**doc, "retired": {"at": change.at, "by": change.actor}})
    if not already or released or unaddressed or rigs:
        ids = [bead.id for bead in released]
        text = f"machine {name} was retired" + (f"; {len(ids)} beads are open again" if ids else "")
        change.emit("machine_retire", text, machine=name, released=ids, unaddressed=unaddressed, rigs=rigs)
        _tell(change, name, released, rigs, stranded)
    merging = tuple(row.id for row in rows if row.machine == name and row.status == "merging")
    return Retired(
        name, already, tuple(bead.id for bead in released), tuple(unaddressed), tuple(rigs), tuple(stranded), merging
    )


def _release(change: Change, row: Row, name: str) -> Bead:
    """Open again. Its commits stay on its branch; what was not committed lies on the other machine."""
    bead = change.bead(row.id)
    former = str(bead.assignee)
    bead.release(at=change.at)
    dispatch.dequeue(bead)
    rig = layout.rig_of_path(bead.path)
    note = f"Machine {name}, where {former} worked on this, was retired by {change.actor}. Its commits are on branch "
    note += f"{bead.branch}, as far as it was pushed; what was not committed lies on {name}"
    note += f", in {layout.WORK}/{former}." if "/" in former else "."
    bead.add_note(change.at, change.actor, note)
    change.save(bead)
    change.emit("release", f"released {bead.id} from {former}: machine {name} was retired", bead=bead.id, rig=rig,
                former=former, branch=bead.branch, machine=name)  # fmt: skip
    if is_address(former):
        body = f"Machine {name} was retired by {change.actor}: {bead.id} is not yours any more. Stop working on it.\n"
        subject = header_text(f"{bead.id} was released: {bead.title}")
        change.deliver(former, subject, body, priority="high", bead=bead.id)
    return bead


def _unaddress(change: Change, row: Row, name: str) -> bool:
    """Work that waited for this machine waits for any."""
    if row.machine != name:
        return False
    bead = change.bead(row.id)
    bead.set("machine", None)
    change.save(bead)
    return True


def _free_refinery(change: Change, rig: Rig) -> None:
    doc: dict[str, Any] = change.load(layout.rig_file(rig.name))
    left = {key: value for key, value in doc["refinery"].items() if key != "machine"}
    now = {key: value for key, value in doc.items() if key != "refinery"}
    change.put(layout.rig_file(rig.name), {**now, "refinery": left} if left else now)


def _tell(change: Change, name: str, released: list[Bead], rigs: list[str], stranded: list[str]) -> None:
    """One mail to the person, unless it was they who did it."""
    if change.actor == "overseer":
        return
    lines = [f"{change.actor} retired machine {name}.", ""]
    lines += [f"{bead.id} is open again: {bead.title}" for bead in released]
    lines += [f"The refinery of {rig} is run by any machine now." for rig in rigs]
    lines += [f"The repository of rig {rig} lies on {name}: give it one that others can push to." for rig in stranded]
    change.deliver("overseer", f"machine {name} was retired", "\n".join(lines).rstrip() + "\n")


# -- what waits to be merged ----------------------------------------------------------------------
def _look_for_branches(town: Town, name: str, merging: Iterable[str]) -> list[tuple[str, str]]:
    """Work handed in there whose branch neither this clone of its rig nor the rig's remote has: (bead, why).

    It is held in the queue with that reason, so that `gt status` shows it as a problem.
    """
    wanted, found = set(merging), []
    rigs = {row.rig for row in town.index().rows if row.id in wanted and row.rig}
    for rig in (town.rig(one) for one in sorted(rigs)):
        entries = [entry for entry in queue.entries(town, rig.name) if entry.source in wanted]
        repo = layout.bare(town.root, rig.name)
        if not entries or not os.path.isdir(repo):
            continue
        try:
            landing.refresh(town, rig)
        except GtError:
            continue  # nothing is known; the refinery looks again
        for entry in entries:
            if not _has(repo, entry):
                why = f"branch {entry.branch} is on no machine that is left, nor on the rig's remote: {name} had it"
                held.tell(town, rig, [entry], why)
                found.append((entry.source, why))
    return found


def _has(repo: str, entry: Entry) -> bool:
    tips = [clones.resolve(repo, f"{where}{entry.branch}") for where in ("refs/heads/", landing.REMOTE)]
    if clones.resolve(repo, entry.commit) is None:
        return False
    return any(clones.is_ancestor(repo, entry.commit, tip) for tip in tips if tip)


# -- claims ---------------------------------------------------------------------------------------
def _take_claims(
    town: Town, name: str, merging: Iterable[str], unmet: str
) -> tuple[list[str], list[tuple[str, str]]]:
    """Take its claims away at the town's remote: (what they are on, [(what, why the claim still stands)]).

    Others learn first that the work is free. A claim on what waits to be merged stays: by it the refinery knows whose
    work it may land.
    """
    from gastown.services.claims import badclaims, claims, fences, rivals
    from gastown.services.machines import exchange

    if not claims.needed(town):
        return [], []
    wanted = [one.bead for one in claims.everyone(town) if one.machine == name and one.bead not in set(merging)]
    wanted += [fences.subject(rig) for rig in town.rigs()[0]]
    held = [one for one in wanted if (seen := claims.known(town, one)) is not None and seen.machine == name]
    if unmet:
        return [], [(one, unmet) for one in held]
    taken: list[str] = []
    try:
        exchange.exchange(town)
        for subject in wanted:
            # Somebody else may have it by now: theirs stays.
            try:
                now = claims.current(town, subject, timeout=claims.TIDY_TIMEOUT)
                if now is not None and now.machine == name and claims.release(town, subject, only=now):
                    taken.append(subject)
            except (badclaims.Unreadable, rivals.Taken):
                continue  # the first is nobody's, as far as it says; the sync names it
    except GtError as error:
        # One that does not answer is not asked again for each.
        why = error.message.splitlines()[0]
        return taken, [(one, why) for one in held if one not in taken]
    return taken, []
