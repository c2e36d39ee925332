"""Which machine of the town this folder is (`.gt/machine.yaml`), and whether it still is the one that got the name.

One folder, one machine: a copy of it, or a copy of its disk, must not write under the same name. Renamed or moved
(`mv`) it stays what it was; after a restart too, and after `git clean -fdx`: what it is is kept in the clone's git
folder as well, which no clean touches and no plain clone copies. What is known for certain:

- the computer's own id is another one: the folder came from elsewhere;
- the folder that got the name still stands where it stood, and we are not it: we are a copy of it;
- the town's `machines/<name>.yaml` was written, since this computer was started, by a clone that this folder never
  was (`instance:`, of the folder and the run of the computer): two clones use one name.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, NamedTuple

from gastown.model.errors import GtError, InvalidFile, Refused
from gastown.model.ids import is_name
from gastown.store import files, host, layout, refs
from gastown.store import yaml as yaml_store

FILE = "machine.yaml"
KEYS = ("name", "id", "place", "salt", "instances", "passed", "next")
# Clocks of two computers may be this far apart.
GRACE = 600.0
_KEPT = 16


class Identity(NamedTuple):
    """This folder's name and id. `computer`, `root` and `inode` (of `.gt`) say where it was when it got them.

    `salt` makes its marks unlike those of a copy; `instances` are the marks it has written into machines/<name>.yaml,
    oldest first; `passed` is the word of another clone that is known to be its last.
    """

    name: str
    id: str
    computer: str = ""
    root: str = ""
    inode: int = 0
    salt: str = ""
    instances: tuple[str, ...] = ()
    passed: str = ""


class Standing(NamedTuple):
    """Whether this folder may act as its machine: what is wrong in one sentence ("" if nothing is), and the way out.

    `state` is home (as ever), moved (by `mv`, or nobody wrote down yet where it stands), copy or twin.
    """

    state: str
    text: str = ""
    hint: str = ""

    @property
    def own(self) -> bool:
        """True if it may."""
        return self.state in ("home", "moved")


def path(root: str) -> str:
    """Where a folder's identity is kept."""
    return layout.local(root, FILE)


def kept(root: str) -> str:
    """Where it is kept besides; "" where there is no git folder."""
    try:
        return os.path.join(refs.git_dir(root), "gt", FILE)
    except GtError:
        return ""


def lost(root: str) -> bool:
    """True if `.gt` was cleaned away from a folder that was a machine: with it went all that was known of sessions."""
    return not os.path.exists(path(root)) and os.path.exists(kept(root))


def read(root: str) -> Identity | None:
    """Who this folder is; None if it has no name yet. Raises InvalidFile.

    A rename that was killed after its commit has happened: its new name counts. A damaged file is passed over where
    what is kept besides is whole.
    """
    data = files.read_or_none(path(root))
    second = files.read_or_none(where) if (where := kept(root)) else None
    if data is None:
        return None if second is None else _parsed(root, second)
    try:
        return _parsed(root, data)
    except InvalidFile as error:
        import shlex

        if second is not None:
            with contextlib.suppress(InvalidFile):
                return _parsed(root, second)
        # It is in no commit: no version of git's can be taken in its place.
        gone = " ".join(shlex.quote(one) for one in (path(root), where) if one and os.path.exists(one))
        hint = f"mend it in an editor, or remove it and be told which name to take: rm {gone}; gt doctor"
        raise InvalidFile(error.path, error.reason, line=error.line, key=error.key, hint=hint) from None


def _parsed(root: str, data: bytes) -> Identity:
    doc = yaml_store.load(data, f"{layout.LOCAL}/{FILE}")
    following = doc.get("next")
    if isinstance(following, dict) and _has_happened(root, following):
        doc = {**doc, **following}
    name, place = doc.get("name"), doc.get("place")
    if not isinstance(name, str) or not is_name(name):
        raise InvalidFile(f"{layout.LOCAL}/{FILE}", f"{name!r} is no name of a machine", key="name")
    place = place if isinstance(place, dict) else {}
    inode = place.get("inode")
    return Identity(
        name, str(doc.get("id") or ""), str(place.get("computer") or ""), str(place.get("root") or ""),
        inode if isinstance(inode, int) else 0, str(doc.get("salt") or ""),
        tuple(str(one) for one in doc.get("instances") or ()), str(doc.get("passed") or ""),
    )  # fmt: skip


def _has_happened(root: str, following: dict[str, Any]) -> bool:
    name = following.get("name")
    return isinstance(name, str) and is_name(name) and told(root, name).get("id") == following.get("id") is not None


def write(root: str, one: Identity, *, following: Identity | None = None) -> None:
    """Keep an identity; `following` is the one that a rename is about to give it."""
    doc: dict[str, Any] = {"name": one.name, "id": one.id}
    doc["place"] = {"computer": one.computer, "root": one.root, "inode": one.inode}
    if one.salt:
        doc["salt"] = one.salt
    if one.instances:
        doc["instances"] = list(one.instances)[-_KEPT:]
    if one.passed:
        doc["passed"] = one.passed
    if following is not None:
        doc["next"] = {"name": following.name, "id": following.id, "salt": following.salt}
    os.makedirs(layout.local(root), exist_ok=True)
    data = yaml_store.dump(doc, KEYS)
    files.write(path(root), data)
    if second := kept(root):
        os.makedirs(os.path.dirname(second), exist_ok=True)
        # What a kill leaves is to lie in .gt, not in git's folder; only on another disk it cannot.
        beside = os.stat(os.path.dirname(second)).st_dev != os.stat(layout.local(root)).st_dev
        files.write(second, data, temp=None if beside else files.temp_path(path(root)))


def placed(root: str, one: Identity) -> Identity:
    """That identity as standing here and now; `.gt` is made if it is not there."""
    os.makedirs(layout.local(root), exist_ok=True)
    return one._replace(computer=host.computer(), root=os.path.realpath(root), inode=os.stat(layout.local(root)).st_ino)


def settle(root: str) -> None:
    """Write down that this folder, which is its machine, stands here now."""
    one = read(root)
    if one is not None:
        write(root, placed(root, one))


def take_over(root: str) -> None:
    """This folder is its machine from now on, wherever it came from: other clones that write go on as strangers."""
    one = read(root)
    if one is not None:
        said = told(root, one.name)
        passed = _word(said) if said.get("instance") not in (None, *one.instances) else one.passed
        write(root, placed(root, one)._replace(salt=new_salt(), passed=passed))


def new_salt() -> str:
    """What no copy made before has."""
    import secrets

    return secrets.token_hex(8)


def instance(root: str, one: Identity | None = None) -> str:
    """A mark of this very folder in this run of this computer."""
    import hashlib

    one = one or read(root)
    facts = (one.salt if one else "", host.computer(), host.boot(), str(_inode(root)))
    return hashlib.sha256(" ".join(facts).encode()).hexdigest()[:16]


def note_instance(root: str) -> str:
    """This folder's mark, remembered as its own; for whoever is about to write it."""
    one = read(root)
    mark = instance(root, one)
    if one is not None and (mark not in one.instances or not os.path.exists(kept(root))):
        marks = one.instances if mark in one.instances else (*one.instances, mark)
        write(root, one._replace(instances=marks))
    return mark


def _inode(root: str) -> int:
    """Of `.gt`; 0 while it is gone."""
    try:
        return os.stat(layout.local(root)).st_ino
    except FileNotFoundError:
        return 0


# -- is it still the one? -------------------------------------------------------------------------
def standing(root: str, now: float) -> Standing:
    """Whether this folder may act as its machine, at `now` (epoch seconds). A few stats and two small files."""
    one = read(root)
    if one is None:
        return Standing("home")
    state, text = _place(root, one)
    if state == "copy":
        return Standing("copy", text, _way_out(one))
    return _twin(root, one, now) or Standing(state)


def require(root: str, now: float) -> None:
    """Raise Refused in a copy: asked before anything is written, sent or signalled in a machine's name."""
    found = standing(root, now)
    if not found.own:
        raise Refused(found.text, found.hint)


def _way_out(one: Identity) -> str:
    return (
        "reading works. `gt machine rename NEW` makes this one a machine of its own; if it is the only one now "
        f"(moved or restored for good), `gt machine join --here` lets it be {one.name}"
    )


def _place(root: str, one: Identity) -> tuple[str, str]:
    if not one.root:
        return "moved", ""
    mine, here = _inode(root), os.path.realpath(root)
    doubt = one.inode != mine or one.root != here
    if one.computer and (doubt or not host.DEAR) and host.computer() not in ("", one.computer):
        return "copy", f"this town came from another computer, where it is machine {one.name}"
    if not doubt:
        return "home", ""
    if one.root == here or _is_one(one.root, here):
        # The same folder by another way, put back from a backup to where it stood, or without its `.gt`.
        return ("home" if one.inode == mine else "moved"), ""
    if one.inode != mine and _id_at(one.root) == one.id:
        return "copy", f"this folder is a copy of {one.root}, which is machine {one.name} of the town"
    return "moved", ""


def _is_one(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _id_at(root: str) -> str | None:
    try:
        there = read(root)
    except (GtError, OSError):
        return None
    return there.id if there else None


def _twin(root: str, one: Identity, now: float) -> Standing | None:
    """Told by the town: another clone writes under this name."""
    said = told(root, one.name)
    if not said:
        return None
    if said.get("id") not in (None, one.id):
        text = f"two computers took the name {one.name} in this town, and it is the other one's"
        return Standing("twin", text, "reading works. `gt machine rename NEW` gives this one a name of its own")
    mark, seen = said.get("instance"), said.get("seen")
    if mark is None or mark in one.instances or mark == instance(root, one) or _word(said) == one.passed:
        return None
    from gastown.model import times

    try:
        at = times.parse(str(seen))
    except GtError:
        return None
    # What was written before this computer started was written by this folder before a restart of which
    # nothing is known any more (put back from a backup), or by one that may have ended.
    if at <= host.started(now) + GRACE:
        return None
    text = f"another clone of this town writes as machine {one.name} too (it did at {seen}): a disk was copied"
    return Standing("twin", text, _way_out(one))


def _word(said: dict[str, Any]) -> str:
    return f"{said.get('instance')} {said.get('seen')}"


def told(root: str, name: str) -> dict[str, Any]:
    """machines/<name>.yaml as it lies here; empty if it is missing or cannot be read (others report that)."""
    try:
        data = files.read_or_none(layout.absolute(root, layout.machine_file(name)))
        return yaml_store.load(data, layout.machine_file(name)) if data else {}
    except (GtError, OSError):
        return {}
