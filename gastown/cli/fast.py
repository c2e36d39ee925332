"""The short way for commands that agents' hooks, git itself and people call all the time: no typer, no heavy import.

Whatever is not the plain everyday call answers None and takes the long way, which prints the same.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NO_MAIL = "no new mail"


def run(args: list[str]) -> int | None:
    """The exit code, or None if the long way must decide."""
    if args == ["hook"]:
        return _hook()
    if args == ["heartbeat"]:
        return _heartbeat()
    if args == ["mail", "check"] or args == ["mail", "check", "--inject"]:
        return _mail_check("--inject" in args)
    if args[:4] == ["mail", "check", "--inject", "--hook"] and len(args) == 5:
        return _mail_check(True, hook=args[4])
    if len(args) == 6 and args[0] == "merge-driver":
        return _merge_driver(args)
    if not args or (args[0] in ("ready", "list", "status") and args[1:] in ([], ["--json"])):
        from gastown.cli import plain
        from gastown.cli.context import Ctx

        return plain.run(args[0] if args else "status", Ctx(), "--json" in args)
    return None


def _where() -> tuple[str, str] | None:
    """(root of the town, address of the agent that asks); None unless both are beyond doubt."""
    from gastown.store import layout

    try:
        here = os.getcwd()
        root = layout.find_root(os.environ.get("GT_TOWN") or here)
        if root is None or any(os.path.exists(layout.run(root, name)) for name in layout.UNFINISHED):
            return None
        actor = os.environ.get("GT_ACTOR") or layout.worker_of_cwd(root, here)
    except OSError:
        return None
    if not actor:
        return None
    if actor == "mayor":
        return root, actor
    rig, slash, name = actor.partition("/")
    known = any(
        os.path.isfile(os.path.join(root, "rigs", rig, kind, f"{name}.yaml")) for kind in ("polecats", "crew")
    )
    return (root, actor) if slash and "/" not in name and known else None


def _hook() -> int | None:
    """One line for the bead under way; anything else (no hint, not begun, broken, moved on) takes the long way."""
    where = _where()
    if where is None:
        return None
    from gastown.store import layout, runstate

    root, actor = where
    try:
        hint = runstate.hook_hint(root, actor)
        doc = _bead(root, hint) if hint and layout.bead_of_path(hint) else None
    except OSError:
        return None
    if doc is None or doc.get("status") != "in_progress" or doc.get("assignee") != actor:
        return None
    from gastown.ui.lines import hook_line

    if os.environ.get("GT_BEAD") == doc["id"] and os.environ.get("GT_ACTOR") == actor:
        try:
            runstate.touch_heartbeat(root, actor)  # asking from inside the session is a sign of life
        except OSError:
            return None
    sys.stdout.write(hook_line(doc["id"], doc["status"], doc.get("priority", 2), doc["title"]) + "\n")
    return 0


def _bead(root: str, path: str) -> dict[str, Any] | None:
    from gastown.model.bead import check
    from gastown.model.errors import InvalidFile
    from gastown.store import files, layout
    from gastown.store.fastread import read_fast

    doc = read_fast(files.read(layout.absolute(root, path)))
    try:
        if doc is not None:
            check(doc, path)
    except InvalidFile:
        return None
    return doc


def _heartbeat() -> int | None:
    """Say that the agent lives; silent."""
    where = _where()
    if where is None:
        return None
    from gastown.store import runstate

    try:
        runstate.touch_heartbeat(*where)
    except OSError:
        return None
    return 0


def _mail_check(inject: bool, hook: str = "") -> int | None:
    """There is nothing, as almost always: 1, for a hook `{}` and 0. New mail, or a nudge, takes the long way."""
    where = _where()
    if where is None:
        return None
    from gastown.store import layout, maildir

    root, actor = where
    try:
        box = layout.absolute(root, layout.mailbox(actor))
        if maildir.unread(_names(os.path.join(box, "new")), _names(os.path.join(box, "cur"))):
            return None
        if inject and _names(layout.run(root, "nudges", *actor.split("/"))):
            return None
    except OSError:
        return None
    if hook:
        if hook != "block" and not (hook.startswith("context:") and hook != "context:"):
            return None
        sys.stdout.write("{}\n")
        return 0
    if not inject:
        sys.stdout.write(NO_MAIL + "\n")
    return 1


def _merge_driver(args: list[str]) -> int | None:
    """git calls it once a file, in the top folder of the worktree; a merge of thousands feels every import."""
    from gastown.services.sync import mergedriver
    from gastown.store import layout

    root = os.getcwd()
    if layout.find_root(root) != root or any(one.startswith("-") for one in args[1:5]):
        return None
    heads = [key[8:] for key in os.environ if key.startswith("GITHEAD_")]
    said = mergedriver.run(root, args[1], args[2], args[3], args[4], heads, inner=args[5] == mergedriver.BASE)
    if said:
        from gastown.cli.output import say
        from gastown.model.text import safe

        say(safe(said))
    return 0


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
