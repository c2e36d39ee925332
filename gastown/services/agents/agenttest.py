"""Whether an agent preset can be used on this machine: its program, its version, the files it needs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from gastown.runtime import sessions, shell, tmux
from gastown.runtime.presets import Preset, fill, load_preset
from gastown.services.agents import launch
from gastown.services.settings import trust
from gastown.store import files, layout
from gastown.store.town import Town

TIMEOUT = 60.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    what: str
    ok: bool
    text: str = ""


@dataclass(frozen=True)
class AgentTest:
    """All of them."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """True if nothing stands in the way."""
        return all(one.ok for one in self.checks)


def check(town: Town, name: str) -> AgentTest:
    """Look at everything a session of this agent needs; only its version command is run. Raises NotFound, InvalidFile,
    or Refused for a town's preset that nobody here trusts.
    """
    preset = load_preset(name, Path(town.root))
    if preset.source != "built-in":
        trust.require(town, "agent", name, preset.content_hash(), text=preset.brief)
    forms = _forms(town, preset)
    # What is not there has no version either.
    return AgentTest((*forms, *(_version(town, preset) if forms[0].ok else ()), *_files(preset)))


def _values(town: Town) -> dict[str, str]:
    return {"gt": launch.gt_command(town)}


def _forms(town: Town, preset: Preset) -> list[Check]:
    form = preset.headless or preset.terminal
    assert form is not None
    program = fill(form.command[:1], _values(town))[0]
    found = shutil.which(program)
    missing = f"no {program}; {preset.get('install') or 'install it'}"
    checks = [Check("its program", found is not None, found or missing)]
    if preset.interactive:
        checks.append(Check("a terminal", tmux.available(), "" if tmux.available() else "it needs tmux"))
    return checks


def _version(town: Town, preset: Preset) -> list[Check]:
    if not preset.get("version"):
        return []
    argv = fill(preset.get("version"), _values(town))
    env = shell.environment({**preset.env, "GT_TOWN": town.root})
    log = layout.log(town.root, "agents", f"{preset.name}-version.log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    files.write(log, b"", durable=False)
    ended = shell.run(shlex.join(argv), cwd=town.root, env=env, log=log, timeout=TIMEOUT)
    if ended.timed_out:
        return [Check("its version", False, f"no answer within {TIMEOUT:g} s")]
    said = sessions.log_tail(log, 20).strip().splitlines()
    return [Check("its version", ended.code == 0, said[0] if said else f"exit {ended.code}")]


def _files(preset: Preset) -> list[Check]:
    found = []
    for one in preset.get("files", ()):
        path = os.path.expanduser(str(one["path"]))
        if "{" in path:
            continue
        found.append(Check(f"the file {one['path']}", *_look(path, one.get("has"), str(one.get("about") or ""))))
    return found


def _look(path: str, has: str | None, about: str) -> tuple[bool, str]:
    try:
        text = Path(path).read_text("utf-8", "replace")
    except OSError as error:
        return False, f"{error.strerror}; {about}".strip("; ")
    if has and not re.search(has, text):
        return False, f"does not hold what it must; {about}".strip("; ")
    return True, about
