"""Mail by many senders and a busy mailbox; the deacon at rest, and how fast it reacts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from gastown.services.mail import mail
from tests.bench.measure import Row, environment, gt_ratio, pace
from tests.bench.towns import town_of
from tests.deacon import measure as watching

SENDER = """
import sys
from gastown.services.mail import mail
from gastown.store.town import open_town
town = open_town(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(sys.argv[3])):
    mail.send(town, mail.Outgoing(("mayor",), f"{sys.argv[2]}-{n}", "what is said"))
"""


def messages(folder: Path, large: bool) -> Iterator[Row]:
    """A mailbox of a hundred messages; eight senders at once."""
    town = town_of(folder / "mail", 1_000)
    for number in range(100):
        mail.send(town, mail.Outgoing(("overseer",), f"message {number}", "what is said\n" * 10))
    yield Row("gt mail inbox, 100 messages", gt_ratio("mail", "inbox", cwd=town.root), "x python -c pass", most=9)
    each = 40
    senders = [
        subprocess.Popen(
            [sys.executable, "-c", SENDER, town.root, str(number), str(each)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        )
        for number in range(8)
    ]
    for sender in senders:
        assert sender.stdout
        sender.stdout.readline()
    slow = pace()
    began = time.perf_counter()
    for sender in senders:
        assert sender.stdin
        sender.stdin.write(b"go\n")
        sender.stdin.flush()
    if any(sender.wait() for sender in senders):
        raise RuntimeError("a sender failed")
    took = time.perf_counter() - began
    for sender in senders:
        assert sender.stdin
        assert sender.stdout
        sender.stdin.close()
        sender.stdout.close()
    yield Row("messages by 8 senders together", 8 * each / took * slow, "messages/s", least=100)
    box = Path(town.root, "mail/mayor/new")
    lost = 8 * each - len([name for name in os.listdir(box) if not name.startswith(".")])
    yield Row("messages lost or doubled by them", abs(lost), "messages", most=0)


def deacon(folder: Path, large: bool) -> Iterator[Row]:
    """10,000 beads and 30 sessions: nothing to do for a while, then something."""
    place = folder / "deacon"
    place.mkdir()
    ground = watching.Measured(place, 10_000, 30)
    try:
        used, megabytes, committed = watching.rest(ground, 70.0)
        yield Row("deacon at rest, share of a core", used, "%", most=1)
        yield Row("deacon at rest, memory", megabytes, "MB", most=120)
        yield Row("deacon at rest, commits", float(committed), "commits", most=0)
        for name, look in (("mail to nudge", watching.messages), ("hand edit to dispatch", watching.hand_edits)):
            slow = pace()
            slowest = watching.p95(look(ground, 20))
            # Most of it is waiting for quiet, by the clock: only a slower machine is made allowance for.
            yield Row(f"{name}, p95", slowest / max(1.0, min(slow, pace())), "s", most=1)
    finally:
        ground.gt("down")
