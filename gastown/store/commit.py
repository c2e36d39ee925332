"""Writing a planned change: objects, journal, files, feed, branch, index, in an order that survives kill -9.

    objects -> journal -> temporary files -> lock on the branch -> feed -> renames -> branch -> index -> journal gone

git has read the index meanwhile, and is told what to set once the branch has it.
Everything that may fail for want of space comes before the first rename. What fails before the branch is moved is
taken back; what fails after it is no failure of the change. Files are looked at once more just before the first rename:
somebody may have saved one while we waited for the disk or for their git.
Must be called under the town lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Collection, Iterable, Mapping

from dulwich.objects import ShaFile

from gastown.model.errors import GtError, RaceLost, Stale
from gastown.store import files, git, gitindex, journal, layout, writing
from gastown.store.gitrepo import FILE_MODE, Change, Repo, ident, new_blob, new_commit
from gastown.store.journal import FileOp, Plan
from gastown.store.refs import ASTRAY
from gastown.store.writing import Writing, is_redoable, is_there, temp_of

# Each time somebody else's commit came first: a script of a person's may make many in a row.
_TRIES = 50


def apply(repo: Repo, plan: Plan, *, put: Collection[str] | None = None) -> bytes:
    """Write `plan` and return its commit id (hex). Raises OSError, RaceLost or Stale with nothing changed.

    Stale: somebody saved or committed one of the files meanwhile. `put`: as for `Writing`. Where something cannot be
    taken back, it is no failure but not finished yet, and the error says so.
    """
    work = Writing(repo.root, plan.ops, put)
    begun: Plan | None = None
    try:
        for _ in range(_TRIES):
            index = _begin_index(repo)
            try:
                ready, made = _prepare(repo, plan)
                if begun is not None:
                    _require_same(repo, plan.ops, begun.old_head, ready.old_head)
                repo.put(made)
                journal.record(repo.root, ready)
                begun = ready
                if _write(repo, ready, work):
                    _finish(repo, ready, index)
                    assert ready.new_head is not None
                    return ready.new_head
            finally:
                if index is not None:
                    index.abandon()
        raise RaceLost("the branch of the town kept moving while it was written", "try again")
    except BaseException as error:
        if begun is not None and not _reached(repo, begun):
            _take_back(repo, begun, work, error)
        raise


def _require_same(repo: Repo, ops: Iterable[FileOp], old: bytes | None, new: bytes | None) -> None:
    """Raise Stale if a commit that came first says another thing of a file than what was read of it."""
    trees = [repo.commit(head).tree if head else None for head in (old, new)]
    for op in ops:
        before, now = (repo.find(tree, op.path) for tree in trees)
        if op.append_at is None and now != before and repo.differs(trees[1], op.path, op.old):
            raise Stale(f"{op.path} was committed by somebody else while it was being changed", "run it again")


def _take_back(repo: Repo, plan: Plan, work: Writing, why: BaseException) -> None:
    try:
        work.take_back()
    except OSError as error:
        raise GtError(
            f"{error.filename or repo.root}: {error.strerror}; a change failed ({why}) and cannot be taken back",
            "see that it can be written; the next gt command finishes the change",
        ) from why
    if plan.new_head:
        repo.drop_ref_lock(plan.ref, [plan.new_head])
    journal.clear(repo.root)


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
        files.remove(temp_of(repo.root, op))
    if plan.new_head and _reached(repo, plan):
        _keep(repo, plan)
        writing.finish(repo.root, plan.ops)
        _update_index(repo, plan)
    else:
        _redo(repo, plan)
    journal.clear(repo.root)
    return plan


def _redo(repo: Repo, plan: Plan) -> None:
    note = f"\n\nrecovered: gt {plan.verb} (process {plan.pid}) was interrupted while it wrote this.\n"
    again = dataclasses.replace(plan, message=plan.message.rstrip("\n") + note)
    for _ in range(_TRIES):
        kept = tuple(op for op in plan.ops if is_redoable(repo.root, op))
        put = [op.path for op in kept if is_there(repo.root, op)]
        try:
            if kept:
                apply(repo, dataclasses.replace(again, ops=kept), put=put)
            return
        except Stale:
            continue  # saved just now: theirs stays, and the rest is taken up again
        except OSError:
            if os.path.exists(journal.path(repo.root)):
                raise
            # A file that cannot be written must not stop whoever writes elsewhere. It was never reported as done,
            # and is taken back whole.
            return


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


def _write(repo: Repo, plan: Plan, work: Writing) -> bool:
    """Files and branch. False if the branch moved: then no file was touched."""
    assert plan.new_head is not None
    work.prepare()
    if not repo.lock_ref(plan.ref, plan.new_head, plan.old_head):
        return False
    work.append()
    work.check()
    left = work.put()
    if left:
        _note_edits(repo.root, left)
    who = ident(plan.author) + b" %d +0000" % int(plan.epoch)
    repo.finish_ref(plan.ref, plan.new_head, plan.old_head, who=who, message=f"gt {plan.message}")
    return True


def _note_edits(root: str, ops: Iterable[FileOp]) -> None:
    """What was saved at the last moment began from what the file held before: it is merged, not taken as newer."""
    from gastown.store import editbases  # hardly ever needed

    started = {op.path: bytes(new_blob(op.old).id) if op.old is not None else None for op in ops}
    with contextlib.suppress(OSError):  # without the note it is told by the content
        editbases.remember(root, started=started, replaced={})


def _begin_index(repo: Repo) -> gitindex.Update | None:
    """git reads the index while we wait for the disk. None: it does when the change stands."""
    try:
        return gitindex.Update(repo)
    except (OSError, GtError):
        return None


def _finish(repo: Repo, plan: Plan, index: gitindex.Update | None) -> None:
    """The change stands; what fails from here on is no failure of it, and is made up by the next writer."""
    with contextlib.suppress(OSError, GtError):
        _keep(repo, plan)
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
    paths = [op.path for op in plan.ops]
    if begun is None:
        gitindex.update(repo, paths)
    else:
        begun.finish(paths)


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
