"""The groups of mail/.groups.yaml: what a usable file holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gastown.model.errors import InvalidFile
from gastown.model.ids import is_name

PATH = "mail/.groups.yaml"


def groups_of(doc: Mapping[str, Any]) -> dict[str, list[str]]:
    """The groups with their members as written; raises InvalidFile for what is no group, and for a circle."""
    found = doc.get("groups") or {}
    if not isinstance(found, dict):
        raise InvalidFile(PATH, "must be a map of groups", key="groups")
    for name, members in found.items():
        if not is_name(str(name)) or not isinstance(members, list) or any(not isinstance(one, str) for one in members):
            raise InvalidFile(PATH, f"the group {name} must be a list of addresses", key=f"groups.{name}")
    groups = {str(name): list(members) for name, members in found.items()}
    for name in groups:
        if f"@{name}" in _inside(groups, name):
            raise InvalidFile(PATH, f"the group {name} is a member of itself", key=f"groups.{name}")
    return groups


def _inside(groups: Mapping[str, list[str]], name: str) -> set[str]:
    """Every group word that a group holds, directly or through another."""
    found: set[str] = set()
    todo = [name]
    while todo:
        words = {one for one in groups.get(todo.pop(), ()) if one.startswith("@")} - found
        found |= words
        todo += [one[1:] for one in words]
    return found
