"""How the commands of work tell what they did: lines for people, ids for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gastown.cli.context import Ctx
from gastown.cli.output import hint, put, put_json, say
from gastown.model.text import safe, safe_block

if TYPE_CHECKING:
    from gastown.services.refinery.refinery import Step
    from gastown.services.sling.starts import SlingReport
    from gastown.services.work.done import DoneReport


def sling(report: SlingReport, *, quiet: bool, dry_run: bool) -> None:
    """What became of each work, a line each; refusals as errors."""
    for one in report.dispatched:
        has = "would get it" if dry_run else f"attempt {one.attempt}, {one.session}"
        has = "has it already" if one.unchanged else has
        put(one.bead if quiet else f"{one.bead}  {one.to}  {has}")
    for waiting in report.queued:
        put(waiting.bead if quiet else f"{waiting.bead}  queued for {waiting.to}: {safe(waiting.reason)}")
    for bead, commit in report.landed:
        put(bead if quiet else f"{bead}  is merged already, at {commit[:12]}")
    refusals(report)


def send_off(gt: Ctx) -> None:
    """Let other machines know at once of what was given to them."""
    from gastown.model.errors import GtError
    from gastown.services.machines.exchange import exchange

    try:
        exchange(gt.town)
    except GtError as error:
        say(f"not sent yet: {safe(error.message.splitlines()[0])}; it goes with the next sync")


def who_starts_it(root: str) -> None:
    """What is queued waits for somebody: without a deacon that is the person."""
    from gastown.services.sessions import powers

    if powers.deacon(root) is None:
        hint("no deacon runs: `gt up` starts what is queued when it can; so does `gt sling ID --wait`")


def refusals(report: SlingReport) -> None:
    """What was not started, as users see errors."""
    for refused in report.refused:
        say(f"error: {safe_block(refused.message)}")
        if refused.hint:
            hint(safe_block(refused.hint))


def follow(gt: Ctx, report: SlingReport, *, json: bool, quiet: bool) -> int:
    """Carry what was slung to its end; 0 only if all of it was merged."""
    from gastown.services.refinery import drive

    if quiet and not json:
        sling(report, quiet=True, dry_run=False)
    elif not json:
        refusals(report)
    ids = [one.bead for one in report.dispatched] + [one.bead for one in report.queued]

    def tell(step: Step) -> None:
        say(safe(step.text))

    ended = drive.drive(gt.town, ids, on_step=None if json or quiet else tell)
    ends = [*ended.ends, *(drive.End(bead, "merged") for bead, _ in report.landed)]
    if json:
        put_json({**report.as_json(), "ends": [vars(one) for one in ends]})
    elif not quiet:
        for one in ends:
            put(f"{one.bead}  {one.end}" + (f"  {safe(one.why)}" if one.why and one.why != one.end else ""))
    if report.refused:
        return report.refused[0].exit_code
    return 0 if all(one.end == "merged" for one in ends) else 1


def done(report: DoneReport) -> None:
    """How handing in went: what was committed first, and where the work is now."""
    for line in report.wip:
        say(f"committed as wip: {safe(line)}")
    if report.already:
        put(f"{report.bead}  was handed in already: {safe(report.status)}")
    elif report.status == "completed":
        where = "pushed, and " if report.pushed else ""
        put(f"{report.bead}  {where}waits to land on {report.target} ({report.merge}, {report.commit[:12]})")
        say("You are done: stop here.")
    elif report.status == "no_changes":
        put(f"{report.bead}  closed without changes: {safe(report.message)}")
    elif report.status == "escalated":
        put(f"{report.bead}  help is called ({report.escalation or 'already'}); it stays on your hook")
    else:
        put(f"{report.bead}  put off; `gt resume {report.bead}` goes on with it")
