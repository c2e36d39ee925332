"""Starting an agent on a hooked bead: which preset, which prompt, which environment; one session, or an error."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import gastown
from gastown.model.address import author, name_of
from gastown.model.bead import Bead
from gastown.model.errors import GtError, UsageError
from gastown.model.rig import Rig
from gastown.runtime import git, sessions, shell, starting, tmux
from gastown.runtime.presets import Form, Preset, Value, load_preset
from gastown.runtime.sessions import PromptMode, Runtime, SessionRecord, SessionSpec
from gastown.services.agents import prime
from gastown.services.sessions import attempts, greeting, holds
from gastown.services.settings import trust
from gastown.store import files, layout
from gastown.store.town import Town
from gastown.store.view import View

EXEC = "exec"
_PACKAGE_HOME = os.path.dirname(os.path.dirname(os.path.abspath(gastown.__file__)))
# One argument of a program may be 128 KiB on Linux; a longer prompt is left for the agent to ask for.
_LONGEST_ARG = 100_000
_SHORTER = "Run `gt prime` and do what it says: your work is too long to be given here.\n"


class NotInstalled(GtError):
    """The program of an agent is not on the PATH we have; another process of this machine may find it."""

    def __init__(self, agent: str, program: str, hint: str) -> None:
        super().__init__(f"the agent {agent} is not installed: there is no command {program}", hint)
        self.agent = agent


@dataclass(frozen=True)
class Agent:
    """How an agent will be run: its preset, the form of it that fits, and tmux or plain process."""

    name: str
    preset: Preset
    form: Form
    runtime: Runtime


def agent_name(view: View, rig: Rig, bead: Bead | None, worker: Mapping[str, Any] | None, asked: str | None) -> str:
    """The preset's name: asked for, the bead's, the worker's, the rig's, the town's. Raises UsageError if none says."""
    if asked:
        return asked
    if bead is not None and (bead.agent or bead.command):
        return bead.agent or EXEC
    found = (worker or {}).get("agent") or rig.agent or view.setting("agent")
    if not found:
        raise UsageError(
            "which agent? Neither the bead, the worker, the rig nor the town names one",
            "--agent NAME, or for all: gt config set agent NAME (`gt agent list`); a command: gt sling … -- CMD ARG…",
        )
    return str(found)


def check_runtime(wanted: str) -> None:
    """Raise UsageError for a way to run sessions that there is not, or not on this machine."""
    if wanted not in ("tmux", "process", "auto"):
        raise UsageError(f"runtime {wanted!r} is none of: tmux process auto", "--runtime tmux, or --runtime process")
    if wanted == "tmux" and not tmux.available():
        raise UsageError("tmux is not installed, or too old", "install tmux, or use --runtime process")


def choose(town: Town, name: str, runtime: str | None) -> Agent:
    """The preset and the way to run it. Raises NotFound, InvalidFile, Refused (untrusted, needs a terminal),
    NotInstalled or UsageError before anything was touched.
    """
    preset = load_preset(name, Path(town.root))
    if preset.source != "built-in":
        trust.require(town, "agent", name, preset.content_hash(), text=preset.brief)
    wanted = runtime or str(town.setting("runtime", "auto"))
    check_runtime(wanted)
    chosen: Runtime = "tmux" if wanted != "process" and tmux.available() else "process"
    form = preset.form(terminal=chosen == "tmux")
    program = form.command[0]
    if "{" not in program and shutil.which(program) is None:
        raise NotInstalled(name, program, str(preset.get("install") or "put it on your PATH"))
    return Agent(name, preset, form, chosen)


def check_command(town: Town, agent: Agent, bead_id: str, command: list[str]) -> None:
    """Raise UsageError or Refused if the exec agent has no command, or one nobody here trusts."""
    if agent.name != EXEC:
        return
    if not command:
        raise UsageError(f"the exec agent needs a command for {bead_id}", f"gt sling {bead_id} -- CMD ARG…")
    trust.require(town, "command", bead_id, command)


def new_session_id(town: Town) -> str:
    """A fresh session id."""
    return sessions.new_id(town.clock(), random.SystemRandom().randrange)


def start(
    town: Town, rig: Rig, bead: Bead, agent: Agent, *, sid: str, worktree: str, context: str = "", resume: str = ""
) -> SessionRecord:
    """Start session `sid` for `bead`; returns its record once the agent runs. Raises GtError if it does not.

    With `resume` the agent's earlier conversation is taken up, where the preset can.
    """
    holds.require_none(town.root)  # asked before; but a stop may have come meanwhile, and has not seen this one
    address = str(bead.assignee)
    text = prime.build(town, address, bead, context=context).text
    taken_up = bool(resume) and agent.form.can_resume
    mode = agent.form.resume_prompt_mode if taken_up else agent.form.prompt_mode
    prompt_file = layout.run(town.root, "prompts", f"{sid}.md")
    os.makedirs(os.path.dirname(prompt_file), exist_ok=True)
    files.write(prompt_file, text.encode("utf-8", "replace"), durable=False, mode=0o600)
    conversation = str(uuid.uuid4())
    shown = text if len(text.encode("utf-8", "replace")) < _longest(agent.form) else _SHORTER
    values: dict[str, Value] = {
        "prompt": shown,
        "prompt_file": prompt_file,
        "session": sid,
        "resume": resume,
        "uuid": conversation,
        "worktree": worktree,
        "gt": gt_command(town),
    }
    values |= hooks_of(town, agent.preset, values)
    argv = agent.form.resume_argv(values) if taken_up else agent.form.argv(values)
    spec = SessionSpec(
        id=sid, address=address, argv=argv, cwd=worktree,
        env=environment(town, rig, bead, sid, agent.preset, values),
        bead=bead.id, bead_path=bead.path, attempt=bead.attempt, rig=rig.name, agent=agent.name, branch=bead.branch,
        prompt_mode=cast(PromptMode, mode if mode in ("arg", "stdin", "paste") else "none"), prompt_file=prompt_file,
        on_exit=[sys.executable, "-P", "-m", "gastown", "session", "ended", sid],
        resume=resume if taken_up else conversation if agent.form.session_id.get("chosen") else None,
    )  # fmt: skip
    record = starting.start(
        spec, agent.runtime, run=attempts.run_dir(town), socket=attempts.socket(town), now=town.clock()
    )
    try:
        greeting.greet(record, agent.form, mode, shown)
    except BaseException:
        sessions.stop(record, 1.0)
        raise
    return record


def hooks_of(town: Town, preset: Preset, values: Mapping[str, Value]) -> dict[str, Value]:
    """The values that load the preset's hooks; the file they need is written to this machine's run folder.

    Nothing of it lies in the worktree: that is the work's.
    """
    if not preset.loads_hooks:
        return {}
    found: dict[str, Value] = {}
    if "text" in preset.hooks:
        suffix = os.path.splitext(str(preset.hooks.get("file", "")))[1]
        path = layout.run(town.root, "agents", f"{preset.name}-{preset.content_hash()[:12]}{suffix}")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        files.write(path, str(preset.hooks["text"]).encode(), durable=False, mode=0o600)
        found["hooks_file"] = path
    found["hooks_args"] = preset.hooks_args({**values, **found})
    return found


def _longest(form: Form) -> int:
    """How many bytes of prompt one argument may hold."""
    return min(_LONGEST_ARG, int((form.get("prompt") or {}).get("longest", _LONGEST_ARG)))


def environment(
    town: Town, rig: Rig, bead: Bead, sid: str, preset: Preset, values: Mapping[str, Value]
) -> dict[str, str]:
    """An agent's whole environment: the person's without GT_* and GIT_*, who it is, and `gt` first on its PATH."""
    address = str(bead.assignee)
    extra = {
        "GT_TOWN": town.root, "GT_ACTOR": address, "GT_BEAD": bead.id, "GT_ATTEMPT": str(bead.attempt),
        "GT_SESSION": sid, "GT_RIG": rig.name, **git.author_env(*author(address, town.name)),
        **git.ceiling(str(values["worktree"])),
        **preset.environment(values, hooks=preset.loads_hooks),
    }  # fmt: skip
    env = shell.environment(extra)
    for name in preset.get("unset", ()):
        env.pop(str(name), None)
    env["PATH"] = os.pathsep.join([os.path.dirname(gt_command(town)), env.get("PATH", os.defpath)])
    return env


def gt_command(town: Town) -> str:
    """The path of a `gt` that is this very program, made if it is missing: agents must not meet another."""
    folder = layout.run(town.root, "bin")
    path = os.path.join(folder, "gt")
    # -P: a folder called gastown in the worktree must not be taken for us.
    code = f"import sys; sys.path.insert(0, {_PACKAGE_HOME!r}); from gastown.cli.main import main; sys.exit(main())"
    text = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -c {shlex.quote(code)} "$@"\n'.encode()
    if files.read_or_none(path) != text:
        os.makedirs(folder, exist_ok=True)
        files.write(path, text, temp=f"{path}.{os.getpid()}", durable=False, mode=0o777)
        os.chmod(path, 0o755)
    return path


def conversation_id(agent_form: Form, record: SessionRecord) -> str | None:
    """The agent's own id of the conversation, as it was chosen or as its output tells; None if neither does."""
    if record.resume:
        return record.resume
    import json
    import re

    facts = agent_form.session_id
    said = sessions.log_tail(record.log, 5000)
    if pattern := facts.get("pattern"):
        match = re.search(str(pattern), said)
        return match[1] if match else None
    key = (facts.get("json") or {}).get("key")
    for line in said.splitlines() if key else ():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and isinstance(value.get(key), str):
            return str(value[key])
    return None


def worker_doc(view: View, rig: str, address: str) -> dict[str, Any] | None:
    """The worker's file; None if there is none. Raises InvalidFile."""
    path = layout.worker_file(rig, "polecats", name_of(address))
    return view.load(path) if view.exists(path) else None


def failure(error: BaseException) -> str:
    """What to say of a start that failed."""
    return error.message if isinstance(error, GtError) else f"{type(error).__name__}: {error}"
