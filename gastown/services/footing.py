"""Where the town stands in git: at rest on the branch that all machines share, or led away by a person's git."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.store.refs import Refs, choose_remote

# The remote's commit that was last seen and found good: a remote that goes back behind it was rewritten.
SEEN = "refs/gt/seen"


@dataclass(frozen=True)
class Astray:
    """Why nothing of this clone reaches the other machines, and the command that leads back."""

    text: str
    command: str


def astray(refs: Refs) -> Astray | None:
    """What git left unfinished, or the wrong branch; None where the town stands right. A few file reads."""
    what = refs.under_way()
    if what:
        return Astray(f"a {what} is under way, which git has not finished", "gt sync --continue")
    ref, head = refs.head()
    remote = choose_remote(refs.remotes())
    shared = _shared(refs, remote) if remote else "main"
    if not ref.startswith("refs/heads/"):
        at = (head or b"").decode()[:10]
        return Astray("it is on no branch, and so is what is written now", f"git switch {shared} && git merge {at}")
    name = ref.removeprefix("refs/heads/")
    if remote is None or name == shared or refs.ref(SEEN) is None:
        return None
    if refs.ref(f"refs/remotes/{remote}/{name}") is not None:
        return None
    text = f"it is on branch {name}, which {remote} has not: the other machines are on {shared}"
    return Astray(text, f"git switch {shared} && git merge {name}")


def _shared(refs: Refs, remote: str) -> str:
    """The branch that the machines share, as last fetched; `main` where that is not known."""
    names = refs.branches_of(remote)
    return names[0] if names and "main" not in names else "main"
