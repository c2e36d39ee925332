"""Shell completion: the scripts, and the words that may come next (commands, options, ids with titles, rigs …)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from gastown.cli.context import Ctx
from gastown.cli.output import put, put_lines
from gastown.cli.tree import COMMANDS
from gastown.model.bead import STATUSES, TYPES
from gastown.model.errors import GtError, UsageError
from gastown.model.event import TYPES as EVENTS
from gastown.model.text import clip, safe

Word = tuple[str, str]
_SCRIPTS = {
    "bash": """\
_gt_complete() {
    local IFS=$'\\n'
    COMPREPLY=($(gt complete-words -- "${COMP_WORDS[@]:1:$COMP_CWORD}" 2>/dev/null | cut -f1))
}
complete -o default -F _gt_complete gt
""",
    "zsh": """\
#compdef gt
_gt() {
    local -a found
    local word text
    while IFS=$'\\t' read -r word text; do
        found+=("${word//:/\\\\:}:${text}")
    done < <(gt complete-words -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    _describe gt found
}
compdef _gt gt
""",
    "fish": """\
complete -c gt -f -a '(gt complete-words -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
""",
}
# What an option's value is.
_OPTIONS = {
    "--rig": "rig", "--status": "status", "--type": "type", "--assignee": "address", "--actor": "address",
    "--as": "address", "--need": "id", "--parent": "id", "--bead": "id", "--on": "id",
}  # fmt: skip
# What the arguments of a command are: ids, rigs, addresses, event types.
_ARGUMENTS = {
    "show": "id", "update": "id", "note": "id", "close": "id", "reopen": "closed", "log": "id", "sling": "id target",
    "unsling": "id address", "release": "id address", "resume": "id address", "peek": "address", "attach": "address",
    "bead show": "id", "bead update": "id", "bead note": "id", "bead close": "id", "bead reopen": "closed",
    "bead tree": "id", "bead log": "id", "bead dep add": "id", "bead dep remove": "id", "bead dep list": "id",
    "bead label add": "id", "bead label remove": "id", "rig show": "rig", "rig config": "rig", "rig park": "rig",
    "rig unpark": "rig", "rig remove": "rig", "polecat show": "address", "polecat nuke": "address",
    "mq list": "rig", "mq run": "rig", "refinery run": "rig", "completion": "shell", "trail": "trail",
}  # fmt: skip
_MOST = 200


def completion(
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish")],
) -> None:
    """Print the completion script of a shell.

    bash: eval "$(gt completion bash)" in ~/.bashrc; zsh: the same in ~/.zshrc after compinit;
    fish: gt completion fish > ~/.config/fish/completions/gt.fish
    """
    if shell not in _SCRIPTS:
        raise UsageError(f"no completion for {shell!r}", "one of: " + " ".join(_SCRIPTS))
    put(_SCRIPTS[shell].rstrip("\n"))


def complete_words(
    ctx: typer.Context, words: Annotated[list[str] | None, typer.Argument(metavar="WORD…")] = None
) -> None:
    """Words that may come next after WORD…, the last of which is not finished; with a tab and what each is."""
    *before, begun = words or [""]
    found = [word for word in _next(ctx.obj, before, begun) if word[0].startswith(begun)]
    put_lines(f"{word}\t{safe(about)}" for word, about in found[:_MOST])


def _next(gt: Ctx, before: list[str], begun: str) -> Iterator[Word]:
    path, command = _command(before)
    last = before[-1] if before else ""
    if last.startswith("-") and _takes_value(command, last):
        yield from _kind(gt, _OPTIONS.get(_long(command, last), ""), path, begun)
    elif begun.startswith("-"):
        yield from _options(command)
    elif command is None:
        yield from ((name, entry[2]) for name, entry in COMMANDS.items() if entry[3])
    elif hasattr(command, "commands"):
        yield from ((name, child.get_short_help_str(80)) for name, child in command.commands.items())
    else:
        for kind in _ARGUMENTS.get(path, "").split():
            yield from _kind(gt, kind, path, begun)


def _command(before: list[str]) -> tuple[str, Any]:
    """The command named so far and its path; ("", None) if none is."""
    path: list[str] = []
    command: Any = None
    for word in before:
        if command is None and word in COMMANDS:
            from gastown.cli.app import build

            command = build(word)
        elif command is not None and word in getattr(command, "commands", {}):
            command = command.commands[word]
        else:
            continue
        path.append(word)
    return " ".join(path), command


def _options(command: Any) -> Iterator[Word]:
    if command is None:
        yield from (("--town", "the town to work on"), ("--as", "act as an address"), ("--version", ""), ("--help", ""))
        return
    for param in command.params:
        if getattr(param, "opts", None) and param.opts[0].startswith("-"):
            yield max(param.opts, key=len), getattr(param, "help", None) or ""
    yield "--help", "more about it"


def _parameter(command: Any, option: str) -> Any:
    return next((p for p in getattr(command, "params", ()) if option in getattr(p, "opts", ())), None)


def _takes_value(command: Any, option: str) -> bool:
    found = _parameter(command, option)
    return option in ("--town", "--as") if found is None else not found.is_flag


def _long(command: Any, option: str) -> str:
    found = _parameter(command, option)
    return max(found.opts, key=len) if found is not None else option


def _kind(gt: Ctx, kind: str, path: str, begun: str) -> Iterator[Word]:
    """Words of a kind; nothing outside of a town, for completion must never fail."""
    if kind == "shell":
        yield from ((shell, "") for shell in _SCRIPTS)
    elif kind == "trail":
        yield from (("commits", ""), ("beads", ""), ("sessions", ""))
    elif kind == "type":
        yield from ((one, "") for one in (sorted(EVENTS) if path == "feed" else TYPES))
    elif kind == "status":
        yield from ((status, "") for status in ("open", "deferred") if path.endswith("update"))
        yield from ((status, "") for status in (*STATUSES, "ready", "blocked") if not path.endswith("update"))
    elif kind:
        try:
            yield from list(_of_town(gt, kind, begun))
        except GtError:
            return


def _of_town(gt: Ctx, kind: str, begun: str) -> Iterator[Word]:
    town = gt.town
    if kind in ("id", "closed"):
        yield "@last", "the bead you last touched"
        rows = [row for row in town.index().rows if (row.status == "closed") == (kind == "closed")]
        for row in sorted(rows, key=lambda row: (row.priority, row.created)):
            yield row.id, clip(row.title, 60)
            if begun and row.id.partition("-")[2].startswith(begun):
                yield row.id.partition("-")[2], clip(row.title, 60)
        return
    for name in town.rig_names():
        if kind in ("rig", "target"):
            yield name, "rig"
        if kind in ("address", "target"):
            yield from ((f"{name}/{one['name']}", one["kind"]) for one in town.workers(name)[0])
    if kind in ("address", "target"):
        yield from ((name, "") for name in ("mayor", "overseer", "deacon"))

