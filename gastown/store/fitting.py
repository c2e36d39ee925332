"""Whether a new file may come to lie where it is: what no other machine takes is not committed here either.

The same rules as `treediff.inspect`, for one path at a time: what was there first stays, the newcomer is named.
"""

from __future__ import annotations

from collections.abc import Collection

from gastown.store import shape, treediff
from gastown.store.gitrepo import TREE_MODE, Repo


class Fitting:
    """The names in a tree's folders, with those that were found to fit since; `gone` are paths that leave it.

    Only the folders that are asked about are read, and each of them once.
    """

    def __init__(self, repo: Repo, tree: bytes | None, gone: Collection[str] = ()) -> None:
        self._repo, self._tree, self._gone = repo, tree, frozenset(gone)
        self._folders: dict[str, dict[str, str]] = {}

    def wrong(self, path: str) -> str:
        """Why a file may not lie at `path`, in words that follow its name; "" if it may, and then it counts as there.

        What the tree holds already is never wrong: it came in before.
        """
        found = self._repo.find(self._tree, path)
        if found is not None and found[0] != TREE_MODE:
            return ""
        parts, above = path.split("/"), ""
        for depth, part in enumerate(parts, 1):
            name = part.encode("utf-8", "surrogateescape")
            why = treediff.bad_name(name, top=not above)
            if why:
                return f"has {why}" if why.startswith("a name") else f"is {why}"
            other = self._names(above).get(treediff.folded(name), part)
            if other != part:
                there = f"{above}/{other}" if above else other
                return f"is the same as {there} but for case, and some systems take the two for one"
            above = f"{above}/{part}" if above else part
            why = shape.wrong(above, folder=depth < len(parts), before=depth == len(parts) and found is not None)
            if why:
                return f"is {why}" if above == path else f"lies in {above}, {why}"
        self._add(parts)
        return ""

    def _names(self, folder: str) -> dict[str, str]:
        if folder not in self._folders:
            entry = self._repo.find(self._tree, folder) if folder else (TREE_MODE, self._tree)
            found = self._repo.tree(entry[1]) if entry and entry[1] and entry[0] == TREE_MODE else ()
            names = (name.decode("utf-8", "surrogateescape") for name in found)
            below = f"{folder}/" if folder else ""
            self._folders[folder] = {
                treediff.folded(name.encode("utf-8", "surrogateescape")): name
                for name in names
                if below + name not in self._gone
            }
        return self._folders[folder]

    def _add(self, parts: list[str]) -> None:
        for depth, part in enumerate(parts):
            names = self._names("/".join(parts[:depth]))
            names.setdefault(treediff.folded(part.encode("utf-8", "surrogateescape")), part)
