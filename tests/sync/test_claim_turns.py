"""Several gt of one machine meet in the claim of one bead: they are one holder, and none undoes what another won."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gastown.model.errors import RaceLost
from gastown.services.beads import beads
from gastown.services.claims import claims, fences, ownclaims, tenure, turns
from gastown.services.machines.exchange import exchange
from gastown.services.remote import wire
from gastown.services.sling import contest, release
from gastown.services.sling.claim import Ticket
from gastown.store import flock, layout
from gastown.store.town import Town, open_town
from tests.conftest import PROJECT, git, gt_argv
from tests.services.work_lab import eventually
from tests.sync.lab import RIG, Machines

# Whoever pushes a claim waits at the remote for a second one that does, a moment long.
_MEETING = """#!/bin/sh
case "$(cat)" in *refs/gt/claims/*) ;; *) exit 0 ;; esac
mkdir -p {met}
: > {met}/$$
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
  test "$(ls {met} | wc -l)" -ge 2 && exit 0
  sleep 0.1
done
"""
# So many processes do something at the very same moment: all wait for the end of one pipe.
_AT_ONCE = """
import os
from gastown.model.errors import GtError
from gastown.services.claims import claims, fences
from gastown.store.town import open_town
town = open_town({root!r})
here, there = os.pipe()
for number in range({count}):
    if os.fork() == 0:
        os.close(there)
        os.read(here, 1)
        try:
            said = {what}
        except GtError as error:
            said = error.message
        os.write(1, (repr(said) + os.linesep).encode())
        os._exit(0)
os.close(there)
for number in range({count}):
    os.wait()
"""
_HOLDS = """
from gastown.services.claims import turns
from gastown.store.town import open_town
with turns.alone(open_town({root!r}), {bead!r}):
    print("ready", flush=True)
    input()
"""


def python(code: str) -> subprocess.Popen[str]:
    """A process that has come to its `input()`."""
    env = os.environ | {"PYTHONPATH": str(PROJECT)}
    one = subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert one.stdout is not None
    assert one.stdout.readline() == "ready\n"
    return one


def at_once(town: Town, count: int, what: str) -> list[str]:
    """What `count` processes of a machine say that do it at the same moment."""
    code = _AT_ONCE.format(root=town.root, count=count, what=what)
    env = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True, timeout=120)
    return done.stdout.splitlines()


def hook(machines: Machines, name: str, text: str) -> Path:
    """What the remote does when something is pushed."""
    path = machines.ground.remote / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def locks(town: Town) -> list[Path]:
    return list(Path(town.repo.git_dir, "gt", "turns").glob("*"))


@pytest.mark.parametrize("targets", [(RIG, RIG), (f"{RIG}/opal", f"{RIG}/jade")])
def test_of_two_slings_of_one_bead_here_one_starts_it_and_the_claim_stays(
    machines: Machines, targets: tuple[str, str]
) -> None:
    bead = machines.bead()
    hook(machines, "pre-receive", _MEETING.format(met=machines.ground.base / "met"))
    slings = [
        subprocess.Popen([*gt_argv(), "sling", bead, target, "--", "sleep", "60"], cwd=machines.here.root,
                         env=os.environ | {"PYTHONPATH": str(PROJECT)}, text=True, stderr=subprocess.PIPE)
        for target in targets
    ]  # fmt: skip
    said = [one.communicate(timeout=120)[1] for one in slings]
    alike = targets[0] == targets[1]
    assert sorted(one.returncode for one in slings) == [0, 0 if alike else 3], said
    assert len(machines.sessions(machines.here)) == 1
    assert machines.claims() == [bead]
    held = claims.current(machines.here, bead)
    now = open_town(machines.here.root).bead(bead)
    assert (held.claimant, held.fence) == (now.assignee, now.fence)
    assert ownclaims.is_ours(machines.here, held)
    assert machines.refused(machines.there, bead).code == "race_lost"
    assert locks(machines.here) == []


def test_of_many_claimers_here_none_forgets_what_another_has_won(machines: Machines) -> None:
    for number in range(6):
        bead = f"ap-many{number}"
        what = f"claims.claim(town, {bead!r}, 1, claimant='app/' + 'opal jade onyx'.split()[number]).fence"
        assert at_once(machines.here, 3, what) == ["1"] * 3
        assert ownclaims.is_won(machines.here, claims.current(machines.here, bead))
    assert locks(machines.here) == []


def test_the_refinery_of_two_gt_here_is_run_by_this_machine(machines: Machines) -> None:
    rig = machines.here.rig(RIG)
    for _ in range(8):
        assert at_once(machines.here, 2, f"fences.take_over(town, town.rig({RIG!r}))") == ["''"] * 2
        assert fences.elsewhere(machines.here, rig) == ""
        claims.release(machines.here, fences.subject(rig))


def test_a_remote_that_takes_no_renewal_makes_nobody_forget_what_is_theirs(machines: Machines, clock) -> None:
    bead = machines.bead()
    machines.started(machines.here, bead, "sleep 60")
    machines.meet()
    refuses = hook(machines, "update", "#!/bin/sh\ncase $1 in refs/gt/*) echo quota exceeded >&2; exit 1 ;; esac\n")
    clock.advance(7 * 3600)
    for _ in range(5):
        found = exchange(machines.here).tenure
        assert found.lost == []
        assert "does not take the claim" in found.trouble[0].message
    note = Path(machines.here.repo.git_dir, "gt", "claims", f"{bead}.json")
    assert note.stat().st_size < 4096
    refuses.unlink()
    assert exchange(machines.here).tenure.trouble == []
    held = claims.current(machines.here, bead)
    assert held.until - clock.now > 23 * 3600
    assert (machines.here.bead(bead).machine, held.fence) == ("anvil", 1)


def test_a_claim_won_a_moment_ago_is_not_given_back_before_its_work_begins(machines: Machines) -> None:
    """The sling waits for the sync of its own machine, which settles what this machine has."""
    bead = machines.bead()
    beads.create(machines.there, beads.Draft("What anvil has to hear of before it begins", rig=RIG))
    exchange(machines.there)
    here = machines.here
    env = os.environ | {"PYTHONPATH": str(PROJECT)}
    with wire.opened(here):
        sling = subprocess.Popen([*gt_argv(), "sling", bead, RIG, "--", "sleep", "60"], cwd=here.root, env=env,
                                 text=True, stderr=subprocess.PIPE)  # fmt: skip
        eventually(lambda: machines.claims() == [bead] and claims.known(here, bead) is not None)
        assert here.bead(bead).status == "open"
        found = tenure.settle(here, git("rev-parse", "HEAD", cwd=here.root))
    said = sling.communicate(timeout=120)[1]
    assert sling.returncode == 0, said
    assert (found.given_back, found.busy) == ([], [bead])
    assert machines.claims() == [bead]
    assert exchange(machines.here).tenure.given_back == []
    assert machines.refused(machines.there, bead).code == "race_lost"


def test_a_start_that_failed_gives_no_claim_back_under_which_another_works_here(machines: Machines) -> None:
    bead = machines.bead()
    machines.started(machines.here, bead, "sleep 60")
    contest.give_back(machines.here, bead, Ticket(1, fresh=True))
    assert machines.claims() == [bead]
    release.release(machines.here, machines.here.bead(bead))
    contest.give_back(machines.here, bead, Ticket(1, fresh=True))
    assert machines.claims() == []


def test_who_waits_for_a_turn_too_long_is_told_and_a_killed_gt_keeps_none(machines: Machines) -> None:
    here, bead = machines.here, machines.bead()
    holder = python(_HOLDS.format(root=here.root, bead=bead))
    with pytest.raises(RaceLost, match=f"on this machine is claiming {bead}"), turns.alone(here, bead, wait=0):
        pass
    with turns.tried(here, bead) as free:
        assert not free
    with turns.alone(here, "ap-mine"), turns.alone(here, "ap-mine"), turns.tried(here, "ap-mine") as it:
        assert not it
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with turns.tried(here, bead) as free:
        assert free
    assert locks(here) == []


def test_a_town_that_is_written_all_the_time_loses_nobody_their_work(machines: Machines, monkeypatch) -> None:
    bead = machines.bead()
    machines.started(machines.here, bead, "sleep 60", offline=True)
    sent = git("rev-parse", "HEAD", cwd=machines.here.root)
    monkeypatch.setitem(Town.change.__wrapped__.__kwdefaults__, "timeout", 0.0)  # not half a minute
    with contextlib.ExitStack() as stack:
        assert stack.enter_context(flock.hold(layout.local(machines.here.root, "lock"), timeout=20))
        found = tenure.settle(machines.here, sent)
    assert [(one.code, "is being written" in one.message) for one in found.trouble] == [("race_lost", True)]
    assert found.lost == []
    monkeypatch.undo()
    assert exchange(machines.here).tenure.confirmed == [bead]
