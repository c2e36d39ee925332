"""Settings in town.yaml and, as `rig.<name>.<key>`, in rig.yaml: typed by the schema, checked before writing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gastown.model.errors import InvalidFile, NotFound, UsageError
from gastown.model.text import nearest
from gastown.services.settings import trust
from gastown.store import layout, schema
from gastown.store.town import Town
from gastown.store.view import View

if TYPE_CHECKING:
    from gastown.store.change import Change

# These say what a town or rig is; changing them here would only break it.
_FIXED = {"town": ("name", "prefix", "version", "created"), "rig": ("name", "prefix", "created", "git")}
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")


@dataclass(frozen=True)
class Setting:
    """One key as it stands: `value` None and `default` where it is not set. `known`: the schema describes it."""

    key: str
    value: Any
    default: Any
    known: bool
    description: str


@dataclass(frozen=True)
class Place:
    """Which file a key lies in, and its path of keys there."""

    kind: str
    path: str
    keys: tuple[str, ...]
    prefix: str

    @property
    def dotted(self) -> str:
        """The key as it is given on the command line."""
        return self.prefix + ".".join(self.keys)


def place(view: View, key: str) -> Place:
    """Where a dotted key lies; raises UsageError, or NotFound for an unknown rig."""
    parts = key.split(".")
    if not all(parts):
        raise UsageError(f"{key!r} is no key", "write it dotted: deacon.quiet, rig.NAME.batch")
    if parts[0] != "rig":
        return Place("town", layout.TOWN_FILE, tuple(parts), "")
    if len(parts) < 3:
        raise UsageError(f"{key!r} names no setting of a rig", "write it as rig.NAME.KEY")
    return Place("rig", layout.rig_file(view.rig(parts[1]).name), tuple(parts[2:]), f"rig.{parts[1]}.")


def get(view: View, key: str) -> Setting:
    """One setting. Raises NotFound, with near keys, for one that is neither set nor known."""
    where = place(view, key)
    doc = view.load(where.path)
    fact = _fact(where.kind, where.keys)
    value = _lookup(doc, where.keys)
    if value is None and fact is None:
        known = [where.prefix + name for name, _ in _known(where.kind)]
        raise NotFound(f"no setting {key!r}", near=nearest(key, known))
    about = fact or {}
    return Setting(key, value, about.get("default"), fact is not None, str(about.get("description", "")))


def settings(view: View, rig: str | None = None) -> list[Setting]:
    """Every setting that is known or set, of the town or of one rig, in the schema's order."""
    where = place(view, f"rig.{rig}.batch" if rig else "name")
    doc = view.load(where.path)
    found, seen = [], set()
    for name, fact in _known(where.kind):
        keys = tuple(name.split("."))
        seen.add(name)
        found.append(
            Setting(
                where.prefix + name, _lookup(doc, keys), fact.get("default"), True, str(fact.get("description", ""))
            )
        )
    for name, value in _leaves(doc, ()):
        if not any(name == one or name.startswith(one + ".") for one in seen):
            found.append(Setting(where.prefix + name, value, None, False, ""))
    return found


def set_value(town: Town, key: str, text: str | None) -> Setting:
    """Set a key to `text`, read by the type the schema gives it; None removes it.

    Raises UsageError for a value that does not fit, before anything is written. Unknown keys are
    taken (`known` is false then). Commands written here are recorded as trusted.
    """
    where = place(town, key)
    if where.keys[0] in _FIXED[where.kind]:
        raise UsageError(f"{key} is what this {where.kind} is, and not a setting", f"it stands in {where.path}")
    value = None if text is None else _typed(where, text)

    def body(change: Change) -> None:
        doc = change.load(where.path)
        if _lookup(doc, where.keys) == value:
            return
        _store(doc, where, value)
        _check(where, doc)
        change.put(where.path, doc)
        what = f"set {key} to {text}" if text is not None else f"removed {key}"
        rig = layout.rig_of_path(where.path)
        change.emit("config", what, rig=rig, key=key)

    town.transact("config", body)
    _record_commands(town, where)
    return get(town, key) if value is not None or _fact(where.kind, where.keys) else Setting(key, None, None, False, "")


def _check(where: Place, doc: dict[str, Any]) -> None:
    wrong = schema.validate(where.kind, doc, where.path)
    mine = next((one for one in wrong if one.key.split("[")[0].split(".")[0] == where.keys[0]), None)
    if mine is not None:
        raise UsageError(f"{where.dotted}: {mine.reason}", _about(where))
    if where.kind == "rig":
        from gastown.model.rig import rig_of

        try:
            rig_of(doc, where.path)
        except InvalidFile as error:
            raise UsageError(f"{where.dotted}: {error.reason}", _about(where)) from None


def _about(where: Place) -> str:
    fact = _fact(where.kind, where.keys) or {}
    return str(fact.get("description", ""))


def _record_commands(town: Town, where: Place) -> None:
    """What a person writes here, they trust."""
    if where.kind == "rig" and where.keys[0] in ("gates", "setup"):
        rig = town.rig(str(layout.rig_of_path(where.path)))
        for gate in rig.gates if where.keys[0] == "gates" else ():
            trust.record(town, "gate", f"{rig.name}/{gate.name}", gate.run)
        for command in rig.setup if where.keys[0] == "setup" else ():
            trust.record(town, "setup", f"{rig.name}/setup", command)
    elif where.kind == "town" and where.keys[:2] == ("escalation", "commands") and len(where.keys) == 3:
        command = town.setting(".".join(where.keys))
        if command:
            trust.record(town, "escalation", where.keys[2], command)


# -- the schema as a table of keys ---------------------------------------------------------------


def _resolve(kind: str, fact: dict[str, Any]) -> dict[str, Any]:
    ref = fact.get("$ref")
    if not ref:
        return fact
    base: dict[str, Any] = schema.load_schema(kind)["$defs"][ref.rpartition("/")[2]]
    return {**base, **{key: value for key, value in fact.items() if key != "$ref"}}


def _known(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(dotted key, its schema) of every setting that may be set here."""
    for key, fact in schema.load_schema(kind)["properties"].items():
        if key not in _FIXED[kind]:
            yield from _spread(kind, key, _resolve(kind, fact))


def _spread(kind: str, key: str, fact: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    inner = fact.get("properties")
    if not inner:
        yield key, fact
        return
    for name, below in inner.items():
        yield from _spread(kind, f"{key}.{name}", _resolve(kind, below))


def _fact(kind: str, keys: tuple[str, ...]) -> dict[str, Any] | None:
    """The schema of a setting, None for one that it does not describe."""
    for name, fact in _known(kind):
        above = tuple(name.split("."))
        if keys == above:
            return fact
        if keys[:-1] == above:
            return _entry(kind, fact, keys[-1])
    return None


def _entry(kind: str, fact: dict[str, Any], key: str) -> dict[str, Any] | None:
    """The schema of what stands in a map under a key that people choose, as in `escalation.commands`."""
    inner = fact.get("additionalProperties")
    names = (fact.get("propertyNames") or {}).get("enum")
    if not isinstance(inner, dict) or (names is not None and key not in names):
        return None
    return {"description": fact.get("description", ""), **_resolve(kind, inner)}


def _typed(where: Place, text: str) -> Any:
    """`text` as the schema's type; without one as YAML would read it."""
    fact = _fact(where.kind, where.keys) or {}
    kind = fact.get("type")
    if kind == "boolean":
        if text.lower() not in _TRUE + _FALSE:
            raise UsageError(f"{where.dotted} is true or false, not {text!r}", _about(where))
        return text.lower() in _TRUE
    if kind in ("integer", "number"):
        try:
            return int(text) if kind == "integer" else float(text)
        except ValueError:
            raise UsageError(f"{where.dotted} is a number, not {text!r}", _about(where)) from None
    if kind == "string" or "enum" in fact:
        return text
    return _from_yaml(where, text)


def _from_yaml(where: Place, text: str) -> Any:
    from gastown.store import yaml as yaml_store

    try:
        return yaml_store.load(f"value: {text}\n".encode(), where.dotted)["value"]
    except InvalidFile:
        if (_fact(where.kind, where.keys) or {}).get("type") in ("array", "object"):
            raise UsageError(f"{where.dotted}: {text!r} cannot be read as YAML", _about(where)) from None
        return text


def _lookup(doc: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if not isinstance(doc, dict) or key not in doc:
            return None
        doc = doc[key]
    return doc


def _store(doc: dict[str, Any], where: Place, value: Any) -> None:
    *above, last = where.keys
    trail = [doc]
    for key in above:
        inner = trail[-1].setdefault(key, {})
        if not isinstance(inner, dict):
            raise UsageError(f"{where.dotted}: {key} is a value and holds no keys", f"see {where.path}")
        trail.append(inner)
    if value is None:
        trail[-1].pop(last, None)
    else:
        trail[-1][last] = value
    for key, holder, inner in reversed(list(zip(above, trail, trail[1:], strict=False))):
        if not inner:
            holder.pop(key)


def _leaves(doc: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, value in doc.items():
        if not above and key in {*_FIXED["town"], *_FIXED["rig"]}:
            continue
        if isinstance(value, dict):
            yield from _leaves(value, (*above, str(key)))
        else:
            yield ".".join((*above, str(key))), value
