"""Moving a target branch to a tested stack, and proving that it holds every landed commit.

Whatever a push says, only what a fresh fetch shows is believed; an intent written before the
push lets a run that follows a crash find out what became of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from gastown.model.errors import GtError, RaceLost
from gastown.model.rig import Rig
from gastown.runtime import clones, remotes
from gastown.services import localtarget, origins
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
    """The commit a stack must stand on, as last fetched. Raises GtError if there is no such branch.

    Where landing is local that is what has landed in this clone, or the remote's while it is only ahead of it.
    """
    repo = layout.bare(town.root, rig.name)
    remote = clones.resolve(repo, f"{REMOTE}{target}")
    local = localtarget.landed(town, rig, target) if rig.landing == "local" else None
    if local and remote and clones.is_ancestor(repo, local, remote):
        return remote
    found = local or remote
    if not found:
        raise GtError(f"rig {rig.name} has no branch {target}", "check `branch:` in rig.yaml, or push that branch")
    return found


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
