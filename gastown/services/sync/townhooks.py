"""What git's hooks in a town do: refuse what would break it, and bring this machine up to date after a merge."""

from __future__ import annotations

import os
import shlex
import stat
import time
from collections.abc import Iterable

from gastown.model.errors import InvalidFile, RaceLost, Refused
from gastown.model.slips import Slip
from gastown.runtime import git
from gastown.services.files import handedits, lifecycle, lint, rigless
from gastown.services.mail import mailbox
from gastown.services.remote import outgoing
from gastown.services.sync import settle
from gastown.store import commit, committing, editbases, layout, lock, runstate, treediff
from gastown.store.fitting import Fitting
from gastown.store.stale import Versions
from gastown.store.town import Town

WAKE = "wake"
# How long the hook of a commit waits for the town lock before it looks whether the holder waits for the commit.
_LOOK = 0.02
_OLDER = "this edit began from an older version, and would take back what came since; gt sync commits it merged"


def finish_killed(town: Town) -> bool:
    """Finish what a killed gt left, once no gt is at work; True if there was something.

    What a person staged before may be older than the branch then: committing it would take back what had come.
    A gt that waits for this very commit has moved nothing yet, and is not waited for.
    """
    deadline = time.monotonic() + lock.TIMEOUT
    while True:
        try:
            with lock.town_lock(town.root, "recover", timeout=_LOOK):
                if not town.unsettled:
                    return False
                commit.recover(town.repo)
                return True
        except RaceLost:
            if committing.is_waited_for(town.root):
                return False
            if time.monotonic() > deadline:
                raise


def staged_problems(town: Town) -> list[InvalidFile]:
    """What is wrong with what is staged: unusable files, breaches of the life cycle. For `pre-commit`."""
    handedits.forget_dropped(town)
    staged = _staged(town)
    gone = [path for path, (mode, _) in staged.items() if not mode]
    look = _Look(town, staged, gone)
    fitting, found = Fitting(town.repo, look.tree, gone=gone), []
    for path, (mode, sha) in staged.items():
        problem = (_unfit(fitting, path, mode) or look.problem(path, mode, sha)) if mode else None
        if problem is not None:
            found.append(problem)
    return found


def _staged(town: Town) -> dict[str, tuple[int, bytes]]:
    """Mode and blob of every path that is staged otherwise than HEAD has it; mode 0 for what is to be removed."""
    args = ["diff", "--cached", "--raw", "-z", "--no-abbrev", "--no-renames"]
    fields = git.run(args, cwd=town.root, env=_index()).fields()
    metas = ((path, meta.split()) for meta, path in zip(fields[::2], fields[1::2], strict=True))
    return {path: (int(meta[1], 8), meta[3].encode()) for path, meta in metas}


def _unfit(fitting: Fitting, path: str, mode: int) -> InvalidFile | None:
    """Why a staged file would keep every other machine from taking the commit; None if it would not."""
    what = treediff.bad_mode(mode)
    if what:
        return InvalidFile(path, f"is {what}", hint=f"git rm -r --cached {shlex.quote(path)}")
    why = fitting.wrong(path)
    return InvalidFile(path, f"{why}; no other machine would take it", hint="rename it") if why else None


def _index() -> dict[str, str]:
    """Where git keeps what it is about to commit: with --all its hooks are told of another index."""
    return {key: value for key, value in os.environ.items() if key == "GIT_INDEX_FILE"}


class _Look:
    """Looks at the staged files one by one; git is asked only once for all: it holds its index until we are done."""

    def __init__(self, town: Town, paths: Iterable[str], gone: Iterable[str]) -> None:
        self.town, self.tree = town, town.repo.head_tree()
        self._merges = town.repo.under_way()
        self._older = editbases.pending(town.root)
        self._versions, self._moved = Versions(town.repo, paths), lifecycle.came_from(gone)

    def problem(self, path: str, mode: int, sha: bytes) -> InvalidFile | None:
        """What is wrong with the content that is staged for a path."""
        if not stat.S_ISREG(mode):
            return None  # a submodule
        repo, data = self.town.repo, bytes(self.town.repo.get(sha).as_raw_string())
        try:
            new = lint.parse(path, data, self.town)
        except InvalidFile as problem:
            return problem
        # A merge takes states from elsewhere: what is allowed step by step need not be in one.
        judged = new is not None and not self._merges
        looked = judged or path in self._older
        if looked and editbases.on_top(repo, self.tree, path, data, self._versions).data != data:
            return InvalidFile(path, _OLDER)
        if new is None or not judged:
            return None
        return lifecycle.breach(path, lifecycle.before(repo, self.tree, path, new, self._moved), new)


def unusable(town: Town) -> list[InvalidFile]:
    """What is wrong with the committed town, and what in it no other machine would take. For `pre-push`."""
    view = town.at("HEAD")
    ref, head = town.repo.head()
    there = town.repo.ref(f"refs/remotes/{town.repo.remote()}/{ref.removeprefix('refs/heads/')}")
    wrong = outgoing.unwelcome(town.repo, head, there) if head else None
    lost = [one.problem for one in rigless.found(view)]
    found = [one for one in lint.problems(view, lint.all_paths(view)) if not isinstance(one, Slip)]
    return [*([wrong] if wrong else []), *found, *lost]


def unwelcome(town: Town) -> Refused | None:
    """What a person's own pull brought though no sync would have taken it; None if all is well.

    git has made files of it already: it can only be said.
    """
    before, (_, head) = town.repo.ref("ORIG_HEAD"), town.repo.head()
    if before is None or head is None:
        return None
    try:
        treediff.inspect(town.repo, town.repo.commit(before).tree, town.repo.commit(head).tree, head)
    except Refused as error:
        return Refused(
            error.message.replace("cannot be taken into this town", "does not belong into a town"),
            f"plain git does not look at that; take it back: git reset --hard {before.decode()[:12]}",
        )
    except KeyError:
        return None  # what was there before is long gone
    return None


def refresh(town: Town, *, finished: bool) -> None:
    """After a merge, rebase or checkout: what git left half done is settled, and the deacon is woken.

    `finished`: the hook that runs says that git is done; a checkout may be the beginning of a rebase.
    """
    if town.repo.head()[0].startswith("refs/heads/") and (finished or not town.repo.under_way()):
        with town.change("mail") as change:
            mailbox.settle_mail(change)
        settle.after(town, finished=finished)
    runstate.write_json(layout.run(town.root, WAKE), {"at": town.clock()}, durable=False)
