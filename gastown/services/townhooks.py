"""What git's hooks in a town do: refuse what would break it, and bring this machine up to date after a merge."""

from __future__ import annotations

import os

from gastown.model.errors import InvalidFile
from gastown.runtime import git
from gastown.services import lint
from gastown.store import layout, runstate
from gastown.store.town import Town

WAKE = "wake"


def staged_problems(town: Town) -> list[InvalidFile]:
    """What is wrong with what is staged: unusable files, breaches of the life cycle. For `pre-commit`."""
    listed = git.run(["diff", "--cached", "--name-only", "-z", "--diff-filter=ACMRT", "--no-renames"], cwd=town.root)
    found = []
    for path in listed.fields():
        problem = _staged(town, path)
        if problem is not None:
            found.append(problem)
    return found


def _staged(town: Town, path: str) -> InvalidFile | None:
    data = git.run(["show", f":{path}"], cwd=town.root, check=False)
    if data.code:
        return None  # a submodule, or gone from the index meanwhile
    try:
        new = lint.parse(path, data.out)
    except InvalidFile as problem:
        return problem
    before = git.run(["show", f"HEAD:{path}"], cwd=town.root, check=False)
    if new is None or _git_merges(town):
        return None
    try:
        old = lint.parse(path, before.out) if before.code == 0 else None
    except InvalidFile:
        return None  # mending a broken file is always welcome
    return lint.moved_wrongly(path, old, new)


def _git_merges(town: Town) -> bool:
    """A merge takes states from elsewhere: what is allowed step by step need not be in one."""
    git_dir = git.text(["rev-parse", "--absolute-git-dir"], cwd=town.root)
    signs = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "rebase-merge", "rebase-apply")
    return any(os.path.exists(os.path.join(git_dir, sign)) for sign in signs)


def unusable(town: Town) -> list[InvalidFile]:
    """What is wrong with the committed town. For `pre-push`."""
    head = town.at("HEAD")
    return lint.problems(head, lint.all_paths(head))


def refresh(town: Town) -> None:
    """After a merge, rebase or checkout: mailboxes hold each message once, and the deacon is woken."""
    from gastown.services.mailbox import settle_mail

    git_dir = git.text(["rev-parse", "--absolute-git-dir"], cwd=town.root)
    if not any(os.path.exists(os.path.join(git_dir, one)) for one in ("rebase-merge", "rebase-apply", "MERGE_HEAD")):
        with town.change("mail") as change:
            settle_mail(change)
    runstate.write_json(layout.run(town.root, WAKE), {"at": town.clock()}, durable=False)
