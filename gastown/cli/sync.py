"""`gt sync`, the merge driver that git calls, and choosing between versions of a bead's text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gastown.cli.context import Ctx
from gastown.cli.interrupt import interruptible
from gastown.cli.options import Json, seconds
from gastown.cli.output import put, put_json, say, text_or_stdin
from gastown.model.errors import UsageError
from gastown.model.text import counted, safe

if TYPE_CHECKING:
    from gastown.model.errors import InvalidFile
    from gastown.services.claims.tenure import Tenure
    from gastown.services.sync.sync import SyncReport


def sync(
    ctx: typer.Context,
    continue_: Annotated[
        bool, typer.Option("--continue", help="Settle and finish a merge or rebase that plain git left half done.")
    ] = False,
    accept_rewrite: Annotated[
        bool,
        typer.Option(
            "--accept-rewrite",
            help="Merge with a remote whose history was replaced on purpose, squashed too; the old one comes back with "
            "what is here.",
        ),
    ] = False,
    remote: Annotated[str | None, typer.Option(metavar="URL", help="Give the town this remote first.")] = None,
    timeout: Annotated[
        float, typer.Option(parser=seconds, metavar="SECONDS", help="How long the remote may be silent.")
    ] = 120.0,
    json: Json = False,
) -> int:
    """Commit hand edits, fetch, merge, push: afterwards this clone and the remote hold the same.

    Exits 1 if a file cannot be used: an edit that stayed out, or what came.
    """
    from gastown.services.machines import clocks
    from gastown.services.machines.clone import attach_remote
    from gastown.services.machines.exchange import exchange

    gt: Ctx = ctx.obj
    with interruptible("interrupted; the next gt sync does what is left"):
        if remote is not None:
            attach_remote(gt.town, remote)
        if continue_:
            _finish(gt)
            if gt.town.repo.remote() is None:
                return 0
        done = exchange(gt.town, accept_rewrite=accept_rewrite, timeout=timeout)
    if json:
        put_json({**_json(done.sync), **_claims(done.tenure)})
    else:
        _show(done.sync)
        _show_claims(done.tenure)
    for one in clocks.ahead(gt.town):
        say(f"warning: {safe(one.text)}")
        say(f"hint: {clocks.HINT}")
    for odd in done.tenure.unreadable:
        say(f"warning: {safe(odd.message)}")
        say(f"hint: {safe(odd.hint)}")
    for text in dict.fromkeys(error.message for error in done.tenure.trouble):
        say(f"error: {safe(text)}")
    bad = _stayed(gt, done.sync.invalid) + _came(gt, done.sync.unusable)
    return 1 if bad or done.tenure.trouble else 0


def _stayed(gt: Ctx, found: tuple[InvalidFile, ...]) -> int:
    """Name edits that stay out, with what to do; how many there were."""
    from gastown.services.files import lint

    for one in found:
        say(f"warning: {safe(one)}")
        say(f"  {safe(lint.remedy(gt.town.repo, one))}")
    return len(found)


def _came(gt: Ctx, found: tuple[InvalidFile, ...]) -> int:
    """Name files that came and cannot be used, with what to do; how many there were."""
    from gastown.services.files import lint

    for one in found:
        say(f"warning: it came and cannot be used: {safe(one)}")
        say(f"  {safe(lint.remedy(gt.town.repo, one))}")
    return len(found)


def _finish(gt: Ctx) -> None:
    from gastown.services.sync import unfinished

    done = unfinished.finish(gt.town)
    if done.what or done.settled:
        count = f"{len(done.settled)} file{'' if len(done.settled) == 1 else 's'}"
        say(f"finished the {done.what}; settled {count}" if done.what else f"settled {count}")
    for path in done.settled:
        say(f"  {safe(path)}")
    for words in done.said:
        say(f"  {safe(words)}")
    for old, new in done.new_ids.items():
        say(f"  {safe(old)} is {safe(new)} now: two beads had that id")


def _json(report: SyncReport) -> dict[str, object]:
    return {
        "head": report.head, "remote": report.remote, "committed": list(report.committed),
        "invalid": _problems(report.invalid), "unusable": _problems(report.unusable),
        "busy": list(report.busy), "pulled": report.pulled, "pushed": report.pushed, "merged": report.merged,
        "settled": [{"path": path, "key": one.key, "kept": one.kept, "lost": one.lost}
                    for path, one in report.settled],
        "new_ids": report.new_ids, "tries": report.tries,
    }  # fmt: skip


def _problems(found: tuple[InvalidFile, ...]) -> list[dict[str, object]]:
    return [{"path": one.path, "line": one.line, "key": one.key, "reason": one.reason} for one in found]


def _show(report: SyncReport) -> None:
    for path in report.committed:
        put(f"edited    {safe(path)}")
    for path in report.busy:
        put(f"busy      {safe(path)}  is being edited; it goes with the next sync")
    for path, one in report.settled:
        what = f"{path} {one.key}".strip() if path not in ("ours", "theirs") else one.key
        put(f"settled   {safe(what)}: kept {_short(one.kept)}, not {_short(one.lost)}")
    for old, new in report.new_ids.items():
        put(f"renamed   {safe(old)} is {safe(new)} now: two beads had that id")
    if report.pulled or report.pushed:
        put(f"synced    {counted(report.pulled, 'commit')} came, {report.pushed} went; at {report.head[:10]}")
    else:
        put(f"synced    nothing new; at {report.head[:10]}")


def _claims(found: Tenure) -> dict[str, object]:
    return {"claims": {"confirmed": found.confirmed, "lost": found.lost, "given_back": found.given_back,
                       "trouble": [one.message for one in found.trouble],
                       "unreadable": [one.ref for one in found.unreadable]}}  # fmt: skip


def _show_claims(found: Tenure) -> None:
    for bead in found.confirmed:
        put(f"confirmed {bead}  is worked on here")
    for bead in found.lost:
        put(f"lost      {bead}  goes on elsewhere; what was made here is kept (gt show {bead})")


def _short(text: str) -> str:
    line = safe(text.strip())
    return repr(line if len(line) <= 60 else line[:59] + "…")


def merge_driver(
    ctx: typer.Context,
    base: Annotated[str, typer.Argument(metavar="BASE")],
    ours: Annotated[str, typer.Argument(metavar="OURS")],
    theirs: Annotated[str, typer.Argument(metavar="THEIRS")],
    path: Annotated[str, typer.Argument(metavar="PATH")],
    rest: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
) -> int:
    """What git calls to merge one file of a town."""
    from gastown.services.sync import mergedriver

    gt: Ctx = ctx.obj
    heads = [key.removeprefix("GITHEAD_") for key in gt.env if key.startswith("GITHEAD_")]
    said = mergedriver.run(gt.cwd, base, ours, theirs, path, heads, inner=mergedriver.BASE in (rest or ()))
    if said:
        say(safe(said))
    return 0


def resolve(
    ctx: typer.Context,
    bead: Annotated[str, typer.Argument(metavar="BEAD")],
    choice: Annotated[
        str | None, typer.Argument(metavar="[N]", help="The number of the version to keep, as this command lists them.")
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Which text, if more than one is open.")] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="What it shall say instead.")] = None,
    json: Json = False,
) -> None:
    """List the versions of a text that two places changed, or choose one (or another text)."""
    from gastown.services.beads import resolve as service

    gt: Ctx = ctx.obj
    bead_id = gt.resolve(bead)
    if choice is None and text is None:
        versions = service.versions(gt.town, bead_id)
        if json:
            put_json(versions)
            return
        for number, one in enumerate(versions, start=1):
            put(f"{number}  {safe(one.get('key'))}  {safe(one.get('at'))}  {safe(one.get('by'))}")
            for line in str(one.get("text", "")).splitlines():
                put(f"   {safe(line)}")
        if not versions:
            say(f"{bead_id} has no text to choose between")
        return
    if choice is not None and not (choice.isascii() and choice.isdigit()):
        raise UsageError(f"{choice!r} is no number", f"gt bead resolve {bead_id} lists the versions")
    words = text_or_stdin(text, "--text")
    chosen = service.resolve(gt.town, bead_id, choice=int(choice) if choice else None, key=key, text=words)
    put(f"{bead_id}  {safe(chosen)}: chose {f'version {choice}' if choice else 'another text'}")
