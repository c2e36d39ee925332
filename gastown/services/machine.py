"""The machines that share a town: this one's name, and what is known of the others."""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from gastown.model import times
from gastown.model.errors import InvalidFile, NotFound, Refused
from gastown.model.ids import check_name, is_name
from gastown.model.text import nearest
from gastown.store import files, layout
from gastown.store import yaml as yaml_store
from gastown.store.orders import MACHINE
from gastown.store.town import Town
from gastown.store.view import View

_LONGEST = 32


@dataclass(frozen=True)
class Machine:
    """One machine as its file describes it; `here` is true for the one we run on."""

    name: str
    here: bool
    doc: dict[str, Any]


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


def introduce(root: str, taken: Container[str] = (), name: str | None = None) -> dict[str, Any]:
    """Give this machine its name (`name`, else by its host's) and id in `.gt/machine.yaml`, unless it has them.

    Returns that document. Raises UsageError for a name that cannot be, Refused for one that is taken.
    """
    path = layout.local(root, "machine.yaml")
    data = files.read_or_none(path)
    if data is not None:
        return dict(yaml_store.load(data, ".gt/machine.yaml"))
    if name is not None and check_name(name, "machine") in taken:
        raise Refused(f"there is a machine {name} in this town already", "choose another name")
    doc = {"name": name or name_for(platform.node(), taken), "id": secrets.token_hex(8)}
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.write(path, yaml_store.dump(doc, MACHINE))
    return doc


def committed_doc(local: dict[str, Any], at: float) -> dict[str, Any]:
    """What machines/<name>.yaml says when a machine joins; `at` in epoch seconds."""
    return {
        "name": local["name"],
        "id": local["id"],
        "platform": f"{platform.system()} {platform.machine()}",
        "created": {"at": times.text(at), "by": "overseer"},
    }


def join(town: Town, name: str | None = None) -> str:
    """Make this machine known in the town (as `name`); does nothing if it is. Returns its name."""
    local = introduce(town.root, {one.removesuffix(".yaml") for one in town.names(layout.MACHINES)}, name)
    path = layout.machine_file(str(local["name"]))
    if not town.exists(path):
        with town.change("machine") as change:
            change.put(path, committed_doc(local, change.now))
            change.emit("machine_add", f"machine {local['name']} joined", machine=local["name"])
    return str(local["name"])


def machines(view: View, here: str) -> tuple[list[Machine], list[InvalidFile]]:
    """Every machine of the town by name, and the unusable files."""
    found: list[Machine] = []
    problems: list[InvalidFile] = []
    files_there = [file for file in view.names(layout.MACHINES) if file.endswith(".yaml")]
    for name in sorted(file.removesuffix(".yaml") for file in files_there):
        if not is_name(name):
            continue
        try:
            found.append(Machine(name, name == here, view.load(layout.machine_file(name))))
        except InvalidFile as problem:
            problems.append(problem)
    return found, problems


def machine(view: View, name: str, here: str) -> Machine:
    """One machine; raises NotFound with the nearest names, or InvalidFile."""
    if not is_name(name) or not view.exists(layout.machine_file(name)):
        known = [file.removesuffix(".yaml") for file in view.names(layout.MACHINES) if file.endswith(".yaml")]
        near = nearest(name, known)
        raise NotFound(f"no machine {name!r}", "" if near else "machines: " + ", ".join(known), near)
    return Machine(name, name == here, view.load(layout.machine_file(name)))
