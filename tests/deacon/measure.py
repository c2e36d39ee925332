"""`python -m tests.deacon.measure [--beads 10000] [--sessions 30]`: the deacon at rest, and how fast it reacts.

Prints every figure as `name: value (target)`; exits 1 if one is missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gastown.services.mail import mail
from gastown.services.sessions import powers
from gastown.store import layout
from gastown.store.change import Change
from gastown.store.town import Town, open_town
from tests.bench.towns import town_of
from tests.store.towns import git

GT = [sys.executable, "-P", "-m", "gastown"]
CHECKOUT = Path(__file__).resolve().parents[2]


def environment(home: Path) -> dict[str, str]:
    """A sealed one."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("GT_", "GIT_", "PYTHON"))}
    (home / "gitconfig").write_text("[user]\n\tname = Pat\n\temail = pat@example.org\n")
    return env | {"PYTHONPATH": str(CHECKOUT), "HOME": str(home), "GIT_CONFIG_GLOBAL": str(home / "gitconfig")}


class Measured:
    """A town of many beads with live sessions, and its deacon."""

    def __init__(self, place: Path, beads: int, sessions: int) -> None:
        self.env = environment(place)
        self.town = town_of(place / "town", beads)
        root = Path(self.town.root)
        source = place / "source"
        source.mkdir()
        (source / "README.md").write_text("x\n")
        git(source, "init", "-q", "-b", "main")
        git(source, "add", "-A")
        git(source, "-c", "user.name=Pat", "-c", "user.email=p@example.org", "commit", "-qm", "x")
        self.gt("rig", "add", "app", str(source))
        self.gt("config", "set", "max_polecats", "100")
        self.gt("config", "set", "runtime", "process")
        ids = [self.bead(f"session {number}", ["sleep", "1000"]) for number in range(sessions)]
        if ids:
            self.gt("sling", *ids, "app")
        self.town = open_town(str(root))
        self.began = time.time()
        self.gt("deacon", "start")
        found = powers.deacon(str(root))
        assert found is not None
        self.pid = found.proc.pid

    def gt(self, *args: str) -> str:
        done = subprocess.run([*GT, *args], cwd=self.town.root, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
        return done.stdout

    def bead(self, title: str, command: list[str]) -> str:
        def body(change: Change) -> str:
            bead = change.create("app", title=title, agent="exec", command=command)
            change.emit("create", title, bead=bead.id)
            return bead.id

        return self.town.transact("create", body)

    def processor(self) -> float:
        """Seconds of processor time the deacon and its children have used."""
        with open(f"/proc/{self.pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return sum(int(fields[number]) for number in (11, 12, 13, 14)) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Its resident memory in MB."""
        with open(f"/proc/{self.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1000

    def head(self) -> str:
        return git(self.town.root, "rev-parse", "HEAD")


def rest(ground: Measured, seconds: float) -> tuple[float, float, bool]:
    """(per cent of a core, MB, whether it committed anything) over a while in which nothing happens."""
    time.sleep(10)  # what it does at its start is not rest
    head, before, began = ground.head(), ground.processor(), time.monotonic()
    time.sleep(seconds)
    used = (ground.processor() - before) / (time.monotonic() - began) * 100
    return used, ground.memory(), ground.head() != head


def reactions(act: Callable[[int], str], seen: Callable[[str], bool], rounds: int) -> list[float]:
    """Seconds from `act` until its effect is `seen`."""
    found = []
    for number in range(rounds):
        token = act(number)
        began = time.monotonic()
        while not seen(token):
            if time.monotonic() - began > 30:
                raise RuntimeError(f"no reaction to {token}")
            time.sleep(0.005)
        found.append(time.monotonic() - began)
    return found


def hand_edits(ground: Measured, rounds: int) -> list[float]:
    """From a saved file to the sling it means."""
    ids = iter([ground.bead(f"edit {number}", ["true"]) for number in range(rounds)])
    time.sleep(1)
    log = Path(layout.log(ground.town.root, "deacon.log"))

    def act(number: int) -> str:
        bead = next(ids)
        path = Path(ground.town.root, str(ground.town.bead_path(bead)))
        text = path.read_text().replace("status: open", "status: open\n\nassignee: app/yew")
        if number % 2:
            spare = path.with_name("spare")
            spare.write_text(text)
            os.replace(spare, path)
        else:
            path.write_text(text)
        return bead

    return reactions(act, lambda bead: f"sling {bead}" in log.read_text(), rounds)


def messages(ground: Measured, rounds: int) -> list[float]:
    """From a delivered message to the nudge about it."""
    worker = next(iter(ground.town.workers("app")[0]))["name"]
    log = Path(layout.log(ground.town.root, "deacon.log"))
    town = Town(ground.town.root, "overseer", time.time)

    def act(number: int) -> str:
        sent = mail.send(town, mail.Outgoing((f"app/{worker}",), f"message {number}", "text", priority="high"))
        return sent.id.split("@")[0]

    return reactions(act, lambda unique: f"new/{unique}" in log.read_text(), rounds)


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(values, n=20)[-1]


def main(argv: list[str]) -> int:
    """All figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beads", type=int, default=10_000)
    parser.add_argument("--sessions", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=130.0)
    parser.add_argument("--rounds", type=int, default=20)
    wanted = parser.parse_args(argv)
    place = Path(tempfile.mkdtemp(prefix="gt-measure-"))
    missed = 0
    ground = None
    try:
        ground = Measured(place, wanted.beads, wanted.sessions)
        used, megabytes, committed = rest(ground, wanted.seconds)
        mails = p95(messages(ground, wanted.rounds)) if wanted.sessions else 0.0
        edits = p95(hand_edits(ground, wanted.rounds))
        for name, value, most, unit in (
            ("at rest, share of a core", used, 1.0, "%"), ("at rest, memory", megabytes, 120.0, "MB"),
            ("commits at rest", float(committed), 0.0, ""), ("hand edit to dispatch, p95", edits, 1.0, "s"),
            ("mail to nudge, p95", mails, 1.0, "s"),
        ):  # fmt: skip
            print(f"{name}: {value:.2f} {unit} (at most {most:g} {unit})")
            missed += value > most
    finally:
        if ground is not None:
            ground.gt("down")
        shutil.rmtree(place, ignore_errors=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
