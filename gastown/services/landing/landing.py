"""Moving a target branch to a tested stack, and proving that it holds every landed commit.

Whatever a push says, only what a fresh fetch shows is believed; an intent written before the
push lets a run that follows a crash find out what became of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from gastown.model.address import author
from gastown.model.errors import NotFound, RaceLost
from gastown.model.rig import Rig
from gastown.runtime import clones, git, joins, remotes
from gastown.services.rigs import localtarget, origins, pulling
from gastown.store import layout, runstate
from gastown.store.town import Town

REMOTE = "refs/remotes/origin/"


@dataclass(frozen=True)
class Landing:
    """What became of it. `moved`: somebody else moved the target first. `reason`: why it did not land."""

    landed: bool
    moved: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Intent:
    """Which merge beads a push was about to land, each with its commit on the stack; what the gates had said."""

    target: str
    base: str
    tip: str
    commits: dict[str, str]
    gates: str


def refresh(town: Town, rig: Rig) -> None:
    """Fetch what the rig's remote holds. Raises RemoteUnreachable, except where landing is local.

    A clone of another repository than rig.yaml names now follows first, or raises as `origins.follow` does.
    """
    origins.follow(town, rig)
    allowed = (remotes.RemoteUnreachable,) if rig.landing == "local" else ()
    with contextlib.suppress(*allowed):
        remotes.fetch(layout.bare(town.root, rig.name))


def target_now(town: Town, rig: Rig, target: str) -> str:
    """The commit a stack must stand on, as last fetched. Raises NotFound if there is no such branch.

    Where landing is local that is what has landed in this clone, or the remote's while it is only ahead of it.
    Where both have moved it is the two joined; what has landed alone if they conflict (see `parted`).
    """
    remote, local = _ends(town, rig, target)
    if local and remote:
        return _newest(town, rig, target, local, remote).commit or local
    found = local or remote
    if not found:
        check = "check `branch:` in rig.yaml, or " if target == rig.branch else ""
        raise NotFound(f"rig {rig.name} has no branch {target}", f"{check}push that branch")
    return found


def parted(town: Town, rig: Rig, target: str) -> str:
    """Why what has landed here and what the remote has cannot be joined, with what to do; "" if they can."""
    remote, local = _ends(town, rig, target)
    if not local or not remote:
        return ""
    joined = _newest(town, rig, target, local, remote)
    if joined.commit:
        return ""
    where = f"conflict in {', '.join(joined.files)}" if joined.files else "share no commit"
    return (
        f"what has landed on {target} and {target} of {git.mask(rig.git)} have parted and {where}: "
        f"join them there, and it goes on from that: {pulling.command(town, rig)}"
    )


def _ends(town: Town, rig: Rig, target: str) -> tuple[str | None, str | None]:
    """What the remote has, as last fetched, and what has landed in this clone, if that is where work lands."""
    repo = layout.bare(town.root, rig.name)
    remote = clones.resolve(repo, f"{REMOTE}{target}")
    return remote, localtarget.landed(town, rig, target) if rig.landing == "local" else None


def _newest(town: Town, rig: Rig, target: str, local: str, remote: str) -> joins.Join:
    repo = layout.bare(town.root, rig.name)
    if clones.is_ancestor(repo, local, remote):
        return joins.Join(remote)
    if clones.is_ancestor(repo, remote, local):
        return joins.Join(local)
    message = f"Merge {target} of {git.mask(rig.git)}"
    return joins.join(repo, local, remote, message=message, who=author(f"{rig.name}/refinery", town.name))


def land(town: Town, rig: Rig, target: str, *, base: str, tip: str, commits: Sequence[str]) -> Landing:
    """Move `target` from `base` to `tip`, only if it still has `base`; then look whether every commit is there.

    Raises RemoteUnreachable when the remote cannot be asked, Refused when the rig was given another repository
    meanwhile: then nothing is known, and nothing may be recorded.
    """
    if rig.landing == "local":
        return _land_local(town, rig, target, base=base, tip=tip, commits=commits)
    origins.follow(town, rig)
    repo = layout.bare(town.root, rig.name)
    refused = ""
    try:
        remotes.push(repo, tip, f"refs/heads/{target}", expect=base, env=clones.refinery_env(repo))
    except remotes.PushRejected as rejection:
        refused = f"{rejection.summary}\n{rejection.tail}".strip() or "the remote refused the push"
    refresh(town, rig)
    now = clones.resolve(repo, f"{REMOTE}{target}")
    return _judge(repo, target, base, now, commits, refused)


def _land_local(town: Town, rig: Rig, target: str, *, base: str, tip: str, commits: Sequence[str]) -> Landing:
    repo = layout.bare(town.root, rig.name)
    localtarget.put_right(town, rig, say=lambda _: None)
    old = localtarget.landed(town, rig, target)
    if old is not None and not clones.is_ancestor(repo, old, tip):
        return Landing(False, moved=True, reason=f"{target} moved to {old[:12]}")
    refused = ""
    try:
        localtarget.move(repo, target, tip, clones.resolve(repo, f"refs/heads/{target}"))
    except RaceLost as lost:
        refused = lost.message
    joins.forget(repo, tip)
    return _judge(repo, target, base, localtarget.landed(town, rig, target), commits, refused)


def _judge(repo: str, target: str, base: str, now: str | None, commits: Sequence[str], refused: str) -> Landing:
    if now and all(clones.is_ancestor(repo, commit, now) for commit in commits):
        return Landing(True)
    if now is None:
        return Landing(False, reason=f"{target} is gone" + (f"\n{refused}" if refused else ""))
    if now != base:
        return Landing(False, moved=True, reason=f"{target} moved to {now[:12]} meanwhile")
    return Landing(False, reason=refused or f"the push was taken, but {target} is still at {now[:12]}")


# -- intents --------------------------------------------------------------------------------------
def _intent_path(town: Town, rig: Rig) -> str:
    return layout.run(town.root, "refinery", f"{rig.name}-intent.json")


def intend(town: Town, rig: Rig, intent: Intent) -> None:
    """Write down what is about to be pushed."""
    runstate.write_json(_intent_path(town, rig), vars(intent))


def intended(town: Town, rig: Rig) -> Intent | None:
    """What an earlier run was about to push and did not record; None if there is none."""
    doc = runstate.read_json(_intent_path(town, rig))
    try:
        return Intent(**doc) if isinstance(doc, dict) else None
    except TypeError:
        return None


def settle(town: Town, rig: Rig) -> None:
    """Forget the intent: it is recorded, or it did not happen."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_intent_path(town, rig))
