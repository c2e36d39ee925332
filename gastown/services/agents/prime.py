"""What an agent is told at its start and whenever it asks: who it is, its hook with the whole bead, what to do next."""

from __future__ import annotations

from dataclasses import dataclass

from gastown.model.address import is_worker, name_of, rig_of
from gastown.model.bead import Bead
from gastown.model.errors import NotFound
from gastown.services.beads import hook
from gastown.services.mail import mailbox
from gastown.store import layout
from gastown.store.town import Town
from gastown.store.view import View

_NOTES = 10


@dataclass(frozen=True)
class Prime:
    """The sections of what is said, in order; `bead` is what is on the hook."""

    address: str
    bead: Bead | None
    unread: int
    sections: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it, as the agent reads it."""
        return "\n\n".join(section.rstrip("\n") for section in self.sections) + "\n"


def prime(town: Town, address: str) -> Prime:
    """What `address` should know now. Raises hook.HookUnreadable: a failed query is never an empty hook."""
    bead = hook.read(town, address)
    return build(town, address, bead)


def build(view: View, address: str, bead: Bead | None, *, context: str = "") -> Prime:
    """The text for `address` with `bead` on its hook; `context` says why a new attempt or session began."""
    unread = mailbox.unread_count(view, address)
    parts = [_who(view, address, bead), *_directives(view, address)]
    if bead is not None:
        parts.append(_work(bead))
    if context:
        parts.append("## Why you start again\n" + context)
    if unread:
        parts.append(f"## Mail\nYou have {unread} unread: gt mail inbox, gt mail read NUMBER")
    parts.append(_next(view, address, bead))
    return Prime(address, bead, unread, tuple(parts))


def role_of(view: View, address: str) -> str:
    """polecat, crew, or the name of a service or of the town's own."""
    rig = rig_of(address)
    if rig and is_worker(address):
        crew = view.exists(layout.worker_file(rig, "crew", name_of(address)))
        return "crew" if crew else "polecat"
    return name_of(address)


def _who(view: View, address: str, bead: Bead | None) -> str:
    rig = rig_of(address)
    lines = [f"# You are {address}, {role_of(view, address)} in the town {view.name}"]
    if rig and is_worker(address):
        lines.append(f"Your worktree: {layout.worktree(view.root, rig, name_of(address))}")
    if bead is not None and bead.branch:
        lines.append(f"Your branch: {bead.branch} (attempt {bead.attempt}); it lands on {bead.target or 'the target'}")
    return "\n".join(lines)


def _directives(view: View, address: str) -> list[str]:
    """The operator's words for this role: the town's, then the rig's, which come later and so have the last word."""
    role, rig = role_of(view, address), rig_of(address)
    found = []
    for path in (f"roles/{role}.md", *([f"{layout.rig_dir(rig)}/roles/{role}.md"] if rig else [])):
        try:
            found.append(view.read(path).decode("utf-8", "replace").strip())
        except NotFound:
            continue
    return [text for text in found if text]


def _work(bead: Bead) -> str:
    lines = [f"## Your hook: {bead.id}", f"Title: {bead.title}", f"Type: {bead.type}, priority {bead.priority}"]
    if bead.labels:
        lines.append("Labels: " + ", ".join(bead.labels))
    if bead.needs:
        lines.append("It needed (merged already): " + ", ".join(bead.needs))
    for name, text in (("Description", bead.description), ("Acceptance", bead.acceptance)):
        if text.strip():
            lines += ["", f"{name}:", text.rstrip("\n")]
    for note in bead.notes[-_NOTES:]:
        head = f"Note of {note.get('by', '?')} at {note.get('at', '?')}:"
        lines += ["", head, str(note.get("text", "")).rstrip("\n")]
    return "\n".join(lines)


def _next(view: View, address: str, bead: Bead | None) -> str:
    if bead is None and address == "overseer":
        return "## What to do next\nYou are the person here, not an agent: `gt status` shows what needs you."
    if bead is None:
        return "## What to do next\nNothing is on your hook: stop here. Do not look for work, and do not poll."
    return "\n".join(
        (
            "## What to do next",
            "There is work on your hook: run it now, nobody will tell you to begin.",
            "Commit on your branch as you go; do not push, and do not touch the target branch.",
            "Finished: `gt done`. Nothing had to change: `gt done --no-changes \"why\"`.",
            "You cannot go on: `gt done --status escalated -m \"what is in the way\"`.",
        )
    )
