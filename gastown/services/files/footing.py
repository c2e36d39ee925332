"""Where the town stands in git: at rest on the branch that all machines share, or led away by a person's git."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gastown.model.errors import Refused
from gastown.store.refs import ASTRAY, Refs

# The remote's commit that was last seen and found good: a remote that goes back behind it was rewritten.
SEEN = "refs/gt/seen"
# Between two looks at whether the town is back on its branch, in seconds.
_LOOKS = 0.5


@dataclass(frozen=True)
class Astray:
    """Why nothing of this clone reaches the other machines, and the command that leads back."""

    text: str
    command: str


def astray(refs: Refs) -> Astray | None:
    """What git left unfinished, or the wrong branch; None where the town stands right. A few file reads."""
    return _unfinished(refs) or away(refs)


def _unfinished(refs: Refs) -> Astray | None:
    what = refs.under_way()
    return Astray(f"a {what} is under way, which git has not finished", "gt sync --continue") if what else None


def away(refs: Refs) -> Astray | None:
    """Why the files are not what the town is, but an earlier or another state of it; None on its branch.

    A merge that is under way on the branch leads nothing away. What is decided by the state elsewhere is wrong:
    there, finished work is unfinished.
    """
    ref, head = refs.head()
    remote = refs.remote()
    shared = _shared(refs, remote)
    if not ref.startswith("refs/heads/"):
        if unfinished := _unfinished(refs):
            return unfinished
        if refs.bisecting():
            return Astray("a bisect is under way, and the town is on no branch", "git bisect reset")
        at = (head or b"").decode()[:10]
        return Astray("it is on no branch, and so is what is written now", f"git switch {shared} && git merge {at}")
    name = ref.removeprefix("refs/heads/")
    if name == shared:
        return None
    if remote is None:
        if refs.ref(f"refs/heads/{shared}") is None:
            return None
        return Astray(f"it is on branch {name}, not on {shared}", f"git switch {shared} && git merge {name}")
    if refs.ref(SEEN) is None or refs.ref(f"refs/remotes/{remote}/{name}") is not None:
        return None
    text = f"it is on branch {name}, which {remote} has not: the other machines are on {shared}"
    return Astray(text, f"git switch {shared} && git merge {name}")


def left_behind(refs: Refs) -> list[str]:
    """The refs of what was written on no branch, and may not be on this one (`strayed` brings it back)."""
    return [ASTRAY + name for name in refs.below(ASTRAY)]


def require_home(refs: Refs) -> None:
    """Raise Refused while the town is led away from its branch: for what goes by its state, and acts."""
    found = away(refs)
    if found is not None:
        raise Refused(f"the town in {refs.root}: {found.text}", f"{found.command}, then again")


def wait_home(refs: Refs, say: Callable[[str], None], seconds: float | None = None) -> None:
    """Wait until the town is on its branch; why is said, once. Raises Refused as `require_home` after `seconds`."""
    until = None if seconds is None else time.monotonic() + seconds
    said = ""
    while (found := away(refs)) is not None and (until is None or time.monotonic() < until):
        if found.text != said:
            say(f"waiting until the town in {refs.root} is on its branch again: {found.text} ({found.command})")
            said = found.text
        time.sleep(_LOOKS)
    require_home(refs)


def _shared(refs: Refs, remote: str | None) -> str:
    """The branch that the machines share, as last fetched; `main` where that is not known."""
    names = refs.branches_of(remote) if remote else []
    return names[0] if names and "main" not in names else "main"
