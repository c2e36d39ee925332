"""Is a bead's document usable: every rule of schemas/bead.schema.json in plain code, a hundred times as fast.

A test holds the two equal, so that what is refused at one door is refused at every other.
Imported by hook-time commands, so nothing dear is imported here.
"""

from __future__ import annotations

from gastown.model.errors import InvalidFile
from gastown.model.ids import ID_LOOKS, is_id, is_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

TYPES = ("task", "bug", "feature", "chore", "epic", "decision", "convoy", "merge", "escalation")
STATUSES = ("open", "hooked", "in_progress", "merging", "deferred", "closed")
HELD = ("hooked", "in_progress")
SEVERITIES = ("critical", "high", "medium", "low")
RESULTS = ("passed", "failed", "could_not_run")
DEFAULT_PRIORITY = 2
_MERGE_NEEDS = ("branch", "target", "source", "worker", "commit")
_HEX = frozenset("0123456789abcdef")
_ROLES = ("overseer", "mayor", "deacon")
_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz")


class Misnamed(InvalidFile):
    """A file that is not named as the bead in it. `bead` is that one's id, `belongs` where such a file belongs.

    Whether that bead lies somewhere besides is not known here: nothing advised may overwrite it.
    """

    def __init__(self, path: str, bead: str, *, twin: str = "") -> None:
        folder, _, name = path.rpartition("/")
        self.bead, self.belongs = bead, f"{folder}/{bead}.yaml"
        reason = f"the file is named {name.removesuffix('.yaml')} but holds {bead}"
        hint = f"a bead keeps its name: mv -n {path} {self.belongs}; a new one needs an id of its own"
        if twin:
            reason += f", which lies in {twin} already"
            hint = f"remove this copy, or give it an id of its own, in the file and as its name ({ID_LOOKS})"
        super().__init__(path, reason, key="id", hint=hint)

    def with_twin(self, path: str) -> Misnamed:
        """The same where that bead lies at `path`, too."""
        return Misnamed(self.path, self.bead, twin=path)


def check(doc: dict[str, Any], path: str) -> None:
    """Raise InvalidFile for the first thing that makes a bead unusable: identity, life cycle, shapes, names.

    Unknown keys are fine, and a key with nothing behind it counts as absent.
    """
    bead_id = doc.get("id")
    if bead_id is None:
        raise InvalidFile(path, f"`id` is missing: it is the file's name without .yaml ({ID_LOOKS})", key="id")
    if not isinstance(bead_id, str) or not is_id(bead_id):
        raise InvalidFile(path, f"id {bead_id!r} is not a bead id: {ID_LOOKS}", key="id")
    if path.rpartition("/")[2].removesuffix(".yaml") != bead_id:
        raise Misnamed(path, bead_id)
    if not isinstance(doc.get("title"), str) or not doc["title"].strip():
        raise InvalidFile(path, "a bead needs a title", key="title")
    for key, value in doc.items():
        rule = _RULES.get(key)
        if rule is not None and value is not None:
            wrong = rule(value)
            if wrong:
                raise InvalidFile(path, f"{key} {wrong}", key=key)
    _check_together(doc, path)


def _check_together(doc: dict[str, Any], path: str) -> None:
    """What only several keys together can breach."""
    if doc.get("created") is None:
        why = "`created` is missing, for instance: created: {at: 2026-01-31T09:30:00Z, by: overseer}"
        raise InvalidFile(path, why, key="created")
    status = doc.get("status") or "open"
    if status in HELD and not doc.get("assignee"):
        raise InvalidFile(path, f"status is {status}, but it has no assignee", key="assignee")
    if (status == "closed") != (doc.get("closed") is not None):
        why = "`closed: {at, by, reason}` must stand beside `status: closed`, and only there"
        raise InvalidFile(path, why, key="closed")
    if doc.get("type") == "merge":
        for key in _MERGE_NEEDS:
            if doc.get(key) is None:
                raise InvalidFile(path, f"`{key}` is needed in a bead of type merge", key=key)


# -- one value: "" or what is wrong with it, after the key's name -----------------------------------
def _one_of(*words: str) -> Callable[[Any], str]:
    def rule(value: Any) -> str:
        # A list or map cannot be looked for in a tuple by hash, but by comparison it can.
        return "" if isinstance(value, str) and value in words else f"{value!r} is none of: {' '.join(words)}"

    return rule


def _text(value: Any) -> str:
    return "" if isinstance(value, str) else "must be text"


def _word(value: Any) -> str:
    return "" if isinstance(value, str) and value else "must be text, and not empty"


def _id(value: Any) -> str:
    return "" if isinstance(value, str) and is_id(value) else f"{value!r} is not a bead id"


def _name(value: Any) -> str:
    return "" if isinstance(value, str) and is_name(value) else f"{value!r} is not a name (a-z, 0-9 and '-')"


def _address(value: Any) -> str:
    if isinstance(value, str):
        parts = value.split("/")
        if value in _ROLES or (len(parts) == 2 and all(map(_is_word, parts))):
            return ""
        if len(parts) == 3 and parts[1] in ("polecats", "crew") and _is_word(parts[0]) and _is_word(parts[2]):
            return ""
    return f"is {value!r} but must be an address such as greenplace/toast, mayor or overseer"


def _is_word(text: str) -> bool:
    return 0 < len(text) <= 32 and text[0] in _LOWER and _NAME_CHARS.issuperset(text)


def _number(least: int, most: int | None = None) -> Callable[[Any], str]:
    span = f"from {least} to {most}" if most is not None else f"from {least}"

    def rule(value: Any) -> str:
        # JSON has one kind of number: 2.0 is whole.
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        right = whole and not isinstance(value, bool) and value >= least and (most is None or value <= most)
        return "" if right else f"{value!r} is not a number {span}"

    return rule


def _seconds(value: Any) -> str:
    right = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return "" if right else f"{value!r} is not a number of seconds"


def _truth(value: Any) -> str:
    return "" if isinstance(value, bool) else f"{value!r} is neither true nor false"


def _time(value: Any) -> str:
    if isinstance(value, str) and len(value) == 20 and value.isascii():
        digits = value[:4] + value[5:7] + value[8:10] + value[11:13] + value[14:16] + value[17:19]
        if digits.isdigit() and value[4::3][:2] == "--" and value[10] == "T" and value[13::3] == "::Z":
            return ""
    return f"{value!r} is not a UTC time such as 2026-11-23T09:30:00Z"


def _full_commit(value: Any) -> str:
    right = isinstance(value, str) and len(value) in (40, 64) and _HEX.issuperset(value)
    return "" if right else f"{value!r} is not a full commit id"


def _commit(value: Any) -> str:
    right = isinstance(value, str) and 7 <= len(value) <= 64 and _HEX.issuperset(value)
    return "" if right else f"{value!r} is not a commit id"


def _map(needed: tuple[str, ...], **rules: Callable[[Any], str]) -> Callable[[Any], str]:
    """A map that has the keys `needed`; `rules` hold for those of its keys that are there."""

    def rule(value: Any) -> str:
        if not isinstance(value, dict):
            return "must be a map"
        for key in needed:
            if key not in value:
                return f"lacks `{key}`"
        for key, each in rules.items():
            if key in value and (wrong := each(value[key])):
                return f"holds a {key} that is wrong: {key} {wrong}"
        return ""

    return rule


def _items(each: Callable[[Any], str], *, unique: bool = False, some: bool = False) -> Callable[[Any], str]:
    """A list of such items; `unique`: none of them twice, `some`: not empty."""

    def rule(value: Any) -> str:
        if not isinstance(value, list):
            return "must be a list"
        for item in value:
            if wrong := each(item):
                return f"holds an item that is wrong: it {wrong}"
        if some and not value:
            return "must not be empty"
        # Checked items of such lists are texts.
        return "holds the same item twice" if unique and len(set(value)) != len(value) else ""

    return rule


def _list_or_map(value: Any) -> str:
    return "" if isinstance(value, list | dict) else "must be a list or a map"


_MARK = _map(("at", "by"), at=_time, by=_word)
_RULES: dict[str, Callable[[Any], str]] = {
    "type": _one_of(*TYPES),
    "status": _one_of(*STATUSES),
    "priority": _number(0, 4),
    "created": _map(("at", "by"), at=_time, by=_word, machine=_name),
    "assignee": _address,
    "machine": _name,
    "parent": _id,
    "needs": _items(_id, unique=True),
    "labels": _items(_word, unique=True),
    "description": _text,
    "acceptance": _text,
    "agent": _name,
    "command": _items(_text, some=True),
    "dispatch": _map(("to", "by", "at"), to=_word, by=_word, at=_time, force=_truth),
    "branch": _word,
    "fence": _number(1),
    "target": _word,
    "source": _id,
    "worker": _address,
    "commit": _full_commit,
    "attempts": _number(0),
    "gates": _items(_map(("name", "result"), name=_word, result=_one_of(*RESULTS), seconds=_seconds, detail=_text)),
    "tracks": _items(_id, unique=True),
    "owner": _address,
    "notify": _items(_word, unique=True),
    "severity": _one_of(*SEVERITIES),
    "acked": _MARK,
    "raised": _number(0),
    "sessions": _items(
        _map(
            ("id",), id=_word, attempt=_number(1), agent=_word, by=_address, machine=_name, started=_time, ended=_time,
            outcome=_word, resume=_word,
        )
    ),
    "notes": _items(_map(("at", "by", "text"), at=_time, by=_word, text=_text)),
    "conflicts": _list_or_map,
    "closed": _map(("at", "by", "reason"), at=_time, by=_word, reason=_word, commit=_commit),
}  # fmt: skip
