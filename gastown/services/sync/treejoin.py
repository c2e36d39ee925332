"""Merging another commit into the town's branch, files and all."""

from __future__ import annotations

from gastown.model.address import author
from gastown.services.claims import claims
from gastown.services.sync import settle
from gastown.store import files, mergewrite, treemerge
from gastown.store.gitrepo import new_commit
from gastown.store.town import Town


def join(
    town: Town, head: bytes, there: bytes, what: str, since: bytes | None = None
) -> treemerge.TreeMerge | None:
    """Merge the commit `there` into `head`; None if the branch is not at `head` any more.

    The merge is made outside the town lock and written if the branch is still where it was. What was decided is told
    by the next `settle.after`. `what`: its name in the commit message; `since`: as in `treemerge.merge`, which raises.
    """
    merged = treemerge.merge(town.repo, head, there, confirmed=claims.confirmed(town), since=since)
    with town.change("sync", actor="deacon") as change:
        who = author("deacon", town.name)
        message = f"sync: merge {what} ({there.decode()[:10]}) into {town.machine}\n"
        commit = new_commit(merged.tree, [head, there], author=who, epoch=change.now, message=message)
        made = [*merged.made, commit]
        # Noted first: a kill after the merge must not swallow what was decided in it.
        note = None
        if merged.settled:
            note = settle.told(town.root, merged.settled, proof={"holds": there.decode()})
        if not mergewrite.move(town.repo, commit.id, made, old=head, who=who, message=f"gt {message}"):
            if note is not None:
                files.remove(note)
            return None
    town.refresh()
    return merged
