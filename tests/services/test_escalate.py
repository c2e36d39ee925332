"""Escalations: bead and mail by severity, acknowledged, raised when nobody does, and the town's command."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastown.model.errors import NotFound, UsageError
from gastown.services.mail import escalate, mailbox
from gastown.store.town import Town
from tests.conftest import git
from tests.services.mail_lab import AMBER, as_, staff


@pytest.fixture
def green(town: Town) -> Town:
    return staff(town)


def mails(town: Town, address: str) -> list[tuple[str, str, str]]:
    return [(one.head.subject, one.head.kind, one.head.priority) for one in mailbox.letters(town, address)[0]]


@pytest.mark.parametrize(
    ("severity", "priority", "overseer"),
    [("critical", "urgent", True), ("high", "high", True), ("medium", "normal", False), ("low", "low", False)],
)
def test_who_hears_of_it(green: Town, severity: str, priority: str, overseer: bool) -> None:
    done = escalate.escalate(as_(green, AMBER), "The disk\x1b is full\n\nAll of it.", severity=severity)
    assert (done.bead.type, done.bead.title, done.bead.doc["severity"]) == ("escalation", "The disk is full", severity)
    subject = (f"[{severity}] The disk is full", "escalation", priority)
    assert mails(green, "mayor") == [subject]
    assert mails(green, "overseer") == ([subject] if overseer else [])
    event = list(green.events())[-1]
    assert (event["type"], event["actor"], event["bead"]) == ("escalation", AMBER, done.bead.id)
    assert git("status", "--short", cwd=green.root) == ""


def test_the_mayors_own_reach_a_person(green: Town) -> None:
    assert escalate.escalate(as_(green, "mayor"), "which way?").told == ("overseer",)


def test_what_is_no_escalation(green: Town) -> None:
    for text, more in ((" \n", {}), ("x", {"severity": "awful"}), ("\x01\x02", {})):
        with pytest.raises(UsageError):
            escalate.escalate(green, text, **more)
    with pytest.raises(NotFound):
        escalate.escalate(green, "x", about="gr-nope1")
    bead = green.transact("create", lambda change: change.create("green", title="Ordinary"))
    for act in (escalate.ack, escalate.get):
        with pytest.raises(NotFound, match="not an escalation"):
            act(green, bead.id)


def test_listed_worst_first_acked_and_closed(green: Town) -> None:
    ids = {one: escalate.escalate(green, one, severity=one).bead.id for one in ("low", "critical", "high")}
    assert [row.id for row in escalate.rows(green)] == [ids["critical"], ids["high"], ids["low"]]
    bead, changed = escalate.ack(green, ids["high"])
    assert changed
    assert bead.doc["acked"]["by"] == "overseer"
    assert escalate.ack(green, ids["high"])[1] is False
    with pytest.raises(UsageError):
        escalate.close(green, ids["high"], " ")
    assert escalate.close(green, ids["high"], "fixed")[1]
    assert escalate.close(green, ids["high"], "fixed")[1] is False
    assert [row.id for row in escalate.rows(green)] == [ids["critical"], ids["low"]]
    assert len(escalate.rows(green, closed=True)) == 3


def test_one_is_raised_step_by_step_told_again_and_sorted_by_what_it_is_now(green: Town) -> None:
    low = escalate.escalate(green, "small thing", severity="low").bead.id
    escalate.escalate(green, "other thing", severity="medium")
    for number, severity in enumerate(("medium", "high", "critical", "critical")):
        done = escalate.raise_severity(as_(green, "deacon"), low, why="nobody answered for 4h", raised=number)
        assert done is not None
        assert (done.severity, done.bead.doc["severity"], done.bead.doc["raised"]) == (severity, severity, number + 1)
        assert done.bead.priority == escalate.SEVERITIES.index(severity)
        assert [one["type"] for one in green.events()][-1] == "escalation_raise"
    assert next(row.id for row in escalate.rows(green)) == low
    assert [subject for subject, _, _ in mails(green, "mayor")] == [
        "[low] small thing", "[medium] other thing", "[medium] small thing", "[high] small thing",
        "[critical] small thing", "[critical] small thing",
    ]  # fmt: skip
    assert len(mails(green, "overseer")) == 3


def test_what_was_raised_or_noted_meanwhile_is_not_raised(green: Town) -> None:
    low = escalate.escalate(green, "small thing", severity="low").bead.id
    assert escalate.raise_severity(green, low, why="nobody answered", raised=0)
    assert escalate.raise_severity(green, low, why="nobody answered", raised=0) is None
    escalate.ack(green, low)
    assert escalate.raise_severity(green, low, why="nobody answered", raised=1) is None
    assert green.bead(low).doc["severity"] == "medium"


def test_a_count_that_is_no_number_is_named_and_nothing_else_stops(green: Town) -> None:
    other = escalate.escalate(green, "large thing").bead.id
    low = escalate.escalate(green, "small thing", severity="low").bead
    path = Path(green.root, low.path)
    path.write_text(path.read_text() + "raised: often\n")
    index = green.index()
    assert [one.key for one in index.problems] == ["raised"]
    assert [row.id for row in index.rows if row.type == "escalation"] == [other]
    low.doc["raised"] = [{"at": "now"}]
    assert escalate.raises(low) == 0


def command(town: Town, text: str) -> None:
    path = Path(town.root, "town.yaml")
    path.write_text(path.read_text() + f"\nescalation:\n  commands:\n    high: {text}\n")
    town.refresh()


def test_the_towns_command_runs_with_the_facts_in_its_environment(green: Town, tmp_path: Path) -> None:
    out = tmp_path / "paged"
    command(green, f'printf "%s|%s" "$GT_SEVERITY" "$GT_TITLE" > {out}')
    done = escalate.escalate(green, "it's $(touch /tmp/never) down", severity="high")
    assert done.trouble == ""
    assert out.read_text() == "high|it's $(touch /tmp/never) down"
    assert escalate.escalate(green, "small", severity="low").command == ""


def test_a_failing_command_is_told_and_the_escalation_stands(green: Town) -> None:
    command(green, "exit 3")
    done = escalate.escalate(green, "down", severity="high")
    assert "ended with 3" in done.trouble
    assert list(green.events())[-1]["text"] == done.trouble
    assert [row.id for row in escalate.rows(green)] == [done.bead.id]


def test_one_that_is_raised_pages_as_what_it_is_now(green: Town, tmp_path: Path) -> None:
    command(green, f'echo "$GT_SEVERITY" >> {tmp_path}/paged')
    made = escalate.escalate(green, "small thing", severity="medium").bead.id
    done = escalate.raise_severity(green, made, why="nobody answered", raised=0)
    assert done is not None
    assert (done.trouble, (tmp_path / "paged").read_text()) == ("", "high\n")


def test_commands_that_cannot_be_read_are_told_and_the_escalation_stands(green: Town) -> None:
    path = Path(green.root, "town.yaml")
    path.write_text(path.read_text() + "\nescalation:\n  commands: page me\n")
    green.refresh()
    done = escalate.escalate(green, "down", severity="high")
    assert "escalation.commands" in done.trouble
    assert [row.id for row in escalate.rows(green)] == [done.bead.id]


def test_a_command_that_came_over_the_wire_does_not_run(green: Town, tmp_path: Path) -> None:
    out = tmp_path / "paged"
    command(green, f"touch {out}")
    git("remote", "add", "origin", str(tmp_path / "elsewhere"), cwd=green.root)
    done = escalate.escalate(green, "down", severity="high")
    assert "not trusted" in done.trouble
    assert not out.exists()
    assert [one["type"] for one in green.events()][-1] == "untrusted_command"
    assert mails(green, "mayor")
