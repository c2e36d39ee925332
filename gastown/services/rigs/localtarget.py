"""Where landing is local: the target branch of the rig's clone, and what the refinery itself has put there.

Only that has landed, and it is kept in a ref of its own. A hook of the clone refuses to move either to anybody else
(hooks/rig/reference-transaction); what came past it is found here, kept under a ref, and taken off the branch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gastown.model.errors import RaceLost
from gastown.model.message import header_text
from gastown.model.rig import Rig
from gastown.model.text import counted
from gastown.runtime import clones, git, intact, rescue
from gastown.store import layout
from gastown.store.refs import Refs
from gastown.store.town import Town

if TYPE_CHECKING:
    from gastown.store.change import Change

LANDED = "refs/gt/landed/"
HEADS = "refs/heads/"
_REMOTE = "refs/remotes/origin/"


@dataclass(frozen=True)
class Astray:
    """A target that is not where the refinery left it: at `found` (None: it is gone) instead of `landed`."""

    target: str
    landed: str | None
    found: str | None


def landed(town: Town, rig: Rig, target: str) -> str | None:
    """The commit up to which the refinery has landed on `target`; None if it has landed nothing there."""
    repo = layout.bare(town.root, rig.name)
    known = clones.resolve(repo, f"{LANDED}{target}")
    if known is not None:
        return known
    found = clones.resolve(repo, f"{HEADS}{target}")
    return None if found is None else _recorded(town, rig, repo, found)


def _recorded(town: Town, rig: Rig, repo: str, tip: str) -> str | None:
    """The newest commit of a branch that the town says has landed: a clone from before there was a ref for it."""
    closed = {row.closed_commit for row in town.index().rows if row.rig == rig.name and row.closed_commit}
    listed = git.text(["rev-list", "--topo-order", tip, "--not", "--remotes=origin"], cwd=repo).split()
    return next((commit for commit in listed if commit in closed), None)


def move(repo: str, target: str, tip: str, old: str | None) -> None:
    """Put the branch and the ref of what has landed on `tip`, both or none, if the branch is still at `old`.

    A worktree that stands on the branch is left with all it holds, on the commit it has. Raises RaceLost.
    """
    _step_off(repo, target)
    before = clones.resolve(repo, f"{LANDED}{target}")
    zero = "0" * len(tip)
    moves = ((f"{HEADS}{target}", old), (f"{LANDED}{target}", before))
    _update(repo, "".join(f"update {ref}\0{tip}\0{was or zero}\0" for ref, was in moves), f"{HEADS}{target}")


def _update(repo: str, lines: str, ref: str) -> None:
    args = ["update-ref", "--stdin", "-z"]
    done = git.run(args, cwd=repo, env=clones.refinery_env(repo), input=lines.encode(), check=False)
    if done.code:
        said = git.tail(done.err)
        raise RaceLost(f"{ref} could not be moved: {said}", "look again, then retry")


def _step_off(repo: str, target: str) -> None:
    """Detach the worktrees that have the branch checked out: to move it would turn what they hold around."""
    for entry in clones.worktrees(repo):
        if entry.get("branch") == f"{HEADS}{target}" and intact.is_whole(repo, entry["worktree"]):
            git.run(["update-ref", "--no-deref", "HEAD", entry["HEAD"]], cwd=entry["worktree"])


# -- what came there past the hook ----------------------------------------------------------------
def astray(town: Town, rig: Rig) -> list[Astray]:
    """The targets that are not where the refinery left them. It takes no process while all is right."""
    repo = layout.bare(town.root, rig.name)
    if rig.landing != "local" or not os.path.isdir(repo):
        return []
    refs = Refs.of_bare(repo)
    return [one for target in sorted({rig.branch, *refs.below(LANDED)}) for one in _look(town, rig, refs, target)]


def _look(town: Town, rig: Rig, refs: Refs, target: str) -> Iterator[Astray]:
    found, known = refs.ref(f"{HEADS}{target}"), refs.ref(f"{LANDED}{target}")
    if found == known:
        return
    here = found.decode() if found else None
    if known:
        yield Astray(target, known.decode(), here)
    elif here and (there := _recorded(town, rig, refs.root, here)) != here and _strangers(refs.root, here, there):
        yield Astray(target, there, here)


def _strangers(repo: str, found: str, landed_to: str | None) -> int:
    """How many commits lie there that neither the refinery landed nor the source repository has."""
    known = [landed_to] if landed_to else []
    return int(git.text(["rev-list", "--count", found, "--not", *known, "--remotes=origin"], cwd=repo))


def said(one: Astray, rig: Rig) -> str:
    """What is wrong, in one phrase."""
    if one.found is None:
        return f"{one.target} of rig {rig.name}'s clone is gone"
    there = f"; what has landed ends at {one.landed[:12]}" if one.landed else ""
    where = f"{one.target} of rig {rig.name}'s clone was moved to {one.found[:12]}"
    return f"{where} past the refinery and its gates{there}"


def put_right(town: Town, rig: Rig, *, say: Callable[[str], None]) -> None:
    """Put each target back to where the refinery left it. What lay there besides is kept under a ref, and told of.

    A landing of another process meanwhile is as good.
    """
    repo = layout.bare(town.root, rig.name)
    _write_down(town, rig)
    for one in astray(town, rig):
        strangers = _strangers(repo, one.found, one.landed) if one.found else 0
        kept = rescue.keep(repo, str(one.found), f"{rig.name}-{one.target}", town.clock()) if strangers else ""
        try:
            _put_back(repo, one)
        except RaceLost as lost:
            say(f"{one.target} was left where it is: {lost.message}")
            continue
        if kept:
            text = f"{said(one, rig)}: {counted(strangers, 'commit')} taken off it, kept as {kept}"
            _tell(town, rig, one, text, kept, strangers)
            say(text)
        else:
            say(f"{said(one, rig)}: put back")


def _write_down(town: Town, rig: Rig) -> None:
    """Give a clone from before there was a ref of what has landed that ref."""
    repo = layout.bare(town.root, rig.name)
    if rig.landing != "local" or not os.path.isdir(repo) or Refs.of_bare(repo).ref(f"{LANDED}{rig.branch}"):
        return
    here = clones.resolve(repo, f"{HEADS}{rig.branch}")
    if here is not None and landed(town, rig, rig.branch) == here:
        move(repo, rig.branch, here, here)


def _put_back(repo: str, one: Astray) -> None:
    if one.landed:
        return move(repo, one.target, one.landed, one.found)
    _step_off(repo, one.target)
    return _update(repo, f"delete {HEADS}{one.target}\0{one.found}\0", f"{HEADS}{one.target}")


def _tell(town: Town, rig: Rig, one: Astray, text: str, kept: str, count: int) -> None:
    repo = layout.bare(town.root, rig.name)
    shown = git.text(["log", f"--max-count={min(count, 20)}", "--format=  %h %an: %s", kept], cwd=repo)
    body = (
        f"{text}.\nNo gate has seen them, so they have not landed:\n\n{shown}\n\n"
        f"Look at them:  git -C {repo} log -p -{count} {kept}\n"
        f"To land them:  gt sling \"take over the commits of {kept}\" {rig.name}\n"
        f"               (in its worktree: git cherry-pick, then gt done)\n"
    )

    title = f"{one.target} of rig {rig.name}: {counted(count, 'commit')} that no gate has seen"

    def record(change: Change) -> None:
        change.emit("rescue", text, rig=rig.name, ref=kept, commit=str(one.found), target=one.target)
        for who in ("overseer", "mayor"):
            change.deliver(who, header_text(title), body, priority="high")

    town.transact("rescue", record, actor=f"{rig.name}/refinery")
