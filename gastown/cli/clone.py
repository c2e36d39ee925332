"""A town on this machine: clone, lint, and what git's hooks call."""

from __future__ import annotations

from typing import Annotated

import typer

from gastown.cli.context import Ctx
from gastown.cli.interrupt import interruptible
from gastown.cli.options import Json
from gastown.cli.output import hint, put, put_json, say
from gastown.model.errors import GtError, InvalidFile, UsageError
from gastown.model.text import safe


def clone(
    url: Annotated[str, typer.Argument(metavar="URL", help="The town's remote: a URL, or a path.")],
    path: Annotated[str | None, typer.Argument(metavar="[PATH]", help="A new folder; else the remote's name.")] = None,
    machine: Annotated[
        str | None, typer.Option("--machine", metavar="NAME", help="What this machine is called; else as its host.")
    ] = None,
    json: Json = False,
) -> None:
    """Join a town from this machine: clone it, name this machine in it, make plain git right in it."""
    from gastown.services.machines import clone as service

    with interruptible("interrupted; nothing was made"):
        done = service.clone(url, path, name=machine)
    if json:
        put_json({"root": done.root, "town": done.name, "machine": done.machine, "rigs": list(done.rigs)})
        return
    put(f"{safe(done.name)}  town at {safe(done.root)} on machine {safe(done.machine)}")
    say("next:")
    say(f"  cd {safe(done.root)}")
    say("  gt status")


def lint(ctx: typer.Context, json: Json = False) -> int:
    """Check every file against its schema, that no id means two beads, no bead needs itself, no rig lacks its rig.yaml.

    Exits 1 if not. For CI.
    """
    from gastown.services.files import lint as service
    from gastown.services.files import rigless

    town = ctx.obj.town
    paths = service.all_paths(town)
    circles = service.circles(town.index().rows)
    lost = [one.problem for one in rigless.found(town)]
    return _tell([*service.problems(town, paths), *service.doubled(paths), *lost, *circles], json)


def _tell(found: list[InvalidFile], json: bool) -> int:
    if json:
        keys = ("path", "line", "key", "reason")
        put_json([{key: getattr(one, key) for key in keys} for one in found])
    else:
        for one in found:
            put(safe(one))
        if found:
            hint("`gt doctor` says of each what to do")
    return 1 if found else 0


def town_hook(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="HOOK")],
    rest: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
) -> int:
    """What git's hooks in a town call."""
    from gastown.services.files.opening import open_town
    from gastown.services.sync import townhooks
    from gastown.store import committing

    gt: Ctx = ctx.obj
    if name == "pre-commit":
        if townhooks.finish_killed(open_town(gt.root)):
            raise GtError(
                "a gt was killed in the middle of writing; that is finished now, and nothing was committed",
                "look at git status, stage what is yours, and commit again",
            )
        code = _refuse(townhooks.staged_problems(gt.town), "nothing was committed")
        committing.go_on(gt.root)
        return code
    if name == "pre-push":
        return _refuse(townhooks.unusable(gt.town), "nothing was pushed")
    if name in ("post-merge", "post-rewrite", "post-checkout"):
        wrong = townhooks.unwelcome(gt.town) if name != "post-checkout" else None
        if wrong is not None:
            raise wrong
        townhooks.refresh(gt.town, finished=name != "post-checkout")
        return 0
    raise UsageError(f"no hook {name!r}")


def _refuse(found: list[InvalidFile], what: str) -> int:
    for one in found:
        say(f"error: {safe(one)}")
    if found:
        say(f"hint: mend these files ({what}); --no-verify passes this check by")
    return 1 if found else 0
