"""The town at a glance: its rigs, who works on what, and what needs a person. Takes any view."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from gastown.model import graph, groups, times
from gastown.model.errors import GtError, InvalidFile, NotFound
from gastown.model.rig import Rig
from gastown.model.row import Row
from gastown.services.health import troubles
from gastown.services.health.standing import Problem, RigStatus, Status, Worker
from gastown.store import identity, layout, refs
from gastown.store.index import Index
from gastown.store.town import Town
from gastown.store.view import View

if TYPE_CHECKING:
    from collections.abc import Callable

    from gastown.services.agents.polecats import Polecat
    from gastown.services.remote.news import News

_TABLES = ("deacon", "sync", "escalation", "escalation.commands")
_NUMBERS = ("max_polecats", "capacity")
_SPANS = (
    "deacon.settle", "deacon.rescan", "deacon.quiet", "deacon.begin", "deacon.idle", "deacon.kill_quiet_after",
    "deacon.rescue", "sync.interval", "sync.lease",
)  # fmt: skip


def status(town: Town, view: View, index: Index | None = None) -> Status:
    """The town as `view` shows it. What is known of sessions is only of this machine, and only of now."""
    index = index or view.index()
    rigs, bad_rigs = view.rigs()
    bad: list[InvalidFile] = [*bad_rigs, *index.problems]
    ready = graph.ready(index.live, index.by_id)
    remote = remote_url(town.root) if view.revision is None else None
    summaries = []
    for rig in rigs:
        workers, bad_workers = _workers(town, view, rig, index, remote)
        bad += bad_workers
        summaries.append(_summary(rig, index, ready, workers))
    bad += _groups(view) + _settings(view)
    bad += _others(town, bad) if view.revision is None else []
    bad += index.slips
    deacon, gone = _deacon(town) if view.revision is None else (None, ())
    problems = troubles.found(town, view, index, rigs, summaries, bad, remote=bool(remote))
    return Status(
        view.name,
        town.root,
        troubles.machine_name(town),
        remote_url(town.root),
        deacon,
        len(ready),
        tuple(summaries),
        (*gone, *problems),
        len(bad),
        _news(town) if remote else None,
        _unread(town, view) if view.revision is None else 0,
    )


def _unread(town: Town, view: View) -> int:
    from gastown.store import maildir

    box = maildir.folder(town.actor)
    return len(maildir.unread(view.names(f"{box}/new"), view.names(f"{box}/cur")))


def _groups(view: View) -> list[InvalidFile]:
    """What is wrong with the groups of mail."""
    try:
        groups.groups_of(view.load(groups.PATH) if view.exists(groups.PATH) else {})
    except InvalidFile as problem:
        return [problem]
    return []


def _others(town: Town, named: list[InvalidFile]) -> list[InvalidFile]:
    """What `gt doctor` finds wrong in files that are not named yet."""
    from gastown.services.files import sound

    paths = {one.path for one in named}
    return [one for one in sound.problems(town, known=True) if one.path not in paths]


def _settings(view: View) -> list[InvalidFile]:
    """What is wrong with the settings that commands read; the deacon and `gt doctor` hold all of it to its schema."""
    asks: list[Callable[[], object]] = [partial(view.table, key) for key in _TABLES]
    asks += [partial(view.whole, key, 0) for key in _NUMBERS] + [partial(view.span, key, "0s") for key in _SPANS]
    found = []
    for ask in asks:
        try:
            ask()
        except InvalidFile as problem:
            found.append(problem)
    return found


def remote_url(root: str) -> str | None:
    """Where the town is pushed to, credentials masked; None if nowhere."""
    try:
        found = refs.Refs(root).remote_url()
    except GtError:
        return None
    if found is None:
        return None
    from gastown.runtime.git import mask

    return mask(found)


def _news(town: Town) -> News | None:
    from gastown.services.remote import news

    return news.news(town)


def _deacon(town: Town) -> tuple[str | None, tuple[Problem, ...]]:
    """Whether it runs, and what to do if it is missed: nobody told it to end (`gt down`, `gt deacon stop`)."""
    if not os.path.exists(layout.run(town.root, "deacon.json")) or not identity.standing(town.root, town.clock()).own:
        return None, ()  # in a copy the note tells of the original's
    from gastown.services.sessions import powers

    # The note outlives a deacon that was killed, and a machine that was switched off.
    if powers.deacon(town.root):
        return "running", ()
    last = powers.noted(town.root)
    if last is None:
        return None, ()
    text = f"it ended without being told to, and had run since {times.text(last.since)} (why: gt deacon logs)"
    return None, (Problem("deacon", troubles.machine_name(town) or "?", text, "gt up"),)


def _summary(rig: Rig, index: Index, ready: list[Row], workers: list[Worker]) -> RigStatus:
    rows = [row for row in index.live if row.rig == rig.name]
    stalled = {one.bead for one in workers if one.state == "stalled"}
    held = [row for row in rows if row.status in ("hooked", "in_progress")]
    return RigStatus(
        rig.name,
        rig.parked,
        sum(1 for row in ready if row.rig == rig.name),
        sum(1 for row in held if row.id not in stalled),
        sum(1 for row in held if row.id in stalled),
        sum(1 for row in rows if row.type == "merge"),
        sum(1 for row in rows if row.status == "open" and row.needs and graph.blockers(row, index.by_id)),
        tuple(workers),
    )


def _workers(
    town: Town, view: View, rig: Rig, index: Index, remote: str | None
) -> tuple[list[Worker], list[InvalidFile]]:
    docs, problems = view.workers(rig.name)
    held = {row.assignee: row for row in index.live if row.assignee and row.status in ("hooked", "in_progress")}
    names = [str(doc["name"]) for doc in docs]
    if held:
        from gastown.services.agents import polecats

        names += polecats.unlisted(names, held, rig.name)
    states = _states(town, rig.name, index) if names and view.revision is None else {}
    addresses = [f"{rig.name}/{name}" for name in names]
    found = [_worker(one, held.get(one), states.get(one)) for one in addresses]
    return _with_claims(town, found) if remote else found, problems


def _with_claims(town: Town, workers: list[Worker]) -> list[Worker]:
    """Whose work the remote's claims confirm, as last fetched."""
    from gastown.services.claims import claims

    check = claims.confirmed(town)

    def confirmed(one: Worker) -> bool:
        return check({"id": one.bead, "assignee": one.address, "machine": one.machine})

    return [replace(one, confirmed=confirmed(one)) if one.bead else one for one in workers]


def _states(town: Town, rig: str, index: Index) -> dict[str, Polecat]:
    """What this rig's workers are found to do (lifecycle.md, Polecat)."""
    from gastown.services.agents import polecats

    return {one.address: one for one in polecats.polecats(town, rig, index=index)}


def _worker(address: str, row: Row | None, now: Polecat | None) -> Worker:
    """From what is seen now, or, for the past, from the files alone."""
    state = now.state if now else "working" if row else "idle"
    session, why = (now.session, now.why) if now else (None, "")
    agent = (now.agent if now else None) or (row.agent if row else None)
    if row is None:
        return Worker(address, state, agent=agent, session=session, why=why)
    from gastown.model.bead import parse_branch

    attempt = parse_branch(row.branch)[2] if row.branch else 0
    since = (now.since if now else None) or row.since
    return Worker(address, state, row.id, row.title, attempt, agent, row.machine, since, session, why)


@dataclass(frozen=True)
class Info:
    """Where the town is, who asks, and how big it is."""

    town: str
    root: str
    prefix: str
    machine: str | None
    actor: str
    revision: str | None
    remote: str | None
    rigs: tuple[str, ...]
    beads: int
    created: str
    version: str


def info(town: Town, view: View, version: str) -> Info:
    """For `gt info`."""
    try:
        head = town.repo.head()[1]
    except NotFound:
        head = None
    created = view.config.get("created") or {}
    return Info(
        view.name,
        town.root,
        str(view.config.get("prefix", "hq")),
        troubles.machine_name(town),
        town.actor,
        view.revision or (head.decode() if head else None),
        remote_url(town.root),
        tuple(view.rig_names()),
        sum(1 for _ in view.bead_ids()),
        str(created.get("at", "")),
        version,
    )


def age(since: str | None, now: float) -> str:
    """How long ago an RFC 3339 time was, or "" if it is not known."""
    try:
        return times.ago(now - times.parse(since)) if since else ""
    except GtError:
        return ""
