"""Who work is given to: a rig (any polecat of it) or one worker, from what was typed and where one stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gastown.model import address
from gastown.model.errors import GtError, NotFound, Refused, UsageError
from gastown.model.ids import check_name, is_id, is_name
from gastown.model.text import nearest
from gastown.store import layout
from gastown.store.view import View


@dataclass(frozen=True)
class Target:
    """A rig, and the worker in it; `name` None: an idle polecat of the rig, else a new one."""

    rig: str
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.rig}/{self.name}" if self.name else self.rig

    def covers(self, holder: str | None) -> bool:
        """True if `holder` (an address) is this target, or one of the rig's workers where no name was given."""
        if holder is None:
            return False
        return holder == str(self) if self.name else address.rig_of(holder) == self.rig


def resolve(view: View, text: str | None, *, here: str | None = None, home: str | None = None) -> Target:
    """The target meant by `text`; without one `home`, the rig we stand in, the default one, the only one.

    Raises UsageError (listing the rigs where several are possible), NotFound with near names, or Refused
    for a parked rig.
    """
    target = _parse(view, text) if text else Target(home or _the_rig(view, here))
    rig = view.rig(target.rig)
    if rig.parked:
        raise Refused(f"rig {rig.name} is parked: it takes no new work", f"gt rig unpark {rig.name}")
    if target.name and view.exists(layout.worker_file(rig.name, "crew", target.name)):
        raise Refused(f"{target} is crew and chooses its own work", f"sling to the rig: gt sling … {rig.name}")
    return target


def home_of(view: View, works: Sequence[str], actor: str) -> str | None:
    """The one rig that all of `works` belong to; None if one is new or the town's own, or they are of several rigs."""
    homes: set[str | None] = set()
    for work in works:
        try:
            bead = find_work(view, work, actor)
        except GtError:
            return None  # whoever judges the works says what is wrong with it
        path = view.bead_path(bead) if bead else None
        homes.add(layout.rig_of_path(path) if path else None)
    return homes.pop() if len(homes) == 1 else None


def _parse(view: View, text: str) -> Target:
    if is_name(text):
        return Target(view.rig(text).name)
    if "/" not in text:
        raise UsageError(f"{text!r} takes no work from gt sling", "work is slung to RIG or RIG/NAME")
    who = address.parse(text)
    rig = str(address.rig_of(who))
    view.rig(rig)
    if not address.is_worker(who):
        raise UsageError(f"{who} is a service of the rig and takes no work", f"gt sling … {rig}")
    return Target(rig, check_name(address.name_of(who), "worker"))


def _the_rig(view: View, here: str | None) -> str:
    names = view.rig_names()
    if here in names:
        return str(here)
    default = view.setting("default_rig")
    if default:
        return view.rig(str(default)).name
    if not names:
        raise NotFound("this town has no rig to work in", "add one: gt rig add NAME URL-OR-PATH")
    if len(names) > 1:
        raise UsageError(f"which rig? There are {', '.join(names)}", "name it last: gt sling WORK RIG")
    return names[0]


def split(view: View, words: Sequence[str]) -> tuple[list[str], str | None]:
    """Tell works from the target in what was typed: the last word is the target if it names a rig or a worker.

    Raises NotFound for a last word that is neither that nor work: it was meant to be the target.
    """
    if not words:
        return [], None
    last = words[-1]
    looks = address.is_address(last)
    if len(words) > 1 and (looks or last in view.rig_names()):
        return list(words[:-1]), last
    if len(words) > 1 and is_name(last):
        find_work(view, last, "overseer")
    return list(words), None


def find_work(view: View, text: str, actor: str) -> str | None:
    """The bead id meant by one word of work; None for free text, which is a new bead's title.

    Raises NotFound for a single word that is no bead (a mistyped id or rig must not become a title).
    """
    if any(c.isspace() for c in text.strip()):
        return None
    try:
        return view.resolve(text, actor)
    except NotFound as error:
        if is_id(text) or text == "@last":
            raise
        near = nearest(text, view.rig_names())
        hint = f"did you mean the rig {near[0]}?" if near else "new work is a sentence in quotes, or --title WORD"
        raise NotFound(f"{text!r} is no bead and no rig", error.hint if error.near else hint, error.near) from None


