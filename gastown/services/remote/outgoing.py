"""What goes out is held to what may come in: a commit that every other machine would refuse is never sent."""

from __future__ import annotations

from gastown.model.errors import InvalidFile, Refused
from gastown.store import treediff
from gastown.store.gitrepo import Repo
from gastown.store.treediff import Unwelcome


def require_welcome(repo: Repo, head: bytes, there: bytes | None) -> None:
    """Raise Refused, naming the path, if a machine that has `there` (None: nothing) would not take `head`.

    Only what differs between the two is looked at: what a later commit mended does not matter any more.
    """
    wrong = unwelcome(repo, head, there)
    if wrong is not None:
        raise Refused(f"nothing was sent, because no other machine would take it: {wrong.message}", wrong.hint)


def unwelcome(repo: Repo, head: bytes, there: bytes | None) -> InvalidFile | None:
    """The first thing in `head` that a machine which has `there` would not take, with what to do about it."""
    known = repo.commit(there).tree if there else None
    try:
        treediff.inspect(repo, known, repo.commit(head).tree, head)
    except Unwelcome as error:
        path = error.path.decode("utf-8", "surrogateescape")
        reason = f"{error.why}, in commit {head.decode()[:12]}"
        return InvalidFile(path, reason, hint=f"mend it in one more commit, then gt sync: {error.mend}")
    return None
