"""`gt demo --machines 2`: a town on two machines; work crosses over, one feed tells it, edits made apart meet again."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gastown.model.errors import GtError
from gastown.runtime import git
from gastown.services.beads import beads
from gastown.services.demo import demo
from gastown.services.files.opening import open_town
from gastown.services.machines import clone, init
from gastown.services.machines.exchange import exchange
from gastown.services.mail import mail, mailbox
from gastown.services.mail.mail import Outgoing
from gastown.services.rigs import rigs
from gastown.services.sessions import powers
from gastown.services.settings import commands
from gastown.services.sling import sling
from gastown.services.work import shutdown
from gastown.store import layout
from gastown.store.resources import data_path
from gastown.store.town import Town

NORTH, SOUTH = "north", "south"
# Whose refinery lands what: each machine has one.
RIGS = {"wordtools": NORTH, "wordplay": SOUTH}
PATIENCE = 120.0
_POLL = 0.2
Say = Callable[[str], None]
MARKER = "<<<<<<<"


@dataclass(frozen=True)
class Task:
    """One bead: its rig, the task of the demo's worker, and the machine that works on it."""

    rig: str
    name: str
    machine: str
    needs: tuple[str, ...] = ()


TASKS = (
    Task("wordtools", "slug", SOUTH),
    Task("wordtools", "initials", NORTH),
    Task("wordtools", "cli", NORTH, ("wordtools/slug", "wordtools/initials")),
    Task("wordplay", "wrap", NORTH),
    Task("wordplay", "initials", SOUTH),
)
TITLES = {one.name: one.title for one in demo.TASKS}


@dataclass
class Pair:
    """The two clones, the bare repository between them, and the beads by `rig/task`."""

    north: Town
    south: Town
    remote: str
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def both(self) -> tuple[Town, Town]:
        """North first."""
        return self.north, self.south


@dataclass(frozen=True)
class Apart:
    """What became of edits that both made while they could not reach each other."""

    bead: str
    title: str
    notes: int
    mail: tuple[str, ...]
    alike: bool
    markers: bool

    @property
    def well(self) -> bool:
        """Both clones hold the same, and no file a conflict marker."""
        return self.alike and not self.markers


@dataclass(frozen=True)
class Result:
    """How it ended: bead ids to their status, the tests on each rig's target branch, and the edits made apart."""

    ends: dict[str, str]
    tests: dict[str, tuple[str, bool]]
    apart: Apart

    @property
    def well(self) -> bool:
        """True if all was merged, the tests are green on both targets, and what was edited apart met again."""
        merged = all(end == "merged" for end in self.ends.values())
        return merged and all(green for _, green in self.tests.values()) and self.apart.well


def prepare(path: str, *, runtime: str | None, say: Say) -> Pair:
    """Two clones of one town under `path`, with two rigs whose refineries run on one machine each."""
    os.makedirs(path, exist_ok=True)
    remote = os.path.join(path, "town.git")
    git.run(["init", "-q", "--bare", "--template=", "-b", "main", remote])
    say(f"gt init {NORTH} --remote town.git")
    made = init.make_town(os.path.join(path, NORTH), name="demo-town", remote=remote, machine_name=NORTH)
    north = open_town(made.root)
    _configure(north, runtime)
    for name in RIGS:
        source = demo.make_project(os.path.join(path, f"{name}.git"))
        say(f"gt rig add {name} {name}.git --gate tests='{demo.GATE}'")
        rigs.add(north, rigs.NewRig(name, source, gates=(("tests", demo.GATE),)), base=north.root)
        _place_refinery(north, name)
    pair = Pair(north, north, remote, _beads(north))
    exchange(north)
    say(f"gt clone town.git {SOUTH}")
    joined = clone.clone(remote, os.path.join(path, SOUTH), name=SOUTH)
    pair.south = open_town(joined.root)
    exchange(pair.south)
    exchange(north)
    return pair


def _configure(town: Town, runtime: str | None) -> None:
    with town.change("config") as change:
        doc = change.load(layout.TOWN_FILE)
        doc["sync"] = {**(doc.get("sync") or {}), "interval": "1s"}
        if runtime:
            doc["runtime"] = runtime
        change.put(layout.TOWN_FILE, doc)
        change.emit("config", "the machines meet every second")


def _place_refinery(town: Town, rig: str) -> None:
    with town.change("config") as change:
        doc = change.load(layout.rig_file(rig))
        doc["refinery"] = {"machine": RIGS[rig]}
        change.put(layout.rig_file(rig), doc)
        change.emit("config", f"the refinery of {rig} runs on {RIGS[rig]}", rig=rig)


def _beads(town: Town) -> dict[str, str]:
    found: dict[str, str] = {}
    for task in TASKS:
        needs = tuple(found[need] for need in task.needs)
        made = beads.create(town, beads.Draft(TITLES[task.name], rig=task.rig, needs=needs))
        found[f"{task.rig}/{task.name}"] = made.id
    return found


def work(pair: Pair, *, say: Say, tell: Callable[[], None]) -> dict[str, str]:
    """Sling on north, to both machines; their deacons carry it to its end. Returns bead id -> how it ended."""
    worker = str(data_path("demo") / "worker.py")
    for town in pair.both:
        say(f"gt up        # on {town.machine}")
        powers.start(town.root)
    for task in sorted(TASKS, key=lambda one: bool(one.needs)):
        bead, command = pair.ids[f"{task.rig}/{task.name}"], [sys.executable, worker, task.name]
        say(f"gt sling {bead} {task.rig} --machine {task.machine} -- python3 worker.py {task.name}")
        report = sling.sling(pair.north, [bead], task.rig, command=command, queue_blocked=True, machine=task.machine)
        if report.refused:
            raise GtError(report.refused[0].message, report.refused[0].hint)
        tell()
    exchange(pair.north)
    _agree(pair.south, say)
    deadline = time.monotonic() + PATIENCE
    while not _ended(pair) and time.monotonic() < deadline:
        time.sleep(_POLL)
        tell()
    tell()
    ends = {}
    for bead_id in pair.ids.values():
        now = pair.north.bead(bead_id)
        ends[bead_id] = str(now.closed.get("reason")) if now.status == "closed" else now.status
    return ends


def _agree(town: Town, say: Say) -> None:
    """What came over the wire does nothing until somebody on that machine has read it."""
    exchange(town)
    say(f"gt trust list && gt trust add --all        # on {town.machine}")
    for one in commands.agree(town, [], everything=True):
        say(f"    trusted: {one.kind} {one.subject}: {one.shown}")


def _ended(pair: Pair) -> bool:
    pair.north.refresh()
    index = pair.north.index()
    return all(index.by_id[one].status == "closed" for one in pair.ids.values() if one in index.by_id)


def rest(pair: Pair, say: Say) -> None:
    """End both deacons and what else runs."""
    for town in pair.both:
        say(f"gt down        # on {town.machine}")
        shutdown.down(town)


def apart(pair: Pair, *, say: Say) -> Apart:
    """Take the remote away, edit the same bead and the same mailbox on both machines, and let them meet again."""
    north, south = pair.both
    bead = pair.ids["wordplay/wrap"]
    letter = mail.send(north, Outgoing(("mayor",), "Both machines read this", "One archives it, one flags it.\n"))
    for town in (north, south, north):
        exchange(town)
    os.rename(pair.remote, pair.remote + ".unplugged")
    say("# the network is gone: both go on")
    _edit(north, bead, "North's title for it", ("from-north",), say)
    _edit(south, bead, "South's title for it", ("from-south",), say)
    say("gt mail archive 1 --as mayor        # on north")
    mail.archive(open_town(north.root, actor="mayor"), [letter.id])
    say("gt mail mark 1 --flag F --as mayor        # on south")
    mail.mark(open_town(south.root, actor="mayor"), [letter.id], add="F")
    for town in pair.both:
        mail.send(town, Outgoing(("mayor",), f"Written on {town.machine}", "While we were apart.\n"))
    os.rename(pair.remote + ".unplugged", pair.remote)
    say("# the network is back: gt sync on north, on south, on north")
    for town in (north, south, north):
        exchange(town)
    trees = {git.text(["rev-parse", "HEAD^{tree}"], cwd=town.root) for town in pair.both}
    found = git.run(["grep", "--quiet", "-F", MARKER, "HEAD", "--"], cwd=north.root, check=False).code == 0
    now = north.bead(bead)
    subjects = [one.head.subject for one in mailbox.letters(north, "mayor")[0]]
    return Apart(bead, now.title, len(now.notes), tuple(subjects), len(trees) == 1, found)


def _edit(town: Town, bead: str, title: str, labels: tuple[str, ...], say: Say) -> None:
    say(f"gt update {bead} --title \"{title}\" --label {labels[0]}; gt note {bead} -m …        # on {town.machine}")
    beads.update(town, bead, beads.Edit(title=title, add_labels=labels))
    beads.note(town, bead, f"Seen on {town.machine}, without the other.\n")
