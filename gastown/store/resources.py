"""Where the files that come with the program lie: schemas, git hooks, the town template, the demo."""

from __future__ import annotations

from pathlib import Path

from gastown.model.errors import GtError

# In a checkout they stand at the top level; the wheel carries them as gastown/_data/<name>.
_IN_CHECKOUT = {
    "schemas": "schemas",
    "hooks": "hooks",
    "town-template": "examples/town-template",
    "demo": "examples/demo",
}
_PACKAGE = Path(__file__).resolve().parent.parent


def data_path(name: str, *, package: Path = _PACKAGE) -> Path:
    """The folder `schemas`, `hooks`, `town-template` or `demo` of the installed wheel, else of the checkout.

    `package` is the folder of the `gastown` package. Raises GtError where neither has it.
    """
    if name not in _IN_CHECKOUT:
        raise GtError(f"there are no data files called {name!r}", "one of: " + ", ".join(_IN_CHECKOUT))
    installed = package / "_data" / name
    if installed.is_dir():
        return installed
    checkout = package.parent / _IN_CHECKOUT[name]
    if checkout.is_dir():
        return checkout
    raise GtError(
        f"the data files {name!r} are missing: neither {installed} nor {checkout} exists",
        "this installation is incomplete; install gastown again",
    )
