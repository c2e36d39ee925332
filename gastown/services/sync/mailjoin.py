"""Messages that lie in several files after plain git merged: one file each, with the flags and the edits of all."""

from __future__ import annotations

from collections.abc import Iterable

from gastown.model import merge_maildir as places
from gastown.model.merge import Settled
from gastown.services.mail import mailbox
from gastown.services.sync import doubled
from gastown.store import git, maildir, treemerge
from gastown.store.change import Change
from gastown.store.gitrepo import Repo


def join(change: Change, addresses: Iterable[str]) -> tuple[list[str], list[tuple[str, Settled]]]:
    """Make every message of these mailboxes one file; what a mail program moved meanwhile is committed first.

    The same in every clone: `cur` beats `new`, the archive beats both, flags are joined, and so are edits; one that
    contradicts another becomes a message of its own. Returns the paths that stay, and (path, what was decided).
    """
    stayed: list[str] = []
    told: list[tuple[str, Settled]] = []
    for address in sorted(addresses):
        for paths in _doubled(change, address):
            if mailbox.settle_mail(change, address):
                paths = [path for path in paths if change.read(path) is not None]
            stayed += _join(change, paths, told)
    return stayed, told


def _doubled(change: Change, address: str) -> list[list[str]]:
    """The files of each message that lies in more than one."""
    found: dict[tuple[str, str], list[str]] = {}
    for sub in ("", maildir.ARCHIVE):
        for part in ("new", "cur"):
            folder = f"{maildir.folder(address, sub)}/{part}"
            for name in maildir.messages(change.view.names(folder)):
                spot = places.parse(f"{folder}/{name}")
                if spot:
                    found.setdefault(spot[:2], []).append(f"{folder}/{name}")
    return [sorted(paths) for _, paths in sorted(found.items()) if len(paths) > 1]


def _join(change: Change, paths: list[str], told: list[tuple[str, Settled]]) -> list[str]:
    contents = {path: data for path in paths if (data := change.read(path)) is not None}
    spots = [spot for path in contents if (spot := places.parse(path))]
    if len(spots) < 2:
        return []
    box, unique, _ = spots[0]
    place = places.together(spot[2] for spot in spots)
    target = places.path_of(box, unique, place)
    base = _began(change.town.repo, list(contents), box, unique) if len(set(contents.values())) > 1 else None
    kept, apart = places.merge_contents(base, contents.values())
    change.write(target, kept)
    for name, data in (places.apart(unique, version) for version in apart):
        beside = places.path_of(box, name, place)
        change.write(beside, data)
        told.append((target, Settled("message", target, beside)))
    for path in contents:
        if path != target:
            change.remove(path)
    return [target]


def _began(repo: Repo, paths: list[str], box: str, unique: str) -> bytes | None:
    """What a message was before the sides parted that put it at two paths; None if nobody knows."""
    tips = doubled.sides(repo, paths[0], paths[1])
    bases = treemerge.bases(repo, tips[0].encode(), tips[1].encode()) if all(tips) else []
    for commit in bases[:1]:
        listed = git.run(["ls-tree", "-r", "-z", "--name-only", commit.decode(), "--", box], cwd=repo.root)[1]
        for path in listed.decode("utf-8", "surrogateescape").split("\0"):
            spot = places.parse(path)
            if spot and spot[:2] == (box, unique):
                return repo.blob(repo.commit(commit).tree, path)
    return None
