"""Every error a caller can meet: what is wrong, what to do now, and the exit code.

Services raise these; only `gastown.cli.main` prints them. The classes carry facts,
never a rendered screen, so that `--json` and text come from the same value.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class GtError(Exception):
    """Something a user can understand and act on. `code` names it in JSON."""

    exit_code = 1
    code = "failed"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UsageError(GtError):
    """The command line or an input value is wrong; nothing was touched."""

    exit_code = 2
    code = "usage"


class RaceLost(GtError):
    """Somebody else was first (a claim, a lock, a newer state)."""

    exit_code = 3
    code = "race_lost"


class Stale(RaceLost):
    """A file moved between reading it and writing it; reading again helps."""

    code = "stale"


class NotInTown(GtError):
    """No town here or above."""

    exit_code = 4
    code = "not_in_town"


class Refused(GtError):
    """Refused for safety: untrusted, or work would be lost."""

    exit_code = 5
    code = "refused"


class NotFound(GtError):
    """No such thing; `near` holds the nearest names, best first."""

    exit_code = 6
    code = "not_found"

    def __init__(self, message: str, hint: str = "", near: Sequence[str] = ()) -> None:
        if near and not hint:
            hint = "did you mean " + " or ".join(near) + "?"
        super().__init__(message, hint)
        self.near = tuple(near)


class InvalidFile(GtError):
    """One committed file cannot be used. It is reported and left alone, never taken for empty.

    `path` is relative to the town, `line` is 1-based (0: unknown), `key` the offending
    key ("" if none), `reason` one sentence, `hint` what to do about it (without one: mend it, or go back; `by_git`),
    `command` what mends it, where that is one command line.
    """

    code = "invalid_file"

    def __init__(
        self, path: str, reason: str, *, line: int = 0, key: str = "", hint: str = "", command: str = ""
    ) -> None:
        where = path + (f":{line}" if line else "") + (f" ({key})" if key else "")
        mend = f"mend {path} in an editor, or go back to an older version: git log -p -- {path}"
        mend += f" (if this one is in no commit yet: git checkout -- {path})"
        super().__init__(f"{where}: {reason}", hint or mend)
        self.by_git = not hint
        self.path = path
        self.reason = reason
        self.command = command
        self.line = line
        self.key = key

    def remedy(self, *, is_new: bool, version: str = "") -> str:
        """The hint where it is known whether git has an earlier version of the file to go back to, and which."""
        if not self.by_git or not (is_new or version):
            return self.hint
        if is_new:
            return f"mend {self.path} in an editor, or remove it"
        take = f"git checkout {version} -- {self.path}"
        mend = f"mend {self.path} in an editor, or take its last version that can be used: {take}"
        return f"{mend} (all of them: git log -p -- {self.path})"
