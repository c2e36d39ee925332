"""Writing beads: create, change, note, close, reopen, needs and labels. One change each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gastown.model import bead as bead_model
from gastown.model import graph, ids
from gastown.model.bead import Bead
from gastown.model.errors import NotFound, Refused, UsageError
from gastown.model.row import Row
from gastown.model.text import nearest
from gastown.store.layout import rig_of_path
from gastown.store.town import Town

if TYPE_CHECKING:
    from gastown.store.change import Change

LONGEST_TITLE = 500
TOWN = "town"


@dataclass(frozen=True)
class Draft:
    """What a new bead is to be. `rig` None: by parent, else by `rig_for`; "town": the town's own."""

    title: str
    type: str = "task"
    priority: int | None = None
    description: str = ""
    acceptance: str = ""
    labels: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    parent: str | None = None
    rig: str | None = None


@dataclass(frozen=True)
class Written:
    """A bead as it is now, and the keys that changed; none if all was so already."""

    bead: Bead
    changed: tuple[str, ...]


@dataclass(frozen=True)
class Edit:
    """What `update` alters; None leaves a field as it is, "" removes a text."""

    title: str | None = None
    type: str | None = None
    priority: int | None = None
    description: str | None = None
    acceptance: str | None = None
    parent: str | None = None
    status: str | None = None
    add_labels: tuple[str, ...] = ()
    remove_labels: tuple[str, ...] = ()


def check_title(title: str) -> str:
    """A title on one line, trimmed; raises UsageError for none, for an option typed in its place, for too long."""
    line = " ".join(title.split())
    if not line:
        raise UsageError("a bead needs a title", 'gt create "what is to be done"')
    if line.startswith("-"):
        raise UsageError(
            f"the title {line!r} looks like an option", "check the quoting; a title may not begin with a dash"
        )
    if len(line) > LONGEST_TITLE:
        raise UsageError(
            f"a title of {len(line)} characters is too long (at most {LONGEST_TITLE})", "put the rest into -d or -F"
        )
    return line


def check_label(label: str) -> str:
    """A label: visible characters without blanks and commas; raises UsageError."""
    if not label or len(label) > 64 or not label.isprintable() or any(c.isspace() or c == "," for c in label):
        raise UsageError(f"{label!r} cannot be a label", "at most 64 visible characters, no blanks, no commas")
    return label


def check_priority(priority: int) -> int:
    """0 (critical) to 4; raises UsageError."""
    if not 0 <= priority <= 4:
        raise UsageError(f"priority {priority} is not from 0 (critical) to 4", "2 is the ordinary one")
    return priority


def check_type(kind: str) -> str:
    """A bead type a person may give; raises UsageError with the nearest."""
    if kind in ("merge", "convoy", "escalation"):
        raise UsageError(f"beads of type {kind} are made by their own commands", "see `gt --help`")
    if kind not in bead_model.TYPES:
        near = nearest(kind, list(bead_model.TYPES))
        hint = f"did you mean {' or '.join(near)}?" if near else "one of: " + " ".join(bead_model.TYPES)
        raise UsageError(f"{kind!r} is no type of bead", hint)
    return kind


def rig_for(town: Town, rig: str | None, here: str | None) -> str | None:
    """The rig meant: `rig` ("town" is none), the one we stand in, the default, the only one.

    Raises UsageError listing the rigs if several are possible. None is the town itself.
    """
    if rig == TOWN:
        return None
    if rig is not None:
        return town.rig(rig).name
    names = town.rig_names()
    if here in names:
        return here
    default = town.setting("default_rig")
    if default:
        return town.rig(str(default)).name
    if len(names) > 1:
        raise UsageError(
            f"which rig? There are {', '.join(names)}", "say --rig RIG (--rig town for the town itself)"
        )
    return names[0] if names else None


def create(town: Town, draft: Draft, *, here: str | None = None) -> Bead:
    """Make a bead. Its parent and needs must exist; raises UsageError or NotFound before anything is written."""
    title, kind = check_title(draft.title), check_type(draft.type)
    labels = [check_label(one) for one in draft.labels]
    if draft.priority is not None:
        check_priority(draft.priority)
    rig = _rig_of_draft(town, draft, here)

    def body(change: Change) -> Bead:
        if draft.parent:
            change.bead(draft.parent)
        _known(change, draft.needs)
        fields: dict[str, Any] = {
            "priority": draft.priority if draft.priority is not None else bead_model.DEFAULT_PRIORITY,
            "parent": draft.parent,
            "needs": list(draft.needs),
            "labels": labels,
            "description": block(draft.description),
            "acceptance": block(draft.acceptance),
        }
        bead = change.create(rig, title=title, type=kind, **fields)
        change.emit("create", f"created {bead.id}: {title}", bead=bead.id, rig=rig)
        return bead

    return town.transact("create", body)


def _rig_of_draft(town: Town, draft: Draft, here: str | None) -> str | None:
    if draft.rig is None and draft.parent:
        return town.rig_for_prefix(ids.prefix_of(draft.parent))
    return rig_for(town, draft.rig, here)


def block(text: str) -> str | None:
    """A text as a bead holds it: plain line ends, one at the end; None for an empty one."""
    return text.replace("\r\n", "\n").rstrip("\n") + "\n" if text.strip() else None


def _known(change: Change, needs: Sequence[str]) -> None:
    """Every need must be a bead: an unknown one would block for ever."""
    for need in needs:
        if change.bead_file(need) is None:
            raise NotFound(f"no bead {need!r} to wait for", near=nearest(need, list(change.town.bead_ids())))


def update(town: Town, bead_id: str, edit: Edit) -> Written:
    """Alter fields. Statuses other than open and deferred have commands of their own, which are named."""

    def body(change: Change) -> Written:
        bead = change.bead(bead_id)
        before = dict(bead.doc)
        _apply(change, bead, edit)
        changed = sorted({key for key in {**before, **bead.doc} if before.get(key) != bead.doc.get(key)})
        if changed:
            change.save(bead)
            kind = "defer" if bead.status == "deferred" and "status" in changed else "edit"
            change.emit(
                kind, f"changed {', '.join(changed)} of {bead.id}: {bead.title}", bead=bead.id, rig=_rig(bead),
                keys=changed,
            )  # fmt: skip
        return Written(bead, tuple(changed))

    return town.transact("update", body, asked=True)


def _apply(change: Change, bead: Bead, edit: Edit) -> None:
    if edit.title is not None:
        bead.set("title", check_title(edit.title))
    if edit.type is not None and edit.type != bead.type:
        if bead.type in ("merge", "convoy", "escalation"):
            raise UsageError(f"{bead.id} is a {bead.type}; its type cannot be changed")
        bead.set("type", check_type(edit.type))
    if edit.priority is not None:
        bead.set("priority", check_priority(edit.priority))
    for key, text in (("description", edit.description), ("acceptance", edit.acceptance)):
        if text is not None:
            bead.set(key, block(text))
    if edit.parent is not None:
        _set_parent(change, bead, edit.parent)
    if edit.add_labels or edit.remove_labels:
        labels = {*bead.labels, *(check_label(one) for one in edit.add_labels)} - set(edit.remove_labels)
        bead.set("labels", sorted(labels))
    if edit.status is not None and edit.status != bead.status:
        _set_status(bead, edit.status)


def _set_parent(change: Change, bead: Bead, parent: str) -> None:
    if not parent:
        bead.set("parent", None)
        return
    change.bead(parent)
    by_id = change.index().by_id
    here: str | None = parent
    seen: set[str] = set()
    while here and here not in seen:
        if here == bead.id:
            raise UsageError(f"{bead.id} cannot have {parent} as its parent: that lies below it")
        seen.add(here)
        here = by_id[here].parent if here in by_id else None
    bead.set("parent", parent)


def _set_status(bead: Bead, status: str) -> None:
    commands = {
        "closed": f"gt close {bead.id} -r REASON",
        "hooked": f"gt sling {bead.id} TARGET",
        "in_progress": f"gt sling {bead.id} TARGET",
        "merging": "gt done, from the worker",
    }
    if status in commands:
        raise UsageError(f"`update` does not set the status {status}", commands[status])
    if status == "open" and bead.status == "closed":
        raise UsageError(f"{bead.id} is closed", f"gt reopen {bead.id}")
    if status in ("open", "deferred") and bead.held:
        raise UsageError(f"{bead.id} is held by {bead.assignee}", f"gt release {bead.id}")
    bead.move(status)


def note(town: Town, bead_id: str, text: str) -> Bead:
    """Append to a bead's discussion; raises UsageError for an empty note."""
    if not text.strip():
        raise UsageError("a note needs a text", 'gt note ID "text", or -F FILE, or --stdin')

    def body(change: Change) -> Bead:
        bead = change.bead(bead_id)
        bead.add_note(change.at, change.actor, text)
        change.save(bead)
        change.emit("note", f"note on {bead.id}: {first_line(text)}", bead=bead.id, rig=_rig(bead))
        return bead

    return town.transact("note", body, asked=True)


def first_line(text: str, width: int = 100) -> str:
    """The first line that says something, cut to `width` characters."""
    line = next((one.strip() for one in text.splitlines() if one.strip()), "")
    return line if len(line) <= width else line[: width - 1] + "…"


def close(town: Town, bead_id: str, reason: str, *, force: bool = False) -> Written:
    """Close with a reason. Closed already: nothing changes.

    Refused without `force` while its branch waits to be merged (closed means merged), and for a
    merge bead itself; with `force` the open merge beads of the bead are closed with it.
    """
    if not reason.strip():
        raise UsageError("closing needs a reason", f'gt close {bead_id} -r "why"')

    def body(change: Change) -> Written:
        bead = change.bead(bead_id)
        if bead.status == "closed":
            return Written(bead, ())
        queued = _open_merges(change, bead)
        if (queued or bead.type == "merge") and not force:
            merge = bead.id if bead.type == "merge" else queued[0].id
            raise Refused(
                f"{bead.id} waits in the merge queue ({merge})",
                f"`gt mq reject {merge} -r REASON` takes it out; --force closes it unmerged",
            )
        for row in queued:
            merge_bead = change.bead(row.id)
            merge_bead.close(at=change.at, by=change.actor, reason=f"{bead.id} was closed: {reason}")
            change.save(merge_bead)
        bead.close(at=change.at, by=change.actor, reason=" ".join(reason.split()))
        change.save(bead)
        change.emit("close", f"closed {bead.id}: {first_line(reason)}", bead=bead.id, rig=_rig(bead))
        return Written(bead, ("closed", "status"))

    return town.transact("close", body, asked=True)


def _open_merges(change: Change, bead: Bead) -> list[Row]:
    if bead.status != "merging":
        return []
    return [row for row in change.index().live if row.type == "merge" and row.source == bead.id]


def reopen(town: Town, bead_id: str) -> Written:
    """Open a closed bead again, free for anybody. Its history stays; open already: nothing changes."""

    def body(change: Change) -> Written:
        bead = change.bead(bead_id)
        if bead.status != "closed":
            return Written(bead, ())
        why = bead.closed.get("reason", "")
        bead.move("open")
        bead.set("assignee", None)
        bead.set("machine", None)
        change.save(bead)
        change.emit(
            "reopen", f"reopened {bead.id}: {bead.title}", bead=bead.id, rig=_rig(bead), was_closed=why
        )
        return Written(bead, ("closed", "status"))

    return town.transact("reopen", body, asked=True)


def add_needs(town: Town, bead_id: str, needs: Sequence[str]) -> Written:
    """Let a bead wait for others. Unknown ones and cycles are refused, naming the cycle."""

    def body(change: Change) -> Written:
        bead = change.bead(bead_id)
        fresh = [need for need in needs if need not in bead.needs]
        _known(change, fresh)
        wanted = {*bead.needs, *fresh}
        by_id = change.index().by_id

        def needs_of(one: str) -> Sequence[str]:
            if one == bead.id:
                return sorted(wanted)
            return by_id[one].needs if one in by_id else ()

        cycle = graph.find_cycle(bead.id, needs_of)
        if cycle:
            raise UsageError("that would be a circle: " + " needs ".join(cycle), "nothing in it could ever start")
        if fresh:
            bead.set("needs", sorted(wanted))
            change.save(bead)
            text = f"{bead.id} needs {', '.join(fresh)}"
            change.emit("edit", text, bead=bead.id, rig=_rig(bead), keys=["needs"])
        return Written(bead, ("needs",) if fresh else ())

    return town.transact("dep", body, asked=True)


def remove_needs(town: Town, bead_id: str, needs: Sequence[str]) -> Written:
    """Let a bead no longer wait; raises NotFound for what it does not wait for."""

    def body(change: Change) -> Written:
        bead = change.bead(bead_id)
        for need in needs:
            if need not in bead.needs:
                raise NotFound(f"{bead.id} does not need {need}", "it needs: " + (", ".join(bead.needs) or "nothing"))
        bead.set("needs", [one for one in bead.needs if one not in needs])
        change.save(bead)
        text = f"{bead.id} no longer needs {', '.join(needs)}"
        change.emit("edit", text, bead=bead.id, rig=_rig(bead), keys=["needs"])
        return Written(bead, ("needs",))

    return town.transact("dep", body, asked=True)


def _rig(bead: Bead) -> str | None:
    return rig_of_path(bead.path)
