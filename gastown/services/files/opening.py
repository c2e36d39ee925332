"""A town opened for whoever may write it: a person's edits that lie where a change writes are held to the rules."""

from __future__ import annotations

import time

from gastown.store import town as store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gastown.store.change import Change
    from gastown.store.town import Town


def open_town(
    root: str, *, actor: str = "overseer", clock: Callable[[], float] = time.time, forgiving: bool = False
) -> Town:
    """As `gastown.store.town.open_town`, which raises."""
    town = store.open_town(root, actor=actor, clock=clock, forgiving=forgiving)
    town.adopt = _adopt
    return town


def _adopt(change: Change, edited: Mapping[str, bytes | None]) -> bool:
    from gastown.services.files import handedits  # dear, and only where somebody edited a file

    return handedits.adopt(change, edited)
