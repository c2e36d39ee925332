"""Whether queued work stands on its target already: by what its commits change to the byte, or by what is there.

git's own patch-ids take no notice of white space, of what a binary file holds, or of a revert that came later: they
are no proof.
"""

from __future__ import annotations

import hashlib

from gastown.model.queue import Entry
from gastown.runtime import git, joins


def landed_already(repo: str, target: str, entry: Entry) -> str | None:
    """The commit of `target` with which all of `entry` is there, None if that is not sure.

    It is: the queued commit is an ancestor; or commits with its own `Bead:` trailer make the very same changes, one
    by one or all in one (a squash): then it has landed, whatever was done about it later. What others have made in
    its place (its like by patch-id), or what its own commits made in another shape, counts while the target really
    holds it: merging it there changes nothing.
    """
    if git.succeeds(["merge-base", "--is-ancestor", entry.commit, target], git_dir=repo):
        return entry.commit
    fork = git.run(["merge-base", target, entry.commit], git_dir=repo, check=False).text
    if not fork:
        return None
    mine = trailed(repo, f"{fork}..{target}", entry.source)
    made = _made_by(repo, mine, fork, entry.commit)
    if made:
        return made
    missing = _cherries(repo, "--cherry-pick", "--right-only", f"{target}...{entry.commit}",
                        "--not", f"--glob={joins.JOINED}*")  # fmt: skip
    if (missing and not mine) or not joins.adds_nothing(repo, target, entry.commit):
        return None
    return mine[0] if missing else _newest_like(repo, target, entry.commit)


def trailed(repo: str, span: str, bead: str, *options: str) -> list[str]:
    """The commits of `span`, newest first, whose `Bead:` trailer names `bead`."""
    if not bead:
        return []
    shape = "--format=%H %(trailers:key=Bead,valueonly,separator=%x20)"
    shown = git.text(["log", *options, "--fixed-strings", f"--grep={bead}", shape, span], git_dir=repo)
    rows = [line.split() for line in shown.splitlines()]
    return [row[0] for row in rows if bead in row[1:]]


def _made_by(repo: str, mine: list[str], fork: str, commit: str) -> str | None:
    """The newest of the commits `mine` if they change just what the branch does, each as its own or one as a whole."""
    if not mine:
        return None
    changes = {_change(repo, one): one for one in reversed(mine)}
    whole = _change(repo, fork, commit)
    if whole and whole in changes:
        return changes[whole]
    ours = _cherries(repo, commit, "--not", fork, f"--glob={joins.JOINED}*")
    wanted = [_change(repo, one) for one in ours]  # "" for a merge: what that decided is only seen in the whole
    return mine[0] if ours and all(one and one in changes for one in wanted) else None


def _change(repo: str, *what: str) -> str:
    """A digest of all that a commit, or the step between two, changes: every byte of it and what stands around it.

    Line numbers alone do not count. "" if it changes nothing, or is a merge.
    """
    args = ["diff-tree", "-p", "--root", "--no-commit-id", "--binary", "--full-index", "--no-renames",
            "--no-ext-diff", "--no-textconv", "--no-color", "--unified=3", *what]  # fmt: skip
    shown = git.run(args, git_dir=repo).out
    found = hashlib.sha256()
    for line in shown.split(b"\n"):
        # The lines of a text stand behind a sign, those of a binary file are one word: these two are headers.
        if not line.startswith((b"index ", b"@@ ")):
            found.update(line + b"\n")
        elif line.startswith(b"@@ "):
            found.update(b"@@\n")
    return found.hexdigest() if shown else ""


def _newest_like(repo: str, target: str, commit: str) -> str:
    """The newest commit of `target` that is like one of the branch's by patch-id; its tip if there is none."""
    marked = _cherries(repo, "--no-merges", "--cherry-mark", "--left-only", f"{target}...{commit}")
    likes = [one[1:] for one in marked if one.startswith("=")]
    return likes[0] if likes else git.text(["rev-parse", f"{target}^{{commit}}"], git_dir=repo)


def _cherries(repo: str, *args: str) -> list[str]:
    return git.text(["rev-list", *args], git_dir=repo).split()
