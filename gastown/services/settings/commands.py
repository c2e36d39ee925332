"""Every command that the town's files would have this machine run, and whether somebody here agreed to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gastown.model.errors import InvalidFile, NotFound, Refused
from gastown.model.rig import Rig
from gastown.model.row import Row
from gastown.model.text import nearest
from gastown.runtime.presets import Preset, list_presets, load_preset
from gastown.services.beads import queries
from gastown.services.settings import trust
from gastown.services.settings.trust import Command
from gastown.store import layout
from gastown.store.town import Town


@dataclass(frozen=True)
class _Found:
    """A command as it stands in a file; an agent's is all that its preset says, and what is agreed to is its hash."""

    kind: str
    subject: str
    command: Command
    preset: Preset | None = None

    @property
    def id(self) -> str:
        return trust.fingerprint(self.kind, self.subject, self.command)


@dataclass(frozen=True)
class Wanted:
    """One command: its kind (gate, setup, agent, command, escalation), whose it is, and the file that holds it.

    `command` is what is agreed to. `text` is the whole of what would run, as a person reads it; `shown` is that on
    one line, which for an agent is its command alone.
    """

    id: str
    kind: str
    subject: str
    command: Command
    trusted: bool
    path: str
    text: str
    shown: str


def wanted(town: Town) -> list[Wanted]:
    """All of them, those nobody agreed to first. Closed beads want nothing any more."""
    ours = trust.everything_is_ours(town)
    agreed = {entry.id for entry in trust.entries(town)}
    found = [_wanted(town, one, ours or one.id in agreed) for one in _commands(town)]
    return sorted(found, key=lambda one: (one.trusted, one.kind, one.subject))


def needed(town: Town, rigs: Iterable[Rig], waiting: Iterable[Row], agents: Iterable[str]) -> list[Wanted]:
    """Of a town that has a remote: the commands of these rigs, of queued work, and of these agents of the town.

    An agent whose file cannot be used is left out: `unreadable` has it.
    """
    agreed = {entry.id for entry in trust.entries(town)}
    found = [one for rig in rigs for one in _of_rig(rig)]
    rows = [row for row in waiting if row.agent == "exec"]
    found += [_Found("command", bead.id, bead.command) for bead in queries.load_rows(town, rows) if bead.command]
    for name in agents:
        with suppress(InvalidFile, NotFound):
            preset = load_preset(name, Path(town.root))
            found.append(_Found("agent", name, preset.content_hash(), preset))
    return [_wanted(town, one, one.id in agreed) for one in found]


def _wanted(town: Town, one: _Found, trusted: bool) -> Wanted:
    text = one.preset.text() if one.preset else trust.shown(one.command)
    shown = one.preset.brief if one.preset else text
    path = _place(town, one.kind, one.subject) or ""
    return Wanted(one.id, one.kind, one.subject, one.command, trusted, path, text, shown)


def unreadable(town: Town) -> list[InvalidFile]:
    """Files that may hold commands and cannot be used: what they would run is unknown, and does not run."""
    return [*town.rigs()[1], *list_presets(Path(town.root))[1]]


def _commands(town: Town) -> Iterator[_Found]:
    for rig in town.rigs()[0]:
        yield from _of_rig(rig)
    for preset in list_presets(Path(town.root))[0]:
        if preset.source != "built-in":
            yield _Found("agent", preset.name, preset.content_hash(), preset)
    for severity, command in town.table("escalation.commands").items():
        yield _Found("escalation", str(severity), command)
    rows = [row for row in town.index().live if row.agent == "exec"]
    for bead in queries.load_rows(town, rows):
        if bead.command:
            yield _Found("command", bead.id, bead.command)


def _of_rig(rig: Rig) -> Iterator[_Found]:
    yield from (_Found("gate", f"{rig.name}/{gate.name}", gate.run) for gate in rig.gates)
    yield from (_Found("setup", f"{rig.name}/setup", command) for command in rig.setup)


def written_here(town: Town, paths: Iterable[str] | None = None) -> None:
    """Agree to the commands in these files (None: in all), because they were written on this machine."""
    edited = None if paths is None else set(paths)
    for one in _commands(town):
        if edited is None or _place(town, one.kind, one.subject) in edited:
            trust.record(town, one.kind, one.subject, one.command)


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
