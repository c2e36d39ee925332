"""What people, agents, mail programs and editors do to a town, at random: the acts of a simulation."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

from gastown.model.bead import Bead
from gastown.model.errors import NotFound, Refused
from gastown.model.merge_maildir import Place, parse, path_of
from gastown.services.beads import resolve
from gastown.store import layout
from gastown.store.change import Change
from gastown.store.town import Town
from tests.sync.ledger import Ledger, values_of

RIG_FILE = "rigs/greenplace/rig.yaml"
PEOPLE = ("overseer", "mayor", "greenplace/toast", "greenplace/nux")


def born(bead: Bead) -> str:
    """What a bead is known by, whatever its id becomes."""
    return str(bead.doc["x-born"])


class Actor:
    """One machine's hands: every act changes its clone and enters the ledger. Returns what it did, in words."""

    def __init__(self, town: Town, ledger: Ledger, rng: random.Random) -> None:
        self.town, self.ledger, self.rng = town, ledger, rng

    def act(self) -> str:
        """Something at random."""
        chosen: Callable[[], str] = self.rng.choices([one for one, _ in self._kinds()],
                                                     [weight for _, weight in self._kinds()])[0]  # fmt: skip
        before = self.ledger.as_it_is()
        try:
            said = chosen()
        except (NotFound, Refused) as refused:  # what a killed sync removed is gone as soon as somebody writes
            self.ledger.back_to(before)
            return f"refused: {refused}"
        self.ledger.acts += bool(said)
        return said

    def _kinds(self) -> list[tuple[Callable[[], str], int]]:
        return [
            (self.create, 3), (self.child, 5), (self.note, 5), (self.value, 5), (self.label, 3), (self.need, 3),
            (self.text, 4), (self.status, 4), (self.send, 3), (self.move_mail, 5), (self.setting, 2),
            (self.edit_by_hand, 5), (self.remove_by_hand, 1), (self.resolve, 1),
            (self.put_elsewhere, 1),
        ]  # fmt: skip

    def word(self, kind: str) -> str:
        """A word that stands nowhere else."""
        return f"{kind}-{self.town.machine}-{self.ledger.acts:05d}"

    # -- beads -------------------------------------------------------------------------------------
    def _bead(self) -> str | None:
        """A bead at random: the newest ones rather than old ones, since those are on everybody's table."""
        rows = sorted(self.town.index().rows, key=lambda row: row.created)
        return self.rng.choice(rows[-12:]).id if rows else None

    def _change(self, verb: str, body: Callable[[Change, Bead], None]) -> str:
        bead_id = self._bead()
        if bead_id is None:
            return ""

        before = self.ledger.as_it_is()

        def write(change: Change) -> str:
            # It is done anew if a hand edit, perhaps of another bead that had this id, had to be merged first.
            self.ledger.back_to(before)
            bead = change.bead(bead_id)
            body(change, bead)
            change.save(bead)
            change.emit("edit", f"{verb} {bead_id}", bead=bead_id)
            return f"{verb} {bead_id}"

        return self.town.transact(verb, write, actor=self.rng.choice(PEOPLE))

    def create(self, parent: str | None = None) -> str:
        """One, or several in the same second, as a script makes them."""
        said = [self._create(parent) for _ in range(self.rng.choice([1, 1, 1, 2, 3]))]
        return ", ".join(said)

    def _create(self, parent: str | None) -> str:
        title = self.word("title")
        self.ledger.acts += 1

        def write(change: Change) -> Bead:
            if parent is not None:
                change.bead(parent)
            text = "".join(f"{self.word('line')}-{n}\n\n" for n in range(5)) if self.rng.random() < 0.7 else None
            bead = change.create("greenplace", title=title, parent=parent, description=text, **{"x-born": title})
            change.emit("create", f"create {bead.id}", bead=bead.id)
            return bead

        bead = self.town.transact("create", write, actor=self.rng.choice(PEOPLE))
        self.ledger.created[born(bead)] = title
        self.ledger.wrote(born(bead), "title", None, title)
        if parent is not None:
            self.ledger.parents[title] = born(self.town.bead(parent))
        self.ledger.lines |= {(born(bead), line) for line in bead.description.split()}
        return f"create {bead.id} {title}"

    def child(self) -> str:
        rows = sorted(self.town.index().rows, key=lambda row: row.created)
        parents = [row.id for row in rows[-12:] if row.id.count(".") < 2][:3]
        return self.create(self.rng.choice(parents)) if parents else ""

    def note(self) -> str:
        text = self.word("note")

        def body(change: Change, bead: Bead) -> None:
            bead.add_note(change.at, change.actor, text)
            self.ledger.notes.add((born(bead), text))

        return self._change(f"note {text} on", body)

    def value(self) -> str:
        key = self.rng.choice(["title", "title", "priority", "x-word", "x-map.a", "x-map.b"])
        new: object = self.word(key.replace(".", "-"))

        def body(change: Change, bead: Bead) -> None:
            old = values_of(bead.doc).get(key)
            if key == "priority":  # cannot be unique: only its change is an act
                bead.set("priority", self.rng.randrange(5))
                return
            if key.startswith("x-map."):
                bead.set("x-map", {**(bead.doc.get("x-map") or {}), key[6:]: new})
            else:
                bead.set(key, new)
            self.ledger.wrote(born(bead), key, old, new)

        return self._change(f"{key} {new} of", body)

    def label(self) -> str:
        new = self.word("label")

        def body(change: Change, bead: Bead) -> None:
            known = [one for one in bead.labels if (born(bead), one) in self.ledger.labels]
            if known and self.rng.random() < 0.4:
                gone = self.rng.choice(known)
                bead.set("labels", [one for one in bead.labels if one != gone])
                self.ledger.unlabelled.add((born(bead), gone))
            else:
                bead.set("labels", [*bead.labels, new])
                self.ledger.labels.add((born(bead), new))

        return self._change(f"label {new} on", body)

    def need(self) -> str:
        other = self._bead()

        def body(change: Change, bead: Bead) -> None:
            need = change.bead(str(other))
            if need.created_at < bead.created_at:  # no circles
                bead.set("needs", [*bead.needs, need.id])
                self.ledger.needs.add((born(bead), born(need)))

        return self._change(f"need {other} of", body)

    def text(self) -> str:
        def body(change: Change, bead: Bead) -> None:
            text, old, new = self._reworded(bead.description)
            bead.set("description", text)
            self._replaced(born(bead), old, new)

        return self._change("description of", body)

    def _reworded(self, text: str) -> tuple[str, str, str]:
        lines, new = text.split("\n"), self.word("line")
        places = [n for n, line in enumerate(lines) if line.strip()]
        if not places:
            return f"{new}\n", "", new
        place = self.rng.choice(places)
        old, lines[place] = lines[place], new
        return "\n".join(lines), old, new

    def _replaced(self, born: str, old: str, new: str) -> None:
        self.ledger.lines.add((born, new))
        if old:
            self.ledger.lines_over.add((born, old))

    def status(self) -> str:
        word = self.word("state")

        def body(change: Change, bead: Bead) -> None:
            old = values_of(bead.doc)
            self._move(change, bead, word)
            now = values_of(bead.doc)
            for key, mine in (("closed", word), ("assignee", f"greenplace/{word}")):
                if now.get(key) == mine:
                    self.ledger.wrote(born(bead), key, old.get(key), mine)
                elif key in old and key not in now:
                    self.ledger.over.add((born(bead), key, old[key]))

        return self._change(f"status {word} of", body)

    def _move(self, change: Change, bead: Bead, word: str) -> None:
        held = bead.status in ("hooked", "in_progress", "merging")
        if bead.status == "closed":
            bead.move("open")
            bead.set("assignee", None)
        elif bead.status == "deferred" or (bead.status in ("hooked", "in_progress") and self.rng.random() < 0.3):
            bead.move("open")
            for key in ("assignee", "machine", "branch"):
                bead.set(key, None)
        elif self.rng.random() < (0.3 if held else 0.5):
            bead.close(at=change.at, by=change.actor, reason=word)
        elif held:
            bead.move({"hooked": "in_progress", "in_progress": "merging", "merging": "in_progress"}[bead.status])
        else:
            bead.move("hooked")
            bead.set("assignee", f"greenplace/{word}")
            bead.set("machine", self.town.machine)
            bead.set("branch", f"polecat/{word}/{bead.id}.a1")

    def resolve(self) -> str:
        torn = [row.id for row in self.town.index().rows if row.conflicts]
        if not torn:
            return ""
        bead = self.town.bead(self.rng.choice(torn))
        choice = self.rng.randrange(len(resolve.versions(self.town, bead.id))) + 1
        seen = [bead.description, *(str(one["text"]) for one in resolve.versions(self.town, bead.id))]
        resolve.resolve(self.town, bead.id, choice=choice)
        kept = set(self.town.bead(bead.id).description.split())
        self.ledger.lines_over |= {(born(bead), line) for text in seen for line in text.split()} - {
            (born(bead), line) for line in kept
        }
        return f"resolve {bead.id} {choice}"

    # -- mail ----------------------------------------------------------------------------------------
    def send(self) -> str:
        subject = self.word("subject")
        with self.town.change("mail", actor="overseer") as change:
            message = change.deliver("mayor", subject, "text\n")
            change.emit("mail", f"mail {subject}")
        self.ledger.mail[message] = subject
        return f"send {subject}"

    def move_mail(self) -> str:
        """As mail programs do: a rename, or the removal of a file."""
        box = Path(self.town.root, "mail/mayor")
        paths = sorted(path for path in box.rglob("*") if parse(layout.relative(self.town.root, str(path))))
        if not paths:
            return ""
        path = self.rng.choice(paths[-8:])
        spot = parse(layout.relative(self.town.root, str(path)))
        assert spot
        message = f"<{spot[1]}@demo.gt>"
        what = self.rng.choice(["S", "S", "F", "R", "archive", "delete"])
        if what == "delete":
            path.unlink()
            self.ledger.deleted.add(message)
            return f"delete mail {spot[1]}"
        flags = spot[2].flags | ({what} if what != "archive" else set())
        place = Place(what == "archive" or spot[2].archived, True, flags)
        target = Path(self.town.root, path_of(spot[0], spot[1], place))
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        if what == "archive":
            self.ledger.archived.add(message)
        else:
            self.ledger.flags.add((message, what))
        return f"{what} mail {spot[1]}"

    # -- files ---------------------------------------------------------------------------------------
    def setting(self) -> str:
        path = self.rng.choice(["town.yaml", RIG_FILE])
        key, new = self.rng.choice(["x-one", "x-two"]), self.word("setting")

        def write(change: Change) -> None:
            doc = change.load(path)
            if key in doc:
                self.ledger.over.add((path, key, str(doc[key])))
            doc[key] = new
            change.put(path, doc)
            change.emit("config", f"set {key}")

        self.town.transact("config", write, actor="overseer")
        self.ledger.settings.add((path, key, new))
        return f"{key} {new} of {path}"

    def edit_by_hand(self) -> str:
        """An editor at a file: a comment, a title, a line of the description, a note; nobody commits it."""
        if self.rng.random() < 0.2:
            return self._comment(RIG_FILE, RIG_FILE)
        bead_id = self._bead()
        if bead_id is None:
            return ""
        bead = self.town.bead(bead_id)
        what = self.rng.choice(["comment", "title", "line", "word"])
        if what == "comment":
            return self._comment(bead.path, born(bead))
        path = Path(self.town.root, bead.path)
        text = path.read_text()
        if what == "title":
            new = self.word("title")
            after = re.sub(r"(?m)^title: .*$", f"title: {new}", text)
            self.ledger.wrote(born(bead), "title", bead.title, new)
        elif what == "line" and bead.description.strip():
            _, old, new = self._reworded(bead.description)
            after = text.replace(f"  {old}\n", f"  {new}\n", 1)
            if after == text:
                return ""
            self._replaced(born(bead), old, new)
        else:
            new = self.word("x-word")
            if "x-word" in bead.doc:
                self.ledger.over.add((born(bead), "x-word", str(bead.doc["x-word"])))
                after = re.sub(r"(?m)^x-word: .*$", f"x-word: {new}", text)
            else:
                after = text + f"\nx-word: {new}\n"
            self.ledger.values.add((born(bead), "x-word", new))
        self._save(path, after)
        return f"edit {what} of {bead_id} by hand: {new}"

    def _comment(self, where: str, born: str) -> str:
        words = f"# {self.word('comment')}"
        path = Path(self.town.root, where)
        lines = path.read_text().split("\n")
        tops = [n for n, line in enumerate(lines) if re.match(r"[a-z-]+:", line)]
        lines.insert(self.rng.choice(tops), words)
        self._save(path, "\n".join(lines))
        self.ledger.comments.add((born, words))
        return f"comment {words} in {where}"

    def remove_by_hand(self) -> str:
        rows = sorted(self.town.index().rows, key=lambda row: row.created)[:-6]
        if not rows:
            return ""
        row = self.rng.choice(rows)
        gone = born(self.town.bead(row.id))
        Path(self.town.root, row.path).unlink()
        self.ledger.removed.add(gone)
        return f"remove {row.id} by hand"

    def put_elsewhere(self) -> str:
        """A bead's file moved or copied to another day's folder, as it is."""
        bead_id = self._bead()
        if bead_id is None:
            return ""
        path = Path(self.town.root, self.town.bead(bead_id).path)
        target = path.parent.with_name(f"2026-01-{self.rng.randrange(1, 29):02d}") / path.name
        if target.exists():
            return ""
        target.parent.mkdir(exist_ok=True)
        copied = self.rng.random() < 0.5
        self._save(target, path.read_text())
        if not copied:
            path.unlink()
        return f"{'copy' if copied else 'move'} {bead_id} to {target.parent.name}"

    def _save(self, path: Path, text: str) -> None:
        """By rename as vim does, or in place; finished a while ago, or just now."""
        if self.rng.random() < 0.5:
            spare = path.with_name(f".{path.name}.swp")
            spare.write_text(text)
            spare.rename(path)
        else:
            path.write_text(text)
        if self.rng.random() < 0.9:
            # Another second every time: git looks no closer, and here a day goes by in a few of them.
            os.utime(path, (time.time() - 5 - self.ledger.acts,) * 2)
