"""Claims as refs and as branches: a setting that reaches machines one after the other never makes two holders."""

from __future__ import annotations

import threading

import pytest

from gastown.model.errors import RaceLost
from gastown.services.claims import claims, ownclaims, rivals
from gastown.services.claims.claimrefs import BRANCHES
from gastown.services.machines.exchange import exchange
from gastown.services.remote.wire import CLAIMS
from gastown.store.town import Town
from tests.conftest import git
from tests.sync.lab import Machines
from tests.sync.test_claims import copies


def form(town: Town, name: str) -> None:
    """Set here how claims are made; nothing is sent."""
    with town.change("config") as change:
        doc = change.load("town.yaml")
        doc["sync"] = {"claims": name}
        change.put("town.yaml", doc)


def standing(machines: Machines) -> list[str]:
    """The claims on beads at the remote, in whichever form."""
    refs = git("for-each-ref", "--format=%(refname)", cwd=machines.ground.remote).splitlines()
    return [ref for ref in refs if ref.startswith((CLAIMS, BRANCHES)) and "refinery." not in ref]


@pytest.mark.parametrize(("first", "then"), [("branches", "refs"), ("refs", "branches")])
@pytest.mark.parametrize("sent", [True, False])
def test_who_has_not_heard_of_the_new_form_does_not_start_what_is_claimed(
    machines: Machines, first: str, then: str, sent: bool
) -> None:
    bead = machines.bead()
    form(machines.here, first)
    form(machines.there, then)
    if sent:
        exchange(machines.here)
    done = machines.started(machines.here, bead, "sleep 60")
    before = standing(machines)
    lost = machines.refused(machines.there, bead)
    assert (lost.code, lost.exit_code) == ("race_lost", 3)
    assert f"claimed by {done.to} on anvil" in lost.message
    assert machines.sessions(machines.there) == []
    assert standing(machines) == before
    machines.meet()
    assert machines.here.bead(bead).assignee == done.to
    assert claims.held(machines.there, bead) == claims.held(machines.here, bead)


def test_a_claim_is_renewed_and_given_back_in_the_form_in_which_it_was_made(machines: Machines, clock) -> None:
    bead = machines.bead()
    machines.started(machines.here, bead, "sleep 60")
    form(machines.here, "branches")
    clock.advance(7 * 3600)
    machines.meet()
    assert standing(machines) == [f"{CLAIMS}{bead}"]
    with machines.here.change("close") as change:
        one = change.bead(bead)
        one.close(at=change.at, by="overseer", reason="done")
        change.save(one)
    machines.meet()
    assert standing(machines) == []


def test_what_lapsed_in_the_other_form_is_taken_over_once(machines: Machines, clock) -> None:
    bead = "ap-old01"
    old = claims.claim(machines.here, bead, 1, claimant="app/amber")
    clock.advance(25 * 3600)
    form(machines.there, "branches")
    assert claims.held(machines.there, bead) is None  # it has not heard of it
    with pytest.raises(RaceLost, match="first seen here"):
        claims.claim(machines.there, bead, 1, claimant="app/birch")
    clock.advance(25 * 3600)
    new = claims.claim(machines.there, bead, 1, claimant="app/birch")
    assert new.fence > old.fence
    assert standing(machines) == [new.ref]
    with pytest.raises(RaceLost, match="app/birch"):
        claims.claim(machines.here, bead, 1, claimant="app/amber")
    assert standing(machines) == [new.ref]


def test_of_two_racers_in_two_forms_never_both_win(machines: Machines, monkeypatch) -> None:
    monkeypatch.setattr(rivals, "_YIELDS", 1.0)
    towns, rounds = copies(machines, 2), []
    form(towns[1], "branches")
    for number in range(12):
        bead, gate = f"ap-f{number:04d}", threading.Barrier(2)
        won: list[Town] = []

        def run(town: Town, bead: str = bead, gate: threading.Barrier = gate, won: list[Town] = won) -> None:
            gate.wait()
            try:
                claims.claim(town, bead, 1, claimant="app/amber")
            except RaceLost:
                return
            won.append(town)

        threads = [threading.Thread(target=run, args=(town,)) for town in towns]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert len(won) < 2, number
        assert [ref.rpartition("/")[2] for ref in standing(machines)].count(bead) == len(won)
        rounds.append(len(won))
    assert sum(rounds) > 6, rounds  # nobody wins only where a remote is slower than what gives way is waited for


def test_who_died_before_it_could_give_way_disturbs_nobody_and_cleans_up(
    machines: Machines, clock, monkeypatch
) -> None:
    bead = machines.bead()
    form(machines.there, "branches")
    done = machines.started(machines.there, bead, "sleep 60")
    with monkeypatch.context() as patch:
        def die(*_: object, **__: object) -> bool:
            raise KeyboardInterrupt

        patch.setattr(claims, "sole", die)
        with pytest.raises(KeyboardInterrupt):
            claims.claim(machines.here, bead, 1, claimant="app/amber")
    assert standing(machines) == [f"{CLAIMS}{bead}", f"{BRANCHES}{bead}"]
    clock.advance(7 * 3600)
    assert exchange(machines.there).tenure.lost == []
    mine = claims.held(machines.there, bead)
    assert mine is not None
    assert ownclaims.is_won(machines.there, mine)
    with pytest.raises(RaceLost, match=done.to):
        claims.claim(machines.here, bead, 1, claimant="app/amber")
    machines.meet()
    assert standing(machines) == [f"{BRANCHES}{bead}"]
    assert machines.there.bead(bead).assignee == done.to
