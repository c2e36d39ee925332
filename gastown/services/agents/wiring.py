"""What makes plain git right in a clone of a town: the merge driver, a few settings, hooks chained behind others."""

from __future__ import annotations

import os
import shlex

from gastown.model.errors import Refused
from gastown.runtime import git
from gastown.services.agents.launch import gt_command
from gastown.store import files, layout
from gastown.store.gitrepo import Repo
from gastown.store.resources import data_path
from gastown.store.town import Town

HOOKS = ("pre-commit", "pre-push", "post-merge", "post-rewrite", "post-checkout")
BEFORE = ".before-gt"
_MARK = b"# gt: what stood here before runs first"
# Two people who flag the same message rename one file twice: without renames git keeps both, and gt settles them.
# A rebase by patches would lay a change of one bead over another's text, and ask no driver.
_SETTINGS = (
    ("pull.twohead", "recursive"), ("merge.renames", "false"), ("merge.directoryRenames", "false"),
    ("rebase.backend", "merge"),
)  # fmt: skip
# Without a choice of the person's own, `git pull` of a town that went on here too stops and asks for one.
_PULL = ("pull.rebase", "false")
_PULL_CHOICES = ("pull.rebase", "pull.ff", "branch.autosetuprebase")
# Beside what the town says, and above it: whatever a pull brought as .gitattributes, files merge by their meaning.
_ATTRIBUTES = os.path.join("info", "attributes")
_BLOCK = (b"# gt: how the files of a town are merged; what stands above is yours\n", b"# gt: end\n")
_AS_THEY_ARE = b"*            -filter -ident -working-tree-encoding\n"


def wire(town: Town) -> list[str]:
    """Set up the clone at `town.root`; returns what was changed, [] if all stood already. Idempotent.

    Raises Refused where a hook of ours cannot be chained because its place for the former one is taken.
    """
    wanted = _wanted(gt_command(town))
    done = missing(town)
    for key, value in (*wanted, _PULL):
        if f"git config {key}" in done:
            git.run(["config", "--local", key, value], cwd=town.root)
    if _ATTRIBUTES in done:
        attribute(town.repo)
    folder = hooks_folder(town)
    for name in HOOKS:
        if f"hook {name}" in done:
            _install(folder, name)
    return done


def missing(town: Town) -> list[str]:
    """What is not set up in this clone as it should be: `git config KEY`, `hook NAME`, a file. Changes nothing."""
    listed = git.run(["config", "--show-scope", "--list", "-z"], cwd=town.root).fields()
    chosen = [(scope, *item.partition("\n")[::2]) for scope, item in zip(listed[::2], listed[1::2], strict=True)]
    there = {key: value for scope, key, value in chosen if scope == "local"}
    wanted = _wanted(layout.run(town.root, "bin", "gt"))
    found = [f"git config {key}" for key, value in wanted if there.get(key.lower()) != value]
    if not any(key in _PULL_CHOICES for _, key, _ in chosen):
        found.append(f"git config {_PULL[0]}")
    if not (files.read_or_none(os.path.join(town.repo.common_dir, _ATTRIBUTES)) or b"").endswith(_attributes()):
        found.append(_ATTRIBUTES)
    folder = hooks_folder(town)
    return found + [f"hook {name}" for name in HOOKS if files.read_or_none(os.path.join(folder, name)) != _ours(name)]


def touched(root: str) -> list[str]:
    """The files of git's that `wire` may write in the repository at `root`, whether they are there or not."""
    names = ["config", _ATTRIBUTES, "hooks"]
    said = [git.text(["rev-parse", "--git-path", name], cwd=root) for name in names]
    settings, attributes, folder = (os.path.realpath(os.path.join(root, path)) for path in said)
    hooks = [os.path.join(folder, name + suffix) for name in HOOKS for suffix in ("", BEFORE)]
    return [settings, attributes, *hooks]


def _wanted(shim: str) -> list[tuple[str, str]]:
    driver = f"{shlex.quote(shim)} merge-driver %O %A %B %P"
    return [
        ("gt.command", shim),
        ("merge.gt.name", "merge of Gas Town's files by their meaning"),
        ("merge.gt.driver", f"{driver} %L"),
        # Where git makes one base of two common ancestors, what is decided is nobody's business.
        ("merge.gt.recursive", "gt-base"),
        ("merge.gt-base.name", "merge of two common ancestors"),
        ("merge.gt-base.driver", f"{driver} base"),
        *_SETTINGS,
    ]


def _ours(name: str) -> bytes:
    return files.read(str(data_path("hooks") / "town" / name))


def _attributes() -> bytes:
    """The block of .git/info/attributes that is ours."""
    return _BLOCK[0] + _AS_THEY_ARE + files.read(str(data_path("town-template") / ".gitattributes")) + _BLOCK[1]


def attribute(repo: Repo) -> None:
    """Let files be written and merged as gt needs it, whatever .gitattributes of the tree says.

    Our block is put at the end of .git/info/attributes, in place of an older one: what stands last decides.
    """
    path = os.path.join(repo.common_dir, _ATTRIBUTES)
    now = files.read_or_none(path) or b""
    before, begun, rest = now.partition(_BLOCK[0])
    yours = before + (rest.partition(_BLOCK[1])[2] if begun else b"")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.write(path, yours + (b"\n" if yours and not yours.endswith(b"\n") else b"") + _attributes())


def hooks_folder(town: Town) -> str:
    """Where git looks for the town's hooks; `core.hooksPath` is respected."""
    said = git.text(["rev-parse", "--git-path", "hooks"], cwd=town.root)
    return os.path.normpath(os.path.join(town.root, said))


def _install(folder: str, name: str) -> None:
    path = os.path.join(folder, name)
    now = files.read_or_none(path)
    os.makedirs(folder, exist_ok=True)
    if now is not None and _MARK not in now:
        if os.path.exists(path + BEFORE):
            raise Refused(
                f"{path} is not gt's, and {name}{BEFORE} beside it is taken", "move one of them away, then try again"
            )
        files.rename(path, path + BEFORE)
    files.write(path, _ours(name), mode=0o777)
    os.chmod(path, 0o755)
