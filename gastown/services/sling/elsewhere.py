"""Work and other machines: giving a bead to one of them, and what may be worked on here at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gastown.model.bead import Bead
from gastown.model.errors import GtError, Refused, UsageError
from gastown.model.rig import Rig
from gastown.services.agents import launch
from gastown.services.beads import beads, targets
from gastown.services.claims import claims
from gastown.services.sessions import dispatch
from gastown.services.settings import trust
from gastown.services.sling import claim
from gastown.services.sling.starts import Queued, Run, SlingReport, refusal
from gastown.store.change import Change
from gastown.store.town import Town


def check_home(town: Town, rig: Rig) -> None:
    """Raise Refused for work on a rig that lands in another machine's clone: from here it could never get there."""
    home = rig.refinery_machine
    if rig.landing == "local" and home and home != town.machine and claims.needed(town):
        raise Refused(
            f"rig {rig.name} lands in a clone on machine {home}: work made here does not reach it",
            f"gt sling … --machine {home}; or give the rig a repository that both can push to (rig.yaml, git)",
        )


def send(run: Run, works: Sequence[str], titles: Sequence[str], name: str, *, dry_run: bool) -> SlingReport:
    """Queue work for another machine: its deacon starts it, under the claims and trust of that machine.

    Raises UsageError in a town without a remote.
    """
    town = run.town
    if not claims.needed(town):
        raise UsageError("this town has no remote: no other machine can learn of it", "gt sync --remote URL")
    for work in [*works, *titles]:
        try:
            found = None if work in titles else targets.find_work(town, work, town.actor)
            bead = town.bead(found) if found else None
            if bead is not None:
                _check(town, bead, run)
            if dry_run:
                run.queued.append(Queued(bead.id if bead else "(new)", str(run.target), f"for machine {name}"))
                continue
            if bead is None:
                bead = beads.create(town, replace(run.wish.new, title=beads.check_title(work), rig=run.rig.name))
                run.say(f"created {bead.id}: {bead.title}")
            run.queued.append(_queue(run, bead, name))
        except GtError as error:
            run.refused.append(refusal(work, error))
    return run.report()


def _check(town: Town, bead: Bead, run: Run) -> None:
    claim.check_bead(town, bead, run.rig, force=run.wish.force)
    if bead.held:
        away = bead.machine not in (None, town.machine)
        raise Refused(claim.held_by(bead).message, f"first: gt release {bead.id}" + (" --force" if away else ""))


def _queue(run: Run, bead: Bead, name: str) -> Queued:
    wish = run.wish

    def body(change: Change) -> None:
        now = change.bead(bead.id)
        _check(change.town, now, run)
        if now.status == "deferred":
            now.move("open")
        if wish.command:
            now.set("command", list(wish.command))
        if wish.agent or wish.command:
            now.set("agent", wish.agent or launch.EXEC)
        dispatch.enqueue(change, now, str(run.target), f"on machine {name}", machine=name, force=wish.force)
        change.save(now)

    if wish.command:
        trust.record(run.town, "command", bead.id, list(wish.command))  # a person of this machine has just written it
    run.town.transact("sling", body)
    return Queued(bead.id, str(run.target), f"machine {name} starts it when the town reaches it")


