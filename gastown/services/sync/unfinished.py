"""Settling and finishing what plain git left with conflicts: merge, rebase, cherry-pick (gt sync --continue)."""

from __future__ import annotations

import os
from dataclasses import dataclass

from gastown.model import merge_maildir as places
from gastown.model.errors import GtError
from gastown.runtime import git
from gastown.services.mail import mailbox
from gastown.services.sync import mergedriver, settle
from gastown.store import files, layout
from gastown.store.gitrepo import new_blob
from gastown.store.town import Town

_STEPS = 2000
_FINISH = {
    "merge": ["commit", "--no-edit", "--quiet", "--no-verify"],
    "rebase": ["rebase", "--continue"],
    "cherry-pick": ["cherry-pick", "--continue"],
    "revert": ["revert", "--continue"],
}
# Steps of a rebase that apply a commit.
_PICKS = ("pick", "p", "reword", "r", "edit", "e", "squash", "s", "fixup", "f")


@dataclass(frozen=True)
class Finished:
    """What was under way ("" if nothing), the paths that were settled, the beads that got another id, what to tell."""

    what: str
    settled: tuple[str, ...]
    new_ids: dict[str, str]
    said: tuple[str, ...] = ()


def finish(town: Town) -> Finished:
    """Settle every conflict git left in the town by the rules of a sync, and let git finish.

    Raises GitFailed where git cannot go on for another reason.
    """
    settled: list[str] = []
    said: list[str] = []
    what = town.repo.under_way()
    said += _let_go(town) if what == "rebase" else []
    for _ in range(_STEPS):
        settled += _settle_conflicts(town, said)
        now = town.repo.under_way()
        if not now:
            break
        _go_on(town, now)
    else:
        raise GtError(f"the {what} does not come to an end", f"look at it with git status in {town.root}")
    with town.change("mail") as change:
        mailbox.settle_mail(change)
    return Finished(what, tuple(dict.fromkeys(settled)), settle.after(town).new_ids, tuple(filter(None, said)))


def settle_removals(town: Town) -> list[str]:
    """Settle what a stash left unmerged because one side removed the file, though git is in the middle of nothing.

    The change wins. Returns the paths.
    """
    loose = [] if town.repo.under_way() else _conflicts(town).items()
    found = [(path, stages) for path, stages in loose if not {2, 3} <= stages.keys()]
    for path, stages in found:
        if _resolved_by_hand(town, path, stages):
            git.run(["add", "--", path], cwd=town.root)
        else:
            _keep(town, path, stages.get(2) or stages.get(3))
    return [path for path, _ in found]


def _let_go(town: Town) -> list[str]:
    """Let git forget a rebase that is over, or never began: it was killed in its last hook, or before its first step.

    Its branch is checked out, so nothing is left to do; what a person put aside for it goes into the stash.
    """
    folder = os.path.join(town.repo.git_dir, "rebase-merge")
    if not os.path.isdir(folder) or not town.repo.head()[0].startswith("refs/heads/"):
        return []
    aside = files.read_or_none(os.path.join(folder, "autostash"))
    git.run(["rebase", "--quit"], cwd=town.root)
    return ["your edits that git put aside are in its stash: git stash pop"] if aside else []


def _go_on(town: Town, what: str) -> None:
    if what == "rebase":
        _require_picked(town)
    env = {"GIT_EDITOR": "true"}
    done = git.run(_FINISH[what], cwd=town.root, env=env, check=False)
    if done.code == 0 or _conflicts(town):
        return
    if what in ("rebase", "cherry-pick") and _stopped(town) and _nothing_left(town):
        done = git.run([what, "--skip"], cwd=town.root, env=env, check=False)
        if done.code == 0 or _conflicts(town):
            return
    raise git.GitFailed(_FINISH[what], town.root, done.code, done.err)


def _stopped(town: Town) -> bool:
    """True if git itself stopped at a commit, for a person to look at it."""
    names = "rebase-merge/stopped-sha", "CHERRY_PICK_HEAD"
    return any(os.path.exists(os.path.join(town.repo.git_dir, name)) for name in names)


def _require_picked(town: Town) -> None:
    """Raise GtError if git was killed while it applied a commit: it would go on as if that were done."""
    folder = os.path.join(town.repo.git_dir, "rebase-merge")
    steps = _lines(folder, "done")
    step = steps[-1].split() if steps else []
    if len(step) < 2 or step[0] not in _PICKS or _stopped(town) or _conflicts(town):
        return
    sha = git.run(["rev-parse", "--verify", "--quiet", f"{step[1]}^{{commit}}"], cwd=town.root, check=False).text
    told = {line.split()[0] for name in ("rewritten-list", "rewritten-pending") for line in _lines(folder, name)}
    head = (town.repo.head()[1] or b"").decode()
    if sha and sha not in told and sha != head:
        lock = os.path.join(town.repo.git_dir, "index.lock")
        first = f"remove {lock}, which a killed git left; then " if os.path.exists(lock) else ""
        raise GtError(
            f"git was killed while it applied {' '.join(step[1:])[:100]!r}, and would leave it out now",
            f"{first}git rebase --abort goes back to before the pull, with every commit; then run gt sync",
        )


def _lines(folder: str, name: str) -> list[str]:
    data = files.read_or_none(os.path.join(folder, name)) or b""
    return [line for line in data.decode("utf-8", "replace").splitlines() if line.strip() and line[0] != "#"]


def _nothing_left(town: Town) -> bool:
    """True if the commit being applied has become empty: all it did is there already."""
    return git.succeeds(["diff", "--cached", "--quiet", "HEAD"], cwd=town.root)


def _conflicts(town: Town) -> dict[str, dict[int, tuple[str, str]]]:
    """path -> stage (1 base, 2 ours, 3 theirs) -> (mode, blob)."""
    found: dict[str, dict[int, tuple[str, str]]] = {}
    for line in git.run(["ls-files", "--unmerged", "-z"], cwd=town.root).fields():
        head, _, path = line.partition("\t")
        mode, sha, stage = head.split(" ")
        found.setdefault(path, {})[int(stage)] = mode, sha
    return found


def _settle_conflicts(town: Town, said: list[str]) -> list[str]:
    found = _conflicts(town)
    for path, stages in found.items():
        if _resolved_by_hand(town, path, stages):
            git.run(["add", "--", path], cwd=town.root)
        elif 2 in stages and 3 in stages and places.parse(path) is None:
            said.append(_merge(town, path, stages))
        else:
            _keep(town, path, stages.get(2) or stages.get(3))
    return sorted(found)


def _resolved_by_hand(town: Town, path: str, stages: dict[int, tuple[str, str]]) -> bool:
    """True if a person made something of it since: neither a version that git put there nor one with its marks."""
    try:
        data = files.read_or_none(layout.absolute(town.root, path))
    except (IsADirectoryError, NotADirectoryError):
        return False
    if data is None or any(line.startswith((b"<<<<<<<", b">>>>>>>")) for line in data.splitlines()):
        return False
    return bytes(new_blob(data).id).decode() not in {sha for _, sha in stages.values()}


def _keep(town: Town, path: str, entry: tuple[str, str] | None) -> None:
    """Changed here and removed there: the change wins. Moved on both sides: each file stays where its side put it.

    One message in two places is joined at the end.
    """
    if entry is None:
        git.run(["rm", "--quiet", "--cached", "--ignore-unmatch", "--", path], cwd=town.root)
        files.remove(layout.absolute(town.root, path))
    else:
        git.run(["update-index", "--add", "--cacheinfo", f"{entry[0]},{entry[1]},{path}"], cwd=town.root)
        git.run(["checkout-index", "--force", "--", path], cwd=town.root)


def _merge(town: Town, path: str, stages: dict[int, tuple[str, str]]) -> str:
    folder = layout.run(town.root, "merging")
    os.makedirs(folder, exist_ok=True)
    names = {1: "base", 2: "ours", 3: "theirs"}
    for stage, name in names.items():
        data = git.run(["cat-file", "blob", stages[stage][1]], cwd=town.root).out if stage in stages else b""
        files.write(os.path.join(folder, name), data, durable=False)
    base, ours, theirs = (os.path.join(folder, name) for name in names.values())
    said = mergedriver.run(town.root, base, ours, theirs, path, ["MERGE_HEAD"])
    files.write(layout.absolute(town.root, path), files.read(ours))
    git.run(["add", "--", path], cwd=town.root)
    return said
