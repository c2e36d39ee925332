"""The short way for commands that agents' hooks call at every prompt: no typer, no heavy import.

Whatever is not the plain everyday call answers None and takes the long way, which prints the same.
"""

from __future__ import annotations


def run(args: list[str]) -> int | None:
    """The exit code, or None if the long way must decide."""
    return None
