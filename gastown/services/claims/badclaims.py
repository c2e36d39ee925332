"""What was found among the claims at the remote that is none, as everybody may ask who cannot afford to look."""

from __future__ import annotations

import shlex

from gastown.model.errors import GtError
from gastown.store import layout, runstate


class Unreadable(GtError):
    """What stands at a claim's ref is no claim: nobody knows who has the bead, so it counts as somebody's."""

    code = "claim_unreadable"

    def __init__(self, ref: str, why: str, remote: str) -> None:
        command = f"git push {remote} {shlex.quote(f':{ref}')}"
        super().__init__(
            f"the claim {ref} at {remote} cannot be read ({why}), and nobody can take what it stands for",
            f"if no machine works on it, remove it: {command}",
        )
        self.command = command
        self.ref, self.why, self.remote = ref, why, remote


def note(root: str, found: list[Unreadable]) -> None:
    """Keep what was found, for `noted`."""
    if found or noted(root):
        listed = [[one.ref, one.why, one.remote] for one in found]
        runstate.write_json(_note(root), listed, durable=False)


def noted(root: str) -> list[Unreadable]:
    """What was found last: one small file is read."""
    note = runstate.read_json(_note(root))
    return [Unreadable(*map(str, one)) for one in note if len(one) == 3] if isinstance(note, list) else []


def _note(root: str) -> str:
    return layout.run(root, "claims-unreadable.json")
