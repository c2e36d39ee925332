"""A rig: one repository that workers work in, as rig.yaml describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gastown.model import slips
from gastown.model.errors import InvalidFile, UsageError
from gastown.model.ids import is_prefix
from gastown.model.names import DEFAULT_NAMES
from gastown.model.times import duration

KEYS = (
    "name", "prefix", "created", "git", "branch", "landing", "parked", "merge", "batch", "gates", "setup", "agent",
    "polecats", "refinery",
)  # fmt: skip
MERGES = ("rebase", "squash", "merge")
LANDINGS = ("push", "local")
GATE_TIMEOUT = "30m"


@dataclass(frozen=True)
class Gate:
    """A command that must pass before anything lands. `timeout` in seconds."""

    name: str
    run: str
    timeout: float
    retries: int


@dataclass(frozen=True)
class Rig:
    """What rig.yaml says, checked; `doc` holds every key of the file."""

    name: str
    prefix: str
    git: str
    branch: str
    landing: str
    parked: bool
    merge: str
    batch: int
    gates: tuple[Gate, ...]
    setup: tuple[str, ...]
    agent: str | None
    names: tuple[str, ...]
    max_polecats: int | None
    refinery_machine: str | None
    doc: dict[str, Any]
    path: str
    # Why what it says of its gates may not be all that was meant: then nothing lands. "" where all is clear.
    doubt: str = ""


def is_source(text: str) -> bool:
    """True for what may be handed to git as a repository: no option, and no `ext::` that would run a command."""
    return bool(text) and not text.startswith("-") and "::" not in text and text.isprintable()


def rig_of(doc: dict[str, Any], path: str) -> Rig:
    """The rig a document describes; raises InvalidFile naming the key."""

    def fail(key: str, reason: str) -> InvalidFile:
        return InvalidFile(path, reason, key=key)

    name = path.split("/")[1]
    if doc.get("name", name) != name:
        raise fail("name", f"the folder is named {name} but rig.yaml says {doc['name']!r}")
    prefix = doc.get("prefix")
    if not isinstance(prefix, str) or not is_prefix(prefix):
        raise fail("prefix", f"prefix {prefix!r} is not 1 to 8 of a-z and 0-9, beginning with a letter")
    for key in ("git", "branch"):
        if not isinstance(doc.get(key), str) or not doc[key]:
            raise fail(key, f"a rig needs `{key}:`")
    if not is_source(doc["git"]):
        raise fail("git", f"{doc['git']!r} is no repository: a URL, user@host:path, or a path")
    for key, allowed in (("merge", MERGES), ("landing", LANDINGS)):
        if doc.get(key) is not None and doc[key] not in allowed:
            raise fail(key, f"{doc[key]!r} is none of: {' '.join(allowed)}")
    batch = doc.get("batch", 5)
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise fail("batch", f"batch {batch!r} is not a number from 1")
    polecats, refinery = _map(doc, "polecats", path), _map(doc, "refinery", path)
    setup = [] if doc.get("setup") is None else doc["setup"]
    if not isinstance(setup, list) or any(not isinstance(one, str) for one in setup):
        raise fail("setup", "setup must be a list of commands")
    most = polecats.get("max")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 0):
        raise fail("polecats.max", f"{most!r} is not a number from 0")
    return Rig(
        name=name,
        prefix=prefix,
        git=doc["git"],
        branch=doc["branch"],
        landing=doc.get("landing") or "push",
        parked=bool(doc.get("parked", False)),
        merge=doc.get("merge") or "rebase",
        batch=batch,
        gates=_gates(doc, path),
        setup=tuple(setup),
        agent=doc.get("agent"),
        names=tuple(polecats.get("names") or DEFAULT_NAMES),
        max_polecats=most,
        refinery_machine=refinery.get("machine"),
        doc=doc,
        path=path,
        doubt=_doubt(doc, path),
    )


def _doubt(doc: dict[str, Any], path: str) -> str:
    """A rig whose gates nobody reads must not pass for one that has none."""
    key = next((key for key in doc if key not in KEYS and slips.meant(key, ("gates",))), None)
    if key is None:
        return ""
    own = f"x-{str(key).lower()}"
    return f"{path} has `{key}`, which nothing reads: rename it to `gates` if it means these, else to `{own}`"


def _map(doc: dict[str, Any], key: str, path: str) -> dict[str, Any]:
    value = {} if doc.get(key) is None else doc[key]
    if not isinstance(value, dict):
        raise InvalidFile(path, f"{key} must be a map", key=key)
    return value


def _gates(doc: dict[str, Any], path: str) -> tuple[Gate, ...]:
    gates, items = [], [] if doc.get("gates") is None else doc["gates"]
    if not isinstance(items, list):
        raise InvalidFile(path, "gates must be a list", key="gates")
    for number, item in enumerate(items):
        key = f"gates[{number}]"
        if not isinstance(item, dict) or not isinstance(item.get("run"), str) or not item["run"].strip():
            raise InvalidFile(path, "a gate needs `name:` and `run:`", key=key)
        try:
            timeout = duration(str(item.get("timeout", GATE_TIMEOUT)))
        except UsageError as error:
            raise InvalidFile(path, error.message, key=f"{key}.timeout") from None
        retries = item.get("retries", 0)
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise InvalidFile(path, f"retries {retries!r} is not a number from 0", key=f"{key}.retries")
        gates.append(Gate(str(item.get("name") or f"gate{number + 1}"), item["run"], timeout, retries))
    return tuple(gates)
