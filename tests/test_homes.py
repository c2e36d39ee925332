"""Every piece of the outside world has one home: printing, environment, processes, libraries, writing."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.test_architecture import MODULES, nodes

SUBPROCESS = {
    "gastown.store.git", "gastown.runtime.git", "gastown.runtime.tmux", "gastown.runtime.shell",
    "gastown.runtime.processes", "gastown.runtime.runner", "gastown.runtime.plain", "gastown.runtime.starting",
}  # fmt: skip
WRITERS = {
    "gastown.store.files",
    # Not files of a town: git's own reflogs, hooks of our clones, logs.
    "gastown.store.gitrepo", "gastown.runtime.clones", "gastown.runtime.plain", "gastown.runtime.shell",
    "gastown.runtime.runner", "gastown.services.landing.gates", "gastown.cli.edge",
}  # fmt: skip


@pytest.fixture(autouse=True)
def sealed() -> None:
    """Sources are only read here: a home for each of a thousand cases would take longer than the cases do."""


def calls(module: str, name: str) -> Iterator[ast.Call]:
    """Calls of the plain name `name` in a module."""
    for node in nodes(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def imported(module: str) -> set[str]:
    """Names of modules imported anywhere in a module, and their tops."""
    found = set()
    for node in nodes(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found | {one.split(".")[0] for one in found}


@pytest.mark.parametrize("name", MODULES)
def test_only_the_upper_floors_print(name: str) -> None:
    if name.split(".")[1] in ("cli", "ui"):
        return
    # The runner's and the exec agent's output is the session's own log.
    assert not list(calls(name, "print")), f"{name} prints"
    assert "typer" not in imported(name), f"{name} knows typer"


@pytest.mark.parametrize("name", MODULES)
def test_the_environment_is_read_in_one_place(name: str) -> None:
    if name in ("gastown.cli.context", "gastown.cli.fast"):
        return
    for node in nodes(name):
        key = None
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.environ.get", "os.getenv", "environ.get"):
            key = node.args[0]
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("os.environ", "environ"):
            key = node.slice
        if isinstance(key, ast.Constant) and str(key.value).startswith("GT_"):
            # The crash tests' fault point is not a setting: nothing of the product depends on it.
            assert (name, key.value) == ("gastown.store.files", "GT_FAULT"), f"{name} reads {key.value}"


@pytest.mark.parametrize("name", MODULES)
def test_processes_are_started_in_their_homes(name: str) -> None:
    if "subprocess" in imported(name):
        assert name in SUBPROCESS, f"{name} starts processes itself"


@pytest.mark.parametrize("name", MODULES)
def test_ruamel_has_one_home(name: str) -> None:
    if "ruamel" in imported(name):
        assert name in ("gastown.store.roundtrip", "gastown.store.yamltree"), f"{name} knows ruamel"


@pytest.mark.parametrize("name", MODULES)
def test_files_are_written_in_one_place(name: str) -> None:
    if name in WRITERS:
        return
    for call in calls(name, "open"):
        mode = call.args[1] if len(call.args) > 1 else next((k.value for k in call.keywords if k.arg == "mode"), None)
        text = mode.value if isinstance(mode, ast.Constant) else "r"
        assert not set(str(text)) & set("wax+"), f"{name}:{call.lineno} opens a file for writing"
    for node in nodes(name):
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("write_text", "write_bytes"), f"{name}:{node.lineno} writes a file"
