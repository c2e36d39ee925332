"""Messages that lie in several files after plain git merged: one file each, with the flags of all."""

from __future__ import annotations

from collections.abc import Iterable

from gastown.model import merge_maildir as places
from gastown.services import mailbox
from gastown.store import maildir
from gastown.store.change import Change
from gastown.store.gitrepo import new_blob


def join(change: Change, addresses: Iterable[str]) -> list[str]:
    """Make every message of these mailboxes one file; what a mail program moved meanwhile is committed first.

    The same in every clone: `cur` beats `new`, the archive beats both, flags are joined. Returns the paths that stay.
    """
    stayed = []
    for address in sorted(addresses):
        for paths in _doubled(change, address):
            if mailbox.settle_mail(change, address):
                paths = [path for path in paths if change.read(path) is not None]
            stayed += _join(change, paths)
    return stayed


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


def _join(change: Change, paths: list[str]) -> list[str]:
    contents = {path: data for path in paths if (data := change.read(path)) is not None}
    spots = [spot for path in contents if (spot := places.parse(path))]
    if len(spots) < 2:
        return []
    box, unique, _ = spots[0]
    target = places.path_of(box, unique, places.together(spot[2] for spot in spots))
    change.write(target, max(contents.values(), key=lambda data: bytes(new_blob(data).id)))
    for path in contents:
        if path != target:
            change.remove(path)
    return [target]
