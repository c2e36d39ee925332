"""Commands from the town's files run only where a person of this machine has agreed (vision.md, promise 8).

Trust is local: `.gt/trust.yaml`, one entry a command. In a town without a remote every command was
written on this machine, so all of them are trusted.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gastown.model import times
from gastown.model.errors import InvalidFile, RaceLost, Refused
from gastown.runtime import git
from gastown.store import files, flock, layout, runstate
from gastown.store import yaml as yaml_store
from gastown.store.town import Town

Command = str | Sequence[str]


class Untrusted(Refused):
    """A command that nobody on this machine has agreed to. It may run once somebody has; `number` is its id."""

    code = "untrusted"

    def __init__(self, message: str, hint: str, number: str) -> None:
        super().__init__(message, hint)
        self.number = number


_ORDER = ("id", "kind", "subject", "command", "at", "by")


@dataclass(frozen=True)
class Entry:
    """One command somebody here agreed to: what kind it is (gate, setup, command, agent), and where it stands."""

    id: str
    kind: str
    subject: str
    command: str
    at: str
    by: str


def fingerprint(kind: str, subject: str, command: Command) -> str:
    """The id of an agreement: 12 hex digits of the kind, the subject and every byte of the command."""
    words = [kind, subject, *([command] if isinstance(command, str) else ["argv", *command])]
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def shown(command: Command) -> str:
    """A command as a person reads it."""
    if isinstance(command, str):
        return command
    return shlex.join(command)


def everything_is_ours(town: Town) -> bool:
    """True if the town has no remote, so that nothing in it came over a wire."""
    found = git.run(["config", "--get-regexp", r"^remote\..*\.url$"], cwd=town.root, check=False)
    if found.code not in (0, 1):
        raise git.GitFailed(["config"], town.root, found.code, found.err)
    return found.code == 1


def entries(town: Town) -> list[Entry]:
    """What was agreed to on this machine; raises InvalidFile if that cannot be read."""
    shown_as = f"{layout.LOCAL}/trust.yaml"
    data = files.read_or_none(_path(town))
    if data is None:
        return []
    # It is in no commit, and nothing is lost for good without it: what may run is asked again.
    hint = f"mend it in an editor, or agree anew: rm {shlex.quote(_path(town))}; gt trust list"
    try:
        doc = yaml_store.load(data, shown_as)
        return [Entry(**{key: str(one[key]) for key in _ORDER}) for one in doc.get("trusted") or ()]
    except InvalidFile as error:
        raise InvalidFile(shown_as, error.reason, line=error.line, key=error.key, hint=hint) from None
    except (KeyError, TypeError, AttributeError):
        raise InvalidFile(shown_as, "is not a list of agreements", hint=hint) from None


def is_trusted(town: Town, kind: str, subject: str, command: Command) -> bool:
    """True if this very command may run on this machine."""
    wanted = fingerprint(kind, subject, command)
    return everything_is_ours(town) or any(one.id == wanted for one in entries(town))


def require(town: Town, kind: str, subject: str, command: Command, *, text: str | None = None) -> None:
    """Raise Refused, naming how to read it and agree, unless this very command may run on this machine.

    `text` is what a person reads in its place.
    """
    if not is_trusted(town, kind, subject, command):
        number = fingerprint(kind, subject, command)
        raise Untrusted(
            f"the {kind} of {subject} is not trusted on this machine: {shown(command) if text is None else text}",
            f"read it (gt trust show {number}), then: gt trust add {number}",
            number,
        )


def record(town: Town, kind: str, subject: str, command: Command) -> Entry:
    """Agree to a command, because a person of this machine has just written it. Repeating it changes nothing."""
    entry = Entry(
        fingerprint(kind, subject, command), kind, subject, shown(command), times.text(town.clock()), town.actor
    )

    def add(known: list[Entry]) -> list[Entry]:
        return known if any(one.id == entry.id for one in known) else [*known, entry]

    _rewrite(town, add)
    return entry


def revoke(town: Town, entry_id: str) -> bool:
    """Take an agreement back; False if there was none."""
    found = any(one.id == entry_id for one in entries(town))
    _rewrite(town, lambda known: [one for one in known if one.id != entry_id])
    return found


def _path(town: Town) -> str:
    return layout.local(town.root, "trust.yaml")


def _rewrite(town: Town, change: Any) -> None:
    os.makedirs(layout.run(town.root), exist_ok=True)
    with flock.alone(layout.run(town.root, "trust.lock"), timeout=10) as alone:
        if not alone:
            raise RaceLost("another gt changes what this machine trusts", "try again in a moment")
        before = entries(town)
        after = change(before)
        if after != before:
            doc = {"trusted": [dict(vars(one)) for one in after]}
            files.write(_path(town), yaml_store.dump(doc, ("trusted",)), mode=0o600)
            # The deacon looks again at what waited for this.
            runstate.write_json(layout.run(town.root, "trust.json"), {"at": town.clock()}, durable=False)
