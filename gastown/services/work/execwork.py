"""The built-in exec agent: run the bead's own command in the worktree, commit what it changed, hand it in."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from gastown.model.address import author, name_of, rig_of
from gastown.model.bead import Bead
from gastown.model.errors import GtError, Refused
from gastown.model.message import header_text
from gastown.model.text import some
from gastown.runtime import git, intact, leftovers, shell, worktrees
from gastown.services.agents import withheld, worksite
from gastown.services.beads import hook
from gastown.services.files import footing
from gastown.services.landing import landing
from gastown.services.rigs import origins
from gastown.services.settings import trust
from gastown.services.work import done
from gastown.services.work.done import DoneReport
from gastown.store import files, layout, runstate
from gastown.store.town import Town

UNCHANGED = "the command changed nothing"
NOT_FOUND = 127


def exec_work(
    town: Town, actor: str, *, bead_id: str | None, attempt: int | None, say: Callable[[str], None]
) -> int | DoneReport:
    """Run the command of the bead on `actor`'s hook; its exit code if that is not 0, else what `done` reports.

    No shell reads the command; its output goes where ours goes. While a person's git has led the town away from its
    branch, it waits. Raises Refused for an empty hook or a command that nobody here trusts.
    """
    footing.wait_home(town.repo, say)
    town.settle()
    bead = hook.read(town, actor)
    if bead is None or (bead_id and bead.id != bead_id) or (attempt is not None and attempt != bead.attempt):
        return done.done(town, actor, bead_id=bead_id, attempt=attempt)
    if not bead.command:
        raise Refused(f"{bead.id} has no command", f"gt sling {bead.id} -- CMD ARG…")
    trust.require(town, "command", bead.id, bead.command)
    bead = hook.begin(town, actor, bead)
    rig = town.rig(str(rig_of(actor)))
    path = layout.worktree(town.root, rig.name, name_of(actor))
    before = _before(town, bead, path)
    say("$ " + trust.shown(bead.command))
    code = _run(bead.command, path, say)
    if code:
        return code
    _commit(town, actor, bead, path)
    footing.wait_home(town.repo, say)
    town.refresh()
    withheld.check(town, rig, name_of(actor))
    origins.follow(town, rig)
    base = landing.target_now(town, rig, bead.target or rig.branch)
    nothing = worksite.ahead(layout.bare(town.root, rig.name), base, str(bead.branch)) == 0
    why = _unchanged(path, before) if nothing else None
    report = done.done(town, actor, no_changes=why, bead_id=bead.id, attempt=bead.attempt)
    files.remove(_note(town, bead))
    return report


def _note(town: Town, bead: Bead) -> str:
    return layout.run(town.root, "ignored", f"{bead.id}.a{bead.attempt}.json")


def _before(town: Town, bead: Bead, path: str) -> dict[str, int]:
    """What was ignored before the command first ran in this attempt: run again, it need not write the same again."""
    known = runstate.read_json(_note(town, bead))
    if isinstance(known, dict):
        return known
    found = leftovers.ignored(path)
    runstate.write_json(_note(town, bead), found, durable=False)
    return found


def _unchanged(path: str, before: Mapping[str, int]) -> str:
    """Why there is nothing to hand in. Raises Refused if the command wrote what only rules in no commit hide."""
    wrote = [name for name, changed in leftovers.ignored(path).items() if before.get(name) != changed]
    hidden = leftovers.hidden(path, wrote, own=worksite.EXCLUDED)
    if hidden:
        raise Refused(
            f"git sees nothing of what the command wrote: {some(list(hidden))} in {path}, by rules that are in no"
            f" commit ({some(sorted(set(hidden.values())))})",
            'remove the rules, or git add --force what is wanted; if it is nothing: gt done --no-changes "why"',
        )
    wrote = [name for name in wrote if not name.startswith((".gt/", ".gt-"))]
    return f"the command wrote only ignored files: {some(wrote)}" if wrote else UNCHANGED


def _run(command: list[str], path: str, say: Callable[[str], None]) -> int:
    try:
        code = shell.run_argv(command, cwd=path)
    except FileNotFoundError:
        say(f"there is no command {command[0]}" if os.path.isdir(path) else f"there is no folder {path}")
        return NOT_FOUND
    except OSError as error:
        raise GtError(f"cannot run {command[0]}: {error.strerror}") from None
    return code if code >= 0 else 128 - code


def _commit(town: Town, actor: str, bead: Bead, path: str) -> None:
    """Commit what the command changed, under the bead's title, with the trailers that tell whose it is."""
    intact.require(layout.bare(town.root, str(rig_of(actor))), path)
    message = f"{header_text(bead.title)}\n\nBead: {bead.id}\nAgent: {actor}\n"
    env = {**git.author_env(*author(actor, town.name)), "GT_BEAD": bead.id, "GT_ACTOR": actor}
    worktrees.commit_all(path, message, env)
