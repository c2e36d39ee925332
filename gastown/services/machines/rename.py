"""Giving this machine another name. Where it is at home all that names it follows; a copy becomes a machine of its own.

A copy takes nothing along that is the original's: not its work, not its sessions, not its claims.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from gastown.model import times
from gastown.model.bead import Bead
from gastown.model.errors import GtError, NotFound, Refused
from gastown.model.ids import check_name
from gastown.services.agents import moving
from gastown.services.claims import ownclaims
from gastown.services.machines import machine
from gastown.services.sessions import attempts
from gastown.store import commit, identity, layout, lock
from gastown.store.change import Change
from gastown.store.identity import Identity
from gastown.store.town import Town


@dataclass(frozen=True)
class Renamed:
    """What a machine is called now. `how`: renamed, apart (it was a copy), or unchanged.

    `beads`, `rigs`, `workers` name it by its new name; `claims` still name the old one, with why; `aside` is where
    the original's local state was put.
    """

    old: str
    new: str
    how: Literal["renamed", "apart", "unchanged"]
    beads: tuple[str, ...] = ()
    rigs: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    claims: tuple[tuple[str, str], ...] = ()
    aside: str = ""


def rename(town: Town, new: str) -> Renamed:
    """Call this machine `new`, with a new id, in one change. Called so already: nothing changes.

    Raises UsageError for a name that cannot be, Refused for one that is taken, NotFound where this machine never
    joined.
    """
    check_name(new, "machine")
    town.settle()
    one = identity.read(town.root)
    if one is None:
        raise NotFound("this machine has no name in the town yet", "gt doctor --fix gives it one")
    own = identity.standing(town.root, town.clock()).own
    if new == one.name and own:
        identity.write(town.root, identity.placed(town.root, one))  # a killed rename ends here
        machine.join(town)
        return Renamed(one.name, new, "unchanged")
    if town.exists(layout.machine_file(new)) or new == one.name:
        raise Refused(f"there is a machine {new} already", "`gt machine list` shows them; choose another name")
    fresh = machine.new_identity(town.root, new)
    return _at_home(town, one, fresh) if own else _apart(town, one, fresh)


# -- at home --------------------------------------------------------------------------------------
def _at_home(town: Town, one: Identity, fresh: Identity) -> Renamed:
    # Written down first: were we killed behind the commit, the new name would count all the same.
    identity.write(town.root, one, following=fresh)
    done = town.transact("machine rename", lambda change: _all_of_it(change, one, fresh))
    identity.write(town.root, fresh)
    identity.note_instance(town.root)
    town.refresh()
    return replace(done, claims=tuple(_renew_claims(town)))


def _all_of_it(change: Change, one: Identity, fresh: Identity) -> Renamed:
    old, new = one.name, fresh.name
    if change.read(layout.machine_file(new)) is not None:
        raise Refused(f"there is a machine {new} already", "`gt machine list` shows them; choose another name")
    beads = _beads(change, old, new, [row.id for row in change.index().rows if row.machine == old])
    rigs, workers = _rigs(change, old, new), _workers(change, old, new)
    before = change.load(layout.machine_file(old)) if change.read(layout.machine_file(old)) is not None else {}
    change.remove(layout.machine_file(old))
    _introduce(change, fresh, before)
    change.emit("machine_rename", f"machine {old} is {new} now", machine=new, former=old, beads=beads)
    return Renamed(old, new, "renamed", tuple(beads), tuple(rigs), tuple(workers))


def _introduce(change: Change, fresh: Identity, before: dict[str, Any]) -> None:
    """machines/<new>.yaml: what the old one said, and what is so now."""
    root, most = change.town.root, machine.capacity(change.town)
    now = {"name": fresh.name, "id": fresh.id, **machine.facts(root, change.now, most, fresh)}
    made = machine.committed_doc(root, fresh, change.now, most)
    change.put(layout.machine_file(fresh.name), {**made, **before, **now})


def _beads(change: Change, old: str, new: str, ids: Iterable[str]) -> list[str]:
    found = []
    for bead_id in ids:
        bead = change.bead(bead_id)
        if _rewrite(bead, old, new):
            change.save(bead)
            found.append(bead.id)
    return found


def _rewrite(bead: Bead, old: str, new: str) -> bool:
    """Let a bead that is not closed name `new` where it named `old`: as its machine, and of sessions not over."""
    if bead.machine != old or bead.status == "closed":
        return False
    bead.set("machine", new)
    for session in bead.sessions:
        if session.get("machine") == old and not session.get("ended"):
            bead.update_session(str(session.get("id")), machine=new)
    return True


def _rigs(change: Change, old: str, new: str) -> list[str]:
    found = []
    for name in change.town.rig_names():
        doc = change.load(layout.rig_file(name))
        refinery = doc.get("refinery")
        if isinstance(refinery, dict) and refinery.get("machine") == old:
            change.put(layout.rig_file(name), {**doc, "refinery": {**refinery, "machine": new}})
            found.append(name)
    return found


def _workers(change: Change, old: str, new: str) -> list[str]:
    found = []
    for rig in change.town.rig_names():
        for doc in change.town.workers(rig)[0]:
            path = layout.worker_file(rig, str(doc["kind"]), str(doc["name"]))
            if doc.get("machine") == old:
                change.put(path, {**change.load(path), "machine": new})
                found.append(f"{rig}/{doc['name']}")
    return found


def _renew_claims(town: Town) -> list[tuple[str, str]]:
    """Let this clone's claims name its new name; those that cannot be renewed now, and why."""
    from gastown.services.claims import claims

    if not claims.needed(town):
        return []
    left = []
    for held in claims.held_here(town):
        if held.machine == town.machine:
            continue
        try:
            claims.claim(
                town, held.bead, held.attempt, claimant=held.claimant, above=held.fence - 1,
                timeout=claims.TIDY_TIMEOUT,
            )  # fmt: skip
        except GtError as error:
            left.append((held.bead, error.message.splitlines()[0]))
    return left


# -- a copy ---------------------------------------------------------------------------------------
def _apart(town: Town, one: Identity, fresh: Identity) -> Renamed:
    """Become a machine of its own; again after a kill it goes on where it stopped."""
    twin = identity.standing(town.root, town.clock()).state == "twin"
    mine = _really_here(town, one) if twin else []
    aside = ""
    with lock.town_lock(town.root, "machine rename"):
        commit.recover(town.repo)
        if not twin:
            aside = _set_aside(town, one.name)
        ownclaims.forget_all(town, but=mine)
        identity.write(town.root, fresh)
        identity.note_instance(town.root)
    town.refresh()
    moving.relink(town)

    def body(change: Change) -> Renamed:
        beads = _beads(change, one.name, fresh.name, mine)
        _introduce(change, fresh, {})
        text = f"machine {fresh.name} joined; its folder was a copy of {one.name}'s"
        change.emit("machine_add", text, machine=fresh.name, former=one.name, beads=beads)
        return Renamed(one.name, fresh.name, "apart", tuple(beads), aside=aside)

    done = town.transact("machine rename", body)
    return replace(done, claims=tuple(_renew_claims(town)))


def _really_here(town: Town, one: Identity) -> list[str]:
    """Where two computers use one name: the work whose agent provably runs on this one."""
    found = []
    for row in town.index().rows:
        if row.machine == one.name and row.status in ("hooked", "in_progress"):
            try:
                life = attempts.look(town, town.bead(row.id))
            except GtError:
                continue
            if life.live:
                found.append(row.id)
    return found


def _set_aside(town: Town, old: str) -> str:
    """Put what the original knows of its processes, claims and starts where nobody takes it for ours."""
    run = layout.run(town.root)
    if not os.path.isdir(run):
        return ""
    stamp = times.text(town.clock()).replace(":", "").replace("-", "")
    home = os.path.join(layout.rescue(town.root), f"copied-{stamp}-{old}")
    while os.path.exists(home):
        home += "-again"
    os.makedirs(home)
    os.rename(run, os.path.join(home, "run"))
    os.makedirs(run)
    return layout.relative(town.root, home)
