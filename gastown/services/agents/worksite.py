"""Where an attempt is worked on: the commit it starts from, its worktree and branch, the rig's setup commands."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gastown.model import times
from gastown.model.address import author
from gastown.model.bead import Bead
from gastown.model.errors import GtError
from gastown.model.rig import Rig
from gastown.model.row import Row
from gastown.model.text import counted, some
from gastown.runtime import clones, git, intact, joins, leftovers, marked, remotes, rescue, shell, stash, worktrees
from gastown.services.landing import gates, landing
from gastown.services.rigs import origins, rigs
from gastown.services.settings import trust
from gastown.store import files, layout, runstate
from gastown.store.town import Town

SETUP_TIMEOUT = 1800.0
# What gt or an agent may leave in a worktree and no commit should hold.
EXCLUDED = ("/.gt/", "/.gt-*")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Base:
    """The commit an attempt starts from, as branch `target` stands; `ref` is what the agent can call it."""

    target: str
    commit: str
    ref: str
    warning: str = ""


@dataclass(frozen=True)
class Site:
    """A worktree that is ready. `fresh`: it was made now. `rescued`: what was saved first, and where."""

    path: str
    fresh: bool
    rescued: str = ""


# -- the base -------------------------------------------------------------------------------------
def newest_base(town: Town, rig: Rig, target: str, *, fetch: bool = True, say: Say | None = None) -> Base:
    """The newest commit of `target`; fetched first. A remote that does not answer is said in `warning`.

    A rig that this machine has not had is cloned (`say` is told where that waits for another process); one that was
    given another repository is said in `warning`, too.
    """
    warning = origins.follow(town, rig)
    repo = rigs.ensure_clone(town, rig, say=say)
    if fetch:
        try:
            landing.refresh(town, rig)
        except remotes.RemoteUnreachable as error:
            warning = f"starting from what was fetched last: {error.message.splitlines()[0]}"
    commit = landing.target_now(town, rig, target)
    if why := landing.parted(town, rig, target):
        warning = "; ".join(filter(None, (warning, f"starting from what has landed: {why}")))
    names = {clones.resolve(repo, f"{landing.REMOTE}{target}"): f"origin/{target}"}
    names[clones.resolve(repo, f"refs/heads/{target}")] = target
    return Base(target, commit, names.get(commit, commit), warning)


def missing_needs(town: Town, rig: Rig, bead: Bead, by_id: Mapping[str, Row], base: Base) -> list[str]:
    """The closed needs of the same rig whose landed commit is not in the base, each with why (git decides)."""
    repo = layout.bare(town.root, rig.name)
    found = []
    for need in bead.needs:
        row = by_id.get(need)
        if row is None or row.rig != rig.name or not row.closed_commit:
            continue
        known = clones.resolve(repo, row.closed_commit)
        if known is None or not clones.is_ancestor(repo, known, base.commit):
            found.append(f"{need} (its commit {row.closed_commit[:12]} is not on {base.target} yet)")
    return found


def ahead(repo: str, base: str, branch: str) -> int:
    """How many commits `branch` has that `base` has not; 0 if there is no such branch."""
    tip = clones.resolve(repo, f"refs/heads/{branch}")
    args = ["rev-list", "--count", str(tip), "--not", base, f"--glob={joins.JOINED}*"]
    return int(git.text(args, git_dir=repo)) if tip else 0


# -- the worktree ---------------------------------------------------------------------------------
def prepare(town: Town, rig: Rig, name: str, branch: str, base: str, *, resumed: bool = False) -> Site:
    """The worker's worktree on `branch`, made or reused; repeating it is success.

    A new branch starts at `base`; `resumed` takes an existing one as it is. A reused worktree is emptied only
    after whatever is unsaved in it was saved; one that is broken is set aside as it is, and made anew. Raises Refused
    for a branch in other use.
    """
    repo = layout.bare(town.root, rig.name)
    path = layout.worktree(town.root, rig.name, name)
    rigs.guard(town, rig)  # its work may be the first to land on another branch than the rig's
    rules = _exclude_ours(town, rig)
    existing = resumed and clones.resolve(repo, f"refs/heads/{branch}") is not None
    if not intact.is_whole(repo, path):
        aside = set_aside(town, rig.name, name)
        worktrees.add(repo, path, branch, f"refs/heads/{branch}" if existing else base, existing=existing)
        return Site(path, True, _joined(rules, aside))
    worktrees.clear_locks(path)
    if worktrees.state(path).branch == branch:
        worktrees.add(repo, path, branch, base, existing=True)
        return Site(path, False, rules)
    return Site(path, False, _joined(rules, _switch(town, rig, name, branch, None if existing else base)))


def _joined(*texts: str) -> str:
    return "; ".join(filter(None, texts))


def _switch(town: Town, rig: Rig, name: str, branch: str, base: str | None) -> str:
    """Put an idle worktree on a branch, new from `base` or an existing one; what was saved before, in words.

    The worker's last branch may be put away as landed between the two, and its commits lie loose then: once more.
    """
    repo, path = layout.bare(town.root, rig.name), layout.worktree(town.root, rig.name, name)
    start = base or clones.resolve(repo, f"refs/heads/{branch}")
    assert start is not None
    aside = intact.free_place(layout.rescue(town.root), f"{rig.name}-{name}", town.clock())
    moved, removed = leftovers.clear_rules(path, aside), list[str]()
    rescued = [save(town, rig.name, name)]

    def clear() -> None:
        for all_of_it, now in zip((moved, removed), leftovers.clear(path, aside), strict=True):
            all_of_it.extend(now)

    for last in (False, True):
        try:
            worktrees.switch_fresh(repo, path, branch, start, clear=clear)
            break
        except worktrees.Unsaved:
            if last:
                raise
            rescued.append(save(town, rig.name, name))
    if moved or removed:
        files.remove(_setup_note(town, rig, path))  # some of it may be what the setup made
    if moved:
        rescued.append(f"left by earlier work: {some(moved)}, moved to {layout.relative(town.root, aside)}")
    return _joined(*rescued)


def save(town: Town, rig: str, name: str) -> str:
    """Save what is uncommitted, stashed or on no branch in a worker's worktree; a line that says what and where, or "".

    All of it lies on this machine: it is saved though the town may know the rig no more. Of a broken one nothing is
    known but that files lie in it: it is moved away as it is.
    """
    return _joined(keep_stashes(town, rig, name), _save_tree(town, rig, name))


def _save_tree(town: Town, rig: str, name: str) -> str:
    repo = layout.bare(town.root, rig)
    path = layout.worktree(town.root, rig, name)
    if not intact.is_whole(repo, path):
        return set_aside(town, rig, name)
    if not [part for part in rescue.unsaved(repo, path, ignored=False) if not part.startswith("stash-")]:
        return ""
    saved = rescue.save(repo, path, f"{rig}-{name}", layout.rescue(town.root), town.clock())
    if all_landed(town, saved):
        return ""
    where = layout.relative(town.root, saved.patch) if saved.patch else ", ".join(sorted(saved.refs))
    return f"{saved.description}, saved to {where}"


def stashed(town: Town, rig: str, name: str) -> list[stash.Entry]:
    """What the worker has in the stash of the rig's repository, where any other worker might take it out."""
    repo = layout.bare(town.root, rig)
    if not os.path.isdir(repo):
        return []
    _, email = author(f"{rig}/{name}", town.name)
    return stash.made_by(stash.entries(repo), email, f"polecat/{name}/")


def keep_stashes(town: Town, rig: str, name: str) -> str:
    """Move what the worker has stashed to refs of its own; a line that says where, "" if there is nothing."""
    found = stashed(town, rig, name)
    repo, day = layout.bare(town.root, rig), times.day(town.clock())
    refs = stash.take(repo, found, f"{rig}-{name}", day) if found else []
    return f"{counted(len(refs), 'stashed change')}, kept at {', '.join(refs)} (git stash apply REF)" if refs else ""


def set_aside(town: Town, rig: str, name: str) -> str:
    """Move a broken worktree of a worker to .gt/rescue/ as it is; a line that says so, "" if there is none.

    A folder that git has not known as a worktree is somebody's own, and stays.
    """
    repo, path = layout.bare(town.root, rig), layout.worktree(town.root, rig, name)
    if not intact.holds_files(path) or worktrees.admin_dir(repo, path) is None or worktrees.is_unfinished(repo, path):
        return ""
    where = intact.set_aside(path, layout.rescue(town.root), f"{rig}-{name}", town.clock())
    moved = layout.relative(town.root, where)
    return f"its .git is gone or another's, so what lies there is unknown: moved to {moved}; take from it what you want"


def unsaved(town: Town, repo: str, path: str, *, ignored: bool = True) -> list[str]:
    """The parts of a worktree that somebody would miss: all that `rescue.unsaved` finds but what has landed.

    A branch is rebased when it lands and then put away: the commits that were handed in are on no branch any more.
    """
    found = rescue.unsaved(repo, path, ignored=ignored)
    landed = _handed_in(town) if any(part.startswith("commit-") for part in found) else frozenset()
    return [part for part, sha in found.items() if not (part.startswith("commit-") and sha in landed)]


def all_landed(town: Town, saved: rescue.Saved) -> bool:
    """True if what was saved is nothing but commits of branches that have landed and were put away."""
    names = {ref.rpartition("/")[2]: sha for ref, sha in saved.refs.items()}
    kept = {part: sha for part, sha in names.items() if not part.startswith("stash-")}
    landed = _handed_in(town)
    return not saved.patch and all(part.startswith("commit-") and sha in landed for part, sha in kept.items())


def _handed_in(town: Town) -> frozenset[str | None]:
    return frozenset(row.commit for row in town.index().rows if row.type == "merge" and row.closed_reason == "merged")


def _exclude_ours(town: Town, rig: Rig) -> str:
    """Let the clone's own ignore rules be ours alone: they hold in every worktree, and would hide the work of others.

    What else was there, in words, and where it is kept; "" if nothing was.
    """
    path = os.path.join(layout.bare(town.root, rig.name), "info", "exclude")
    data = files.read_or_none(path) or b""
    there = [line for line in data.decode("utf-8", "surrogateescape").splitlines() if line.strip()]
    others = [line for line in there if line not in EXCLUDED and not line.startswith("#")]
    if not others and set(EXCLUDED) <= set(there):
        return ""
    said = ""
    if others:
        kept = intact.free_place(layout.rescue(town.root), f"{rig.name}-exclude", town.clock())
        os.makedirs(os.path.dirname(kept), exist_ok=True)
        files.write(kept, data)
        where = layout.relative(town.root, kept)
        said = f"ignore rules of no commit, taken out of the rig's clone: {' '.join(others)}, kept in {where}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.write(path, "".join(f"{line}\n" for line in EXCLUDED).encode(), durable=False)
    return said


def undo(town: Town, rig: Rig, name: str, branch: str, base: str, *, fresh: bool) -> None:
    """Take away what `prepare` made for an attempt that could not start: nothing that holds work is touched."""
    repo = layout.bare(town.root, rig.name)
    path = layout.worktree(town.root, rig.name, name)
    if clones.resolve(repo, f"refs/heads/{branch}") not in (None, base):
        return
    if fresh:
        save(town, rig.name, name)
        worktrees.remove(repo, path)
    elif intact.is_whole(repo, path) and worktrees.state(path).branch == branch:
        git.run(["checkout", "--quiet", "--detach"], cwd=path)
    clones.delete_branch(repo, branch, expect=base)


# -- setup ----------------------------------------------------------------------------------------
def check_setup(town: Town, rig: Rig) -> None:
    """Raise Refused unless every setup command of the rig may run here; asked before anything is touched."""
    for command in rig.setup:
        trust.require(town, "setup", f"{rig.name}/setup", command)


def _setup_note(town: Town, rig: Rig, path: str) -> str:
    return layout.run(town.root, "setup", f"{rig.name}__{os.path.basename(path)}.json")


def run_setup(town: Town, rig: Rig, path: str, *, say: Say) -> None:
    """Run the rig's setup commands once in a worktree that has not had them; raises GtError if one fails."""
    note = _setup_note(town, rig, path)
    mark = {"setup": list(rig.setup), "inode": os.stat(path).st_ino}
    if not rig.setup or runstate.read_json(note) == mark:
        return
    check_setup(town, rig)
    log = layout.log(town.root, "setup", f"{rig.name}-{os.path.basename(path)}.log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    for command in rig.setup:
        say(f"setup: {command}")
        ended = shell.run(command, cwd=path, env=gates.environment(rig), log=log, timeout=SETUP_TIMEOUT,
                          mark=marked.new(town.root))  # fmt: skip
        if ended.code or ended.timed_out:
            how = "timed out" if ended.timed_out else f"exit {ended.code}"
            where = layout.relative(town.root, log)
            raise GtError(f"the setup of rig {rig.name} failed: {command} ({how})", f"see {where}")
    runstate.write_json(note, mark, durable=False)
