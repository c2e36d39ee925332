"""A town with a rig, two polecats and one of the crew, and somebody to write as."""

from __future__ import annotations

from pathlib import Path

from gastown.services.mail import mail
from gastown.services.mail.mail import Outgoing
from gastown.services.mail.outbox import Sent
from gastown.store import layout
from gastown.store.town import Town, open_town

AMBER, BIRCH, PAT = "green/amber", "green/birch", "green/pat"


def staff(town: Town) -> Town:
    """Add the rig `green` with its workers to a town."""

    def body(change) -> None:
        mark = {"at": change.at, "by": "overseer"}
        change.put(
            layout.rig_file("green"), {"name": "green", "prefix": "gr", "created": mark, "git": "/x", "branch": "main"}
        )
        for name, kind in (("amber", "polecats"), ("birch", "polecats"), ("pat", "crew")):
            doc = {"name": name, "kind": kind.removesuffix("s"), "rig": "green", "created": mark}
            change.put(layout.worker_file("green", kind, name), doc)
        change.emit("rig_add", "added rig green", rig="green")

    town.transact("rig add", body)
    return town


def as_(town: Town, address: str) -> Town:
    """The same town for somebody else."""
    return open_town(town.root, actor=address, clock=town.clock)


def write(town: Town, to: str, subject: str = "Hello", body: str = "text\n", **more) -> Sent:
    """Send one message."""
    return mail.send(town, Outgoing(tuple(to.split()), subject, body, **more))


def drop(town: Town, address: str, name: str, data: bytes, part: str = "new") -> Path:
    """What another program puts into a mailbox."""
    folder = Path(town.root, "mail", address, part)
    for one in ("new", "cur", "tmp"):
        (folder.parent / one).mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(data)
    return path
