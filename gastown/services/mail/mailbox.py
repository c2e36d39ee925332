"""Mailboxes: what lies in them, finding a message, its flags, and what mail programs changed meanwhile.

One listing answers inbox, count and notice, so that no message is counted and not shown.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gastown.model import incoming, times
from gastown.model.errors import InvalidFile, NotFound, Refused, UsageError
from gastown.model.incoming import Content, Summary
from gastown.model.text import safe
from gastown.store import layout, maildir
from gastown.store.maildir import SEEN, TRASHED
from gastown.store.view import View

if TYPE_CHECKING:
    from gastown.store.change import Change

# A file beyond this is no message of ours: it is named and left alone.
LARGEST = 64 << 20
_TRIES = 3


class Unfit(Refused):
    """A message has a name under which it cannot become a file of the town."""


@dataclass(frozen=True)
class Letter:
    """One message in a mailbox. `paths` are its files (several after a merge), `number` its place in the listing."""

    address: str
    sub: str
    unique: str
    paths: tuple[str, ...]
    flags: str
    head: Summary
    size: int
    number: int = 0

    @property
    def id(self) -> str:
        """Its Message-ID without the brackets; its file's unique name where it has none."""
        return self.head.message_id.strip("<>") or self.unique

    @property
    def new(self) -> bool:
        """True while nobody has read it."""
        return SEEN not in self.flags and TRASHED not in self.flags

    @property
    def date(self) -> float:
        """When it was written, epoch seconds; when it was delivered, if it does not say."""
        return self.head.date if self.head.date is not None else maildir.delivered_at(self.unique)

    def as_json(self) -> dict[str, Any]:
        """The shape of cli.md (`mail inbox`), and where it lies."""
        head = self.head
        return {
            "id": self.id, "from": head.sender, "to": list(head.to), "cc": list(head.cc), "subject": head.subject,
            "date": times.text(self.date), "type": head.kind, "priority": head.priority, "bead": head.bead,
            "flags": self.flags, "new": self.new, "number": self.number, "in_reply_to": head.in_reply_to.strip("<>"),
            "size": self.size, "path": self.paths[0],
        }  # fmt: skip


# -- listing --------------------------------------------------------------------------------------
def letters(
    view: View, address: str, *, sub: str = "", trashed: bool = False
) -> tuple[list[Letter], list[InvalidFile]]:
    """What lies in a mailbox (or in its folder `sub`), oldest first, numbered; and the files that cannot be read.

    Messages marked as deleted come only with `trashed`, after the others.
    """
    for _ in range(_TRIES):
        found, problems, moved = _scan(view, address, sub)
        if not moved:
            break
    found = [one for one in found if trashed or TRASHED not in one.flags]
    found.sort(key=lambda one: (TRASHED in one.flags, maildir.delivered_at(one.unique) or one.date, one.unique))
    return [_numbered(one, number) for number, one in enumerate(found, 1)], problems


def inbox(
    view: View, address: str, *, unread: bool = False, archive: bool = False
) -> tuple[list[Letter], list[InvalidFile]]:
    """The messages of a mailbox or of its archive, oldest first, and the files that could not be read."""
    found, problems = letters(view, address, sub=maildir.ARCHIVE if archive else "")
    return [one for one in found if one.new or not unread], problems


def _numbered(one: Letter, number: int) -> Letter:
    return Letter(one.address, one.sub, one.unique, one.paths, one.flags, one.head, one.size, number)


def _scan(view: View, address: str, sub: str) -> tuple[list[Letter], list[InvalidFile], bool]:
    """One look; True if a file went away between the listing and the reading (a mail program renamed it)."""
    found: list[Letter] = []
    problems: list[InvalidFile] = []
    moved = False
    town = view.name
    for unique, paths in _files(view, address, sub).items():
        try:
            data, size = _beginning(view, paths[0])
        except NotFound:
            moved = True
            continue
        except InvalidFile as problem:
            problems.append(problem)
            continue
        flags = _flags_of(paths)
        found.append(Letter(address, sub, unique, tuple(paths), flags, incoming.summary(data, town), size))
    return found, problems, moved


def _files(view: View, address: str, sub: str) -> dict[str, list[str]]:
    """The files of a mailbox by unique name, those in cur/ first: they have the flags."""
    box = maildir.folder(address, sub)
    found: dict[str, list[str]] = {}
    for part in ("cur", "new"):
        for name in maildir.messages(view.names(f"{box}/{part}")):
            found.setdefault(maildir.unique_of(name), []).append(f"{box}/{part}/{name}")
    return found


def _flags_of(paths: Iterable[str]) -> str:
    return "".join(sorted({flag for path in paths for flag in maildir.flags(path)}))


def _beginning(view: View, path: str) -> tuple[bytes, int]:
    """The first bytes of a message, enough for its headers, and its size. Raises NotFound, InvalidFile."""
    if view.revision is not None:
        data = view.read(path)
        return data[: incoming.HEAD_BYTES], len(data)
    handle, size = _open(view.root, path)
    try:
        data = os.read(handle, 4096)
        if b"\n\n" not in data and b"\n\r\n" not in data and len(data) == 4096:
            data += os.read(handle, incoming.HEAD_BYTES)
        return data, size
    finally:
        os.close(handle)


def _open(root: str, path: str) -> tuple[int, int]:
    """A message's file, opened without following a link or waiting for a pipe, and its size."""
    try:
        handle = os.open(layout.absolute(root, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"no file {path}") from None
    except OSError as error:
        link = error.errno in (errno.ELOOP, errno.EMLINK)
        raise InvalidFile(path, "is a symbolic link" if link else f"cannot be read: {error.strerror}") from None
    what = os.fstat(handle)
    if stat.S_ISREG(what.st_mode) and what.st_size <= LARGEST:
        return handle, what.st_size
    os.close(handle)
    too_large = stat.S_ISREG(what.st_mode)
    raise InvalidFile(path, f"is larger than {LARGEST >> 20} MiB" if too_large else "is no ordinary file")


def unread(view: View, address: str) -> list[Letter]:
    """The messages nobody has read, most urgent first, then oldest first. Raises InvalidFile if one cannot be read."""
    found, problems = letters(view, address)
    if problems:
        raise problems[0]
    return most_urgent(one for one in found if one.new)


def unread_count(view: View, address: str) -> int:
    """How many messages nobody has read, by the names of their files alone."""
    box = maildir.folder(address)
    return len(maildir.unread(view.names(f"{box}/new"), view.names(f"{box}/cur")))


def most_urgent(found: Iterable[Letter]) -> list[Letter]:
    """By priority, keeping the order within each."""
    rank = {"urgent": 0, "high": 1, "normal": 2, "low": 3}
    return sorted(found, key=lambda one: rank[one.head.priority])


def boxes(view: View) -> Iterator[str]:
    """The addresses that have a mailbox, whether or not they still belong to somebody."""
    for name in sorted(view.names(layout.MAIL)):
        if name.startswith("."):
            continue
        inside = view.names(f"{layout.MAIL}/{name}")
        if "cur" in inside or "new" in inside:
            yield name
        else:
            yield from (f"{name}/{one}" for one in sorted(inside) if not one.startswith("."))


# -- one message ----------------------------------------------------------------------------------
def find(view: View, address: str, text: str, *, sub: str | None = None) -> Letter:
    """The message meant by its number in the inbox, its Message-ID or the beginning of its unique name.

    Looks into the inbox, then into the archive, unless `sub` says where. Raises NotFound, UsageError.
    """
    wanted = text.strip().strip("<>")
    inbox = letters(view, address, sub=sub or "")[0]
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 7:
        if 1 <= int(wanted) <= len(inbox):
            return inbox[int(wanted) - 1]
        count = f"{len(inbox)} message{'' if len(inbox) == 1 else 's'}"
        raise NotFound(f"no message {wanted}: the inbox of {address} has {count}", "gt mail inbox")
    everything = letters(view, address, sub=sub or "", trashed=True)[0]
    if sub is None:
        everything += letters(view, address, sub=maildir.ARCHIVE, trashed=True)[0]
    exact = [one for one in everything if wanted in (one.id, one.unique)]
    matches = exact or [one for one in everything if wanted and one.unique.startswith(wanted)]
    if len({one.unique for one in matches}) == 1 or (exact and matches):
        return matches[0]
    if matches:
        raise UsageError(f"{text!r} may be any of {len(matches)} messages", "give more of its id, or its number")
    raise NotFound(f"no message {text!r} in the mailbox of {address}", "gt mail inbox")


def data_of(view: View, letter: Letter) -> bytes:
    """A whole message as it is. Raises NotFound, InvalidFile."""
    if view.revision is not None:
        return view.read(letter.paths[0])
    handle, _ = _open(view.root, letter.paths[0])
    with open(handle, "rb") as file:
        return file.read()


def content(view: View, letter: Letter) -> Content:
    """The text of a message and its attachments."""
    return incoming.content(data_of(view, letter))


# -- flags ----------------------------------------------------------------------------------------
def move(
    change: Change, letter: Letter, *, add: str = "", remove: str = "", sub: str | None = None
) -> Letter | None:
    """Give a message other flags, or another folder; its files become one. None if it is gone meanwhile.

    Looks again under the lock, because mail programs rename at any time; what they did is committed as the person's
    first.
    """
    paths = _files(change.view, letter.address, letter.sub).get(letter.unique, [])
    contents = {path: data for path in paths if (data := change.read(path)) is not None}
    if not contents:
        return None
    if _unsettled(change, contents):
        settle_mail(change, letter.address)
    flags = "".join(sorted({*_flags_of(contents), *add} - set(remove)))
    to = letter.sub if sub is None else sub
    target = maildir.cur_path(letter.address, letter.unique, flags, to)
    if list(contents) != [target]:
        _require_fit(change, target, contents)
        make_box(change, letter.address, to)
        change.write(target, next(iter(contents.values())))
        for path in contents:
            if path != target:
                change.remove(path)
    return Letter(letter.address, to, letter.unique, (target,), flags, letter.head, letter.size, letter.number)


def _require_fit(change: Change, target: str, paths: Collection[str]) -> None:
    """A name that no other machine takes never gets into git: the message stays where it is."""
    from gastown.store.fitting import Fitting  # dear to import, and listing needs it not

    why = Fitting(change.town.repo, change.town.repo.head_tree(), gone=paths).wrong(target)
    if why:
        where = safe(next(iter(paths)))
        hint = f"rename that file, then again; the message can be read as it is: {where}"
        raise Unfit(f"the message {where} stays as it is: it {why}", hint)


def make_box(change: Change, address: str, sub: str = "") -> None:
    """The empty files that make a Maildir, where they are missing."""
    for path in maildir.keep_files(address, sub):
        if change.read(path) is None:
            change.write(path, b"")


def _unsettled(change: Change, paths: Iterable[str]) -> bool:
    """True if one of these files is not in git under this name yet."""
    tree = change.town.repo.head_tree()
    return any(change.town.repo.find(tree, path) is None for path in paths)


def settle_mail(change: Change, address: str | None = None) -> list[str]:
    """Commit as the person's own what mail programs moved, flagged, added or removed in a mailbox (None: in all).

    A commit of its own, made at once and under the lock of `change`; the files are left as they lie.
    Returns the paths committed. What cannot be read is left alone.
    """
    from gastown.store import aslies

    found: dict[str, bytes | None] = {}
    for one in [address] if address else list(boxes(change.view)):
        found |= moves(change, one)
    if not found:
        return []
    repo = change.town.repo
    aslies.commit(repo, found, message=_told(found), who=repo.person(), epoch=change.now)
    return sorted(found)


def moves(change: Change, address: str) -> dict[str, bytes | None]:
    """What lies otherwise in a mailbox than git says: path to content, None for what is gone. Writes nothing."""
    from gastown.store.fitting import Fitting

    repo, box = change.town.repo, layout.mailbox(address)
    tree = change.town.repo.head_tree()
    recorded = repo.find(tree, box)
    below = [name.decode() for name in repo.tree(recorded[1])] if recorded else []
    subs = {name for name in (*below, *change.view.names(box)) if _is_folder(change, tree, f"{box}/{name}")}
    found: dict[str, bytes | None] = {}
    new: list[str] = []
    for folder in (f"{box}/{part}" for sub in ("", *sorted(subs)) for part in _parts(sub)):
        if _is_covered(repo.root, folder):
            continue  # somebody put a file in the folder's place: the mail is not removed by that
        entry = repo.find(tree, folder)
        there = {name.decode("utf-8", "surrogateescape") for name in repo.tree(entry[1])} if entry else set()
        here = set(change.view.names(folder))
        found |= {f"{folder}/{name}": None for name in maildir.messages(list(there - here))}
        new += [f"{folder}/{name}" for name in maildir.messages(list(here - there))]
    fitting = Fitting(repo, tree, gone=list(found))
    for path in new:
        data = None if fitting.wrong(path) else _readable(change, path)
        if data is not None:
            found[path] = data
    return found


def _parts(sub: str) -> list[str]:
    return [f"{sub}/{part}" if sub else part for part in ("new", "cur")]


def _is_folder(change: Change, tree: bytes | None, folder: str) -> bool:
    """True for the archive and what mail programs made beside it, also if they removed it."""
    name = folder.rpartition("/")[2]
    if name == maildir.ARCHIVE or not name.startswith("."):
        return name == maildir.ARCHIVE
    parts = [f"{folder}/{part}" for part in ("new", "cur")]
    return any(change.view.names(part) or change.town.repo.find(tree, part) for part in parts)


def _is_covered(root: str, folder: str) -> bool:
    """True if a file lies where a folder or one above it was."""
    while folder and not os.path.isfile(layout.absolute(root, folder)):
        folder = folder.rpartition("/")[0]
    return bool(folder)


def unusable(root: str, path: str) -> InvalidFile | None:
    """What is wrong with a message's file, so that git cannot hold it; None if nothing is, or it is not there."""
    try:
        handle, _ = _open(root, path)
    except NotFound:
        return None
    except InvalidFile as problem:
        return problem
    os.close(handle)
    return None


def _readable(change: Change, path: str) -> bytes | None:
    """A message that git can hold; None for what it cannot: it stays on disk, and is named where mail is read."""
    try:
        handle, _ = _open(change.town.root, path)
    except (NotFound, InvalidFile):
        return None
    with open(handle, "rb") as file:
        return file.read()


def _told(found: dict[str, bytes | None]) -> str:
    """The message of such a commit: whose mailbox, and what was done to how many."""
    before = {maildir.unique_of(path.rpartition("/")[2]) for path, data in found.items() if data is None}
    after = {maildir.unique_of(path.rpartition("/")[2]): path for path, data in found.items() if data is not None}
    words = []
    for count, what in (
        (len(before & set(after)), "moved or flagged"),
        (len(set(after) - before), "added"),
        (len(before - set(after)), "removed"),
    ):
        if count:
            words.append(f"{count} {what}")
    owners = sorted({path[len(layout.MAIL) + 1 :].rsplit("/", 2)[0].partition("/.")[0] for path in found})
    return f"hand_edit: mail of {', '.join(owners)}: {', '.join(words)}\n"
