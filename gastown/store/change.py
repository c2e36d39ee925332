"""The change: the one way to write a town (architecture.md).

Everything said to a change is collected and written on leaving its block, in one commit, or not at all.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from gastown.model import event, ids, times
from gastown.model.address import author, parse
from gastown.model.bead import KEYS, Bead, check
from gastown.model.errors import NotFound, Refused, Stale, UsageError
from gastown.model.message import Draft, compose
from gastown.model.text import safe
from gastown.store import census, commit, feed, files, git, layout, links, maildir, orders, runstate
from gastown.store import yaml as yaml_store
from gastown.store.index import Index
from gastown.store.journal import FileOp, Plan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from gastown.store.town import Town


class Change:
    """Collects what one act writes. Made by `Town.change`, which holds the town lock meanwhile."""

    def __init__(self, town: Town, verb: str, actor: str, *, asked: bool = False) -> None:
        self.town = town
        self.view = town
        self.verb = verb
        self.actor = actor
        self.asked = asked
        self.now = town.clock()
        self.at = times.text(self.now)
        self._old: dict[str, bytes | None] = {}
        self._new: dict[str, bytes | None] = {}
        self._events: list[dict[str, Any]] = []
        self._counts: dict[str | None, int] = {}
        self._index: Index | None = None
        self._touched: str | None = None

    # -- reading -----------------------------------------------------------
    def read(self, path: str) -> bytes | None:
        """A file's content as this change sees it, None if absent; remembered for the check on leaving."""
        if path in self._new:
            return self._new[path]
        if path not in self._old:
            self._old[path] = files.read_or_none(layout.absolute(self.town.root, path))
        return self._old[path]

    def bead(self, bead_id: str) -> Bead:
        """A bead to look at or alter; raises as `bead_file`, and NotFound or InvalidFile."""
        path = self.bead_file(bead_id)
        data = self.read(path) if path else None
        if path is None or data is None:
            return self.town.bead(bead_id)  # raises NotFound with near ids
        doc = yaml_store.load(data, path)
        check(doc, path)
        return Bead(doc, path)

    def bead_file(self, bead_id: str) -> str | None:
        """Where a bead lies as this change sees it, None if there is none. Raises Refused if two files have its id.

        What is said of such an id now could turn out to be said of the other bead.
        """
        said = [path for path in self._new if layout.bead_of_path(path) == bead_id]
        there = dict.fromkeys([*said, *self.town.bead_paths(bead_id)])
        found = [path for path in there if self._new.get(path, b"") is not None]
        if len(found) > 1:
            raise Refused(f"{bead_id} stands in {len(found)} files: {', '.join(sorted(found))}", ids.ONE_BEAD)
        return found[0] if found else None

    def load(self, path: str) -> dict[str, Any]:
        """Any other YAML file to alter; raises NotFound or InvalidFile."""
        data = self.read(path)
        if data is None:
            raise NotFound(f"no file {path}")
        doc: dict[str, Any] = yaml_store.load(data, path)
        return doc

    def index(self) -> Index:
        """The index under the lock; what this change itself has saved is not in it yet."""
        if self._index is None:
            self._index = self.town.index()
        return self._index

    # -- writing -----------------------------------------------------------
    def create(self, rig: str | None, *, title: str, type: str = "task", **fields: Any) -> Bead:
        """A new bead with a fresh id in the rig's prefix (None: the town's). Keyword fields are keys of the file."""
        prefix = self.town.rig(rig).prefix if rig else self.town.prefix
        parent = fields.get("parent")
        if parent and ids.prefix_of(parent) == prefix:
            bead_id = ids.child_id(parent, self._ids_in(rig))
        else:
            bead_id = ids.new_id(prefix, self._count(rig), self._taken, _draw)
        # The machine tells apart what two of them made in one second, by the same hand and under the same parent.
        created = {"at": self.at, "by": self.actor, "machine": self.town.machine}
        doc: dict[str, Any] = {
            "id": bead_id, "title": title, "type": type, "status": "open", "priority": 2, "created": created,
        }  # fmt: skip
        bead = Bead(doc, layout.bead_path(rig, times.day(self.now), bead_id))
        for key, value in fields.items():
            bead.set(key, value)
        self.save(bead)
        return bead

    def _ids_in(self, rig: str | None) -> list[str]:
        """The ids in a rig, with those this change is about to make."""
        folder = layout.beads_dir(rig)
        names = [name for day in self.town.names(folder) for name in self.town.names(f"{folder}/{day}")]
        known = [name[:-5] for name in names if name.endswith(".yaml")]
        return known + [i for path in self._new if (i := layout.bead_of_path(path))]

    def _count(self, rig: str | None) -> int:
        if rig not in self._counts:
            self._counts[rig] = census.count(self.town.root, rig, times.day(self.now))
        return self._counts[rig] + sum(1 for path in self._new if layout.bead_of_path(path))

    def _taken(self, bead_id: str) -> bool:
        return self.town.bead_path(bead_id) is not None or any(
            layout.bead_of_path(path) == bead_id for path in self._new
        )

    def save(self, bead: Bead) -> None:
        """Write a bead, new or altered. Comments and unknown keys of a hand-edited file stay."""
        check(bead.doc, bead.path)
        self._touched = bead.id
        self._put(bead.path, bead.doc, KEYS)

    def put(self, path: str, doc: dict[str, Any]) -> None:
        """Write any other YAML file; its kind, known by its path, gives the order of keys."""
        self._put(path, doc, orders.for_path(path))

    def _put(self, path: str, doc: dict[str, Any], order: tuple[str, ...]) -> None:
        self.write(path, yaml_store.rewrite(self.read(path), doc, order, path))

    def write(self, path: str, data: bytes) -> None:
        """Write a file of any other kind."""
        self.read(path)
        self._new[path] = data

    def remove(self, path: str) -> None:
        """Remove a file."""
        if self.read(path) is not None:
            self._new[path] = None

    def deliver(
        self,
        to: str,
        subject: str,
        body: str,
        *,
        sender: str | None = None,
        kind: str = "notification",
        priority: str = "normal",
        bead: str | None = None,
    ) -> str:
        """Put a message into the Maildir of `to`; returns its Message-ID. It lands with the rest of the change."""
        address = parse(to)
        unique = maildir.unique_name(self.town.machine, self.town.clock())
        draft = Draft(sender or self.actor, address, subject, body, kind, priority, bead)
        data = compose(draft, town=self.town.name, message_id=unique, epoch=self.now)
        for path in maildir.keep_files(address):
            if self.read(path) is None:
                self._new[path] = b""
        self.write(maildir.new_path(address, unique), data)
        return f"<{unique}@{self.town.name}.gt>"

    def emit(
        self, kind: str, text: str, *, bead: str | None = None, rig: str | None = None, actor: str | None = None,
        **data: Any,
    ) -> None:  # fmt: skip
        """A feed event. The first one's text is the subject of the commit."""
        self._events.append(
            event.make(
                kind, ts=times.millis(self.now), actor=actor or self.actor, text=text, bead=bead, rig=rig, data=data
            )
        )

    # -- leaving -----------------------------------------------------------
    def finish(self) -> bytes | None:
        """Write it all (under the lock). Returns the commit, None if nothing was altered. Raises Stale."""
        self._check_unmoved()
        ops = [
            FileOp(path, self._old.get(path), data) for path, data in self._new.items() if data != self._old.get(path)
        ]
        if not ops and not self._events:
            return None
        if self._events:
            ops.append(feed.next_lines(self.town, self.town.machine, self.now, self._events, self._committed))
        self._check_merged(ops)
        who = self.town.repo.person() if self.actor == "overseer" else author(self.actor, self.town.name)
        plan = Plan(self.verb, self._message(), who, self.now, tuple(ops))
        done = commit.apply(self.town.repo, plan)
        if self._touched:
            with contextlib.suppress(OSError):  # a hint; the change itself stands
                runstate.set_last(self.town.root, self.actor, self._touched)
        return done

    def _committed(self) -> feed.Files:
        from gastown.store.past import PastView

        head = self.town.repo.head()[1]
        return PastView(self.town.root, self.town.repo, head) if head else self.town

    def _check_merged(self, ops: list[FileOp]) -> None:
        """In a merge that stopped, git knows both versions of a file: written over, one of them would be gone."""
        what = self.town.repo.under_way()
        if not what:
            return
        _, out = git.run(["ls-files", "--unmerged", "-z"], cwd=self.town.root)
        unmerged = {line.partition(b"\t")[2].decode("utf-8", "replace") for line in out.split(b"\0")}
        for path in sorted(unmerged & {op.path for op in ops}):
            raise Refused(
                f"{path} is in conflict in a {what} that git has not finished",
                "gt sync --continue settles and finishes it; then run it again",
            )

    def _check_unmoved(self) -> None:
        for path, old in self._old.items():
            if files.read_or_none(layout.absolute(self.town.root, path)) != old:
                raise Stale(f"{path} was edited while it was being changed", "run it again")
        for path in self._new:
            self._check_inside(path)
        self._adopt_edits()

    def _adopt_edits(self) -> None:
        """A person's edits of what is written go first, as theirs, by the rules for them.

        One that began from an older version is merged: with it, others' changes would go.
        """
        from gastown.store import editbases

        repo = self.town.repo
        tree = repo.head_tree()
        edited = self._edited(tree, editbases.forget_dropped(repo, tree))
        if not edited:
            return
        if self.town.adopt is None or not self.town.adopt(self, edited):
            # The others go along with what is written (commit.py).
            stale = {path for path, data in edited.items() if editbases.on_top(repo, tree, path, data).data != data}
            if not stale:
                return
            edited = {path: edited[path] for path in stale}
            said = f"hand_edit: {_names(edited)} edited by hand\n"
            editbases.commit(repo, edited, message=said, who=repo.person(), epoch=self.now)
        raise Stale(f"{_names(edited)} was edited by hand meanwhile, which is kept", "run it again")

    def _edited(self, tree: bytes | None, pending: Collection[str]) -> dict[str, bytes | None]:
        """What lies in the files that are about to change and is not what HEAD has there."""
        found = {path: self._old[path] for path, data in self._new.items() if data != self._old[path]}
        return {
            path: data
            for path, data in found.items()
            if path in pending or (data is not None and self.town.repo.differs(tree, path, data))
        }

    def _check_inside(self, path: str) -> None:
        """No symlink in a town may lead a write out of it."""
        parts = path.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise UsageError(f"{path!r} is no path of a town")
        link = links.first(self.town.root, path)
        if link is not None:
            raise Refused(link.message, link.hint)

    def _message(self) -> str:
        # `git log` prints a message as it is: what a title holds must not reach the terminal raw.
        lines = [safe(f"{e['type']}: {' '.join(str(e['text']).split())}") for e in self._events] or [self.verb]
        subject, rest = lines[0], lines[1:]
        if len(subject) > 200:
            subject = subject[:199] + "…"
        return subject + "\n" + ("\n" + "\n".join(rest) + "\n" if rest else "")


def _names(paths: Iterable[str]) -> str:
    return ", ".join(sorted(layout.bead_of_path(path) or path for path in paths))


def _draw(below: int) -> int:
    # From the system, like random.SystemRandom: of more bits than any id has, so that no value is likelier.
    return int.from_bytes(os.urandom(16), "big") % below
