"""A rig's clone on this machine belongs to the repository that rig.yaml names today, whatever it was made from."""

from __future__ import annotations

import os

from gastown.model.errors import GtError, Refused
from gastown.model.rig import Rig
from gastown.runtime import clones, git, origin, remotes
from gastown.store import layout
from gastown.store.town import Town


def source(town: Town, rig: Rig) -> str:
    """What the rig's clone is made from: a URL, or an absolute path."""
    return git.absolute(rig.git, town.root)


def other(town: Town, rig: Rig) -> str:
    """What the rig's clone here is a clone of, masked, if that is not what rig.yaml says; "" where all is right.

    It takes no process while all is right: every use of the clone asks.
    """
    repo = layout.bare(town.root, rig.name)
    if not os.path.isdir(repo) or origin.is_of(repo, source(town, rig)):
        return ""
    return git.mask(" ".join(origin.of(repo))) or "nothing"


def follow(town: Town, rig: Rig) -> str:
    """Make the rig's clone here, if there is one, a clone of what rig.yaml names; what was done, or "".

    Nothing that was fetched from the repository before is left to be taken for the new one's; branches of work
    stay. Raises RemoteUnreachable, or Refused where the new one has not what the rig needs, or where rig.yaml says
    yet another than `rig` (it was read before somebody changed it).
    """
    was = other(town, rig)
    if not was:
        return ""
    new, path = source(town, rig), layout.rig_file(rig.name)
    if source(town, town.rig(rig.name)) != new:
        raise Refused(f"the repository of rig {rig.name} was changed meanwhile, in {path}", "run it again")
    try:
        origin.follow(layout.bare(town.root, rig.name), new, rig.branch, local=rig.landing == "local")
    except remotes.RemoteUnreachable as error:
        raise remotes.RemoteUnreachable(
            f"rig {rig.name} is one of {git.mask(new)} now (its clone here is of {was}): {error.message}", error.hint
        ) from None
    except (git.GitFailed, Refused):
        raise
    except GtError as error:
        text = f"rig {rig.name} is one of {git.mask(new)} now (its clone here is of {was}): {error.message}"
        hint = f"correct `git:` or `branch:` in {path}" + (f"; {error.hint}" if error.hint else "")
        raise Refused(text, hint) from None
    return f"the clone of rig {rig.name} is one of {git.mask(new)} now, as {path} says; it was of {was}"


def check_related(town: Town, rig: Rig, branch: str, tip: str, onto: str, target: str) -> None:
    """Raise Refused if work at `tip` shares no commit with the target: it was begun in another repository.

    To land it would bring that one's whole history along.
    """
    if clones.merge_base(layout.bare(town.root, rig.name), tip, onto) is None:
        raise Refused(
            f"{branch} shares no commit with {target} of {git.mask(rig.git)}: it was begun in another repository",
            f"take over what is yours: git rebase --onto origin/{target} <the last commit that is not yours>",
        )
