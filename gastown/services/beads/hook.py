"""What is on an agent's hook: the bead that names it as assignee and is hooked or in progress.

Called by agents at every prompt: light imports only, and one file read where the hint is right.
"""

from __future__ import annotations

from gastown.model.bead import HELD, Bead
from gastown.model.errors import GtError, InvalidFile, NotFound
from gastown.store import runstate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gastown.store.change import Change
    from gastown.store.town import Town
    from gastown.store.view import View


class HookUnreadable(GtError):
    """The hook could not be read: that is not an empty hook."""

    code = "hook_unreadable"

    def __init__(self, reason: str) -> None:
        said = f"could not read your hook: do not conclude that it is empty\n{reason}"
        super().__init__(said, "`gt doctor` says more")


def is_on(bead: Bead, address: str) -> bool:
    """True if `address` has this bead on its hook."""
    return bead.status in HELD and bead.assignee == address


def hinted(town: Town, address: str) -> Bead | None:
    """The bead on the hook if the hint of this machine is still true: one small file is read."""
    from gastown.store.index import parse

    path = runstate.hook_hint(town.root, address)
    if path is None:
        return None
    try:
        bead = Bead(parse(town.read(path), path), path)
    except (NotFound, InvalidFile):
        return None
    return bead if is_on(bead, address) else None


def find(view: View, address: str, here: str | None = None) -> Bead | None:
    """The bead on the hook of `address` (on machine `here`), None if there provably is none. Raises HookUnreadable.

    A bead file that cannot be used and names `address` may be the hook; so may one that cannot be read at all.
    """
    index = view.index()
    mine = [row for row in index.live if row.assignee == address and row.status in HELD]
    if len(mine) > 1:
        # Two machines that could not ask each other may have drawn one name: each has its own.
        mine = [row for row in mine if row.machine in (None, here)] or mine
    if len(mine) > 1:
        names = ", ".join(row.id for row in mine)
        raise HookUnreadable(f"{address} has {len(mine)} beads at once: {names}; release all but one: gt release ID")
    if mine:
        return view.bead(mine[0].id)
    for problem in index.problems:
        if _may_name(view, problem.path, address):
            raise HookUnreadable(problem.message)
    return None


def _may_name(view: View, path: str, address: str) -> bool:
    try:
        return address.encode() in view.read(path)
    except NotFound:
        return False
    except OSError:
        return True


def read(town: Town, address: str) -> Bead | None:
    """The bead on the hook, by the hint or by looking at all of them; the hint is put right. Raises HookUnreadable."""
    bead = hinted(town, address)
    if bead is not None:
        return bead
    try:
        bead = find(town, address, town.machine)
    except OSError as error:
        raise HookUnreadable(str(error)) from None
    if bead is not None:
        runstate.set_hook_hint(town.root, address, bead.path)
    return bead


def begin(town: Town, address: str, bead: Bead) -> Bead:
    """The first call from inside a session: hooked becomes in_progress. Done already: nothing changes."""
    if bead.status != "hooked":
        return bead

    def body(change: Change) -> Bead:
        now = change.bead(bead.id)
        if now.status == "hooked" and now.assignee == address:
            now.move("in_progress")
            change.save(now)
            change.emit("edit", f"{address} began {now.id}: {now.title}", bead=now.id, rig=address.partition("/")[0],
                        keys=["status"])  # fmt: skip
        return now

    return town.transact("begin", body, actor=address)
