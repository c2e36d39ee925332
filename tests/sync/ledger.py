"""What was said and done on all machines of a simulated town, and whether every bit of it is still to be found."""

from __future__ import annotations

import email
import email.policy
from collections import Counter
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from gastown.model.merge_maildir import parse
from gastown.store.town import Town

Key = tuple[str, str, str]


@dataclass
class Ledger:
    """Beads go by the word they were made with, values by being unique.

    `over`: values that somebody replaced having seen them. `gone`: what somebody removed having seen it.
    """

    created: dict[str, str] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    notes: set[tuple[str, str]] = field(default_factory=set)
    values: set[Key] = field(default_factory=set)
    over: set[Key] = field(default_factory=set)
    labels: set[tuple[str, str]] = field(default_factory=set)
    unlabelled: set[tuple[str, str]] = field(default_factory=set)
    needs: set[tuple[str, str]] = field(default_factory=set)
    parents: dict[str, str] = field(default_factory=dict)
    lines: set[tuple[str, str]] = field(default_factory=set)
    lines_over: set[tuple[str, str]] = field(default_factory=set)
    settings: set[Key] = field(default_factory=set)
    comments: set[tuple[str, str]] = field(default_factory=set)
    mail: dict[str, str] = field(default_factory=dict)
    flags: set[tuple[str, str]] = field(default_factory=set)
    archived: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    acts: int = 0

    def wrote(self, born: str, key: str, old: object, new: object) -> None:
        """A value of a bead was replaced by another one."""
        self.values.add((born, key, str(new)))
        if old is not None:
            self.over.add((born, key, str(old)))

    def as_it_is(self) -> dict[str, Any]:
        """For `back_to`."""
        return {key: copy(value) for key, value in vars(self).items()}

    def back_to(self, before: dict[str, Any]) -> None:
        """Forget what was written since: the act did not happen."""
        vars(self).update({key: copy(value) for key, value in before.items()})


def check(ledger: Ledger, town: Town) -> list[str]:
    """Everything that cannot be found any more in the town where all ended up, in words."""
    beads = [town.bead(row.id) for row in town.index().rows]
    born = Counter(str(bead.doc["x-born"]) for bead in beads)
    missing = [f"the bead {title!r} ({at}) is there {born[at]} times"
               for at, title in ledger.created.items() if born[at] != 1 and (born[at] or at not in ledger.removed)]
    events = list(town.events())
    said = "\n".join(str(event.get("data") or "") for event in events if event["type"] == "sync_conflict_resolved")
    by_birth = {str(bead.doc["x-born"]): bead.doc for bead in beads}
    for at, doc in by_birth.items():
        missing += _check_bead(ledger, at, doc, by_birth, said)
    missing += _check_settings(ledger, town, said)
    missing += _check_mail(ledger, town)
    return missing


def _check_bead(ledger: Ledger, at: str, doc: dict[str, Any], by_birth: dict[str, Any], said: str) -> list[str]:
    if at in ledger.removed:
        return []  # somebody took it away as it was then; it is there because another one changed it
    name = f"{doc['id']} (born {at})"
    texts = [note["text"].rstrip("\n") for note in doc.get("notes") or ()]
    notes = "\n".join(texts)
    missing = [f"the note {text!r} of {name}" for bead, text in ledger.notes if bead == at and text not in texts]
    counted = Counter((str(note.get("at")), note["text"]) for note in doc.get("notes") or ())
    missing += [f"the note {one} of {name} stands there {count} times" for one, count in counted.items() if count > 1]
    now = values_of(doc)
    for bead, key, value in ledger.values - ledger.over:
        if bead == at and now.get(key) != value and value not in notes and value not in said:
            missing.append(f"{key} {value!r} of {name}: it is {now.get(key)!r} now, and nothing tells of the other")
    labels = set(doc.get("labels") or ())
    for bead, label in ledger.labels:
        wanted = (bead, label) not in ledger.unlabelled
        if bead == at and (label in labels) != wanted:
            missing.append(f"the label {label} of {name} should {'' if wanted else 'not '}be there")
    ids = {at: one["id"] for at, one in by_birth.items()}
    for bead, need in ledger.needs:
        if bead == at and need in ids and ids[need] not in (doc.get("needs") or ()):
            missing.append(f"{name} needs {ids[need]} (born {need}), but says {doc.get('needs')}")
    above = ids.get(ledger.parents.get(at, ""))
    if above is not None and doc.get("parent") != above:
        missing.append(f"{name} lies below {doc.get('parent')}, not below {above} (born {ledger.parents[at]})")
    held = "\n".join([str(doc.get("description")), *(str(one.get("text")) for one in doc.get("conflicts") or ())])
    lost = [line for bead, line in ledger.lines - ledger.lines_over if bead == at]
    return missing + [f"the line {line!r} of the description of {name}" for line in lost if line not in held + said]


def values_of(doc: dict[str, Any]) -> dict[str, str]:
    """The values of a bead that the ledger follows."""
    found = {key: str(doc[key]) for key in ("title", "priority", "assignee", "x-word") if key in doc}
    found |= {f"x-map.{key}": str(value) for key, value in (doc.get("x-map") or {}).items()}
    return found | ({"closed": str(doc["closed"].get("reason"))} if doc.get("closed") else {})


def _check_settings(ledger: Ledger, town: Town, said: str) -> list[str]:
    missing = []
    texts = {path: town.read(path).decode() for path in ("town.yaml", "rigs/greenplace/rig.yaml")}
    for path, key, value in ledger.settings - ledger.over:
        if str(town.load(path).get(key)) != value and value not in said:
            missing.append(f"{key} {value!r} of {path}: it is {town.load(path).get(key)!r} now, and nothing tells")
    whole = "\n".join([*texts.values(), *(town.read(row.path).decode() for row in town.index().rows)])
    return missing + [f"the comment {words!r}" for bead, words in ledger.comments
                      if bead not in ledger.removed and words not in whole + said]  # fmt: skip


def _check_mail(ledger: Ledger, town: Town) -> list[str]:
    found: dict[str, list[str]] = {}
    for sub in ("", ".Archive/"):
        for part in ("new", "cur"):
            for name in town.names(f"mail/mayor/{sub}{part}"):
                path = f"mail/mayor/{sub}{part}/{name}"
                if parse(path):
                    message = email.message_from_bytes(town.read(path), policy=email.policy.default)
                    found.setdefault(str(message["Message-ID"]), []).append(path)
    missing = []
    for one, subject in ledger.mail.items():
        paths = found.get(one, [])
        if len(paths) != 1 and (paths or one not in ledger.deleted):
            missing.append(f"the message {subject!r} is there {len(paths)} times: {paths}")
        spot = parse(paths[0]) if paths and one not in ledger.deleted else None
        flags = {flag for message, flag in ledger.flags if message == one}
        if spot and not (spot[2].flags >= flags and (spot[2].archived or one not in ledger.archived)):
            missing.append(f"the message {subject!r} should have {sorted(flags)}, "
                           f"{'' if one in ledger.archived else 'not '}archived, but lies at {paths[0]}")  # fmt: skip
    return missing
