"""The sync: commit, fetch, merge, push, until both sides hold the same (sync.md, The sync)."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gastown.model.address import author
from gastown.model.errors import GtError, InvalidFile, RaceLost
from gastown.model.merge import Settled
from gastown.runtime import git
from gastown.runtime.remotes import PushRejected
from gastown.services.files import editable, footing, handedits, lint
from gastown.services.files.footing import SEEN
from gastown.services.remote import outgoing, takeable, wire
from gastown.services.remote.wire import Wire
from gastown.services.sync import settle, strayed, treejoin, unfinished
from gastown.store import layout, mergewrite, treediff, treemerge
from gastown.store.gitrepo import Repo
from gastown.store.town import Town

TRIES = 10
Step = Callable[[str], None]


@dataclass(frozen=True)
class SyncReport:
    """What a sync did. `pulled`, `pushed`: commits that came and went; `invalid`: edits that stay out;

    `unusable`: files that came and cannot be used; `busy`: files that are being edited right now; `settled`: (path,
    conflict) that were decided; `new_ids`: beads that had to be renumbered; `tries`: how often somebody else was
    faster; `first`: the remote was empty, so all that the town holds was made here.
    """

    head: str = ""
    remote: str = ""
    committed: tuple[str, ...] = ()
    invalid: tuple[InvalidFile, ...] = ()
    unusable: tuple[InvalidFile, ...] = ()
    busy: tuple[str, ...] = ()
    pulled: int = 0
    pushed: int = 0
    merged: bool = False
    settled: tuple[tuple[str, Settled], ...] = ()
    new_ids: dict[str, str] = field(default_factory=dict)
    tries: int = 0
    first: bool = False


def sync(
    town: Town,
    *,
    on_step: Step | None = None,
    accept_rewrite: bool = False,
    watched: bool = False,
    timeout: float = wire.TIMEOUT,
    rng: random.Random | None = None,
) -> SyncReport:
    """Bring this clone and the remote to the same commit.

    `watched`: somebody adopts hand edits as they are made; they are looked for only where something came or goes.

    Raises RemoteUnreachable (nothing is lost, all of it is committed), RaceLost after 10 tries, Refused for a remote
    that is no clone of this town, was rewritten, or holds what may not become files here, and GtError while git has
    something unfinished. `timeout` (seconds) is for each word with the remote.
    """
    tell = on_step or (lambda _: None)
    with wire.opened(town, timeout=timeout) as line:
        _require_rest(town)
        ref, _ = mergewrite.require_branch(town.repo)
        before = town.repo.ref(takeable.tracking(line, ref))
        if before is not None and town.repo.ref(SEEN) is None:
            _remember(town, before)
        changed = _fetch(town, line, ref, tell) if watched else _fetch_and_look(town, line, tell)
        handedits.forget_dropped(town)
        report = SyncReport(remote=line.remote)
        if changed:
            unfinished.settle_removals(town)
            done = handedits.commit(town, changed)
            report = replace(report, committed=done.committed, invalid=done.invalid, busy=done.busy)
        report = _settled(town, report)
        _, head = mergewrite.require_branch(town.repo)
        report = _until_alike(town, line, report, tell, accept_rewrite, rng or random.Random())
        return replace(report, unusable=tuple(_unusable(town, head))) if report.pulled else report


def joined(first: SyncReport, then: SyncReport) -> SyncReport:
    """Two syncs in a row as one."""
    return replace(
        then, committed=(*first.committed, *then.committed), pulled=first.pulled + then.pulled,
        pushed=first.pushed + then.pushed, merged=first.merged or then.merged,
        unusable=tuple({one.path: one for one in (*first.unusable, *then.unusable)}.values()),
        settled=(*first.settled, *then.settled), new_ids={**first.new_ids, **then.new_ids},
        tries=first.tries + then.tries, first=first.first,
    )  # fmt: skip


def _unusable(town: Town, before: bytes) -> list[InvalidFile]:
    """What cannot be used of the files that are not as they were at a commit."""
    repo = town.repo
    _, head = mergewrite.require_branch(repo)
    changed = treediff.changes(repo, repo.commit(before).tree, repo.commit(head).tree)
    found = [one for one in town.index().problems if one.path in changed]  # beads, which it has read anyway
    others = sorted(path for path, (_, now) in changed.items() if now is not None and not layout.bead_of_path(path))
    return found + lint.problems(town, [path for path in others if town.exists(path)])


def take(town: Town, *, timeout: float = wire.TIMEOUT, accept_rewrite: bool = False) -> SyncReport:
    """Bring what the remote holds into this clone and send nothing: one's own commits go with the next sync.

    Raises as `sync` does.
    """
    with wire.opened(town, timeout=timeout) as line:
        _require_rest(town)
        line.fetch()
        return _take(town, line, SyncReport(remote=line.remote), lambda _: None, accept_rewrite)


def _require_rest(town: Town) -> None:
    """Nobody's git is in the middle of something; what a killed gt left is finished first."""
    town.settle()
    found = footing.astray(town.repo)
    if found is not None and (town.repo.under_way() or not town.repo.head()[0].startswith("refs/heads/")):
        raise GtError(f"{town.root} cannot be synced: {found.text}", found.command)
    mergewrite.require_branch(town.repo)
    strayed.bring_back(town)


def _fetch(town: Town, line: Wire, ref: str, tell: Step) -> list[str]:
    """Fetch; what was edited by hand where something came or goes, else nothing."""
    tell(f"fetching from {line.remote}")
    line.fetch()
    return [] if town.repo.ref(ref) == town.repo.ref(takeable.tracking(line, ref)) else editable.uncommitted(town.root)


def _fetch_and_look(town: Town, line: Wire, tell: Step) -> list[str]:
    """Fetch, and meanwhile ask git what was edited by hand."""
    found: list[list[str]] = []
    failed: list[BaseException] = []

    def look() -> None:
        try:
            found.append(editable.uncommitted(town.root))
        except GtError as error:
            failed.append(error)

    side = threading.Thread(target=look, daemon=True)
    side.start()
    try:
        tell(f"fetching from {line.remote}")
        line.fetch()
    except GtError:
        side.join()
        if found and found[0]:
            handedits.commit(town, found[0])  # what was edited is safe, whatever the network does
        raise
    side.join()
    if failed:
        raise failed[0]
    return found[0]


def _until_alike(
    town: Town, line: Wire, report: SyncReport, tell: Step, accept_rewrite: bool, rng: random.Random
) -> SyncReport:
    for number in range(TRIES + 1):
        report = _settled(town, replace(_take(town, line, report, tell, accept_rewrite), tries=number))
        ref, head = mergewrite.require_branch(town.repo)
        there = town.repo.ref(takeable.tracking(line, ref))
        if there == head:
            _remember(town, head)
            return replace(report, head=head.decode())
        outgoing.require_welcome(town.repo, head, there)
        if _push(town, line, ref, head, tell):
            count = takeable.count(town, head, there)
            _remember(town, head)
            return replace(report, head=head.decode(), pushed=report.pushed + count)
        if number < TRIES:
            time.sleep(rng.uniform(0.02, 0.1) * (number + 1))
            line.fetch()
    _, head = mergewrite.require_branch(town.repo)
    raise RaceLost(
        f"others kept pushing first: {head.decode()[:10]} is merged here and still to be sent", "run gt sync again"
    )


def _settled(town: Town, report: SyncReport) -> SyncReport:
    """What plain git left half done here, or elsewhere and pushed, is settled before anything is sent."""
    return replace(report, new_ids={**report.new_ids, **settle.after(town).new_ids})


def _remember(town: Town, commit: bytes) -> None:
    """Both sides hold this commit."""
    if town.repo.ref(SEEN) != commit:
        git.run(["update-ref", SEEN, commit.decode()], cwd=town.root)


# -- taking what is there -----------------------------------------------------------------------
def _take(town: Town, line: Wire, report: SyncReport, tell: Step, accept_rewrite: bool) -> SyncReport:
    """Fast-forward to the remote's commit, or merge it; nothing if there is nothing new."""
    for _ in range(TRIES):
        ref, head = mergewrite.require_branch(town.repo)
        there = town.repo.ref(takeable.tracking(line, ref))
        if there is None:
            takeable.check_empty(town, line, ref)
            return replace(report, first=True)
        if there == head:
            return report
        found = treemerge.bases(town.repo, head, there)
        takeable.check_is_town(town, line, head, there)
        since = None if found else takeable.parted(town, line, ref, head, there, accept_rewrite)
        takeable.check_rewritten(town, line, ref, there, accept_rewrite)
        if found == [there]:
            return report
        takeable.check_usable(town, line, ref, there)
        tell("merging" if found != [head] else "taking over what is new")
        try:
            if found == [head]:
                done = _forward(town, head, there)
            else:
                done = treejoin.join(town, head, there, line.remote, since)
        except treediff.Unwelcome as error:
            raise takeable.NotTaken(error.message, takeable.without(town, line, ref)) from None
        if done is not None:
            return replace(
                report,
                pulled=report.pulled + takeable.count(town, there, head),
                merged=report.merged or found != [head],
                settled=(*report.settled, *done.settled),
                new_ids={**report.new_ids, **done.new_ids},
            )
    raise RaceLost("the town kept changing while it was merged", "run gt sync again")


def _forward(town: Town, head: bytes, there: bytes) -> treemerge.TreeMerge | None:
    mine, other = town.repo.commit(head).tree, town.repo.commit(there).tree
    treediff.inspect(town.repo, mine, other, there)
    with town.change("sync"):
        who = author("deacon", town.name)
        moved = mergewrite.move(town.repo, there, (), old=head, who=who, message="gt sync: fast-forward")
    town.refresh()
    return treemerge.TreeMerge(other, []) if moved else None


# -- sending --------------------------------------------------------------------------------------
def _push(town: Town, line: Wire, ref: str, head: bytes, tell: Step) -> bool:
    """True if the remote holds our commit now (read back); False if somebody was first."""
    tell(f"pushing to {line.remote}")
    result = line.push(f"{head.decode()}:{ref}")
    now = line.read(ref)
    if now == head.decode() or (result.code == 0 and now is not None and _holds(town, line, now, head)):
        git.run(["update-ref", takeable.tracking(line, ref), now or ""], cwd=town.root)
        return True
    if now is not None and now.encode() != town.repo.ref(takeable.tracking(line, ref)):
        return False
    said = git.tail(result.err)
    if result.code == 0:
        raise PushRejected(ref, "the remote said yes, but does not hold it", said, now=now, moved=False)
    if now is None and town.repo.ref(takeable.tracking(line, ref)) is not None:
        return False
    raise PushRejected(ref, _summary(result.out), said, now=now, moved=False)


def _holds(town: Town, line: Wire, now: str, head: bytes) -> bool:
    """Somebody pushed on top of what we just pushed."""
    line.fetch()
    return git.succeeds(["merge-base", "--is-ancestor", head.decode(), now], cwd=town.root)


def _summary(out: bytes) -> str:
    lines = [line for line in out.decode("utf-8", "replace").splitlines() if line.startswith("!\t")]
    return lines[0].split("\t")[-1] if lines else ""


def has_news(repo: Repo, remote: str | None = None) -> bool:
    """True if there is something to send: our branch is not where the remote was when it was last seen."""
    ref, head = repo.head()
    return head != repo.ref(f"refs/remotes/{remote or repo.remote()}/{ref.removeprefix('refs/heads/')}")
