"""Every command that the town's files would have this machine run, and whether somebody here agreed to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gastown.model.errors import InvalidFile, NotFound, Refused
from gastown.model.rig import Rig
from gastown.model.row import Row
from gastown.model.text import nearest
from gastown.runtime.presets import list_presets
from gastown.services import queries, trust
from gastown.services.trust import Command
from gastown.store import layout
from gastown.store.town import Town


@dataclass(frozen=True)
class Wanted:
    """One command: its kind (gate, setup, agent, command, escalation), where it stands, what it is."""

    id: str
    kind: str
    subject: str
    command: Command
    trusted: bool

    @property
    def shown(self) -> str:
        """The command as a person reads it."""
        return trust.shown(self.command)


def wanted(town: Town) -> list[Wanted]:
    """All of them, those nobody agreed to first. Closed beads want nothing any more."""
    ours = trust.everything_is_ours(town)
    agreed = {entry.id for entry in trust.entries(town)}
    found = []
    for kind, subject, command in _commands(town):
        number = trust.fingerprint(kind, subject, command)
        found.append(Wanted(number, kind, subject, command, ours or number in agreed))
    return sorted(found, key=lambda one: (one.trusted, one.kind, one.subject))


def needed(town: Town, rigs: Iterable[Rig], waiting: Iterable[Row]) -> list[Wanted]:
    """Of a town that has a remote: the commands of these rigs, and of queued work."""
    agreed = {entry.id for entry in trust.entries(town)}
    found: list[tuple[str, str, Command]] = [one for rig in rigs for one in _of_rig(rig)]
    rows = [row for row in waiting if row.agent == "exec"]
    found += [("command", bead.id, bead.command) for bead in queries.load_rows(town, rows) if bead.command]
    ids = [trust.fingerprint(*one) for one in found]
    return [Wanted(number, *one, number in agreed) for number, one in zip(ids, found, strict=True)]


def unreadable(town: Town) -> list[InvalidFile]:
    """Files that may hold commands and cannot be used: what they would run is unknown, and does not run."""
    return [*town.rigs()[1], *list_presets(Path(town.root))[1]]


def _commands(town: Town) -> Iterator[tuple[str, str, Command]]:
    for rig in town.rigs()[0]:
        yield from _of_rig(rig)
    for preset in list_presets(Path(town.root))[0]:
        if preset.source != "built-in":
            yield "agent", preset.name, preset.content_hash()
    for severity, command in town.table("escalation.commands").items():
        yield "escalation", str(severity), command
    rows = [row for row in town.index().rows if row.agent == "exec" and row.status != "closed"]
    for bead in queries.load_rows(town, rows):
        if bead.command:
            yield "command", bead.id, bead.command


def _of_rig(rig: Rig) -> Iterator[tuple[str, str, Command]]:
    yield from (("gate", f"{rig.name}/{gate.name}", gate.run) for gate in rig.gates)
    yield from (("setup", f"{rig.name}/setup", command) for command in rig.setup)


def written_here(town: Town, paths: Iterable[str] | None = None) -> None:
    """Agree to the commands in these files (None: in all), because they were written on this machine."""
    edited = None if paths is None else set(paths)
    for kind, subject, command in _commands(town):
        if edited is None or _place(town, kind, subject) in edited:
            trust.record(town, kind, subject, command)


def _place(town: Town, kind: str, subject: str) -> str | None:
    if kind in ("gate", "setup"):
        return layout.rig_file(subject.partition("/")[0])
    if kind == "agent":
        return f"agents/{subject}.yaml"
    return town.bead_path(subject) if kind == "command" else layout.TOWN_FILE


def agree(town: Town, ids: list[str], *, everything: bool = False) -> list[Wanted]:
    """Agree to commands by their ids, or to all that wait. Only a person may: raises Refused for an agent, NotFound."""
    if town.actor != "overseer":
        raise Refused(f"{town.actor} may not agree to commands", "only a person of this machine may: gt trust list")
    found = wanted(town)
    known = {one.id: one for one in found}
    for number in ids:
        if number not in known:
            near = nearest(number, list(known))
            raise NotFound(f"no command {number!r} in the town's files", "" if near else "see `gt trust list`", near)
    chosen = [one for one in found if not one.trusted] if everything else [known[number] for number in ids]
    for one in chosen:
        trust.record(town, one.kind, one.subject, one.command)
    return chosen
