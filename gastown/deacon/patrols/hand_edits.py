"""Files edited by hand: valid ones are committed as the person's, invalid ones are reported once and left alone."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gastown.deacon import adopt, telling
from gastown.deacon.action import Action, Later
from gastown.deacon.settings import Settings
from gastown.deacon.world import World
from gastown.model import groups
from gastown.model.address import rig_of
from gastown.model.bead import HELD, TRANSITIONS, Bead
from gastown.model.errors import GtError, InvalidFile
from gastown.model.text import counted
from gastown.services import handedits, lint, mailbox
from gastown.store import editbases, files, git, layout, links, schema
from gastown.store.change import Change
from gastown.store.fitting import Fitting
from gastown.store.town import Town

_FOLDERS = ("beads", "rigs", "mail", "machines", "agents", "roles", "formulas", "town.yaml")
_TEXTS = {"roles": ".md", "formulas": ".toml"}
# The marks of what has no content to be named by.
_NO_CONTENT = _LINK, _UNREADABLE = "link", "unreadable"
_FRESH = ("open", "deferred", "hooked", "closed")


@dataclass(frozen=True)
class Edit:
    """One file that is not as it was committed. `old`, `new` are documents (None: absent, or no YAML).

    `mark` names its content, `age` is how many seconds ago it was written.
    """

    path: str
    kind: str
    mark: str
    age: float
    old: Mapping[str, Any] | None = None
    new: Mapping[str, Any] | None = None
    gone: bool = False
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Evidence:
    """The edits, why nothing may be committed just now ("" if it may), and what was reported before."""

    edits: tuple[Edit, ...] = ()
    git_at_work: str = ""
    told: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Adopt(Action):
    """Commit edits as the person's. `assign`: bead -> whom it was given to; `released`: beads set open again."""

    paths: tuple[str, ...] = ()
    marks: Mapping[str, str] = field(default_factory=dict)
    said: str = ""
    assign: Mapping[str, str] = field(default_factory=dict)
    released: tuple[str, ...] = ()

    def apply(self, town: Town) -> None:
        """One commit in the person's name, one feed event."""
        with town.change("hand_edit", actor="overseer") as change:
            tree = adopt.head_tree(town.repo)
            contents = {path: files.read_or_none(layout.absolute(town.root, path)) for path in self.paths}
            still = {
                path: data
                for path, data in contents.items()
                if mark_of(data) == self.marks[path] and adopt.differs(town.repo, tree, path, data)
            }
            if not still or adopt.git_at_work(town.repo):
                return  # it was a change of gt's own, or is edited on: the next look tells
            message = f"hand_edit: {self.said}\n"
            # An editor that saved over what a sync brought meanwhile is merged, not taken as the new truth.
            editbases.commit(town.repo, still, message=message, who=town.repo.person(), epoch=change.now)
            for bead_id in self.released:
                _let_go(change, bead_id)
            assign = {bead: to for bead, to in self.assign.items() if any(f"/{bead}.yaml" in path for path in still)}
            one = layout.bead_of_path(next(iter(still))) if len(still) == 1 else None
            facts: dict[str, Any] = {"paths": sorted(still)} | ({"assign": assign} if assign else {})
            rig = layout.rig_of_path(next(iter(still))) if len(still) == 1 else None
            change.emit("hand_edit", f"{self.said} edited by hand", bead=one, rig=rig, **facts)


@dataclass(frozen=True)
class AdoptMail(Action):
    """Commit what a mail program moved, flagged, added or removed in a mailbox."""

    def apply(self, town: Town) -> None:
        """One commit in the person's name, one feed event."""
        with town.change("hand_edit", actor="overseer") as change:
            paths = [] if adopt.git_at_work(town.repo) else mailbox.settle_mail(change, self.subject)
            if paths:
                text = f"mail of {self.subject}: {counted(len(paths), 'file')} moved by a mail program"
                change.emit("hand_edit", text, rig=rig_of(self.subject), paths=paths[:20])


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
        if self.mark not in _NO_CONTENT and mark_of(files.read_or_none(where)) != self.mark:
            return
        body = f"{self.why}\n\n{self.hint}\n\nIt is left as it is; nothing acts on it until it is mended.\n"
        bead = layout.bead_of_path(self.subject)
        telling.tell(
            town, "invalid_file", self.key, self.why, body=body, bead=bead, rig=layout.rig_of_path(self.subject),
            path=self.subject,
        )  # fmt: skip


def mark_of(data: bytes | None) -> str:
    """A short name of a file's content."""
    return "gone" if data is None else hashlib.sha256(data).hexdigest()[:16]


def key_of(path: str, mark: str) -> str:
    """Under which the report of one content of a file is remembered."""
    return f"invalid:{path}:{mark}"


def kind_of(path: str) -> str | None:
    """What kind of file a path is the place of, if hand edits of it are committed: a schema's name, mail or text."""
    parts = path.split("/")
    name = parts[-1]
    if name.startswith(".") and path != groups.PATH:
        return None
    if parts[0] == layout.MAIL:
        box = len(parts) in (4, 5, 6) and parts[-2] in ("new", "cur")
        return "mail" if box else "groups" if path == groups.PATH else None
    if parts[0] in _TEXTS or (parts[0] == layout.RIGS and len(parts) == 4 and parts[2] == "roles"):
        return "text" if name.endswith(_TEXTS.get(parts[0], ".md")) else None
    kind = schema.kind_of(path)
    return None if kind == "event" else kind


def box_of(path: str) -> str:
    """The address whose mailbox a message's path lies in."""
    parts = path.split("/")[1:-2]
    return "/".join(parts[:-1] if parts[-1].startswith(".") else parts)


# -- looking --------------------------------------------------------------------------------------
def gather(world: World) -> Evidence:
    """Compare what moved (or all that git says is not committed) with HEAD."""
    town = world.town
    paths = _uncommitted(town) if world.paths is None else sorted(world.paths)
    wanted = [(path, kind) for path in paths if (kind := kind_of(path)) and path.isprintable()]
    if not wanted:
        return Evidence()
    tree = adopt.head_tree(town.repo)
    edits = _fitting(town, tree, [edit for path, kind in wanted if (edit := _look(town, tree, path, kind))])
    told = frozenset(key_of(edit.path, edit.mark) for edit in edits if world.memory.when(key_of(edit.path, edit.mark)))
    return Evidence(tuple(edits), adopt.git_at_work(town.repo) if edits else "", told)


def _fitting(town: Town, tree: bytes | None, edits: list[Edit]) -> list[Edit]:
    """The edits, with what is wrong about the names of those that no other machine would take."""
    fitting = Fitting(town.repo, tree, gone=[edit.path for edit in edits if edit.gone])
    found = []
    for edit in edits:
        wrong = None if edit.gone or edit.problem or edit.kind == "mail" else handedits.unfit(fitting, edit.path)
        found.append(replace(edit, problem=wrong.message, hint=wrong.hint) if wrong else edit)
    return found


def _uncommitted(town: Town) -> list[str]:
    """Every path that git finds changed, removed or new; read-only."""
    there = [name for name in _FOLDERS if os.path.lexists(os.path.join(town.root, name))]
    args = ["--no-optional-locks", "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--"]
    _, out = git.run([*args, *there], cwd=town.root)
    return sorted({item[3:] for item in out.decode("utf-8", "surrogateescape").split("\0") if len(item) > 3})


def _look(town: Town, tree: bytes | None, path: str, kind: str) -> Edit | None:
    absolute = layout.absolute(town.root, path)
    if os.path.islink(absolute) and (link := links.first(town.root, path)):
        return Edit(path, kind, _LINK, 60.0, problem=link.message, hint=link.hint)
    if os.path.isdir(absolute):
        return None
    try:
        data = files.read_or_none(absolute)
        age = time.time() - os.stat(absolute).st_mtime if data is not None else 60.0
    except FileNotFoundError:
        data, age = None, 60.0
    except NotADirectoryError:
        return None
    except OSError as error:
        return Edit(path, kind, _UNREADABLE, 60.0, problem=f"{path}: cannot be read: {error.strerror}")
    if not adopt.differs(town.repo, tree, path, data):
        return None
    mark = mark_of(data)
    if data is None:
        return Edit(path, kind, mark, age, gone=True)
    if kind in ("mail", "text"):
        return Edit(path, kind, mark, age)
    before = town.repo.blob(tree, path)
    try:
        new = lint.parse(path, data, town)
    except InvalidFile as problem:
        return Edit(path, kind, mark, age, problem=problem.message, hint=problem.remedy(is_new=before is None))
    known = before
    if before is None and kind == "bead" and new and str(new.get("status", "open")) not in _FRESH:
        known = handedits.removed(town.root, path)
    try:
        old = lint.parse(path, known) if known is not None else None
    except InvalidFile:
        old = None
    return Edit(path, kind, mark, age, old, new)


# -- deciding -------------------------------------------------------------------------------------
def decide(evidence: Evidence, settings: Settings, now: float) -> list[Action]:
    """Report what cannot be used, commit the rest; wait for a git command or an editor that is at work."""
    if evidence.git_at_work:
        return [Later("town", f"git is at work in the town ({evidence.git_at_work})", at=now + 2.0)]
    actions: list[Action] = []
    good: list[Edit] = []
    boxes = sorted({box_of(edit.path) for edit in evidence.edits if edit.kind == "mail"})
    actions += [AdoptMail(box, "a mail program was at work") for box in boxes]
    for edit in evidence.edits:
        if edit.kind == "mail":
            continue
        if edit.age < settings.settle * 0.8:
            actions.append(Later(edit.path, "it is being written", at=now + settings.settle))
            continue
        wrong = edit.problem or lifecycle_problem(edit)
        if not wrong:
            good.append(edit)
        elif key_of(edit.path, edit.mark) not in evidence.told:
            hint = edit.hint or InvalidFile(edit.path, wrong).remedy(is_new=edit.old is None)
            actions.append(Report(edit.path, wrong, mark=edit.mark, hint=hint))
    if good:
        actions.append(_adopt(good))
    return actions


def lifecycle_problem(edit: Edit) -> str:
    """Why an edit of a bead breaks the rules of its life cycle; "" if it does not."""
    if edit.kind != "bead" or edit.new is None:
        return ""
    now = str(edit.new.get("status", "open"))
    if edit.old is None:
        if now in _FRESH:
            return ""
        return f"{edit.path} (status): a new bead cannot be {now}; it may be: {', '.join(_FRESH)}"
    was = str(edit.old.get("status", "open"))
    if now != was and now not in TRANSITIONS[was]:
        allowed = ", ".join(TRANSITIONS[was])
        return f"{edit.path} (status): {edit.new['id']} was {was} and cannot become {now}; it may become: {allowed}"
    holder = edit.old.get("assignee")
    if was in HELD and now in HELD and edit.new.get("assignee") != holder:
        return (
            f"{edit.path} (assignee): {edit.new['id']} is held by {holder}; "
            f"gt sling {edit.new['id']} {edit.new.get('assignee')} --force takes it over"
        )
    if was in HELD and now in HELD and edit.new.get("branch") != edit.old.get("branch"):
        return f"{edit.path} (branch): {edit.new['id']} is being worked on at {edit.old.get('branch')}"
    return ""


def given_to(edit: Edit) -> str:
    """Whom an edit gives its bead to (`assignee:` set by hand is a sling); "" if it does not."""
    if edit.kind != "bead" or edit.new is None:
        return ""
    return handedits.given_to(edit.old, edit.new)


def _released(edit: Edit) -> bool:
    old, new = edit.old or {}, edit.new or {}
    same = old.get("assignee") == new.get("assignee")
    return old.get("status") in HELD and new.get("status") == "open" and same


def _adopt(edits: list[Edit]) -> Adopt:
    said = describe(edits)
    assign = {str(edit.new["id"]): to for edit in edits if edit.new is not None and (to := given_to(edit))}
    released = tuple(str(edit.new["id"]) for edit in edits if edit.kind == "bead" and edit.new and _released(edit))
    marks = {edit.path: edit.mark for edit in edits}
    return Adopt(said, "edited by hand", tuple(marks), marks, said, assign, released)


def describe(edits: list[Edit]) -> str:
    """What was edited, in a few words: names, and for one file its keys."""
    names = [layout.bead_of_path(edit.path) or edit.path for edit in edits]
    if len(edits) == 1:
        names[0] += _keys(edits[0])
    else:
        names = [name + (" (removed)" if edit.gone else "") for name, edit in zip(names, edits, strict=True)]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _keys(edit: Edit) -> str:
    if edit.gone:
        return " (removed)"
    if edit.old is None or edit.new is None:
        return " (new)" if edit.kind != "text" else ""
    keys = [key for key in dict.fromkeys([*edit.old, *edit.new]) if edit.old.get(key) != edit.new.get(key)]
    return f" ({', '.join(keys)})" if keys else ""


def _let_go(change: Change, bead_id: str) -> None:
    """A held bead was set open by hand: it is nobody's now, and its session is over for it."""
    try:
        bead: Bead = change.bead(bead_id)
    except GtError:
        return
    bead.end_session(at=change.at, outcome="released")
    bead.set("assignee", None)
    bead.set("machine", None)
    change.save(bead)
