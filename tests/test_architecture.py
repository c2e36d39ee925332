"""Imports point down the floors of the house, and nowhere in a circle (architecture.md)."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "gastown"
FLOORS = ["model", "store", "runtime", "services", "deacon", "ui", "cli"]
# The wings of the services, lowest first: the same rule holds among them.
WINGS = [
    "beads", "settings", "files", "rigs", "landing", "sessions", "mail", "agents", "work",
    "remote", "claims", "sync", "machines", "sling", "health", "refinery", "demo",
]  # fmt: skip
MODULES = {
    ".".join(("gastown", *path.relative_to(PACKAGE).with_suffix("").parts)): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py" and "_data" not in path.parts
}


@pytest.fixture(autouse=True)
def sealed() -> None:
    """Sources are only read here: a home for each of a thousand cases would take longer than the cases do."""


@cache
def tree(name: str) -> ast.Module:
    """A module's syntax."""
    return ast.parse(MODULES[name].read_text("utf-8"))


@cache
def nodes(name: str) -> tuple[ast.AST, ...]:
    """Everything in it."""
    return tuple(ast.walk(tree(name)))


def imports(name: str, *, top_only: bool = False) -> set[str]:
    """The modules of ours that `name` imports; `top_only`: when it is loaded, not in functions."""
    found = set()
    for node in _loaded(tree(name)) if top_only else nodes(name):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} imports relatively"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {one for one in found if one in MODULES and one != name}


def _loaded(tree: ast.Module) -> list[ast.stmt]:
    """Statements that run when the module is loaded: not those for type checkers."""
    found: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            found += node.orelse
        else:
            found.append(node)
    return found


def floor(name: str) -> tuple[int, int]:
    """The floor of a module, and of a service its wing; gastown/__main__.py stands on top of all."""
    room, wing = name.split(".")[1:3] if name.count(".") > 1 else (name.split(".")[1], "")
    return FLOORS.index(room) if room in FLOORS else len(FLOORS), WINGS.index(wing) if room == "services" else 0


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name: str) -> None:
    above = {one for one in imports(name) if floor(one) > floor(name)}
    assert not above, f"{name} reaches up to {sorted(above)}"


def test_no_circles_when_loaded() -> None:
    graph = {name: imports(name, top_only=True) for name in MODULES}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle of imports: {' -> '.join((*path[path.index(name) :], name))}"
        if name not in done:
            for one in sorted(graph[name]):
                visit(one, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_every_module_says_what_it_holds() -> None:
    missing = [name for name in MODULES if not ast.get_docstring(tree(name))]
    assert missing in ([], ["gastown.__main__"])


@pytest.mark.parametrize("name", MODULES)
def test_modules_and_functions_stay_small(name: str) -> None:
    text = MODULES[name].read_text("utf-8")
    assert len(text.splitlines()) <= 400, f"{name} has grown"
    for node in nodes(name):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 62, f"{name}.{node.name} has {length} lines"
