"""Commands on several things: each is told as soon as it is done, and one that fails stops none of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gastown.cli.output import error_doc, put_json, say_error
from gastown.model.errors import GtError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeVar

    Named = TypeVar("Named")
    Done = TypeVar("Done")


def each(
    named: Sequence[Named], act: Callable[[Named], Done], tell: Callable[[Done], None], doc: Callable[[Done], Any], *,
    json: bool, many: bool | None = None,
) -> int:  # fmt: skip
    """Do `act` to each of `named` and tell what came of it; the exit code: that of the first error, else 0.

    With `json` it is one document: of several (`many`; None: if there is more than one) a list with what each came to
    at its place, `{"error": …}` for one that failed. The error of a single one is raised.
    """
    many = len(named) > 1 if many is None else many
    came: list[Done | GtError] = []
    told: set[str] = set()
    for one in named:
        try:
            done = act(one)
        except (GtError, OSError) as error:
            failed = _understood(error)
            if not many or failed is None:
                raise
            if failed.message not in told:  # what holds for all of them is said once
                say_error(failed.message, failed.hint)
            told.add(failed.message)
            came.append(failed)
            continue
        came.append(done)
        if not json:
            tell(done)
    if json:
        docs = [_error(one) if isinstance(one, GtError) else doc(one) for one in came]
        put_json(docs if many else docs[0])
    return next((one.exit_code for one in came if isinstance(one, GtError)), 0)


def _error(one: GtError) -> dict[str, Any]:
    return error_doc(one.code, one.message, one.hint)


def _understood(error: GtError | OSError) -> GtError | None:
    from gastown.cli.edge import understood

    return understood(error)
