"""What makes plain git right in a clone of a town: the merge driver, a few settings, hooks chained behind others."""

from __future__ import annotations

import os
import shlex

from gastown.model.errors import Refused
from gastown.runtime import git
from gastown.services.launch import gt_command
from gastown.store import files
from gastown.store.resources import data_path
from gastown.store.town import Town

HOOKS = ("pre-commit", "pre-push", "post-merge", "post-rewrite", "post-checkout")
BEFORE = ".before-gt"
_MARK = b"# gt: what stood here before runs first"
# Two people who flag the same message rename one file twice: without renames git keeps both, and gt settles them.
_SETTINGS = (("pull.twohead", "recursive"), ("merge.renames", "false"), ("merge.directoryRenames", "false"))


def wire(town: Town) -> list[str]:
    """Set up the clone at `town.root`; returns what was changed, [] if all stood already. Idempotent.

    Raises Refused where a hook of ours cannot be chained because its place for the former one is taken.
    """
    shim = gt_command(town)
    driver = f"{shlex.quote(shim)} merge-driver %O %A %B %P"
    wanted = [
        ("gt.command", shim),
        ("merge.gt.name", "merge of Gas Town's files by their meaning"),
        ("merge.gt.driver", f"{driver} %L"),
        # Where git makes one base of two common ancestors, what is decided is nobody's business.
        ("merge.gt.recursive", "gt-base"),
        ("merge.gt-base.name", "merge of two common ancestors"),
        ("merge.gt-base.driver", f"{driver} base"),
        *_SETTINGS,
    ]
    done = [f"git config {key}" for key, value in wanted if _set(town.root, key, value)]
    folder = hooks_folder(town)
    for name in HOOKS:
        if _install(folder, name):
            done.append(f"hook {name}")
    return done


def missing(town: Town) -> list[str]:
    """The hooks of ours that are not installed in this clone."""
    folder = hooks_folder(town)
    return [name for name in HOOKS if not (files.read_or_none(os.path.join(folder, name)) or b"").count(_MARK)]


def hooks_folder(town: Town) -> str:
    """Where git looks for the town's hooks; `core.hooksPath` is respected."""
    said = git.text(["rev-parse", "--git-path", "hooks"], cwd=town.root)
    return os.path.normpath(os.path.join(town.root, said))


def _set(root: str, key: str, value: str) -> bool:
    if git.run(["config", "--local", "--get", key], cwd=root, check=False).text == value:
        return False
    git.run(["config", "--local", key, value], cwd=root)
    return True


def _install(folder: str, name: str) -> bool:
    path = os.path.join(folder, name)
    ours = files.read(str(data_path("hooks") / "town" / name))
    now = files.read_or_none(path)
    if now == ours:
        return False
    os.makedirs(folder, exist_ok=True)
    if now is not None and _MARK not in now:
        if os.path.exists(path + BEFORE):
            raise Refused(
                f"{path} is not gt's, and {name}{BEFORE} beside it is taken", "move one of them away, then try again"
            )
        files.rename(path, path + BEFORE)
    files.write(path, ours, mode=0o777)
    os.chmod(path, 0o755)
    return True
