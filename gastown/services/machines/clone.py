"""Joining a town from another machine, and giving a town its remote."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass

from gastown.model.errors import GtError, InvalidFile, Refused, UsageError
from gastown.runtime import git
from gastown.services.agents import wiring
from gastown.services.files.opening import open_town
from gastown.services.machines import machine
from gastown.services.remote import news, outgoing, takeable
from gastown.services.rigs import rigs
from gastown.services.settings import commands
from gastown.store import files, layout, treediff
from gastown.store import yaml as yaml_store
from gastown.store.gitrepo import Repo
from gastown.store.town import Town, check_format

REMOTE = "origin"
# A remote that says nothing for so long (seconds) is given up.
SILENCE = 120.0
# Local from within, as in a new town: the folders may not be in the remote's .gitignore.
_IGNORED = b"# made by gt: everything in here is local to this machine\n*\n"


@dataclass(frozen=True)
class Joined:
    """A town as it stands on this machine now."""

    root: str
    name: str
    machine: str
    rigs: tuple[str, ...]


def clone(
    url: str, path: str | None = None, *, name: str | None = None, clock: Callable[[], float] = time.time
) -> Joined:
    """Clone the town at `url` into PATH (else a folder named as the remote), and make this machine known in it.

    `name` is what it is called there, else by its host's name.

    Raises GtError where it does not clone, Refused where PATH is taken or the repository is no town; nothing
    is left behind then.
    """
    if url.startswith("-"):
        raise UsageError(f"{url!r} is no repository", "give a URL, user@host:path, or a path")
    git.require_git()
    source = git.absolute(url, os.getcwd())
    folder = os.path.basename(source.rstrip("/")).removesuffix(".git")
    root = os.path.realpath(os.path.expanduser(path or folder))
    if os.path.lexists(root) and (not os.path.isdir(root) or os.listdir(root)):
        raise Refused(f"{root} is not empty", "name a new folder")
    above = layout.find_root(root)
    if above is not None:
        raise Refused(f"{root} lies inside the town {above}", "clone it outside of it")
    existed = os.path.isdir(root)
    try:
        _fetch(source, root)
        town = open_town(root, clock=clock)
        return _join(town, name)
    except BaseException:
        shutil.rmtree(root, ignore_errors=True)
        if existed:
            os.makedirs(root)
        raise


def _fetch(source: str, root: str) -> None:
    git.run(["clone", "--progress", "--template=", "--no-checkout", source, root], silence=SILENCE)
    repo = Repo(root)
    head = repo.head()[1] or _only_town(repo, source)
    # Before anything is checked out: links, names that lead elsewhere and the like never become files.
    treediff.inspect(repo, None, repo.commit(head).tree, head)
    _check_usable(repo, source, head)
    wiring.attribute(repo)
    git.run(["checkout", "--quiet"], cwd=root)


def _check_usable(repo: Repo, source: str, head: bytes) -> None:
    """Said before there are files: what is wrong with town.yaml is to be mended where it was written."""
    data = repo.blob(repo.commit(head).tree, layout.TOWN_FILE)
    if data is None and (gone := takeable.removal(repo, head, f"the town at {source}")):
        raise Refused(*gone)
    if data is None:
        raise Refused(f"{source} is no town (it has no town.yaml)", "make one: gt init PATH")
    where = f"the town at {source} (commit {head.decode()[:12]})"
    try:
        check_format(yaml_store.load(data, layout.TOWN_FILE), where)
    except InvalidFile as error:
        hint = "mend town.yaml in another commit, where it was written or in a plain git clone; then clone again"
        raise Refused(f"{where} cannot be used: {error.message}", hint) from None


def _only_town(repo: Repo, source: str) -> bytes:
    """The commit of the one branch with a town in it, made the clone's branch: the remote's HEAD names none there is.

    A bare repository is often made with another first branch than the town has.
    """
    under = f"refs/remotes/{REMOTE}/"
    names = git.text(["for-each-ref", "--format=%(refname)", under], cwd=repo.root).split()
    if not names:
        hint = f"in your town: gt sync --remote {shlex.quote(source)}"
        raise Refused(f"{source} is empty: there is no town in it", hint)
    found = [one for one in names if _holds_town(repo, one)]
    branches = [one.removeprefix(under) for one in found]
    if len(branches) != 1:
        what = f"towns on several branches ({', '.join(branches)})" if branches else "no town on any branch"
        raise Refused(
            f"{source} has {what}, and its HEAD names none of its branches",
            f"point it at the town's: git -C {shlex.quote(source)} symbolic-ref HEAD refs/heads/BRANCH",
        )
    git.run(["branch", "--quiet", "--track", branches[0], found[0]], cwd=repo.root)
    git.run(["symbolic-ref", "HEAD", f"refs/heads/{branches[0]}"], cwd=repo.root)
    head = repo.head()[1]
    assert head is not None
    return head


def _holds_town(repo: Repo, ref: str) -> bool:
    commit = repo.ref(ref)
    return commit is not None and repo.find(repo.commit(commit).tree, layout.TOWN_FILE) is not None


def _join(town: Town, wanted: str | None) -> Joined:
    for folder in (layout.local(town.root), os.path.join(town.root, layout.WORK)):
        os.makedirs(folder, exist_ok=True)
        files.write(os.path.join(folder, ".gitignore"), _IGNORED)
    wiring.wire(town)
    news.note_met(town.root, town.clock())
    name = machine.join(town, wanted)
    return Joined(town.root, town.name, name, tuple(town.rig_names()))


def first_sent(town: Town) -> None:
    """Until now nothing in the town came from elsewhere: its commands are trusted here, its own clones lie here."""
    commands.written_here(town)
    rigs.settle_here(town)


def attach_remote(town: Town, url: str) -> None:
    """Make `url` the town's remote and send the town there. Raises Refused if another town lies there.

    The remote may be empty or hold this very town's history.
    """
    name = town.repo.remote() or REMOTE
    there = town.repo.remote_url()
    if there and git.absolute(there, town.root) != git.absolute(url, town.root):
        hint = f"git remote set-url {name} {shlex.quote(url)}"
        raise Refused(f"the town has the remote {git.mask(there)} already", hint)
    head = town.repo.head()[1]
    if head is not None:
        outgoing.require_welcome(town.repo, head, None)
    if not there:
        first_sent(town)
        git.run(["remote", "add", name, git.absolute(url, town.root)], cwd=town.root)
    try:
        ref = town.repo.head()[0]
        branch = ref.removeprefix("refs/heads/")
        git.run(["push", "--progress", "--no-verify", "--set-upstream", name, f"{ref}:refs/heads/{branch}"],
                cwd=town.root, silence=SILENCE)  # fmt: skip
    except BaseException as error:
        if not there:
            git.run(["remote", "remove", name], cwd=town.root, check=False)
        if not isinstance(error, GtError):
            raise
        raise GtError(f"the town could not be sent to {git.mask(url)}:\n{error.message}", error.hint) from None
    news.note_met(town.root, town.clock())
    wiring.wire(town)
