"""Refs and remotes of a repository, read from git's own files: light enough for what is asked at every prompt."""

from __future__ import annotations

import os

from gastown.model.errors import GtError
from gastown.store import files

# Below it lies what was written on no branch, until the branch has it.
ASTRAY = "refs/gt/astray/"
# What git leaves in its folder until it has finished.
_UNDER_WAY = (
    ("MERGE_HEAD", "merge"), ("rebase-merge", "rebase"), ("rebase-apply", "rebase"),
    ("CHERRY_PICK_HEAD", "cherry-pick"), ("REVERT_HEAD", "revert"),
)  # fmt: skip


def git_dir(root: str) -> str:
    """The git folder of the work tree `root`; raises GtError where there is none."""
    path = os.path.join(root, ".git")
    if os.path.isdir(path):
        return path
    link = files.read_or_none(path)
    if link is not None and link.startswith(b"gitdir: "):
        return os.path.normpath(os.path.join(root, link[8:].strip().decode()))
    raise GtError(
        f"{root} holds a town but no git repository", f"run `git init` in {root}, or restore its .git folder"
    )


def common_dir(git_dir: str) -> str:
    """The folder that all worktrees of a repository share."""
    common = files.read_or_none(os.path.join(git_dir, "commondir"))
    return os.path.normpath(os.path.join(git_dir, common.decode().strip())) if common else git_dir


class Refs:
    """The refs of one repository."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.git_dir = git_dir(root)
        self.common_dir = common_dir(self.git_dir)

    @classmethod
    def of_bare(cls, path: str) -> Refs:
        """The refs of the bare repository at `path`."""
        refs = cls.__new__(cls)
        refs.root = refs.git_dir = refs.common_dir = path
        return refs

    def head(self) -> tuple[str, bytes | None]:
        """(the ref that HEAD is, its commit): `HEAD` itself when detached, None when unborn."""
        text = files.read(os.path.join(self.git_dir, "HEAD")).strip()
        if text.startswith(b"ref: "):
            name = text[5:].strip().decode()
            if name == "refs/heads/.invalid":
                raise GtError(
                    f"{self.root} keeps its refs in a reftable",
                    "gt needs ordinary refs: git refs migrate --ref-format=files",
                )
            return name, self.ref(name)
        return "HEAD", text

    def ref(self, name: str) -> bytes | None:
        """The commit a ref points to; None if there is no such ref."""
        value = files.read_or_none(self.path(name))
        if value is not None:
            text = value.strip()
            return self.ref(text[5:].strip().decode()) if text.startswith(b"ref: ") else text
        packed = files.read_or_none(os.path.join(self.common_dir, "packed-refs")) or b""
        wanted = b" " + name.encode()
        for line in packed.splitlines():
            if line.endswith(wanted) and not line.startswith((b"#", b"^")):
                return line.split(b" ", 1)[0]
        return None

    def path(self, name: str) -> str:
        """Where a ref lies while it is loose."""
        return os.path.join(self.git_dir if name == "HEAD" else self.common_dir, *name.split("/"))

    def config(self) -> str:
        """The repository's own configuration file."""
        return (files.read_or_none(os.path.join(self.common_dir, "config")) or b"").decode("utf-8", "replace")

    def remotes(self) -> list[str]:
        """The names of the remotes in that file."""
        lines = (line.strip() for line in self.config().splitlines())
        return [line[9:].partition('"')[0] for line in lines if line.startswith('[remote "')]

    def remote(self) -> str | None:
        """The name of the town's remote: `origin`, else the only one there is; None without one."""
        names = self.remotes()
        if not names and "[include" in self.config():
            names = self._asked("remote").split()
        if "origin" in names:
            return "origin"
        return names[0] if len(set(names)) == 1 else None

    def remote_url(self) -> str | None:
        """Where that remote is; None without one."""
        name = self.remote()
        if name is None:
            return None
        if found := urls(self.config(), name):
            return found[0]
        return self._asked("config", "--get", f"remote.{name}.url") or name

    def _asked(self, *args: str) -> str:
        """What git says, where its own file leaves it to another one."""
        from gastown.store import git

        return git.run(args, cwd=self.root, check=False)[1].decode("utf-8", "replace").strip()

    def branches_of(self, remote: str) -> list[str]:
        """The branches that a remote had when it was last fetched from, without those that hold claims."""
        found = self.below(f"refs/remotes/{remote}/")
        return [one for one in found if one != "HEAD" and not one.startswith("gt-claims/")]

    def below(self, prefix: str) -> list[str]:
        """The names of all refs below a prefix that ends in a slash, without it, in order."""
        packed = files.read_or_none(os.path.join(self.common_dir, "packed-refs")) or b""
        names = {line.partition(b" ")[2].decode("utf-8", "replace") for line in packed.splitlines()}
        found = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
        top = self.path(prefix.rstrip("/"))
        for folder, _, loose in os.walk(top):
            found |= {os.path.relpath(os.path.join(folder, name), top) for name in loose if not name.endswith(".lock")}
        return sorted(found)

    def bisecting(self) -> bool:
        """True while `git bisect` has its way with the work tree."""
        return os.path.exists(os.path.join(self.git_dir, "BISECT_START"))

    def under_way(self) -> str:
        """What git has not finished in the work tree: merge, rebase, cherry-pick, revert; "" if nothing."""
        return next((what for name, what in _UNDER_WAY if os.path.exists(os.path.join(self.git_dir, name))), "")


def urls(config: str, remote: str) -> list[str]:
    """The addresses of a remote in the text of a git config file, as they stand there between quotes if any."""
    return values(config, f'[remote "{remote}"]', "url")


def values(config: str, wanted: str, name: str) -> list[str]:
    """What a key of the section `wanted` says in the text of a git config file, as it stands there."""
    found, section = [], ""
    for line in (line.strip() for line in config.splitlines()):
        section = line if line.startswith("[") else section
        key, _, value = line.partition("=")
        if section == wanted and key.strip() == name:
            found.append(_unquoted(value.strip()))
    return found


def _unquoted(value: str) -> str:
    """What git means by a value that it put in quotes, as it does with one that holds a `#` or a `;`."""
    if len(value) < 2 or not (value.startswith('"') and value.endswith('"')):
        return value
    return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
