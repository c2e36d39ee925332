"""The machines that share a town: this one's name, what the others are known to be, and who takes part."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

from gastown.model import times
from gastown.model.bead import HELD
from gastown.model.errors import InvalidFile, NotFound, Refused, UsageError
from gastown.model.ids import check_name, is_name
from gastown.model.row import Row
from gastown.model.text import nearest
from gastown.store import feed, identity, layout
from gastown.store.identity import Identity
from gastown.store.town import Town
from gastown.store.view import View

_LONGEST = 32
# machines/<name>.yaml is written again after this many seconds, if something is sent anyway.
SEEN = 3600.0


@dataclass(frozen=True)
class Machine:
    """One machine as its file describes it; `here` is true for the one we run on, `held` are the beads it works on."""

    name: str
    here: bool
    doc: dict[str, Any]
    held: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """`active`, or `retired`."""
        return "retired" if self.doc.get("retired") else "active"

    def as_json(self) -> dict[str, Any]:
        """Every key of its file, and what is derived."""
        return {**self.doc, "name": self.name, "here": self.here, "state": self.state, "held": list(self.held)}


def name_for(hostname: str, taken: Container[str] = ()) -> str:
    """A machine's name made from its host name: `Anvil.local` gives `anvil`; numbered if taken."""
    stem = "".join(c if c.isascii() and c.isalnum() else "-" for c in hostname.split(".")[0].lower())
    stem = stem.strip("-").lstrip("0123456789-")[:_LONGEST].rstrip("-")
    if not is_name(stem):
        stem = f"m-{stem}"[:_LONGEST].rstrip("-") if stem else "machine"
    name, number = stem, 2
    while name in taken:
        name = f"{stem[: _LONGEST - len(str(number)) - 1]}-{number}"
        number += 1
    return name


# -- this one -------------------------------------------------------------------------------------
def introduce(root: str, taken: Container[str] = (), name: str | None = None) -> Identity:
    """Give this folder its name (`name`, else by its host's) and id in `.gt/machine.yaml`, unless it has them.

    Returns them. Raises UsageError for a name that cannot be, Refused for one that is taken.
    """
    known = identity.read(root)
    if known is not None:
        return known
    import platform

    if name is not None and check_name(name, "machine") in taken:
        raise Refused(f"there is a machine {name} in this town already", "choose another name")
    os.makedirs(layout.local(root), exist_ok=True)
    return introduce_as(root, name or name_for(platform.node(), taken))


def introduce_as(root: str, name: str) -> Identity:
    """Give this folder a name, and an id made for it."""
    made = new_identity(root, name)
    identity.write(root, made)
    identity.note_instance(root)
    return made


def new_identity(root: str, name: str) -> Identity:
    """This folder as a machine of that name, with an id that no other has; nothing is written."""
    import secrets

    return identity.placed(root, Identity(name, secrets.token_hex(8), salt=identity.new_salt()))


def facts(root: str, at: float, most: int, one: Identity | None = None) -> dict[str, Any]:
    """What machines/<name>.yaml says of this machine now. `most`: how many sessions may run here at once.

    `instance` tells clones with one name apart (store/identity.py); `one`: as the folder is about to be called.
    """
    import platform

    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "capacity": most,
        "seen": times.text(at),
        "instance": identity.instance(root, one),
    }


def committed_doc(root: str, one: Identity, at: float, most: int) -> dict[str, Any]:
    """What machines/<name>.yaml says when a machine joins; `at` in epoch seconds."""
    created = {"at": times.text(at), "by": "overseer"}
    return {"name": one.name, "id": one.id, "created": created, **facts(root, at, most, one)}


def capacity(view: View) -> int:
    """How many sessions may run on this machine at once (town.yaml `max_polecats`)."""
    from gastown.services.sessions.dispatch import MAX_POLECATS

    return view.whole("max_polecats", MAX_POLECATS)


def join(town: Town, name: str | None = None) -> str:
    """Make this machine known in the town (as `name`); does nothing if it is. Returns its name."""
    taken = {one.removesuffix(".yaml") for one in town.names(layout.MACHINES)}
    one = introduce(town.root, taken, name)
    path = layout.machine_file(one.name)
    if not town.exists(path):
        with town.change("machine") as change:
            change.put(path, committed_doc(town.root, one, change.now, capacity(town)))
            change.emit("machine_add", f"machine {one.name} joined", machine=one.name)
    return one.name


def rejoin(town: Town, *, here: bool = False) -> bool:
    """Let this machine take part again after it was retired; False if nothing had to change.

    `here`: this folder is the machine from now on, wherever it came from (moved, or restored from a backup).
    Raises Refused in a copy without `here`, and where the name is another computer's.
    """
    if here:
        _take_over(town)
    town.require_own()
    name, path = town.machine, layout.machine_file(town.machine)
    if not town.exists(path):
        join(town)
        return True

    def body(change: Any) -> bool:
        doc = change.load(path)
        now = {**doc, **facts(town.root, change.now, capacity(town))}
        back = now.pop("retired", None)
        if back is None and doc.get("instance") == now["instance"]:
            return False
        identity.note_instance(town.root)
        change.put(path, now)
        change.emit("machine_add", f"machine {name} " + ("takes part again" if back else "is this one"), machine=name)
        return True

    return town.transact("machine", body)


def _take_over(town: Town) -> None:
    """Be the machine: whatever clone wrote under its name before has said its last word."""
    from gastown.services.agents import moving
    from gastown.services.sessions import attempts

    if identity.lost(town.root):
        attempts.note_lost(town)
    identity.take_over(town.root)
    town.refresh()
    moving.relink(town)


def keep_seen(town: Town) -> bool:
    """Write down what this machine is and that it lives, if its last word is an hour old or other; True if written.

    For whoever syncs, just before: it is written only where something else waits to be sent, so that it is never
    the reason for a sync, and a town at rest has no commits of it. A retired machine says nothing.
    """
    from gastown.services.sync import sync

    remote = town.repo.remote()
    if remote is None or not sync.has_news(town.repo, remote):
        return False
    path = layout.machine_file(town.machine)
    if not town.exists(path):
        join(town)
        return True
    now = town.clock()
    try:
        most = capacity(town)
    except InvalidFile:
        return False  # it is told elsewhere, and a sync may bring the mended file
    if not _is_due(town.load(path), facts(town.root, now, most), now):
        return False
    identity.note_instance(town.root)

    def body(change: Any) -> bool:
        doc = change.load(path)
        fresh = facts(town.root, change.now, most)
        if not _is_due(doc, fresh, change.now):
            return False
        change.put(path, {**doc, **fresh})
        return True

    return town.transact(f"machine: {town.machine} was seen", body, actor="deacon")


def _is_due(doc: dict[str, Any], fresh: dict[str, Any], now: float) -> bool:
    if doc.get("retired"):
        return False
    if any(doc.get(key) != value for key, value in fresh.items() if key != "seen"):
        return True
    at = seen_at(doc)
    return at is None or not 0 <= now - at < SEEN


def why_inactive(town: Town) -> str:
    """Why nothing may start on this machine, in one phrase: retired, a copy, or its file cannot tell; "" if it may."""
    stands = identity.standing(town.root, town.clock())
    if not stands.own:
        return stands.text
    try:
        require_active(town)
    except (Refused, InvalidFile) as error:
        return error.message
    return ""


def require_active(town: Town, name: str | None = None) -> None:
    """Raise Refused if a machine (None: this one) was retired: no work is given to it. NotFound for an unknown one."""
    if name is not None and name != town.machine:
        doc = machine(town, name, town.machine).doc
    elif town.exists(layout.machine_file(town.machine)):
        doc = town.load(layout.machine_file(town.machine))
    else:
        return
    if doc.get("retired"):
        who = name or town.machine
        hint = "gt machine join lets it take part again"
        raise Refused(said_retired(who, doc), hint if who == town.machine else f"on {who}: {hint}")


def said_retired(name: str, doc: dict[str, Any]) -> str:
    """When and by whom a machine was retired, in words."""
    mark = doc.get("retired")
    mark = mark if isinstance(mark, dict) else {}
    when = f" at {mark['at']}" if mark.get("at") else ""
    return f"machine {name} was retired{when}" + (f" by {mark['by']}" if mark.get("by") else "")


# -- all of them ----------------------------------------------------------------------------------
def seen_at(doc: dict[str, Any]) -> float | None:
    """When a machine wrote last (epoch seconds); None if it does not say."""
    try:
        return times.parse(str(doc["seen"])) if doc.get("seen") else None
    except UsageError:
        return None


def heard_of(view: View, one: Machine) -> float | None:
    """When the town's news of a machine was written, there (epoch seconds); None if there is none.

    Its own file is written at most hourly, its events whenever something happens.
    """
    times_known = [at for at in (seen_at(one.doc), seen_at({"seen": feed.last_of(view, one.name)})) if at is not None]
    return max(times_known, default=None)


def machines(view: View, here: str, rows: Iterable[Row] = ()) -> tuple[list[Machine], list[InvalidFile]]:
    """Every machine of the town by name, and the unusable files. `rows` of the index tell who holds what."""
    held = _held(rows)
    found: list[Machine] = []
    problems: list[InvalidFile] = []
    files_there = [file for file in view.names(layout.MACHINES) if file.endswith(".yaml")]
    for name in sorted(file.removesuffix(".yaml") for file in files_there):
        if not is_name(name):
            continue
        try:
            doc = view.load(layout.machine_file(name))
            found.append(Machine(name, name == here, doc, tuple(held[name])))
        except InvalidFile as problem:
            problems.append(problem)
    return found, problems


def _held(rows: Iterable[Row]) -> defaultdict[str, list[str]]:
    held: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.machine and row.status in HELD:
            held[row.machine].append(row.id)
    return held


def machine(view: View, name: str, here: str, rows: Iterable[Row] = ()) -> Machine:
    """One machine; raises NotFound with the nearest names, or InvalidFile."""
    if not is_name(name) or not view.exists(layout.machine_file(name)):
        known = [file.removesuffix(".yaml") for file in view.names(layout.MACHINES) if file.endswith(".yaml")]
        near = nearest(name, known)
        hint = f"did you mean {' or '.join(near)}?" if near else "machines: " + ", ".join(known)
        hint += "; one that has just joined is known here once it has synced: gt sync there, then here"
        raise NotFound(f"no machine {name!r}", hint, near)
    return Machine(name, name == here, view.load(layout.machine_file(name)), tuple(_held(rows)[name]))
