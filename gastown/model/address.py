"""Addresses of people, agents and services; who they are as git authors.

An address is a canonical `str`: `overseer`, `mayor`, `deacon`, `<rig>/witness`,
`<rig>/refinery` or `<rig>/<name>`.
"""

from __future__ import annotations

from gastown.model.errors import UsageError
from gastown.model.ids import is_name

TOWN_ROLES = ("overseer", "mayor", "deacon")
RIG_ROLES = ("witness", "refinery")


def parse(text: str) -> str:
    """The canonical address; `<rig>/polecats/<name>` and `<rig>/crew/<name>` are accepted. Raises UsageError."""
    word = text.strip().strip("/")
    if word in TOWN_ROLES:
        return word
    parts = word.split("/")
    if len(parts) == 3 and parts[1] in ("polecats", "crew"):
        parts = [parts[0], parts[2]]
    if len(parts) == 2 and is_name(parts[0]) and (is_name(parts[1]) or parts[1] in RIG_ROLES):
        return f"{parts[0]}/{parts[1]}"
    raise UsageError(
        f"{text!r} is not an address", "addresses are overseer, mayor, deacon, RIG/NAME, RIG/refinery, RIG/witness"
    )


def is_address(text: str) -> bool:
    """True if `text` is an address in any accepted form."""
    try:
        parse(text)
    except UsageError:
        return False
    return True


def rig_of(address: str) -> str | None:
    """The rig an address belongs to; None for the town's own."""
    rig, slash, _ = address.partition("/")
    return rig if slash else None


def name_of(address: str) -> str:
    """The last part: a worker's own name, or the role."""
    return address.rpartition("/")[2]


def is_worker(address: str) -> bool:
    """True for polecats and crew, false for the town's and a rig's own services."""
    return "/" in address and name_of(address) not in RIG_ROLES


def mail_address(address: str, town: str) -> str:
    """As mail programs write it: `toast@greenplace.<town>.gt`, `mayor@<town>.gt`."""
    rig = rig_of(address)
    return f"{name_of(address)}@{rig + '.' if rig else ''}{town}.gt"


def author(address: str, town: str) -> tuple[str, str]:
    """Name and e-mail under which an agent's commits stand in git."""
    return address, mail_address(address, town)
