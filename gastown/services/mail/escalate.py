"""Escalations: a bead for what needs a person's judgement, mail about it, and a trusted command of the town."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gastown.model.bead import Bead
from gastown.model.errors import GtError, NotFound, Refused, UsageError
from gastown.model.message import header_text
from gastown.model.row import Row
from gastown.model.text import nearest
from gastown.services.beads import queries
from gastown.services.settings import trust
from gastown.store import layout
from gastown.store.town import Town
from gastown.store.view import View

if TYPE_CHECKING:
    from gastown.store.change import Change

# Worst first; the place is also the bead's priority.
SEVERITIES = ("critical", "high", "medium", "low")
DEFAULT = "medium"
_MAIL = {"critical": "urgent", "high": "high", "medium": "normal", "low": "low"}
_COMMAND_SECONDS = 60.0
_LONGEST_TITLE = 200


@dataclass(frozen=True)
class Escalated:
    """A raised escalation: who got mail, and what became of the town's command ("" if there is none)."""

    bead: Bead
    severity: str
    told: tuple[str, ...]
    command: str = ""
    trouble: str = ""


def escalate(town: Town, text: str, *, severity: str = DEFAULT, about: str | None = None) -> Escalated:
    """Raise an escalation in one change, then run the command that town.yaml names for its severity.

    The command gets the facts as GT_ESCALATION, GT_SEVERITY, GT_TITLE and GT_SOURCE. One that is not trusted, or
    fails, is told as trouble: the escalation stands. Raises UsageError, NotFound.
    """
    title, severity = _checked(text, severity)
    if about is not None:
        town.bead(about)

    def body(change: Change) -> tuple[Bead, tuple[str, ...]]:
        bead = change.create(
            None, title=title, type="escalation", priority=SEVERITIES.index(severity), severity=severity,
            description=text.strip() + "\n", source=about,
        )  # fmt: skip
        told = _mail(change, bead, severity)
        change.emit("escalation", f"{severity}: {title}", bead=bead.id, severity=severity, source=about or "")
        return bead, told

    bead, told = town.transact("escalation", body)
    return Escalated(bead, severity, told, *page(town, bead.id))


def _checked(text: str, severity: str) -> tuple[str, str]:
    if severity not in SEVERITIES:
        raise UsageError(f"{severity!r} is no severity", "one of: " + " ".join(SEVERITIES))
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise UsageError("an escalation needs words", 'gt escalate "what is in the way"')
    title = header_text(lines[0])
    if not title:
        raise UsageError("an escalation needs words", "its first line holds nothing that can be read")
    return (title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 1] + "…"), severity


def _mail(change: Change, bead: Bead, severity: str, *, again: str = "") -> tuple[str, ...]:
    """The mayor hears of all, the overseer from high up; nobody writes to themselves, but somebody hears of it."""
    told = [one for one in ("mayor", *(["overseer"] if severity in SEVERITIES[:2] else [])) if one != change.actor]
    told = told or ["overseer"]
    about = f"About: gt show {bead.source}\n" if bead.source else ""
    body = f"{again}{bead.description.rstrip()}\n\n{about}Take note: gt escalate ack {bead.id}\n"
    body += f"Close it:  gt escalate close {bead.id} -r WHY\n"
    for who in told:
        subject = f"[{severity}] {header_text(bead.title)}"
        change.deliver(who, subject, body, kind="escalation", priority=_MAIL[severity], bead=bead.id)
    return tuple(told)


def page(town: Town, bead_id: str) -> tuple[str, str]:
    """Run the command that town.yaml names for the severity of an escalation that was just raised.

    Returns (the command that ran, why it did not do its work), ("", "") where none is named. The escalation stands in
    any case; trouble is told in the feed, too, for it is not always a person who raises one.
    """
    bead = town.bead(bead_id)
    severity = severity_of(bead)
    try:
        command = town.table("escalation.commands").get(severity)
        if not command:
            return "", ""
        trust.require(town, "escalation", severity, command)
        return _run(town, bead, severity, trust.shown(command))
    except Refused as refused:
        kind, why, hint = "untrusted_command", refused.message, refused.hint
    except (GtError, OSError) as error:
        kind, hint = "note", error.hint if isinstance(error, GtError) else ""
        why = f"the command for {severity} escalations could not run: {error}"
    _tell(town, kind, why, bead, severity)
    return "", f"{why}; {hint}" if hint else why


def _run(town: Town, bead: Bead, severity: str, command: str) -> tuple[str, str]:
    from gastown.runtime import shell

    log = layout.log(town.root, "escalations", f"{bead.id}.log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    facts = {
        "GT_ESCALATION": bead.id, "GT_SEVERITY": severity, "GT_TITLE": bead.title, "GT_SOURCE": bead.source or "",
        "GT_TOWN": town.root,
    }  # fmt: skip
    ended = shell.run(command, cwd=town.root, env=shell.environment(facts), log=log, timeout=_COMMAND_SECONDS)
    if not ended.timed_out and not ended.code:
        return command, ""
    how = f"took longer than {_COMMAND_SECONDS:g} s" if ended.timed_out else f"ended with {ended.code}"
    why = f"the command for {severity} escalations {how}; see {layout.relative(town.root, log)}"
    _tell(town, "note", why, bead, severity)
    return command, why


def _tell(town: Town, kind: str, why: str, bead: Bead, severity: str) -> None:
    town.transact(kind, lambda change: change.emit(kind, why, bead=bead.id, severity=severity))


# -- the ones there are ---------------------------------------------------------------------------
def rows(view: View, *, closed: bool = False) -> list[Row]:
    """The escalations that are open (`closed`: all), worst first, then oldest first."""
    found = [row for row in view.index().rows if row.type == "escalation" and (closed or row.status != "closed")]
    return sorted(found, key=lambda row: (row.status == "closed", row.priority, row.created, row.id))


def listed(view: View, *, closed: bool = False) -> list[Bead]:
    """As `rows`, the beads in full."""
    return queries.load_rows(view, rows(view, closed=closed))


def get(view: View, bead_id: str) -> Bead:
    """One escalation; raises NotFound for a bead that is none."""
    bead = view.bead(bead_id)
    if bead.type != "escalation":
        near = nearest(bead_id, [row.id for row in rows(view)])
        raise NotFound(f"{bead_id} is a {bead.type}, not an escalation", "gt escalate list", near)
    return bead


def ack(town: Town, bead_id: str) -> tuple[Bead, bool]:
    """Take note of an escalation, which ends its being raised; False if somebody did before, or it is closed."""
    get(town, bead_id)

    def body(change: Change) -> tuple[Bead, bool]:
        bead = change.bead(bead_id)
        if bead.doc.get("acked") or bead.status == "closed":
            return bead, False
        bead.set("acked", {"at": change.at, "by": change.actor})
        change.save(bead)
        change.emit("escalation_ack", f"{change.actor} takes note of {bead.id}: {bead.title}", bead=bead.id)
        return bead, True

    return town.transact("escalation_ack", body)


def close(town: Town, bead_id: str, reason: str) -> tuple[Bead, bool]:
    """Close an escalation with a reason; False if it was closed already. Raises UsageError without one."""
    get(town, bead_id)
    if not reason.strip():
        raise UsageError("closing an escalation needs a reason", f"gt escalate close {bead_id} -r WHY")

    def body(change: Change) -> tuple[Bead, bool]:
        bead = change.bead(bead_id)
        if bead.status == "closed":
            return bead, False
        bead.close(at=change.at, by=change.actor, reason=reason.strip())
        change.save(bead)
        change.emit("close", f"closed {bead.id}: {' '.join(reason.split())}", bead=bead.id)
        return bead, True

    return town.transact("close", body)


# -- unanswered -----------------------------------------------------------------------------------
def severity_of(bead: Bead) -> str:
    """The severity of an escalation; medium where its file says nothing that is one."""
    value = bead.doc.get("severity")
    return value if value in SEVERITIES else DEFAULT


def raises(bead: Bead) -> int:
    """How often an escalation was raised; 0 where its file says nothing that is a number."""
    value = bead.doc.get("raised")
    return int(value) if isinstance(value, int) or (isinstance(value, float) and value.is_integer()) else 0


def raise_severity(town: Town, bead_id: str, *, why: str, raised: int) -> Escalated | None:
    """One step worse (what is critical stays so), told again, and the command run for what it is now.

    `raised` is how often it was raised before. None if it was raised since, or somebody took note of it.
    """

    def body(change: Change) -> tuple[Bead, tuple[str, ...]] | None:
        bead = change.bead(bead_id)
        if bead.status == "closed" or bead.doc.get("acked") or raises(bead) != raised:
            return None
        severity = SEVERITIES[max(0, SEVERITIES.index(severity_of(bead)) - 1)]
        bead.set("severity", severity)
        bead.set("priority", SEVERITIES.index(severity))
        bead.set("raised", raised + 1)
        change.save(bead)
        told = _mail(change, bead, severity, again=f"It is {severity} now: {why}.\n\n")
        change.emit("escalation_raise", f"{bead.id} is {severity} now: {why}", bead=bead.id, severity=severity,
                    key=f"raise:{bead.id}")  # fmt: skip
        return bead, told

    done = town.transact("escalation_raise", body)
    if done is None:
        return None
    return Escalated(done[0], severity_of(done[0]), done[1], *page(town, bead_id))
