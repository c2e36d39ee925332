"""Work whose bead was removed while an agent was at it: the branch that keeps it is named, and nothing else is done."""

from __future__ import annotations

import os
from collections.abc import Iterator

from gastown.model.address import name_of, rig_of
from gastown.model.bead import parse_branch
from gastown.model.errors import GtError
from gastown.model.text import counted
from gastown.runtime import clones, git, sessions
from gastown.runtime.sessions import SessionRecord
from gastown.services.agents import worksite
from gastown.services.files import footing
from gastown.store import layout, runstate
from gastown.store.change import Change
from gastown.store.town import Town

_TOLD = "orphaned.json"


def is_removed(town: Town, bead: str) -> bool:
    """True if no file is named as the bead, neither here nor in the last commit: nobody can be mending it.

    Where git led the town to another state of it, or is in the middle of something, nothing is concluded.
    """
    if footing.astray(town.repo) is not None:
        return False
    return town.bead_path(bead) is None and town.at("HEAD").bead_path(bead) is None


def why(town: Town, record: SessionRecord) -> str:
    """What became of a session's bead, and where its commits are; "" if the bead was not removed."""
    if not record.bead or not is_removed(town, record.bead):
        return ""
    return f"{record.bead} was removed{_kept(town, record)}"


def _kept(town: Town, record: SessionRecord) -> str:
    rig, branch = rig_of(record.address), record.branch or ""
    repo = layout.bare(town.root, rig) if rig else ""
    if not os.path.isdir(repo) or clones.resolve(repo, f"refs/heads/{branch}") is None:
        return ""
    return f"; what was committed for it stays on branch {branch} in {layout.relative(town.root, repo)}"


def tell_end(town: Town, record: SessionRecord) -> str:
    """Save what a session left uncommitted though its bead was removed, and say in the feed where all of it is, once.

    What was saved; "" if there is nothing, or the bead is there.
    """
    text = why(town, record)
    rig, note = rig_of(record.address), os.path.join(sessions.folder_of(layout.run(town.root), record.id), _TOLD)
    if not text or rig is None:
        return ""
    try:
        saved = worksite.save(town, rig, name_of(record.address))
    except GtError as error:
        saved = f"what is uncommitted could not be saved: {error.message}"

    def body(change: Change) -> None:
        if os.path.exists(note):
            return
        said = f"session {record.id} of {record.address} ended: {text}"
        change.emit("session_end", said, bead=record.bead, rig=rig, session=record.id, branch=record.branch)
        if saved:
            change.emit("rescue", f"worktree of {record.address}: {saved}", rig=rig, worker=record.address)

    town.transact("session_end", body)
    runstate.write_json(note, {"at": town.clock()}, durable=False)
    return saved


def branches(town: Town, rig: str, target: str) -> Iterator[tuple[str, str, int]]:
    """(bead, branch, commits that have not landed) of each branch of this machine whose bead was removed."""
    repo = layout.bare(town.root, rig)
    heads = git.run(["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/polecat/"], git_dir=repo).text.split()
    known = ["--remotes=origin", *([f"refs/heads/{target}"] if clones.resolve(repo, f"refs/heads/{target}") else [])]
    for branch in heads:
        bead = parse_branch(branch)[1]
        if bead and is_removed(town, bead):
            args = ["rev-list", "--count", f"refs/heads/{branch}", "--not", *known, "--"]
            count = int(git.run(args, git_dir=repo).text)
            if count:
                yield bead, branch, count


def said(rig: str, bead: str, branch: str, count: int) -> tuple[str, str]:
    """Such a branch, and what to do with it, in words."""
    text = f"{bead} was removed, and {counted(count, 'commit')} made for it are on branch {branch} alone"
    return text, f"git -C {layout.WORK}/{rig}/.repo.git log {branch} shows them; branch -D {branch} gives them up"
