"""Whether what the remote holds may be taken into this town, and what to do where it may not."""

from __future__ import annotations

from gastown.model.errors import InvalidFile, Refused
from gastown.model.text import counted, safe
from gastown.runtime import git
from gastown.services.files import footing
from gastown.services.files.footing import SEEN
from gastown.services.remote.wire import Wire
from gastown.store import layout, mergewrite, treemerge
from gastown.store import yaml as yaml_store
from gastown.store.gitrepo import Repo
from gastown.store.town import Town, check_format

_MEANT = (
    "nothing was merged or sent. If it was meant: gt sync --accept-rewrite merges what is there now with what is here, "
    "and the old history comes back with it (to be rid of that, move this folder away and join anew: gt clone URL). "
    "If not, put it back: {back}"
)
_OTHER = "nothing was changed. See `git remote -v`; give this town another remote, or clone that one: gt clone URL"


class NotTaken(Refused):
    """What the remote holds is not taken into this town: until a person has seen to it, nothing is claimed there."""


def tracking(line: Wire, ref: str) -> str:
    """Where the branch stood at the remote when it was last fetched."""
    return f"refs/remotes/{line.remote}/{ref.removeprefix('refs/heads/')}"


def count(town: Town, new: bytes, old: bytes | None) -> int:
    """How many commits `new` has that `old` (None: nothing) has not."""
    args = ["rev-list", "--count", new.decode(), *([f"^{old.decode()}"] if old else [])]
    return int(git.text(args, cwd=town.root) or 0)


def check_empty(town: Town, line: Wire, ref: str) -> None:
    """Raise NotTaken where the remote holds other branches than the town's: they are no place to send it to."""
    names = line.branches()
    if names and (found := footing.astray(town.repo)) is not None:
        raise NotTaken(f"{town.root} cannot be synced: {found.text}", found.command)
    if names:
        mine = ref.removeprefix("refs/heads/")
        raise NotTaken(
            f"the remote {line.remote} has no branch {mine}, but {', '.join(names)}",
            f"if that is this town's branch: git branch -m {names[0]}; else give the town a remote of its own",
        )


def check_rewritten(town: Town, line: Wire, ref: str, there: bytes, accept: bool) -> None:
    """Raise NotTaken if the remote lost what it had when it was last met, unless that is accepted."""
    seen = town.repo.ref(SEEN)
    if seen is None or seen == there or accept:
        return
    if _follows(town, seen, there):
        return
    raise NotTaken(
        f"the history at {line.remote} was rewritten: it no longer holds {seen.decode()[:12]}, which it had before",
        _MEANT.format(back=_back(town, line, ref)),
    )


def is_taken(town: Town, tip: str) -> bool:
    """True if this clone has what the town's branch at the remote points to, and the remote lost nothing of it."""
    seen, there = town.repo.ref(SEEN), tip.encode()
    if seen == there:
        return True
    if not git.succeeds(["cat-file", "-e", tip], cwd=town.root):
        return False
    _, head = mergewrite.require_branch(town.repo)
    return _follows(town, there, head) and (seen is None or _follows(town, seen, there))


def require_kept(town: Town, line: Wire) -> None:
    """Raise NotTaken if the remote, as last fetched, lost what it had: asked before anything is claimed there."""
    ref = town.repo.head()[0]
    there = town.repo.ref(tracking(line, ref))
    if there is not None:
        check_rewritten(town, line, ref, there, False)


def _follows(town: Town, old: bytes, new: bytes) -> bool:
    return git.succeeds(["merge-base", "--is-ancestor", old.decode(), new.decode()], cwd=town.root)


def parted(town: Town, line: Wire, ref: str, head: bytes, there: bytes, accept: bool) -> bytes | None:
    """The commit of ours from which a history goes on that shares none with this town's, as after a squash.

    Raises NotTaken for another town, for this one unless it is accepted, and where no such commit can be found.
    """
    data = town.repo.blob(town.repo.commit(there).tree, layout.TOWN_FILE) or b""
    try:
        doc = yaml_store.load(data, layout.TOWN_FILE)
    except InvalidFile:
        doc = {"name": "unreadable"}
    mine = town.config
    if not doc.get("created") or any(doc.get(key) != mine.get(key) for key in ("name", "created")):
        name = str(doc.get("name"))
        raise NotTaken(
            f"the remote {line.remote} holds another town ({name}): it shares no history with this one", _OTHER
        )
    if not accept:
        raise NotTaken(
            f"the history at {line.remote} was replaced: it is this town, but shares no commit with what is here",
            _MEANT.format(back=_back(town, line, ref)),
        )
    since = treemerge.shared_state(town.repo, head, there)
    if since is None:
        raise NotTaken(
            f"the history at {line.remote} was replaced, and nothing in it is as this town ever was: where the two "
            "part cannot be told",
            "nothing was changed. Join it anew in another folder (gt clone URL), and bring over what only this one has",
        )
    return since


def _back(town: Town, line: Wire, ref: str) -> str:
    seen = (town.repo.ref(SEEN) or town.repo.head()[1] or b"").decode()[:12]
    return f"git push --force {line.remote} {seen}:{ref}"


def check_is_town(town: Town, line: Wire, head: bytes, there: bytes) -> None:
    """Raise NotTaken for what holds no town.yaml; where it goes on from this town, with how to put the file back."""
    if town.repo.find(town.repo.commit(there).tree, layout.TOWN_FILE) is not None:
        return
    gone = removal(town.repo, there, f"the town at {line.remote}") if treemerge.bases(town.repo, head, there) else None
    text = f"the remote {line.remote} holds no town (there is no {layout.TOWN_FILE} in it)"
    raise NotTaken(*(gone or (text, _OTHER)))


def removal(repo: Repo, tip: bytes, where: str) -> tuple[str, str] | None:
    """What to tell of a history at whose `tip` town.yaml is gone: the commit that removed it, and how it comes back.

    None if it never held one.
    """
    args = ["log", "--max-count=1", "--full-history", "--diff-filter=D", "--format=%H"]
    end = [tip.decode(), "--", layout.TOWN_FILE]
    # A merge is looked at only where no other commit did it.
    found = git.text([*args, *end], cwd=repo.root) or git.text([*args, "-m", *end], cwd=repo.root)
    if not found:
        return None
    full = found.split()[0]
    commit, parents = full[:12], repo.commit(full.encode()).parents
    about = safe(git.text(["show", "--no-patch", "--format=%an, %as: %s", full], cwd=repo.root))
    held = next((n for n, one in enumerate(parents, 1) if repo.find(repo.commit(one).tree, layout.TOWN_FILE)), 1)
    alone = f"git checkout {commit}^{held} -- {layout.TOWN_FILE} && git commit -m 'Put {layout.TOWN_FILE} back'"
    whole = f"all that it did is taken back by: git revert {commit}; this file alone by: " if len(parents) == 1 else ""
    return (
        f"{where} has lost its {layout.TOWN_FILE}: commit {commit} ({about}) removed it",
        f"nothing was changed here. Mend it in a plain git clone of that one ({whole}{alone}), then git push there",
    )


def check_usable(town: Town, line: Wire, ref: str, there: bytes) -> None:
    """With a town.yaml that cannot be read no gt works, not even the one that would fetch the mended file."""
    where = f"the town at {line.remote} (commit {there.decode()[:12]})"
    data = town.repo.blob(town.repo.commit(there).tree, layout.TOWN_FILE) or b""
    try:
        check_format(yaml_store.load(data, layout.TOWN_FILE), where)
    except InvalidFile as error:
        raise NotTaken(f"{where} cannot be used: {error.message}", without(town, line, ref)) from None


def without(town: Town, line: Wire, ref: str) -> str:
    """How a town goes on whose remote holds what no machine takes. Going back is the last resort: it drops commits."""
    hint = "nothing was changed here. Mend it in another commit: whoever made this one, or anyone in a plain git clone"
    seen, there = town.repo.ref(SEEN), town.repo.ref(tracking(line, ref))
    if seen is None or there is None or treemerge.bases(town.repo, seen, there) != [seen]:
        return hint
    lost = counted(count(town, there, seen), "commit")
    back = f"git push --force {line.remote} {seen.decode()[:12]}:{ref}"
    return f"{hint}. Only if nobody can, drop the {lost} pushed since this machine's last sync: {back}"
