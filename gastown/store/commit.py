"""Writing a planned change: objects, journal, files, feed, branch, index, in an order that survives kill -9.

    objects -> journal -> temporary files -> lock on the branch -> feed -> renames -> branch -> index -> journal gone

git has read the index meanwhile, and is told what to set once the branch has it.
Everything that may fail for want of space comes before the first rename, and is undone if it does.
Must be called under the town lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Mapping

from dulwich.objects import ShaFile

from gastown.model.errors import GtError, RaceLost
from gastown.store import files, git, gitindex, journal, layout
from gastown.store.gitrepo import FILE_MODE, Change, Repo, ident, new_blob, new_commit
from gastown.store.journal import FileOp, Plan
from gastown.store.refs import ASTRAY

# Each time somebody else's commit came first: a script of a person's may make many in a row.
_TRIES = 50


def apply(repo: Repo, plan: Plan) -> bytes:
    """Write `plan` and return its commit id (hex). Raises OSError or RaceLost with nothing changed."""
    for _ in range(_TRIES):
        index = _begin_index(repo)
        try:
            ready, made = _prepare(repo, plan)
            repo.put(made)
            journal.record(repo.root, ready)
            if _write(repo, ready):
                _keep(repo, ready)
                _finish(repo, ready, index)
                assert ready.new_head is not None
                return ready.new_head
        finally:
            if index is not None:
                index.abandon()
        journal.clear(repo.root)
    raise RaceLost("the branch of the town kept moving while it was written", "try again")


def recover(repo: Repo) -> Plan | None:
    """Finish what a killed process left, and remove the locks it held. Returns that plan, if any."""
    gitindex.clear_own_lock(repo)
    repo.clear_own_spares()
    if os.path.exists(layout.run(repo.root, layout.UNFINISHED[1])):
        from gastown.store import mergewrite  # only a killed sync needs it

        mergewrite.recover(repo)
    plan = journal.pending(repo.root)
    if plan is None:
        return None
    if plan.new_head:
        repo.drop_ref_lock(plan.ref, [plan.new_head])
    for op in plan.ops:
        files.remove(_temp(repo.root, op))
    if plan.new_head and _reached(repo, plan):
        _keep(repo, plan)
        _finish_files(repo.root, plan)
        _update_index(repo, plan)
        journal.clear(repo.root)
        return plan
    kept = tuple(op for op in plan.ops if _redoable(repo.root, op))
    if kept:
        note = f"\n\nrecovered: gt {plan.verb} (process {plan.pid}) was interrupted while it wrote this.\n"
        apply(repo, dataclasses.replace(plan, ops=kept, message=plan.message.rstrip("\n") + note))
    journal.clear(repo.root)
    return plan


def _prepare(repo: Repo, plan: Plan) -> tuple[Plan, list[ShaFile]]:
    """The plan on top of today's HEAD, and the objects it needs."""
    ref, head = repo.head()
    tree = repo.commit(head).tree if head else None
    parents = [head] if head else []
    by_hand = _hand_edits(repo, tree, plan.ops)
    if by_hand:
        tree, commit, more = _commit(
            repo, tree, parents, by_hand, _hand_message(by_hand), repo.person(), plan.epoch
        )
        repo.put(more)  # the next tree is made from this one
        parents = [commit]
    after = {op.path: op.new for op in plan.ops}
    _, new_head, made = _commit(repo, tree, parents, after, plan.message, plan.author, plan.epoch)
    return dataclasses.replace(plan, ref=ref, old_head=head, new_head=new_head), made


def _commit(
    repo: Repo,
    tree: bytes | None,
    parents: list[bytes],
    contents: Mapping[str, bytes | None],
    message: str,
    author: tuple[str, str],
    epoch: float,
) -> tuple[bytes, bytes, list[ShaFile]]:
    made: list[ShaFile] = []
    changes: dict[str, Change] = {}
    for path, data in contents.items():
        if data is None:
            changes[path] = None
            continue
        blob = new_blob(data)
        made.append(blob)
        changes[path] = (FILE_MODE, blob.id)
    new_tree, trees = repo.graft(tree, changes)
    if new_tree is None:
        raise GtError("a change would leave the town without any file")
    commit = new_commit(new_tree, parents, author=author, epoch=epoch, message=message)
    return new_tree, commit.id, [*made, *trees, commit]


def _hand_edits(repo: Repo, tree: bytes | None, ops: tuple[FileOp, ...]) -> dict[str, bytes | None]:
    """Files we are about to change that a person edited and nobody committed yet: they go first, as theirs."""
    found: dict[str, bytes | None] = {}
    for op in ops:
        if op.old is None or op.append_at is not None:
            continue
        entry = repo.find(tree, op.path)
        if entry is None or entry[1] != new_blob(op.old).id:
            found[op.path] = op.old
    return found


def _hand_message(paths: Mapping[str, bytes | None]) -> str:
    names = [path.rpartition("/")[2].removesuffix(".yaml") for path in paths]
    return f"hand_edit: {', '.join(names)} edited by hand\n"


def _temp(root: str, op: FileOp) -> str:
    """Where the new content waits: beside the file, or in a Maildir's tmp/ as the format asks."""
    path = layout.absolute(root, op.path)
    folder, name = os.path.split(path)
    in_maildir = op.path.startswith(layout.MAIL + "/") and os.path.basename(folder) in ("new", "cur")
    if in_maildir and not name.startswith("."):
        folder = os.path.join(os.path.dirname(folder), "tmp")
    return files.temp_path(os.path.join(folder, name))


def _write(repo: Repo, plan: Plan) -> bool:
    """Files and branch. False if the branch moved: then nothing was written."""
    root = repo.root
    whole = [op for op in plan.ops if op.append_at is None]
    grown = [op for op in plan.ops if op.append_at is not None]
    assert plan.new_head is not None
    locked = False
    try:
        for op in plan.ops:
            files.make_folders(os.path.dirname(layout.absolute(root, op.path)))
        temps = {_temp(root, op): op.new for op in whole if op.new is not None}
        for temp in temps:
            files.make_folders(os.path.dirname(temp))
        files.fill_all(temps)
        locked = repo.lock_ref(plan.ref, plan.new_head, plan.old_head)
        if not locked:
            _undo(repo, plan, grown=[], locked=False)
            return False
        for op in grown:
            _append(root, op)
    except BaseException:
        _undo(repo, plan, grown=grown, locked=locked)
        journal.clear(root)
        raise
    for op in whole:
        _put(root, op)
    who = ident(plan.author) + b" %d +0000" % int(plan.epoch)
    repo.finish_ref(plan.ref, plan.new_head, plan.old_head, who=who, message=f"gt {plan.message}")
    return True


def _append(root: str, op: FileOp) -> None:
    assert op.append_at is not None
    assert op.new is not None
    files.append(layout.absolute(root, op.path), op.new[op.append_at :], op.append_at)


def _put(root: str, op: FileOp) -> None:
    path = layout.absolute(root, op.path)
    if op.new is None:
        files.remove(path)
    else:
        files.rename(_temp(root, op), path)
    files.sync_folder(os.path.dirname(path))


def _undo(repo: Repo, plan: Plan, *, grown: list[FileOp], locked: bool) -> None:
    """Nothing was renamed yet: take away what was prepared."""
    for op in plan.ops:
        if op.append_at is None:
            files.remove(_temp(repo.root, op))
    for op in grown:
        path = layout.absolute(repo.root, op.path)
        if os.path.exists(path):
            if op.append_at:
                os.truncate(path, op.append_at)
            else:
                files.remove(path)
    if locked and plan.new_head:
        repo.drop_ref_lock(plan.ref, [plan.new_head])


def _begin_index(repo: Repo) -> gitindex.Update | None:
    """git reads the index while we wait for the disk. None: it does when the change stands."""
    try:
        return gitindex.Update(repo)
    except (OSError, GtError):
        return None


def _finish(repo: Repo, plan: Plan, index: gitindex.Update | None) -> None:
    """The change stands; what fails from here on is no failure of it, and is made up by the next writer."""
    with contextlib.suppress(OSError, GtError):
        _update_index(repo, plan, index)
        journal.clear(repo.root)


def _keep(repo: Repo, plan: Plan) -> None:
    """On no branch, this ref alone holds the commit once HEAD is led elsewhere; the next one holds it, too."""
    if plan.ref != "HEAD" or plan.new_head is None:
        return
    git.run(["update-ref", astray(plan.new_head), plan.new_head.decode()], cwd=repo.root)
    if plan.old_head is not None and repo.ref(astray(plan.old_head)):
        git.run(["update-ref", "-d", astray(plan.old_head)], cwd=repo.root)


def astray(commit: bytes) -> str:
    """The ref that keeps a commit made on no branch."""
    return ASTRAY + commit.decode()[:12]


def _update_index(repo: Repo, plan: Plan, begun: gitindex.Update | None = None) -> None:
    tree = repo.head_tree()
    entries = {op.path: repo.find(tree, op.path) for op in plan.ops}
    if begun is None:
        gitindex.update(repo, entries)
    else:
        begun.finish(entries)


def _reached(repo: Repo, plan: Plan) -> bool:
    """True if the planned commit is on the branch already."""
    here = repo.ref(plan.ref) if plan.ref != "HEAD" else repo.head()[1]
    for _ in range(1000):
        if here is None:
            return False
        if here == plan.new_head:
            return True
        if here == plan.old_head:
            return False
        parents = repo.commit(here).parents
        here = parents[0] if parents else None
    return False


def _finish_files(root: str, plan: Plan) -> None:
    """The branch has it; a file that still holds the old content gets the new (renames may have been lost)."""
    for op in plan.ops:
        path = layout.absolute(root, op.path)
        if op.append_at is not None or files.read_or_none(path) != op.old or op.old == op.new:
            continue
        if op.new is None:
            files.remove(path)
        else:
            files.write(path, op.new)


def _redoable(root: str, op: FileOp) -> bool:
    """True unless somebody edited the file since: then theirs stays, and it is theirs to commit."""
    now = files.read_or_none(layout.absolute(root, op.path))
    if op.append_at is not None:
        return True
    return now in (op.old, op.new)
