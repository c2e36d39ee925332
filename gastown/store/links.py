"""Symbolic links where a town has plain files: no write follows one, or it could lead out of the town."""

from __future__ import annotations

import os

from gastown.model.errors import InvalidFile


def first(root: str, path: str) -> InvalidFile | None:
    """What is wrong with the first part of a town path that is a symbolic link; None if none of them is."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        here = "/".join(parts[:depth])
        if os.path.islink(os.path.join(root, here)):
            return _wrong(root, here)
    return None


def _wrong(root: str, path: str) -> InvalidFile:
    import shlex  # with it `re`, which a sound town never needs here

    where, name = os.path.join(root, path), shlex.quote(path)
    what, reason = "file", "is a symbolic link, and a town holds plain files"
    if os.path.isfile(where):
        command = f"cp {name} {name}.new && mv {name}.new {name}"
    elif os.path.isdir(where):
        what, command = "folder", f"cp -RL {name} {name}.new && rm {name} && mv {name}.new {name}"
    else:
        return InvalidFile(path, f"{reason}; it leads nowhere", hint=f"remove it: rm {name}", command=f"rm {name}")
    return InvalidFile(path, reason, hint=f"put the {what} itself in its place: {command}", command=command)
