"""Rigs that lack their rig.yaml in a tree, though something of them is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gastown.store import layout, treediff
from gastown.store.gitrepo import TREE_MODE, Repo
from gastown.store.treediff import Entry

# What makes a rig's folder more than an empty one.
INSIDE = ("beads", "crew", "polecats")


def below(repo: Repo, tree: bytes | None, rig: str) -> Iterator[str]:
    """The paths of a rig's beads and workers in a tree."""
    for kind in INSIDE:
        above = f"{layout.rig_dir(rig)}/{kind}"
        entry = repo.find(tree, above)
        if entry and entry[0] == TREE_MODE:
            for path, _ in treediff.diff(repo, None, entry[1]):
                if path.endswith(b".yaml"):
                    yield f"{above}/{path.decode('utf-8', 'surrogateescape')}"


def left(repo: Repo, tree: bytes, final: Mapping[str, Entry | None]) -> list[str]:
    """Each rig.yaml that `final` (path to what it becomes) takes out of a tree, though something stays below it."""
    found = []
    for path in sorted(path for path, entry in final.items() if entry is None):
        rig = layout.rig_of_path(path)
        if rig and path == layout.rig_file(rig):
            above = tuple(f"{layout.rig_dir(rig)}/{kind}/" for kind in INSIDE)
            came = (one for one, entry in final.items() if entry is not None and one.startswith(above))
            stay = (one for one in below(repo, tree, rig) if one not in final)
            if any(one.endswith(".yaml") for one in came) or any(stay):
                found.append(path)
    return found


def lost(repo: Repo, tree: bytes) -> list[str]:
    """The rig.yaml of every rig in a tree that has none, though there are beads or workers of it."""
    rigs = repo.find(tree, layout.RIGS)
    names = [name.decode("utf-8", "surrogateescape") for name in repo.tree(rigs[1])] if rigs else []
    paths = [f"{layout.RIGS}/{name}/rig.yaml" for name in names]
    files = [path for path in paths if layout.rig_of_path(path) and repo.find(tree, path) is None]
    return [path for path in files if any(below(repo, tree, path.split("/")[1]))]
