"""Checks a file's document against its JSON Schema and says in plain words what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from gastown.model import slips as slipped
from gastown.model.errors import GtError, InvalidFile

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

KINDS = ("town", "rig", "agent", "machine", "worker", "bead", "event")
_TYPE_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a map",
    "null": "nothing",
}


def kind_of(path: str) -> str | None:
    """The schema kind of a town-relative POSIX path (town.md, the layout); None for files without one."""
    parts = path.split("/")
    match parts:
        case ["town.yaml"]:
            return "town"
        case ["agents", name] if name.endswith(".yaml"):
            return "agent"
        case ["machines", name] if name.endswith(".yaml"):
            return "machine"
        case ["beads", name] | ["rigs", _, "beads", name] if name.endswith(".yaml"):
            return "bead"  # in no day's folder, where nobody finds it: it is to be told of
        case ["beads", _, name] | ["rigs", _, "beads", _, name] if name.endswith(".yaml"):
            return "bead"
        case ["rigs", _, "rig.yaml"]:
            return "rig"
        case ["rigs", _, "polecats" | "crew", name] if name.endswith(".yaml"):
            return "worker"
        case ["feed", _, name] if name.endswith(".jsonl"):
            return "event"
    return None


def validate(kind: str, doc: Mapping[str, Any], path: str) -> list[InvalidFile]:
    """Everything wrong with `doc`, in document order; an empty list if nothing is.

    `path` is what the errors name. Lines are given where `doc` was loaded with its
    positions (ruamel's round-trip maps), else 0. Raises GtError for an unknown `kind`.
    """
    if not isinstance(doc, Mapping):
        return [InvalidFile(path, f"must hold a map of keys, not {_shown(doc)}")]
    # A key with nothing behind it (`assignee:`) is read as absent, as gastown.model.bead does.
    given = {key: value for key, value in doc.items() if value is not None}
    errors = sorted(_validator(kind).iter_errors(given), key=lambda error: _order(doc, error))
    found: list[InvalidFile] = []
    for error in errors:
        for invalid in _sentences(doc, path, error):
            if all((invalid.key, invalid.reason) != (other.key, other.reason) for other in found):
                found.append(invalid)
    return found


def check(kind: str, doc: Mapping[str, Any], path: str) -> None:
    """Raise the first of `validate`'s errors, if there is one."""
    for error in validate(kind, doc, path):
        raise error


def slips(kind: str, doc: Mapping[str, Any], path: str) -> list[slipped.Slip]:
    """The keys of a valid document that nothing reads and that are one letter off one that means something."""
    schema = load_schema(kind)
    # The index, which looks at every bead, looks no deeper either.
    return _slips(schema, schema, doc, path, "", deep=kind != "bead")


def _slips(
    schema: dict[str, Any], root: dict[str, Any], value: Any, path: str, inside: str, *, deep: bool = True
) -> list[slipped.Slip]:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, list):
        items = schema.get("items") or {}
        each = enumerate(value) if items else ()
        return [one for n, item in each for one in _slips(items, root, item, path, f"{inside[:-1]}[{n}].")]
    known = schema.get("properties")
    if not isinstance(value, Mapping) or not known:
        return []
    found = slipped.found(value, known, path, inside=inside)
    for key in value if deep else ():
        if key in known:
            found += _slips(known[key], root, value[key], path, f"{inside}{key}.")
    return found


@cache
def load_schema(kind: str) -> dict[str, Any]:
    """The schema of one kind, as it lies in schemas/; raises GtError for an unknown kind."""
    import json

    from gastown.store.resources import data_path

    if kind not in KINDS:
        raise GtError(f"there is no schema for {kind!r}", "one of: " + ", ".join(KINDS))
    loaded: dict[str, Any] = json.loads((data_path("schemas") / f"{kind}.schema.json").read_bytes())
    return loaded


@cache
def _validator(kind: str) -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(load_schema(kind))


def _order(doc: Mapping[str, Any], error: ValidationError) -> tuple[int, str]:
    keys = list(doc)
    first = error.absolute_path[0] if error.absolute_path else None
    return (keys.index(first) if first in keys else len(keys), _key(error.absolute_path))


def _sentences(doc: Mapping[str, Any], path: str, error: ValidationError) -> Iterable[InvalidFile]:
    """One InvalidFile for each fact of one jsonschema error; `required` may hold several."""
    where = list(error.absolute_path)
    for tail, reason in _facts(error):
        steps = [*where, tail] if tail else where
        yield InvalidFile(path, reason, line=_line(doc, steps), key=_key(steps))


def _facts(error: ValidationError) -> list[tuple[str, str]]:
    """(missing or unwanted key below the error's place, the sentence)."""
    schema = error.schema if isinstance(error.schema, dict) else {}
    said = schema.get("errorMessage")
    value: Any = error.instance
    rule: Any = error.validator_value
    name = _key(error.absolute_path).rpartition(".")[2] or "it"
    match error.validator:
        case "required":
            told = schema.get("missingMessages") or {}
            missing = [key for key in rule if key not in value]
            return [(key, f"`{key}` {told.get(key) or said or 'is missing'}") for key in missing]
        case "not" if isinstance(rule, dict) and rule.get("required"):
            return [(key, f"`{key}` {said or 'must not be there'}") for key in rule["required"]]
        case "anyOf" if not said and all(set(one) == {"required"} for one in rule):
            words = " or ".join(f"`{key}`" for one in rule for key in one["required"])
            return [("", f"{words} is missing")]
        case "uniqueItems":
            return [("", f"{name} holds the same item twice")]
        case "enum" if "propertyNames" in error.absolute_schema_path:
            return [(str(value), f"`{value}` is not a key here; the keys are: {', '.join(rule)}")]
        case "enum":
            return [("", f"{name} is {_shown(value)} but must be one of: {', '.join(map(str, rule))}")]
    if error.validator == "pattern" and not said:
        said = schema.get("patternErrorMessage")
    return [("", f"{name} is {_shown(value)} but {said or _rule(error.validator, rule)}")]


def _rule(validator: object, rule: Any) -> str:
    match validator:
        case "type":
            kinds = [rule] if isinstance(rule, str) else list(rule)
            return "must be " + " or ".join(_TYPE_WORDS.get(one, one) for one in kinds)
        case "minimum":
            return f"must be at least {rule}"
        case "maximum":
            return f"must be at most {rule}"
        case "minLength" | "minItems":
            return "must not be empty"
        case "maxLength" | "maxItems":
            return f"must have at most {rule}"
        case "pattern":
            return f"must look like {rule}"
        case "const":
            return f"must be {rule}"
    return "is not what is allowed here"


def _shown(value: object) -> str:
    """The value in a few words, on one line."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if isinstance(value, str) and not value:
        return "empty text"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _key(steps: Iterable[object]) -> str:
    """`gates[0].name` of ["gates", 0, "name"]."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _line(doc: object, steps: list[Any]) -> int:
    """The 1-based line of the deepest of `steps` whose position is known; 0 if none is."""
    line = 0
    for step in steps:
        positions = getattr(getattr(doc, "lc", None), "data", None)
        if not positions or step not in positions:
            break
        line = positions[step][0] + 1
        doc = doc[step]  # type: ignore[index]  # a ruamel map or list: it has positions
    return line
