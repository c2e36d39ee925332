"""Agent presets: how a coding agent's command line is run, read from YAML.

Nothing here knows a vendor: what differs between agents is data (schemas/agent.schema.json).
A town's agents/<name>.yaml takes the place of the built-in preset of that name as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gastown.model.errors import GtError, InvalidFile, NotFound, Refused, UsageError

BUILT_IN = "built-in"
_BUILT_IN_DIR = Path(__file__).parent / "presets"
# What may stand in a command, a file name or a variable's value of a preset.
PLACEHOLDERS = (
    "prompt", "prompt_file", "session", "resume", "uuid", "worktree", "gt", "hooks_file", "hooks_args",
)  # fmt: skip
# Only a bare lower-case word in braces is a placeholder: {name="x"} and ${HOME} are not touched.
_WORD = re.compile(r"(?<!\$)\{([a-z_]+)\}")
_INHERITED = ("command", "prompt", "resume", "fork", "session_id")

Value = str | Sequence[str]


@dataclass(frozen=True)
class Form:
    """One way to run an agent: as a plain process, or in a terminal. `doc` holds every fact of it."""

    preset: str
    terminal: bool
    doc: Mapping[str, Any]

    @property
    def command(self) -> tuple[str, ...]:
        return tuple(self.doc["command"])

    @property
    def prompt_mode(self) -> str:
        """How the prompt is handed over: arg, file, stdin, paste or none."""
        return str((self.doc.get("prompt") or {}).get("mode", "none"))

    @property
    def resume_prompt_mode(self) -> str:
        """As `prompt_mode`, where an earlier conversation is taken up again."""
        prompt = (self.doc.get("resume") or {}).get("prompt") or {}
        return str(prompt.get("mode", self.prompt_mode))

    @property
    def can_resume(self) -> bool:
        return bool(self.doc.get("resume"))

    @property
    def session_id(self) -> Mapping[str, Any]:
        return dict(self.doc.get("session_id") or {})

    def get(self, key: str, default: Any = None) -> Any:
        """Another fact of this form: ready, idle, busy, dialogs, paste, interrupt, quit …"""
        return self.doc.get(key, default)

    def argv(self, values: Mapping[str, Value]) -> list[str]:
        """The command with its placeholders replaced; see `fill`. Without `hooks_args` no hooks are loaded."""
        return fill(self.command, {"hooks_args": (), **values})

    def resume_argv(self, values: Mapping[str, Value]) -> list[str]:
        """The command that takes up the conversation `values["resume"]`; raises Refused where there is none."""
        return self._earlier("resume", "take up an earlier conversation", values)

    def fork_argv(self, values: Mapping[str, Value]) -> list[str]:
        """The command that reopens the conversation `values["resume"]` as a copy; raises Refused likewise."""
        return self._earlier("fork", "reopen a conversation without changing it", values)

    def _earlier(self, key: str, what: str, values: Mapping[str, Value]) -> list[str]:
        way = self.doc.get(key)
        if not way:
            raise Refused(f"the agent {self.preset} cannot {what}", "start a new session")
        return fill(way["command"], {"hooks_args": (), **values})


@dataclass(frozen=True)
class Preset:
    """One agent preset, checked. `source` is "built-in" or the path of the town's file."""

    name: str
    source: str
    doc: Mapping[str, Any] = field(repr=False)

    @property
    def description(self) -> str:
        return str(self.doc.get("description", ""))

    @property
    def headless(self) -> Form | None:
        """The form without a terminal, if there is one."""
        if "command" not in self.doc or self.doc.get("interactive"):
            return None
        return Form(self.name, False, self.doc)

    @property
    def terminal(self) -> Form | None:
        """The form for a terminal, if there is one; what it does not say is taken from the top level."""
        own = self.doc.get("terminal") or {}
        if not own and not self.doc.get("interactive"):
            return None
        shared = {key: self.doc[key] for key in _INHERITED if key in self.doc}
        if "command" in own and self.headless:
            # These belong to the command beside them: those of the headless one would not fit.
            shared = {key: one for key, one in shared.items() if key not in ("resume", "fork")}
        return Form(self.name, True, {**shared, **own})

    def form(self, *, terminal: bool) -> Form:
        """The form to run. With a terminal at hand a headless form will do; raises Refused for the reverse."""
        chosen = (self.terminal or self.headless) if terminal else self.headless
        if chosen is None:
            raise Refused(
                f"the agent {self.name} runs only in a terminal",
                "install tmux and set `runtime: tmux`, or give its preset a `command` that needs no terminal",
            )
        return chosen

    @property
    def interactive(self) -> bool:
        """True if it runs only in a terminal."""
        return self.headless is None

    @property
    def env(self) -> dict[str, str]:
        return dict(self.doc.get("env") or {})

    @property
    def hooks(self) -> Mapping[str, Any]:
        return dict(self.doc.get("hooks") or {"supported": False})

    @property
    def abilities(self) -> Mapping[str, bool]:
        """What it can do; the defaults of the schema where the preset says nothing."""
        return {"git_config": True, "git_hooks": True, **(self.doc.get("abilities") or {})}

    def get(self, key: str, default: Any = None) -> Any:
        """Another fact: limits, exits, files, version, strays, instructions …"""
        return self.doc.get(key, default)

    def argv(self, values: Mapping[str, Value], *, terminal: bool = False) -> list[str]:
        """The command line of a new session; see `form` and `fill`."""
        return self.form(terminal=terminal).argv(values)

    @property
    def loads_hooks(self) -> bool:
        """True if a session of it is started with hooks of ours; else it has its own, or none (`supported`)."""
        own = self.hooks
        if not own.get("supported"):
            return False
        return "text" in own or (bool(own.get("args")) and not any("{hooks_file}" in one for one in own["args"]))

    def hooks_args(self, values: Mapping[str, Value]) -> list[str]:
        """The arguments that load its hooks, for the placeholder {hooks_args}."""
        return fill(self.hooks.get("args", ()), values)

    def environment(self, values: Mapping[str, Value], *, hooks: bool = False) -> dict[str, str]:
        """The variables it adds, placeholders replaced; with `hooks` also those that let its hooks run."""
        given = {**self.env, **(self.hooks.get("env", {}) if hooks else {})}
        return {key: _replace(text, values) for key, text in given.items()}

    @property
    def brief(self) -> str:
        """Its command on one line, with `…` where the preset says more than that."""
        import shlex

        form = self.headless or self.terminal
        line = shlex.join(form.command) if form else ""
        return line + (" …" if set(self.doc) - {"name", "description", "command"} else "")

    def text(self) -> str:
        """All that `content_hash` covers and nothing else, as YAML: what a person reads before they trust it."""
        from gastown.store import yaml

        return yaml.dump(_plain(self.doc), tuple(self.doc)).decode().rstrip("\n")

    def content_hash(self) -> str:
        """SHA-256 of what the preset says; order of keys, layout and comments do not count. Trust is given to it."""
        import hashlib
        import json

        text = json.dumps(_plain(self.doc), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def fill(items: Sequence[str], values: Mapping[str, Value]) -> list[str]:
    """Replace the placeholders of each item, once: a value is never searched again, split or quoted.

    An item that is just a placeholder whose value is a list becomes that list's items, and
    nothing for an empty list. Raises UsageError for a placeholder without a value.
    """
    filled: list[str] = []
    for item in items:
        whole = _WORD.fullmatch(item)
        value = values.get(whole[1]) if whole else None
        if value is not None and not isinstance(value, str):
            filled.extend(value)
        else:
            filled.append(_replace(item, values))
    return filled


def _replace(text: str, values: Mapping[str, Value]) -> str:
    def one(match: re.Match[str]) -> str:
        value = values.get(match[1])
        if not isinstance(value, str):
            kind = "no value" if value is None else "a list, and must stand alone"
            raise UsageError(f"the placeholder {match[0]} in {text!r} has {kind}")
        return value

    return _WORD.sub(one, text)


def load_preset(name: str, town_dir: Path | None) -> Preset:
    """The town's preset `name`, else the built-in one.

    Raises InvalidFile if the file is broken (the built-in one does not stand in for it) and
    NotFound with the nearest names.
    """
    path = _files(town_dir).get(name)
    if path is None:
        from difflib import get_close_matches

        known = sorted(_files(town_dir))
        raise NotFound(
            f"there is no agent preset {name!r}",
            near=get_close_matches(name, known, n=3),
            hint="" if get_close_matches(name, known) else "known presets: " + ", ".join(known),
        )
    return _read(path, town_dir)


def list_presets(town_dir: Path | None) -> tuple[list[Preset], list[InvalidFile]]:
    """Every preset by name, and the files that could not be used."""
    presets: list[Preset] = []
    problems: list[InvalidFile] = []
    for _, path in sorted(_files(town_dir).items()):
        try:
            presets.append(_read(path, town_dir))
        except InvalidFile as error:
            problems.append(error)
    return presets, problems


def _files(town_dir: Path | None) -> dict[str, Path]:
    found = {path.stem: path for path in _BUILT_IN_DIR.glob("*.yaml")}
    if not found:
        raise GtError(f"no built-in agent presets in {_BUILT_IN_DIR}", "this installation is incomplete")
    if town_dir is not None:
        found |= {path.stem: path for path in (Path(town_dir) / "agents").glob("*.yaml")}
    return found


def _read(path: Path, town_dir: Path | None) -> Preset:
    from gastown.store import schema, yaml

    own = path.parent == _BUILT_IN_DIR
    shown = str(path) if own or town_dir is None else path.relative_to(town_dir).as_posix()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidFile(shown, f"cannot be read: {error.strerror}") from error
    doc = yaml.load(data, shown)
    if not own:  # ours are known to be right, and loading what checks them takes longer than all else
        schema.check("agent", doc, shown)
    check(doc, shown)
    return Preset(path.stem, BUILT_IN if own else shown, doc)


def check(doc: Mapping[str, Any], shown: str) -> None:
    """What the schema cannot say: the name, every placeholder, every pattern. Raises InvalidFile for `shown`."""
    stem = Path(shown).stem
    if doc["name"] != stem:
        raise InvalidFile(shown, f"the file is named {stem} but the preset {doc['name']}", key="name")
    if "command" not in doc and "command" not in doc["terminal"]:
        raise InvalidFile(shown, "`command` or `terminal.command` is missing", key="terminal.command")
    for key, text in _texts(doc, ""):
        last = key.rpartition(".")[2].partition("[")[0]
        if last in ("command", "args", "version", "env", "file", "path"):
            _check_placeholders(text, key, shown)
        elif last in ("match", "pattern", "screen", "absent", "title", "has", "strays"):
            _check_pattern(text, key, shown)


def _check_placeholders(text: str, key: str, shown: str) -> None:
    for word in _WORD.findall(text):
        if word not in PLACEHOLDERS:
            names = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            raise InvalidFile(shown, f"{{{word}}} is no placeholder; there are: {names}", key=key)


def _check_pattern(text: str, key: str, shown: str) -> None:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise InvalidFile(shown, f"not a regular expression: {error}", key=key) from None
    if key.endswith("session_id.pattern") and pattern.groups != 1:
        raise InvalidFile(shown, "must have exactly one group, which holds the id", key=key)


def _texts(value: Any, key: str) -> list[tuple[str, str]]:
    """Every text in a document with its key path; the values of `env` under the key `env`."""
    if isinstance(value, str):
        return [(key, value)]
    if isinstance(value, Mapping):
        inside = key.rpartition(".")[2] == "env"
        return [
            pair
            for name, one in value.items()
            for pair in _texts(one, key if inside else f"{key}.{name}" if key else str(name))
        ]
    if isinstance(value, Sequence):
        return [pair for number, one in enumerate(value) for pair in _texts(one, f"{key}[{number}]")]
    return []


def _plain(value: Any) -> Any:
    """Maps and lists of the YAML library as plain ones."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value
