"""What differs between two trees, and whether what came over the wire may become files here.

Only subtrees that differ are read: it costs the same at any number of beads.
"""

from __future__ import annotations

import shlex
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator

from dulwich.errors import ObjectFormatException
from dulwich.objects import parse_tree

from gastown.model.errors import Refused
from gastown.store import git, layout, shape
from gastown.store.gitrepo import TREE_MODE, Repo

Entry = tuple[int, bytes]
Pair = tuple[Entry | None, Entry | None]
_FILES = (0o100644, 0o100664, 0o100755)
_KINDS = {0o120000: "a symbolic link", 0o160000: "a submodule"}
_GIT_FILES = (".gitignore", ".gitattributes", ".gitkeep")
DOCUMENT_BYTES = 1_048_576
LARGEST_BYTES = 64 << 20
# Code points that HFS+ ignores in names: `.g\u200cit` is `.git` there.
_IGNORED = dict.fromkeys(
    [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)  # fmt: skip


class Unwelcome(Refused):
    """A commit holds what may not become a file here: `path` in it, and `why`. `misnamed`: another name would do.

    `other` is the path it is the same as but for case.
    """

    def __init__(
        self, path: bytes, commit: bytes, why: str, *, misnamed: bool = False, other: bytes | None = None
    ) -> None:
        name = path.decode("utf-8", "backslashreplace")
        super().__init__(
            f"{name!r} in commit {commit.decode()[:12]} cannot be taken into this town: {why}",
            "nothing was changed here; whoever made that commit has to remove it and push again",
        )
        self.path, self.why, self.misnamed, self.other = path, why, misnamed, other

    @property
    def mend(self) -> str:
        """The commands that take it out of the branch, and leave the file itself on disk."""
        path = quoted(self.path)
        return f"git mv {path} NEWNAME && git commit" if self.misnamed else f"git rm -r --cached {path} && git commit"


def quoted(path: bytes) -> str:
    """A path for a shell, on one line and without a character that does not show."""
    text = path.decode("utf-8", "surrogateescape")
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(chr(c) if 32 <= c < 127 and c not in b"'\\" else f"\\x{c:02x}" for c in path) + "'"


def _entries(repo: Repo, tree: bytes | None) -> dict[bytes, Entry]:
    if tree is None:
        return {}
    return {name: (mode, sha) for name, mode, sha in repo.tree(tree).iteritems()}


def diff(repo: Repo, old: bytes | None, new: bytes | None, above: bytes = b"") -> Iterator[tuple[bytes, Pair]]:
    """(path, (entry in old, entry in new)) of every file that is not the same in both; None: absent."""
    if old == new:
        return
    before, after = _entries(repo, old), _entries(repo, new)
    for name in sorted(before.keys() | after.keys()):
        one, other = before.get(name), after.get(name)
        if one == other:
            continue
        path = above + name
        trees = [entry[1] if entry and entry[0] == TREE_MODE else None for entry in (one, other)]
        if any(trees):
            yield from diff(repo, trees[0], trees[1], path + b"/")
        blobs = [entry if entry and entry[0] != TREE_MODE else None for entry in (one, other)]
        if any(blobs):
            yield path, (blobs[0], blobs[1])


def changes(repo: Repo, old: bytes | None, new: bytes | None) -> dict[str, Pair]:
    """`diff` with paths as text; the trees must have passed `inspect`."""
    return {path.decode("utf-8", "surrogateescape"): pair for path, pair in diff(repo, old, new)}


def inspect(repo: Repo, known: bytes | None, new: bytes | None, commit: bytes) -> None:
    """Raise Refused, naming path and commit, if anything in `new` that is not in `known` may not become a file.

    Symlinks, submodules, names that are or look like `.git` on some system, `..`, control characters,
    names that are one where upper and lower case are, local folders, files over the limit.
    """
    _inspect_tree(repo, known, new, b"", commit)
    sizes = [(path, pair[1][1]) for path, pair in diff(repo, known, new) if pair[1] is not None]
    for (path, _), size in zip(sizes, _sizes(repo, [sha for _, sha in sizes]), strict=True):
        limit = DOCUMENT_BYTES if path.endswith((b".yaml", b".toml")) else LARGEST_BYTES
        if size > limit:
            raise Unwelcome(path, commit, f"{size:,} bytes is more than the {limit:,} such a file may have")


def _inspect_tree(repo: Repo, known: bytes | None, new: bytes | None, above: bytes, commit: bytes) -> None:
    if new is None or new == known:
        return
    before, after = _entries(repo, known), _sound(repo, new, above, commit)
    for name, (mode, sha) in after.items():
        if before.get(name) == (mode, sha):
            continue
        path = above + name
        wrong = bad_name(name, top=not above)
        if wrong:
            raise Unwelcome(path, commit, wrong, misnamed=wrong.startswith("a name"))
        old = before.get(name)
        wrong = bad_mode(mode) if mode != TREE_MODE else ""
        wrong = wrong or shape.wrong(path.decode(), folder=mode == TREE_MODE, before=bool(old and old[0] == TREE_MODE))
        if wrong:
            raise Unwelcome(path, commit, wrong)
        if mode == TREE_MODE:
            _inspect_tree(repo, old[1] if old and old[0] == TREE_MODE else None, sha, path + b"/", commit)
    check_case(after, above, commit, before)


def _sound(repo: Repo, tree: bytes, above: bytes, commit: bytes) -> dict[bytes, Entry]:
    """The entries of a tree that can be read and names nothing twice."""
    try:
        names = [name for name, _, _ in parse_tree(bytes(repo.tree(tree).as_raw_string()), sha_len=20)]
    except (ObjectFormatException, AssertionError, KeyError, ValueError):
        raise Unwelcome(above or b"/", commit, "a folder that cannot be read") from None
    for name, count in Counter(names).items():
        if count > 1:
            raise Unwelcome(above + name, commit, "a name that is there twice")
    return _entries(repo, tree)


def check_case(names: dict[bytes, Entry], above: bytes, commit: bytes, known: Collection[bytes] = ()) -> None:
    """Raise Refused for two names in one folder that are one where upper and lower case are the same.

    Of the two, the one that is not `known` already is named.
    """
    seen: dict[str, bytes] = {}
    for name in sorted(names, key=lambda name: name not in known):
        # Flags of a message are letters, and differ by nothing else than themselves.
        other = seen.setdefault(folded(name), name)
        if other != name:
            why = f"the same as {other.decode('utf-8', 'replace')} but for case"
            raise Unwelcome(above + name, commit, why, misnamed=True, other=above + other)


def bad_mode(mode: int) -> str:
    """Why an entry of this mode, which is no folder, may not become a file here; "" if it may."""
    return "" if mode in _FILES else _KINDS.get(mode, f"something of mode {mode:o}") + ", and a town holds files"


def folded(name: bytes) -> str:
    """What a name is where upper and lower case are the same."""
    text = name.decode("utf-8", "surrogateescape")
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text.casefold())


def check_cases(repo: Repo, known: bytes | None, new: bytes | None, commit: bytes, above: bytes = b"") -> None:
    """`check_case` for every folder of `new` that is not the same in `known`: a merge may bring two names together."""
    if new is None or new == known:
        return
    before, after = _entries(repo, known), _entries(repo, new)
    check_case(after, above, commit, before)
    for name, (mode, sha) in after.items():
        if mode == TREE_MODE and before.get(name) != (mode, sha):
            old = before.get(name)
            known_below = old[1] if old and old[0] == TREE_MODE else None
            check_cases(repo, known_below, sha, commit, above + name + b"/")


def bad_name(name: bytes, *, top: bool = False) -> str:
    """Why a name in a tree may not become a file here; "" if it may. `top`: in the town's root."""
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return "a name that is not UTF-8"
    if text in ("", ".", "..") or "/" in text or "\\" in text:
        return "a name that leads elsewhere"
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        return "a name with control characters"
    if len(name) > 255:
        return "a name of more than 255 bytes"
    plain = unicodedata.normalize("NFC", text.translate(_IGNORED).casefold())
    stream = plain.split(":")[0].rstrip(" .")
    if (stream.startswith(".git") and text not in _GIT_FILES) or stream == "git~1":
        return "a name that is git's own on some system"
    if top and stream in (layout.LOCAL, layout.WORK):
        return "local to each machine and never part of a town"
    return ""


def _sizes(repo: Repo, shas: list[bytes]) -> list[int]:
    """The sizes of blobs, without reading them."""
    if not shas:
        return []
    _, out = git.run(["cat-file", "--batch-check=%(objectsize)"], cwd=repo.root, data=b"\n".join(shas) + b"\n")
    return [int(line) if line.isdigit() else 0 for line in out.splitlines()]
