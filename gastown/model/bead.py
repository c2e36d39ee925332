"""A bead: one unit of work, one YAML file. Rules of its life cycle, no I/O.

A `Bead` is its document: every key of the file, unknown ones too, in file order.
Imported by hook-time commands, so nothing dear is imported here.
"""

from __future__ import annotations

from gastown.model.errors import InvalidFile, UsageError
from gastown.model.ids import is_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The canonical order of a bead's keys (schemas/bead.schema.json holds what each means).
KEYS = (
    "id", "title", "type", "status", "priority", "created", "assignee", "machine", "parent", "needs", "labels",
    "description", "acceptance", "agent", "command", "dispatch", "branch", "fence", "target", "source", "worker",
    "commit", "attempts", "gates", "tracks", "owner", "notify", "severity", "acked", "sessions", "notes", "conflicts",
    "closed",
)  # fmt: skip
TYPES = ("task", "bug", "feature", "chore", "epic", "decision", "convoy", "merge", "escalation")
STATUSES = ("open", "hooked", "in_progress", "merging", "deferred", "closed")
HELD = ("hooked", "in_progress")
TRANSITIONS: dict[str, tuple[str, ...]] = {
    "open": ("hooked", "deferred", "closed"),
    "hooked": ("in_progress", "open", "closed"),
    "in_progress": ("merging", "open", "closed"),
    "merging": ("in_progress", "closed"),
    "deferred": ("open", "closed"),
    "closed": ("open",),
}
DEFAULT_PRIORITY = 2
# Of the keys whose shape rules depend on: what they must be, and what every item of a list must be.
_TEXT, _MAP = (str, "text"), (dict, "a map")
_SHAPES: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(("needs", "labels", "command", "gates", "tracks", "sessions", "notes"), (list, "a list")),
    **dict.fromkeys(("created", "closed", "dispatch"), _MAP),
    "fence": (int, "a number"),
    **dict.fromkeys(
        ("title", "assignee", "machine", "parent", "description", "acceptance", "agent", "branch", "target", "source",
         "worker", "commit", "owner", "severity"), _TEXT,
    ),
}  # fmt: skip
_ITEMS: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(("sessions", "notes", "gates"), _MAP),
    **dict.fromkeys(("needs", "labels", "command", "tracks"), _TEXT),
}


class Bead:
    """A bead's document and where it lies (`path`, relative to the town)."""

    __slots__ = ("doc", "path")

    def __init__(self, doc: dict[str, Any], path: str) -> None:
        self.doc = doc
        self.path = path

    def __repr__(self) -> str:
        return f"Bead({self.doc.get('id')!r}, {self.doc.get('status')!r})"

    # -- reading -----------------------------------------------------------
    @property
    def id(self) -> str:
        return str(self.doc["id"])

    @property
    def title(self) -> str:
        return str(self.doc["title"])

    @property
    def type(self) -> str:
        return str(self.doc.get("type", "task"))

    @property
    def status(self) -> str:
        return str(self.doc.get("status", "open"))

    @property
    def priority(self) -> int:
        return int(self.doc.get("priority", DEFAULT_PRIORITY))

    @property
    def assignee(self) -> str | None:
        return self.doc.get("assignee")

    @property
    def machine(self) -> str | None:
        return self.doc.get("machine")

    @property
    def parent(self) -> str | None:
        return self.doc.get("parent")

    @property
    def needs(self) -> list[str]:
        return list(self.doc.get("needs") or ())

    @property
    def labels(self) -> list[str]:
        return list(self.doc.get("labels") or ())

    @property
    def description(self) -> str:
        return self.doc.get("description") or ""

    @property
    def acceptance(self) -> str:
        return self.doc.get("acceptance") or ""

    @property
    def agent(self) -> str | None:
        return self.doc.get("agent")

    @property
    def command(self) -> list[str]:
        return list(self.doc.get("command") or ())

    @property
    def dispatch(self) -> dict[str, Any]:
        return dict(self.doc.get("dispatch") or {})

    @property
    def branch(self) -> str | None:
        return self.doc.get("branch")

    @property
    def fence(self) -> int | None:
        """The number of the claim it is (or was last) worked on under; None if no claim was ever confirmed."""
        return self.doc.get("fence")

    @property
    def target(self) -> str | None:
        return self.doc.get("target")

    @property
    def source(self) -> str | None:
        return self.doc.get("source")

    @property
    def worker(self) -> str | None:
        return self.doc.get("worker")

    @property
    def commit(self) -> str | None:
        return self.doc.get("commit")

    @property
    def attempts(self) -> int:
        return int(self.doc.get("attempts") or 0)

    @property
    def gates(self) -> list[dict[str, Any]]:
        return list(self.doc.get("gates") or ())

    @property
    def sessions(self) -> list[dict[str, Any]]:
        return list(self.doc.get("sessions") or ())

    @property
    def notes(self) -> list[dict[str, Any]]:
        return list(self.doc.get("notes") or ())

    @property
    def closed(self) -> dict[str, Any]:
        return dict(self.doc.get("closed") or {})

    @property
    def created_at(self) -> str:
        return str((self.doc.get("created") or {}).get("at", ""))

    @property
    def created_by(self) -> str:
        return str((self.doc.get("created") or {}).get("by", ""))

    @property
    def attempt(self) -> int:
        """The attempt under way, from the branch's `.a<n>`; 0 if there is none."""
        return parse_branch(self.branch)[2] if self.branch else 0

    @property
    def last_session(self) -> dict[str, Any] | None:
        sessions = self.doc.get("sessions") or ()
        return dict(sessions[-1]) if sessions else None

    @property
    def held(self) -> bool:
        """True while an agent has it on its hook."""
        return self.status in HELD

    # -- changing ----------------------------------------------------------
    def set(self, key: str, value: object) -> None:
        """Set a key; None or an empty list removes it, lists of names are kept sorted."""
        if value is None or value == []:
            self.doc.pop(key, None)
            return
        if key in ("needs", "labels", "tracks") and isinstance(value, list):
            value = sorted(set(value))
        self.doc[key] = value

    def move(self, status: str) -> None:
        """Change the status; raises UsageError that names the allowed ones (town.md, Bead)."""
        now = self.status
        if status not in STATUSES:
            raise UsageError(f"{status!r} is no status", "one of: " + " ".join(STATUSES))
        if status not in TRANSITIONS[now]:
            raise UsageError(
                f"{self.id} is {now} and cannot become {status}",
                f"from {now} it may become: " + ", ".join(TRANSITIONS[now]),
            )
        self.doc["status"] = status
        if now == "closed":
            self.doc.pop("closed", None)

    def close(self, *, at: str, by: str, reason: str, commit: str | None = None) -> None:
        """Close it with a reason; `commit` is the landed commit, if it was merged."""
        self.move("closed")
        closed = {"at": at, "by": by, "reason": reason}
        if commit:
            closed["commit"] = commit
        self.doc["closed"] = closed

    def add_note(self, at: str, by: str, text: str) -> None:
        """Append to the discussion; notes are never changed or removed."""
        body = text.replace("\r\n", "\n").rstrip("\n") + "\n"
        self.doc.setdefault("notes", []).append({"at": at, "by": by, "text": body})

    def add_session(self, session: dict[str, Any]) -> None:
        """Record that an agent sat down to it."""
        self.doc.setdefault("sessions", []).append(session)

    def update_session(self, session_id: str, **changes: object) -> None:
        """Change the recorded session `session_id`; unknown ids change nothing."""
        for session in self.doc.get("sessions") or ():
            if session.get("id") == session_id:
                session.update(changes)


def work_branch(name: str, bead_id: str, attempt: int) -> str:
    """The branch of one attempt. None is ever reused, so an older attempt is recognised."""
    return f"polecat/{name}/{bead_id}.a{attempt}"


def parse_branch(branch: str) -> tuple[str, str, int]:
    """(worker's name, bead id, attempt) of a work branch; ("", "", 0) for any other."""
    parts = branch.split("/")
    if len(parts) == 3 and parts[0] == "polecat":
        bead_id, dot, number = parts[2].rpartition(".a")
        if dot and is_id(bead_id) and number.isascii() and number.isdigit():
            return parts[1], bead_id, int(number)
    return "", "", 0


def next_attempt(bead: Bead) -> int:
    """One more than any attempt this bead has seen."""
    seen = [int(session.get("attempt") or 0) for session in bead.sessions]
    return 1 + max([bead.attempt, *seen], default=0)


def check(doc: dict[str, Any], path: str) -> None:
    """Raise InvalidFile for what would make a bead unusable: identity, status, shapes.

    Newer or unknown keys are fine. The full description is schemas/bead.schema.json.
    """
    bead_id = doc.get("id")
    if not isinstance(bead_id, str) or not is_id(bead_id):
        raise InvalidFile(path, f"id {bead_id!r} is not a bead id", key="id")
    stem = path.rpartition("/")[2].removesuffix(".yaml")
    if stem != bead_id:
        raise InvalidFile(path, f"the file is named {stem} but holds {bead_id}", key="id")
    if not isinstance(doc.get("title"), str) or not doc["title"].strip():
        raise InvalidFile(path, "a bead needs a title", key="title")
    if doc.get("type", "task") not in TYPES:
        raise InvalidFile(path, f"type {doc['type']!r} is none of: {' '.join(TYPES)}", key="type")
    status = doc.get("status", "open")
    if status not in STATUSES:
        raise InvalidFile(path, f"status {status!r} is none of: {' '.join(STATUSES)}", key="status")
    priority = doc.get("priority", DEFAULT_PRIORITY)
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= 4:
        raise InvalidFile(path, f"priority {priority!r} is not a number from 0 to 4", key="priority")
    _check_shapes(doc, path)
    if status in HELD and not doc.get("assignee"):
        raise InvalidFile(path, f"status is {status}, but it has no assignee", key="assignee")
    if (status == "closed") != bool(doc.get("closed")):
        raise InvalidFile(path, "`status: closed` and `closed:` must stand together", key="closed")


def _check_shapes(doc: dict[str, Any], path: str) -> None:
    for key, value in doc.items():
        shape = _SHAPES.get(key)
        if shape is None or value is None:
            continue
        if not isinstance(value, shape[0]) or isinstance(value, bool):
            raise InvalidFile(path, f"{key} must be {shape[1]}", key=key)
        item = _ITEMS.get(key)
        if item is not None and not all(isinstance(one, item[0]) for one in value):
            raise InvalidFile(path, f"every item of {key} must be {item[1]}", key=key)
    if not all(map(is_id, doc.get("needs") or ())):
        raise InvalidFile(path, "every item of needs must be a bead id", key="needs")
