"""Who can be written to: the people and agents of a town, its groups, and what a sender's words for them mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gastown.model import incoming
from gastown.model.address import RIG_ROLES, TOWN_ROLES, is_worker, name_of, parse, rig_of
from gastown.model.errors import NotFound, UsageError
from gastown.model.groups import PATH, groups_of
from gastown.model.ids import check_name, is_name
from gastown.model.text import nearest
from gastown.store import layout
from gastown.store.town import Town
from gastown.store.view import View


@dataclass(frozen=True)
class Place:
    """An address that can be written to. `kind`: person, coordinator, service, polecat or crew."""

    address: str
    kind: str


def directory(view: View) -> list[Place]:
    """Everybody who has an address: the town's own, then rig by rig its workers and services.

    Told by the names of files, so that one that cannot be read does not make its worker unknown.
    """
    kinds = {"overseer": "person", "mayor": "coordinator", "deacon": "service"}
    found = [Place(role, kinds[role]) for role in TOWN_ROLES]
    for rig in view.rig_names():
        found += [Place(one, "polecat") for one in _workers(view, rig, "polecats")]
        found += [Place(one, "crew") for one in _workers(view, rig, "crew")]
        found += [Place(f"{rig}/{role}", "service") for role in RIG_ROLES]
    return found


def _workers(view: View, rig: str, kind: str) -> list[str]:
    names = (name.removesuffix(".yaml") for name in view.names(f"{layout.rig_dir(rig)}/{kind}") if "." in name)
    return sorted(f"{rig}/{name}" for name in names if is_name(name))


def is_known(view: View, address: str) -> bool:
    """True if a canonical address belongs to somebody of this town."""
    rig = rig_of(address)
    if rig is None:
        return address in TOWN_ROLES
    if not view.exists(layout.rig_file(rig)):
        return False
    return not is_worker(address) or any(
        view.exists(layout.worker_file(rig, kind, name_of(address))) for kind in ("polecats", "crew")
    )


def known(view: View, text: str) -> str:
    """The canonical address meant by one word, also as mail programs write it; raises NotFound with the nearest."""
    word = text.strip()
    address = incoming.from_mail(word.strip("<>"), view.name) if "@" in word[1:] else None
    try:
        address = address or parse(word)
    except UsageError:
        address = None
    if address is not None and is_known(view, address):
        return address
    everybody = [place.address for place in directory(view)]
    if word.startswith("@"):
        hint = f"gt mail group show {word} tells whom; gt broadcast"
        raise NotFound(f"{text!r} stands for many, and one address is wanted", hint)
    plain = address or word.partition("@")[0] or word
    near = [one for one in everybody if name_of(one) == name_of(plain)][:3] or nearest(plain, everybody)
    raise NotFound(f"nobody here has the address {text!r}", "" if near else "`gt mail directory` lists them", near)


def resolve(view: View, words: Iterable[str], *, sender: str) -> list[str]:
    """The addresses meant, each once, in order: names, `@town @rig/x @polecats/x @crew/x @GROUP`.

    A sender is left out of what stands for many. Raises NotFound for an unknown one, and for a word that is nobody.
    """
    found: dict[str, None] = {}
    for word in words:
        if word.startswith("@"):
            everybody = _expand(view, word)
            members = [one for one in everybody if one != sender]
            if not members:
                alone = " but you" if sender in everybody else ""
                raise NotFound(f"there is nobody in {word}{alone}", "nothing was sent")
            found |= dict.fromkeys(members)
        else:
            found[known(view, word)] = None
    if not found:
        raise UsageError("a message needs a recipient", "`gt mail directory` lists them")
    return list(found)


def _expand(view: View, word: str) -> list[str]:
    """The members of a fan-out word."""
    name, slash, rig = word[1:].partition("/")
    if slash:
        if name not in ("rig", "polecats", "crew"):
            raise _unknown_group(view, word)
        rig = view.rig(rig).name
        kinds = ("polecats", "crew") if name == "rig" else (name,)
        return [one for kind in kinds for one in _workers(view, rig, kind)]
    if name == "town":
        return [place.address for place in directory(view) if place.kind != "service"]
    members = groups(view).get(name)
    if members is None:
        raise _unknown_group(view, word)
    found: list[str] = []
    for one in members:
        try:
            found += _expand(view, one) if one.startswith("@") else [known(view, one)]
        except NotFound as error:
            raise NotFound(f"@{name} names {one}: {error.message}", f"gt mail group remove {name} {one}") from None
    return list(dict.fromkeys(found))


def _unknown_group(view: View, word: str) -> NotFound:
    words = ["@town", *(f"@{name}" for name in groups(view))]
    words += [f"@{kind}/{rig}" for rig in view.rig_names() for kind in ("rig", "polecats", "crew")]
    near = nearest(word, words)
    return NotFound(f"there is no group {word!r}", "" if near else "there are: " + " ".join(words[:12]), near)


# -- groups ---------------------------------------------------------------------------------------
def groups(view: View) -> dict[str, list[str]]:
    """The groups of mail/.groups.yaml with their members as written; raises InvalidFile."""
    if not view.exists(PATH):
        return {}
    return groups_of(view.load(PATH))


def group(view: View, name: str) -> tuple[list[str], list[str]]:
    """(the members as written, the addresses they stand for now) of a group; raises NotFound.

    What is no group of the town's own but stands for many all the same (`town`, `crew/RIG`) has none written.
    """
    name = name.removeprefix("@")
    members = groups(view).get(name)
    return members or [], _expand(view, f"@{name}")


def add_to_group(town: Town, name: str, members: Sequence[str]) -> list[str]:
    """Make a group, or add to it; its members now. Raises NotFound for an unknown one, UsageError for a circle."""
    name = check_name(name.removeprefix("@"), "group")
    if not members:
        raise UsageError("a group needs a member", f"gt mail group add {name} ADDRESS…")
    words = [_member(town, one, name) for one in members]

    def alter(doc: dict[str, Any]) -> list[str]:
        now = groups_of(doc).get(name, [])
        after = sorted({*now, *words})
        doc.setdefault("groups", {})
        doc["groups"] = {**(doc["groups"] or {}), name: after}
        return after

    return _rewrite(town, alter, f"group {name}: {', '.join(words)} added")


def _member(view: View, word: str, name: str) -> str:
    if not word.startswith("@"):
        return known(view, word)
    _expand(view, word)
    if f"@{name}" in _all_groups(view, word):
        raise UsageError(f"{word} has @{name} in it", "a group cannot be a member of itself")
    return word


def _all_groups(view: View, word: str) -> set[str]:
    """A group word and all that are in it."""
    inside = [one for one in groups(view).get(word[1:], []) if one.startswith("@")]
    return {word}.union(*(_all_groups(view, one) for one in inside))


def remove_from_group(town: Town, name: str, members: Sequence[str]) -> list[str]:
    """Take members out of a group, without members named all of it; what is left. Raises NotFound."""
    name = name.removeprefix("@")
    now = groups(town).get(name)
    if now is None:
        raise _unknown_group(town, f"@{name}")
    words = [one if one in now or not _is_address(one) else parse(one) for one in members]
    missing = [one for one in words if one not in now]
    if missing:
        raise NotFound(f"{missing[0]} is not in @{name}", near=nearest(missing[0], now))

    def alter(doc: dict[str, Any]) -> list[str]:
        left = [one for one in groups_of(doc).get(name, []) if words and one not in words]
        table = {key: value for key, value in (doc.get("groups") or {}).items() if key != name}
        doc["groups"] = {**table, name: left} if left else table
        return left

    return _rewrite(town, alter, f"group {name}: {', '.join(words) or 'all of it'} removed")


def _is_address(word: str) -> bool:
    try:
        parse(word)
    except UsageError:
        return False
    return True


def _rewrite(town: Town, alter: Any, said: str) -> list[str]:
    def body(change: Any) -> list[str]:
        doc = change.load(PATH) if change.read(PATH) is not None else {}
        left: list[str] = alter(doc)
        change.put(PATH, doc)
        change.emit("config", said)
        return left

    return town.transact("mail group", body)
