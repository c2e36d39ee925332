"""Every command of the table is there, has help, and takes the options that all take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gastown.cli.app import build
from gastown.cli.tree import COMMANDS, SECTIONS
from tests.conftest import run_gt


def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(f"{path} {name}", child)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_built_and_has_help(name: str) -> None:
    section, line = COMMANDS[name][3], COMMANDS[name][2]
    assert section in ("", *SECTIONS)
    assert line.endswith(".")
    for path, command in walk(name, build(name)):
        assert command.help, f"gt {path} has no help"
        assert "-h" in command.context_settings["help_option_names"], path
        if not hasattr(command, "commands"):
            flags = {flag for param in command.params for flag in param.opts}
            assert {"--town", "--as"} <= flags, path


READING = [
    "status", "info", "list", "show", "ready", "blocked", "feed", "trail", "log", "rig list", "rig show", "config get",
    "config list", "machine list", "machine show", "bead list", "bead show", "bead tree", "bead log",
    "bead dep list", "bead label list", "rig config", "mq list", "mq show", "agents", "polecat list", "polecat show",
    "hook", "mail inbox", "mail directory", "escalate list",
]  # fmt: skip


@pytest.mark.parametrize("path", READING)
def test_reading_commands_take_json_and_at(path: str) -> None:
    name, _, rest = path.partition(" ")
    command = dict(walk(name, build(name)))[f"{name} {rest}".strip()]
    assert {"--json", "--at"} <= {flag for param in command.params for flag in param.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_what_an_option_takes_as_a_person_would(name: str) -> None:
    for path, command in walk(name, build(name)):
        for param in command.params:
            if param.param_type_name == "option" and not param.is_flag:
                assert param.metavar, f"gt {path} {param.opts}"
                assert "<" not in param.metavar


# Words for somebody are as likely to lie in a file as on the command line.
@pytest.mark.parametrize("path", ["note", "create", "close", "done", "resume", "mq reject", "sling", "mail send"])
def test_texts_come_from_files_and_stdin_too(path: str) -> None:
    name, _, rest = path.partition(" ")
    command = dict(walk(name, build(name)))[f"{name} {rest}".strip()]
    assert {"--file", "-F", "--stdin"} <= {flag for param in command.params for flag in param.opts}


def test_help_as_a_word_shows_the_help(tmp_path: Path) -> None:
    """Also outside of any town."""
    for words in ([], ["note"], ["mail", "send"], ["bead", "dep"]):
        asked = run_gt("help", *words, cwd=tmp_path)
        assert asked.out == run_gt(*words, "--help", cwd=tmp_path).out != ""
    wrong = run_gt("help", "sligg", cwd=tmp_path, code=2)
    assert wrong.err.startswith("error: no command 'sligg'\nhint: did you mean `gt sling`")
