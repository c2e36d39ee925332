"""Files edited by hand: valid ones are committed as the person's, invalid ones are reported once and left alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gastown.deacon import adopt, edited, telling
from gastown.deacon.action import Action, Later
from gastown.deacon.edited import HELD_BACK, MOVED, NO_CONTENT, Edit, key_of, mark_of
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model.address import rig_of
from gastown.model.errors import InvalidFile
from gastown.model.text import counted, some
from gastown.services.files import editable, handedits
from gastown.services.mail import mailbox
from gastown.store import files, layout
from gastown.store.stale import Versions
from gastown.store.town import Town

_MOMENT = 0.2


@dataclass(frozen=True)
class Evidence:
    """The edits, why nothing may be committed just now ("" if it may) and since when, and what was reported before."""

    edits: tuple[Edit, ...] = ()
    git_at_work: str = ""
    git_since: float = 0.0
    told: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Adopt(Action):
    """Commit edits as the person's: what lies at `paths`, where it is still what was judged (`marks`)."""

    paths: tuple[str, ...] = ()
    marks: Mapping[str, str] = field(default_factory=dict)
    said: str = ""

    def apply(self, town: Town) -> Later | None:
        """One commit in the person's name, one feed event."""
        versions = Versions(town.repo, self.paths)
        versions.look()
        with town.change("hand_edit", actor="overseer") as change:
            tree = town.repo.head_tree()
            contents = {path: files.read_or_none(layout.absolute(town.root, path)) for path in self.paths}
            still = {
                path: data
                for path, data in contents.items()
                if mark_of(data) == self.marks[path] and town.repo.differs(tree, path, data)
            }
            if any(mark_of(data) != self.marks[path] for path, data in contents.items()):
                # What is gone may lie in a file that is being edited on: the next look tells.
                still = {path: data for path, data in still.items() if data is not None}
            if not still:
                return None  # it was a change of gt's own, or is edited on: the next look tells
            if adopt.git_at_work(town.repo):
                return _git_began(town)
            handedits.take(change, still, self.said, versions)
        return None


@dataclass(frozen=True)
class AdoptMail(Action):
    """Commit what a mail program moved, flagged, added or removed in a mailbox."""

    def apply(self, town: Town) -> Later | None:
        """One commit in the person's name, one feed event."""
        with town.change("hand_edit", actor="overseer") as change:
            if adopt.git_at_work(town.repo):
                return _git_began(town)
            paths = mailbox.settle_mail(change, self.subject)
            if paths:
                text = f"mail of {self.subject}: {counted(len(paths), 'file')} moved by a mail program"
                change.emit("hand_edit", text, rig=rig_of(self.subject), paths=paths[:20])
        return None


@dataclass(frozen=True)
class Report(Action):
    """Tell the overseer of a file that cannot be used, once for each content of it."""

    mark: str = ""
    hint: str = ""

    @property
    def key(self) -> str:
        return key_of(self.subject, self.mark)

    def apply(self, town: Town) -> None:
        """Mail with line and reason; the file stays as it is."""
        where = layout.absolute(town.root, self.subject)
        has_content = self.mark not in NO_CONTENT and not self.mark.startswith(HELD_BACK)
        if has_content and mark_of(files.read_or_none(where)) != self.mark:
            return
        body = f"{self.why}\n\n{self.hint}\n\nIt is left as it is; nothing acts on it until it is mended.\n"
        bead = layout.bead_of_path(self.subject)
        telling.tell(
            town, "invalid_file", self.key, self.why, body=body, bead=bead, rig=layout.rig_of_path(self.subject),
            path=self.subject,
        )  # fmt: skip


def _git_began(town: Town) -> Later:
    # Most often over in a moment: an editor that asks for the status. Nothing else tells when it is.
    return Later("town", "git began to work in the town", at=town.clock() + _MOMENT)


def box_of(path: str) -> str:
    """The address whose mailbox a message's path lies in."""
    parts = path.split("/")[1:-2]
    return "/".join(parts[:-1] if parts[-1].startswith(".") else parts)


# -- looking --------------------------------------------------------------------------------------
def gather(world: World) -> Evidence:
    """Compare what moved (or all that git says is not committed) with HEAD."""
    town = world.town
    handedits.forget_dropped(town)
    paths = editable.uncommitted(town.root, editable.PLACES) if world.paths is None else sorted(world.paths)
    if not any(map(editable.kind_of, paths)):
        return Evidence()
    tree = town.repo.head_tree()
    edits = edited.edits(town, tree, paths)
    may_be_half = [one for one in edits if one.kind in MOVED and (one.gone or edited.is_new(town, tree, one.path))]
    if world.paths is not None and may_be_half:
        # A move's other half may not have been told of just now.
        paths = sorted({*paths, *editable.uncommitted(town.root, editable.PLACES)})
        edits = edited.edits(town, tree, paths)
    edits = edited.with_held(town, tree, edits, paths)
    told = frozenset(key_of(edit.path, edit.mark) for edit in edits if world.memory.when(key_of(edit.path, edit.mark)))
    sign = adopt.at_work(town.repo) if edits else None
    return Evidence(tuple(edits), sign.text if sign else "", sign.since if sign else 0.0, told)


# -- deciding -------------------------------------------------------------------------------------
def decide(evidence: Evidence, settings: Settings, now: float) -> list[Action]:
    """Report what cannot be used, commit the rest; wait for a git command or an editor that is at work."""
    if evidence.git_at_work:
        # What began just now is most often a gt's own writing, and over in a moment.
        wait = _MOMENT if now - evidence.git_since < 1.0 else 2.0
        return [Later("town", f"git is at work in the town ({evidence.git_at_work})", at=now + wait)]
    actions: list[Action] = []
    good: list[Edit] = []
    # What git cannot hold is told of below: to commit it would be tried without end.
    moved = {edit.path for edit in evidence.edits if edit.kind == "mail" and not edit.problem}
    boxes = sorted({box_of(path) for path in moved})
    actions += [AdoptMail(box, "a mail program was at work") for box in boxes]
    # What is gone from its place may lie in a file that is being written.
    young = {one.kind for one in evidence.edits if one.kind in MOVED and 0 <= one.age < settings.settle * 0.8}
    for edit in evidence.edits:
        if edit.path in moved:
            continue
        if edit.age < settings.settle * 0.8 or (edit.gone and edit.kind in young):
            actions.append(Later(edit.path, "it is being written", at=now + settings.settle))
            continue
        wrong = edit.problem
        if not wrong and not edit.held:
            good.append(edit)
        elif wrong and key_of(edit.path, edit.mark) not in evidence.told:
            hint = edit.hint or InvalidFile(edit.path, wrong).remedy(is_new=edit.old is None)
            actions.append(Report(edit.path, wrong, mark=edit.mark, hint=hint))
    if good:
        actions.append(_adopt(good))
    return actions


def _adopt(edits: list[Edit]) -> Adopt:
    said = describe(edits)
    marks = {edit.path: edit.mark for edit in edits}
    return Adopt(said, "edited by hand", tuple(marks), marks, said)


def describe(edits: list[Edit]) -> str:
    """What was edited, in a few words: names, and for one file its keys."""
    names = [layout.bead_of_path(edit.path) or edit.path for edit in edits]
    if len(edits) == 1:
        names[0] += _keys(edits[0])
    else:
        names = [name + (" (removed)" if edit.gone else "") for name, edit in zip(names, edits, strict=True)]
    return some(names)


def _keys(edit: Edit) -> str:
    if edit.gone:
        return " (removed)"
    if edit.old is None or edit.new is None:
        return " (new)" if edit.kind != "text" else ""
    keys = [key for key in dict.fromkeys([*edit.old, *edit.new]) if edit.old.get(key) != edit.new.get(key)]
    return f" ({', '.join(keys)})" if keys else ""
