"""What a claim is, and the two places at the remote where one may stand.

`refs/gt/claims/<id>`, or the branch `gt-claims/<id>` where a host hides or forbids other refs: town.yaml says in which
form new ones are made (`sync.claims`). A setting reaches machines one after the other, so a claim counts in either
form, whatever the setting says here by now.
"""

from __future__ import annotations

from dataclasses import dataclass

from dulwich.errors import FileFormatException

from gastown.model import times
from gastown.model.errors import GtError
from gastown.model.text import safe
from gastown.runtime import git
from gastown.services.claims.badclaims import Unreadable
from gastown.services.remote import wire
from gastown.store.gitrepo import Repo
from gastown.store.town import Town

BRANCHES = "refs/heads/gt-claims/"


@dataclass(frozen=True)
class Claim:
    """One claim: `fence` grows with every holder of the bead; `until` is the lease's end (epoch seconds).

    `ref` is where it stands at the remote, `commit` what it points to; `since` is when it was made, `written` when it
    was renewed last, by its holder's clock. `tip` is where the town's branch stood there at that moment, where it was
    asked.
    """

    bead: str
    claimant: str
    machine: str
    attempt: int
    fence: int
    until: float
    nonce: str
    since: float = 0.0
    ref: str = ""
    commit: str = ""
    tip: str = ""
    written: float = 0.0


def ref_of(town: Town, bead_id: str) -> str:
    """The full name of the ref at which a new claim on a bead is made, as the town is set here."""
    if str(town.setting("sync.claims", "refs")) == "branches":
        return f"{BRANCHES}{bead_id}"
    return f"{wire.CLAIMS}{bead_id}"


def forms(bead_id: str) -> tuple[str, str]:
    """Every ref at which a claim on a bead may stand."""
    return f"{wire.CLAIMS}{bead_id}", f"{BRANCHES}{bead_id}"


def mirror_of(repo: Repo, ref: str) -> str:
    """The ref here that keeps what was last seen at a claim's ref there."""
    if ref.startswith("refs/heads/"):
        return f"refs/remotes/{_remote(repo)}/{ref.removeprefix('refs/heads/')}"
    return ref


def mirrored(town: Town) -> list[tuple[str, str]]:
    """The claims as last fetched, in both forms: (commit, the ref at the remote)."""
    under = f"refs/remotes/{_remote(town.repo)}/"
    prefixes = [wire.CLAIMS, f"{under}gt-claims/"]
    out = git.text(["for-each-ref", "--format=%(objectname) %(refname)", *prefixes], cwd=town.root)
    pairs = (line.split(" ", 1) for line in out.splitlines())
    return [(sha, ref.replace(under, "refs/heads/", 1) if ref.startswith(under) else ref) for sha, ref in pairs]


def parse(repo: Repo, sha: str, ref: str) -> Claim:
    """The claim that stands at `ref` of the remote and points to `sha`; raises Unreadable for anything else."""
    try:
        made = repo.commit(sha.encode())
        body = made.message.decode("utf-8").partition("\n\n")[2]
        facts = dict(line.split(": ", 1) for line in body.splitlines() if line)
        if facts["Bead"] != ref.rpartition("/")[2]:
            raise ValueError(f"it is one on {facts['Bead']}")
        return Claim(
            bead=facts["Bead"], claimant=facts["Claimant"], machine=facts["Machine"], attempt=int(facts["Attempt"]),
            fence=int(facts["Fence"]), until=times.parse(facts["Lease"]), nonce=facts["Nonce"],
            since=times.parse(facts["Since"]), ref=ref, commit=sha,
            written=float(made.commit_time),
        )  # fmt: skip
    except KeyError as error:
        raise Unreadable(ref, f"nothing in it says {error.args[0]!r}", _remote(repo)) from None
    except (ValueError, TypeError, GtError, AssertionError, FileFormatException) as error:
        why = error.message if isinstance(error, GtError) else str(error)
        raise Unreadable(ref, safe(why), _remote(repo)) from None


def _remote(repo: Repo) -> str:
    return repo.remote() or "origin"
