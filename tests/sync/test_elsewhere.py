"""What a machine says and does about work that another machine lands."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastown.deacon.patrols import assigned
from gastown.deacon.patrols.packing import Pack
from gastown.services.claims import claims
from gastown.services.health import trail
from gastown.services.machines.exchange import exchange
from gastown.services.refinery import refinery
from gastown.services.settings import trust
from gastown.store.town import Town
from tests.conftest import git
from tests.sync.lab import RIG, Machines


def commits(town: Town) -> dict[str, object]:
    """bead -> whether what was made for it landed, as the trail of commits has it."""
    return {one["bead"]: one["data"]["landed"] for one in trail.commits(town, town)}


def made(machines: Machines, town: Town, title: str) -> str:
    bead = machines.bead(title)
    machines.ended(town, machines.started(town, bead, f"echo {bead} > {bead}"))
    machines.meet()
    return bead


def test_the_trail_knows_what_another_machine_landed(machines: Machines) -> None:
    mine, theirs = made(machines, machines.there, "mine"), made(machines, machines.here, "theirs")
    assert commits(machines.there) == {mine: False}
    # Two at once, so that what lands of one is not what was handed in.
    assert len(refinery.run_once(machines.here, RIG).landed) == 2
    machines.meet()
    assert commits(machines.there) == {theirs: True, mine: True}
    (told,) = [one for one in trail.commits(machines.there, machines.there) if one["bead"] == theirs]
    assert told["id"] == machines.there.bead(theirs).closed["commit"]
    assert told["text"] == "theirs"
    waiting = made(machines, machines.there, "waiting")
    assert commits(machines.there) == {theirs: True, mine: True, waiting: False}


def test_whether_a_commit_of_merged_work_landed_is_unknown_where_nothing_tells(machines: Machines) -> None:
    mine = made(machines, machines.there, "mine")
    machines.meet()
    with machines.there.change("close") as change:
        bead = change.bead(mine)
        bead.close(at=change.at, by="overseer", reason="merged", commit="1" * 40)
        change.save(bead)
        merge = next(change.bead(row.id) for row in change.index().rows if row.type == "merge" and row.source == mine)
        merge.close(at=change.at, by="overseer", reason="superseded")
        merge.set("commit", "2" * 40)
        change.save(merge)
    found = [one["data"]["landed"] for one in trail.commits(machines.there, machines.there)]
    assert sorted(found, key=str) == [None, True]


def test_branches_that_another_machine_landed_are_put_away(machines: Machines) -> None:
    made(machines, machines.here, "theirs")
    made(machines, machines.there, "mine")
    assert len(refinery.run_once(machines.here, RIG).landed) == 2
    exchange(machines.here)
    exchange(machines.there)
    repo = Path(machines.there.root, "work", RIG, ".repo.git")
    branches = ("for-each-ref", "--format=%(refname)", "refs/heads/polecat", "refs/remotes/origin/polecat")
    assert len(git(*branches, cwd=repo).splitlines()) > 0
    waiting = made(machines, machines.there, "waiting")
    Pack("town", "an hour has gone by").apply(machines.there)
    left = git(*branches, cwd=repo).splitlines()
    assert left
    assert all(waiting in one for one in left)


@pytest.mark.parametrize(("winner", "told"), [("app/cedar", 0), ("app/birch", 1)])
def test_who_was_asked_for_on_two_machines_at_once_works_on_one_in_silence(
    machines: Machines, winner: str, told: int
) -> None:
    bead, here = machines.bead(), machines.here
    with here.change("hand_edit") as change:
        found = change.bead(bead)
        for key, value in {"assignee": "app/cedar", "command": ["true"], "agent": "exec"}.items():
            found.set(key, value)
        change.save(found)
    trust.record(here, "command", bead, ["true"])
    claims.claim(machines.there, bead, 1, claimant=winner)
    events, mail = len(list(here.events())), len(here.names("mail/overseer/new"))
    assigned.Sling(bead, "its assignee was set by hand", to="app/cedar").apply(here)
    assert here.bead(bead).status == "open"
    assert len(list(here.events())) - events == told
    assert len(here.names("mail/overseer/new")) - mail == told
