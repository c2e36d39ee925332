"""A bead: one unit of work, one YAML file. Rules of its life cycle, no I/O.

A `Bead` is its document: every key of the file, unknown ones too, in file order.
Imported by hook-time commands, so nothing dear is imported here.
"""

from __future__ import annotations

from gastown.model.beadcheck import DEFAULT_PRIORITY, HELD, STATUSES, TYPES, check
from gastown.model.errors import UsageError
from gastown.model.ids import is_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "DEFAULT_PRIORITY", "HELD", "KEYS", "STATUSES", "TRANSITIONS", "TYPES", "Bead", "check", "next_attempt",
    "parse_branch", "work_branch",
]  # fmt: skip
# The canonical order of a bead's keys (schemas/bead.schema.json holds what each means).
KEYS = (
    "id", "title", "type", "status", "priority", "created", "assignee", "machine", "parent", "needs", "labels",
    "description", "acceptance", "agent", "command", "dispatch", "branch", "fence", "target", "source", "worker",
    "commit", "attempts", "gates", "tracks", "owner", "notify", "severity", "acked", "raised", "sessions", "notes",
    "conflicts", "closed",
)  # fmt: skip
TRANSITIONS: dict[str, tuple[str, ...]] = {
    "open": ("hooked", "deferred", "closed"),
    "hooked": ("in_progress", "open", "closed"),
    "in_progress": ("merging", "open", "closed"),
    "merging": ("in_progress", "closed"),
    "deferred": ("open", "closed"),
    "closed": ("open",),
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

    def end_session(self, *, at: str, outcome: str) -> None:
        """Record that its last session is over, if nobody has yet."""
        session = self.last_session
        if session and not session.get("ended"):
            self.update_session(str(session["id"]), ended=at, outcome=outcome)

    def release(self, *, at: str, outcome: str = "released") -> None:
        """Take it from who has it: its session is over, it is open and nobody's. Raises UsageError like `move`."""
        self.move("open")
        self.let_go(at=at, outcome=outcome)

    def let_go(self, *, at: str, outcome: str = "released", to: str | None = None) -> None:
        """Its session is over, and it is nobody's, or to be given `to` another; its status stays as it is."""
        self.end_session(at=at, outcome=outcome)
        self.set("assignee", to)
        self.set("machine", None)

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
