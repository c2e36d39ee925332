"""Rigs: adding one from a URL or path, parking, asking about it. Its removal is in services/work/rigremoval.py."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gastown.model import ids
from gastown.model.errors import GtError, Refused, UsageError
from gastown.model.rig import LANDINGS, MERGES, Rig, is_source, rig_of
from gastown.runtime import clones, git
from gastown.services.files import rigless
from gastown.services.rigs import origins, pulling
from gastown.services.settings import trust
from gastown.store import layout
from gastown.store.town import Town
from gastown.store.view import View

if TYPE_CHECKING:
    from gastown.store.change import Change


@dataclass(frozen=True)
class NewRig:
    """What `rig add` was told. `landing` None: by what the source is (see `landing_for`)."""

    name: str
    source: str
    prefix: str | None = None
    branch: str | None = None
    gates: tuple[tuple[str, str], ...] = ()
    merge: str | None = None
    landing: str | None = None
    agent: str | None = None
    max_polecats: int | None = None


def add(town: Town, new: NewRig, *, base: str, progress: Callable[[str], None] | None = None) -> Rig:
    """Clone a repository and make it a rig; `base` is where a relative path starts.

    Everything is checked first, the clone is made outside of the change, and after any failure
    nothing is left. The gates given are recorded as trusted: they were typed here.
    """
    git.require_git()
    ids.check_name(new.name, "rig")
    _check_free(town, new.name)
    prefix = _prefix(town, new)
    gates = _gate_docs(new.gates)
    _check_choices(new)
    source, landing = _source(town, new.source, base), new.landing
    landing = landing or landing_for(source)
    repo = layout.bare(town.root, new.name)
    _clear_leftover(repo)
    branch = clones.clone(source, repo, branch=new.branch, base=base, progress=progress)
    try:
        doc: dict[str, Any] = {"name": new.name, "prefix": prefix, "git": source, "branch": branch, "landing": landing}
        # What lands in a clone on this machine can land nowhere else.
        here = {"machine": town.machine} if landing == "local" and town.repo.remote() else None
        optional = {"merge": new.merge, "gates": gates or None, "agent": new.agent, "refinery": here}
        doc |= {key: value for key, value in optional.items() if value}
        if new.max_polecats is not None:
            doc["polecats"] = {"max": new.max_polecats}
        rig = town.transact("rig add", lambda change: _write(change, new.name, doc))
        guard(town, rig)
    except BaseException:
        shutil.rmtree(repo, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.rmdir(layout.work(town.root, new.name))  # what lay beside it stays
        raise
    for gate in rig.gates:
        trust.record(town, "gate", f"{rig.name}/{gate.name}", gate.run)
    return rig


def settle_here(town: Town) -> None:
    """Say of every rig that lands in a clone on this machine that its refinery is here: the town gets a remote."""
    rigs = [rig for rig in town.rigs()[0] if rig.landing == "local" and not rig.refinery_machine]
    if not rigs:
        return

    def body(change: Change) -> None:
        for rig in rigs:
            doc = change.load(layout.rig_file(rig.name))
            doc["refinery"] = {**(doc.get("refinery") or {}), "machine": town.machine}
            change.put(layout.rig_file(rig.name), doc)
            change.emit("config", f"rig {rig.name} lands on machine {town.machine}", rig=rig.name)

    town.transact("config", body)


def ensure_clone(town: Town, rig: Rig, *, say: Callable[[str], None] | None = None) -> str:
    """The rig's clone on this machine, made if this machine has not had one; its path.

    Where another process makes it just now, that one's is waited for, and `say` is told so if it takes long.
    One that was made from another repository than rig.yaml names now follows (see `origins.follow`). Raises Refused
    where what it is made from lies on another machine, else as `clones.clone`.
    """
    repo = layout.bare(town.root, rig.name)
    if os.path.isdir(repo):
        origins.follow(town, rig)
        guard(town, rig)
        return repo
    home = rig.refinery_machine
    if rig.landing == "local" and home not in (None, town.machine):
        raise Refused(f"rig {rig.name} lies on machine {home}, at {rig.git}", f"work on it there: --machine {home}")
    try:
        clones.clone(rig.git, repo, branch=rig.branch, base=town.root, say=say)
    except Refused:
        if not os.path.isdir(repo):  # else another process was first
            raise
    guard(town, rig)
    return repo


def guard(town: Town, rig: Rig) -> None:
    """Let only the rig's refinery move what its work lands on, as its `landing:` says.

    It takes no process while all is right.
    """
    repo, refinery, local = layout.bare(town.root, rig.name), f"{rig.name}/refinery", rig.landing == "local"
    targets = _targets(town, rig)
    if not clones.is_guarded(repo, targets, refinery, local=local):
        with clones.locked(repo):
            clones.configure(repo)
            clones.guard(repo, targets, refinery, local=local)


def is_guarded(town: Town, rig: Rig) -> bool:
    """True if the settings of the rig's clone are those that `guard` makes."""
    repo = layout.bare(town.root, rig.name)
    return clones.is_guarded(repo, _targets(town, rig), f"{rig.name}/refinery", local=rig.landing == "local")


def _targets(town: Town, rig: Rig) -> list[str]:
    """The rig's branch, and each other that work which was begun in it is to land on; a work branch is its worker's."""
    begun = (row for row in town.index().rows if row.rig == rig.name and row.branch and row.target)
    others = {str(row.target) for row in begun if not str(row.target).startswith("polecat/")}
    return [rig.branch, *sorted(others - {rig.branch})]


def _write(change: Change, name: str, doc: dict[str, Any]) -> Rig:
    _check_free(change.town, name)
    taken = {rig.prefix: rig.name for rig in change.town.rigs()[0]}
    if doc["prefix"] in taken:
        raise Refused(f"the prefix {doc['prefix']} belongs to rig {taken[doc['prefix']]}", "choose another: --prefix")
    path = layout.rig_file(name)
    full = {**doc, "created": {"at": change.at, "by": change.actor}}
    rig = rig_of(full, path)
    change.put(path, full)
    text = f"added rig {name} ({doc['prefix']}) from {git.mask(doc['git'])}"
    change.emit("rig_add", text, rig=name, git=git.mask(doc["git"]), branch=doc["branch"])
    return rig


def _check_free(town: Town, name: str) -> None:
    if town.exists(layout.rig_file(name)):
        raise Refused(f"there is a rig {name} already", f"`gt rig show {name}` shows it")
    lost = rigless.look(town, name)
    if lost is not None:
        raise Refused(f"rig {name} is here, but its rig.yaml is missing: {lost.text}", lost.todo)


def _prefix(town: Town, new: NewRig) -> str:
    used = {rig.prefix for rig in town.rigs()[0]} | {town.prefix}
    if new.prefix is None:
        return ids.prefix_for_rig(new.name, used | {ids.prefix_of(one) for one in town.bead_ids()})
    if not ids.is_prefix(new.prefix):
        raise UsageError(f"{new.prefix!r} cannot be a prefix", "1 to 8 of a-z and 0-9, beginning with a letter")
    if new.prefix in used:
        raise UsageError(f"the prefix {new.prefix} is taken", "choose another: --prefix")
    return new.prefix


def parse_gate(text: str) -> tuple[str, str]:
    """(name, command) of `NAME=CMD`; raises UsageError."""
    name, equals, command = text.partition("=")
    if not equals or not name.strip() or not command.strip():
        raise UsageError(f"{text!r} is no gate", "write it as NAME=COMMAND, such as test='pytest -q'")
    if not ids.is_name(name.strip()):
        raise UsageError(f"{name.strip()!r} cannot name a gate", "1 to 32 of a-z, 0-9 and '-', beginning with a letter")
    return name.strip(), command.strip()


def _gate_docs(gates: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    names = [name for name, _ in gates]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"the gate {twice} was given twice", "give each its own name")
    return [{"name": name, "run": command} for name, command in gates]


def _check_choices(new: NewRig) -> None:
    for value, allowed, option in ((new.merge, MERGES, "--merge"), (new.landing, LANDINGS, "landing")):
        if value is not None and value not in allowed:
            raise UsageError(f"{option} {value!r} is none of: {' '.join(allowed)}")
    if new.agent is not None:
        ids.check_name(new.agent, "agent preset")
    if new.max_polecats is not None and new.max_polecats < 0:
        raise UsageError("--max is a number from 0")


def _source(town: Town, said: str, base: str) -> str:
    """The source as rig.yaml keeps it: a URL, or an absolute path to the top of a repository."""
    if not is_source(said):
        raise UsageError(f"{said!r} is no repository", "give a URL, user@host:path, or a path")
    scheme, sep, rest = said.partition("://")
    if sep and ":" in rest.split("/")[0].rpartition("@")[0]:
        raise UsageError(
            f"{git.mask(said)} holds a password, which would be committed to the town",
            f"use a credential helper and give {scheme}://{rest.split('/')[0].rpartition('@')[2]}/…",
        )
    source = git.absolute(said, base)
    if os.path.isdir(source):
        if os.path.realpath(source) == os.path.realpath(town.root):
            raise UsageError(f"{said} is this town itself", "a rig is a repository that agents work in")
        top = git.run(["rev-parse", "--show-toplevel"], cwd=source, above=True, check=False)
        if top.code == 0 and os.path.realpath(top.text) != os.path.realpath(source):
            raise UsageError(f"{said} lies inside the repository {top.text}", f"gt rig add NAME {top.text}")
    return source


def landing_for(source: str) -> str:
    """`local` for a person's own checkout, since a push would disturb it; `push` for anything else."""
    path = source.removeprefix("file://")
    if not os.path.isdir(path):
        return "push"
    said = git.run(["rev-parse", "--is-bare-repository"], cwd=path, check=False)
    return "local" if said.code == 0 and said.text == "false" else "push"


def _clear_leftover(repo: str) -> None:
    """Remove the clone of a `rig add` that was killed before it wrote rig.yaml; anything with work in it stays."""
    if not os.path.isdir(repo):
        return
    heads = git.run(["for-each-ref", "--format=%(refname)", "refs/heads", "refs/gt"], git_dir=repo, check=False)
    if heads.code or heads.text or len(clones.worktrees(repo)) > 1:
        raise Refused(f"{repo} holds work of an earlier rig", "move it away first")
    shutil.rmtree(repo)


def cautions(town: Town, rig: Rig) -> list[tuple[str, str]]:
    """What of a rig's repository a worktree will not hold by itself, each with what to do."""
    repo = layout.bare(town.root, rig.name)
    target = clones.resolve(repo, f"refs/remotes/origin/{rig.branch}")
    if target is None:
        return []
    names = git.run(["ls-tree", "--name-only", "-z", target], git_dir=repo).fields()
    found = []
    if ".gitmodules" in names and not any("submodule" in one for one in rig.setup):
        command = f"gt rig config {rig.name} setup '[git submodule update --init --recursive]'"
        found.append(("it has submodules, which stay empty in worktrees unless a setup command fetches them", command))
    attributes = git.run(["show", f"{target}:.gitattributes"], git_dir=repo, check=False)
    if attributes.code == 0 and b"filter=lfs" in attributes.out and shutil.which("git-lfs") is None:
        said = "it keeps files in Git LFS, and git-lfs is not installed: workers and gates see pointers in their place"
        found.append((said, "install git-lfs"))
    return found


@dataclass(frozen=True)
class RigFacts:
    """A rig with what its files and clone say. `by_status` counts its beads; `lands_on` is as `rigs.lands_on`."""

    rig: Rig
    by_status: dict[str, int]
    polecats: tuple[str, ...]
    crew: tuple[str, ...]
    cloned: bool
    pull: str | None
    waiting: int | None
    lands_on: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For --json: rig.yaml, plus what was derived."""
        return {
            **self.rig.doc, "name": self.rig.name, "parked": self.rig.parked, "landing": self.rig.landing,
            "merge": self.rig.merge, "beads": self.by_status, "workers": list(self.polecats),
            "crew": list(self.crew), "cloned": self.cloned, "pull": self.pull, "waiting_commits": self.waiting,
            "lands_on": self.lands_on,
        }  # fmt: skip


def facts(town: Town, view: View, name: str) -> RigFacts:
    """Everything `rig show` tells; raises NotFound or InvalidFile."""
    rig = view.rig(name)
    counts: dict[str, int] = {}
    for row in view.index().rows:
        if row.rig == name:
            counts[row.status] = counts.get(row.status, 0) + 1
    workers = view.workers(name)[0]
    live = view.revision is None
    return RigFacts(
        rig,
        counts,
        tuple(one["name"] for one in workers if one["kind"] == "polecats"),
        tuple(one["name"] for one in workers if one["kind"] == "crew"),
        os.path.isdir(layout.bare(town.root, name)),
        pulling.command(town, rig) if live else None,
        _waiting_or_none(town, rig) if live else None,
        pulling.lands_on(town, rig),
    )


def _waiting_or_none(town: Town, rig: Rig) -> int | None:
    try:
        return pulling.waiting(town, rig)
    except GtError:
        return None


def park(town: Town, name: str, parked: bool) -> bool:
    """Let a rig take no new work, or take it again. False if it was so already."""
    town.rig(name)

    def body(change: Change) -> bool:
        path = layout.rig_file(name)
        doc = change.load(path)
        if bool(doc.get("parked", False)) == parked:
            return False
        if parked:
            doc["parked"] = True
        else:
            doc.pop("parked", None)
        change.put(path, doc)
        change.emit("rig_park", f"{'parked' if parked else 'unparked'} rig {name}", rig=name, parked=parked)
        return True

    return town.transact("rig park", body)
