"""Every measured row, in groups. Targets are ratios to bare Python in the same run, or times on 2 shared cores."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gastown.services.mail import mail
from gastown.store import runstate
from gastown.store.town import Town, open_town
from tests.bench import syncing, talking
from tests.bench.measure import GT, PYTHON, Row, environment, gt_ratio, milliseconds, pace, ratio, seconds
from tests.bench.towns import HELD, town_of
from tests.store.towns import git

X = "x python -c pass"


def startup(folder: Path, large: bool) -> Iterator[Row]:
    """What agents' hooks call on every prompt, and the floor of every other command."""
    for count in (10, 10_000):
        town = town_of(folder / f"startup-{count}", count)
        runstate.set_hook_hint(town.root, "greenplace/toast", town.bead_path(HELD))
        actor = {"GT_ACTOR": "greenplace/toast", "GT_TOWN": town.root}
        for words in (("hook",), ("heartbeat",), ("mail", "check")):
            took = gt_ratio(*words, cwd=town.root, codes=(0, 1), runs=21, **actor)  # 1: there is no mail
            yield Row(f"gt {' '.join(words)}, {count} beads", took, X, most=2)
        yield Row(f"gt prime, {count} beads", gt_ratio("prime", cwd=town.root, **actor), X, most=9)
    yield Row("gt version", gt_ratio("version", cwd=town.root), X, most=7)
    yield Row("gt merge-driver, a bead", _driver(town), X, most=2.2)


def _driver(town: Town) -> float:
    """git's merge of one file, started as git starts it: a note here, a title there."""
    path = str(town.bead_path("gp-00050"))
    base, ours, theirs = (Path(town.root, name) for name in ("base", "ours", "theirs"))
    text = Path(town.root, path).read_text()
    base.write_text(text)
    theirs.write_text(text.replace("title: Bead", "title: A bead"))
    mine = text + "\nnotes:\n  - at: 2026-11-23T10:00:00Z\n    by: overseer\n    text: |\n      here\n"
    argv = ("merge-driver", "base", "ours", "theirs", path, "7")
    return gt_ratio(*argv, cwd=town.root, runs=21, before=lambda: ours.write_text(mine))


def reading(folder: Path, large: bool) -> Iterator[Row]:
    """Lists over a whole town, every file checked."""
    for count, most in ((1_000, 8.5), (10_000, 12), *(((100_000, 45),) if large else ())):
        town = town_of(folder / f"reading-{count}", count)
        town.index()
        time.sleep(0.05)  # files younger than the cache's clock tick would be read again
        shutil.rmtree(Path(town.root, ".gt/cache"))
        town.index()
        for words in (("ready",), ("list",), ("status",), ("list", "--type", "task")):
            yield Row(f"gt {' '.join(words)}, {count} beads", gt_ratio(*words, cwd=town.root), X, most=most)
        yield Row(f"gt show, {count} beads", gt_ratio("show", "gp-00050", cwd=town.root), X, most=9)
        if count >= 10_000:
            cache = Path(town.root, ".gt/cache")
            took = PYTHON * gt_ratio("list", cwd=town.root, runs=3, before=lambda cache=cache: shutil.rmtree(cache))
            yield Row(f"gt list without a cache, {count} beads", took, "s", most=0.6 if count == 10_000 else 5)


def writing(folder: Path, large: bool) -> Iterator[Row]:
    """One change in process, and the whole process; that commits stay flat."""
    for count, most in ((100, 20), (1_000, 20), (10_000, 20), *(((100_000, 60),) if large else ())):
        town = town_of(folder / f"writing-{count}", count)
        note = milliseconds(lambda n, t=town: _note(t, f"gp-{n * 2 + 20:05d}", n))
        yield Row(f"note in process, {count} beads", note, "ms", most=most)
        yield Row(f"create in process, {count} beads", milliseconds(lambda n, t=town: _create(t, n)), "ms", most=most)
        yield Row(f"close in process, {count} beads", milliseconds(lambda n, t=town: _close(t, n)), "ms", most=most)
        yield Row(f"mail send in process, {count} beads", milliseconds(lambda n, t=town: _mail(t, n)), "ms", most=most)
    few, town = (open_town(str(folder / f"writing-{count}")) for count in (100, 10_000))
    flat = ratio(lambda n: _gt_note(town, n), env=environment(), baseline=lambda n: _gt_note(few, n))
    yield Row("gt note at 10,000 beads to gt note at 100", flat, "x", most=1.5)
    for words in (("create", "bead {n}"), ("note", "gp-00060", "-m", "note {n}")):
        yield Row(f"gt {words[0]}, 10000 beads", gt_ratio(*words, cwd=town.root), X, most=13)
    ids = iter([row.id for row in town.index().rows if row.status == "open" and row.id.startswith("gp-0")][200:])
    took = ratio(lambda n: [*GT, "close", next(ids), "-r", "bench"], cwd=town.root, env=environment())
    yield Row("gt close, 10000 beads", took, X, most=13)


def _gt_note(town: Town, n: int) -> list[str]:
    return [*GT, "note", "gp-00060", "-m", f"flat {n}", "--town", town.root]


def _mail(town: Town, n: int) -> None:
    mail.send(town, mail.Outgoing(("mayor",), f"message {n}", "what is said"))


def _note(town: Town, bead_id: str, n: int) -> None:
    with town.change("note") as change:
        bead = change.bead(bead_id)
        bead.add_note(change.at, "overseer", f"note {n}")
        change.save(bead)
        change.emit("note", f"noted {bead_id}", bead=bead_id)


def _create(town: Town, n: int) -> str:
    with town.change("create") as change:
        bead = change.create("greenplace", title=f"bead {n}")
        change.emit("create", f"created {bead.id}", bead=bead.id)
    return bead.id


def _close(town: Town, n: int) -> None:
    with town.change("close") as change:
        bead = change.bead(f"gp-{n * 2 + 20:05d}")
        bead.close(at=change.at, by="overseer", reason="bench")
        change.save(bead)
        change.emit("close", f"closed {bead.id}", bead=bead.id)


WRITER = """
import sys
sys.path.insert(0, sys.argv[3])
from gastown.store.town import open_town
from tests.bench.rows import _create, _mail, _note
town = open_town(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(sys.argv[2])):
    _note(town, _create(town, n), n)
    _mail(town, n)
"""


def together(folder: Path, large: bool) -> Iterator[Row]:
    """Eight processes writing at once."""
    town = town_of(folder / "together", 1_000)
    each = 15
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, town.root, str(each), os.getcwd()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        )
        for _ in range(8)
    ]
    for writer in writers:
        assert writer.stdout
        writer.stdout.readline()
    slow = pace()
    began = time.perf_counter()
    for writer in writers:
        assert writer.stdin
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
    if any(writer.wait() for writer in writers):
        raise RuntimeError("a writer failed")
    took = time.perf_counter() - began
    for writer in writers:
        assert writer.stdin
        assert writer.stdout
        writer.stdin.close()
        writer.stdout.close()
    changes = 8 * each * 3
    found = sum(1 for row in town.index().rows if row.title.startswith("bead ") and town.bead(row.id).notes)
    yield Row("changes by 8 processes together", changes / took * slow, "changes/s", least=60)
    yield Row("beads lost by 8 processes", 8 * each - found, "beads", most=0)
    yield Row("messages lost by 8 processes", 8 * each - len(town.mail_names("mayor", "new")), "messages", most=0)


def slinging(folder: Path, large: bool) -> Iterator[Row]:
    """From `gt sling` to a running agent, with a rig of a thousand files."""
    source = folder / "rig-source"
    for number in range(1_000):
        path = source / f"src/d{number % 40}/f{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"file {number}\n" * 20)
    git(source, "init", "-q", "-b", "main")
    git(source, "config", "user.name", "Ada")
    git(source, "config", "user.email", "ada@example.org")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "files")
    root = str(folder / "sling-town")
    seconds([*GT, "init", root])
    seconds([*GT, "rig", "add", "big", str(source)], cwd=root)
    seconds([*GT, "config", "set", "max_polecats", "40"], cwd=root)
    wait = ["--", "sleep", "60"]
    try:
        one = seconds([*GT, "sling", "one alone", "big", *wait], cwd=root)
        yield Row("gt sling to a running agent, 1000-file rig", one, "s", most=2)
        ids = [_created(root, n) for n in range(30)]
        many = seconds([*GT, "sling", *ids, "big", *wait], cwd=root)
        yield Row("gt sling, 30 at once", many, "s", most=30)
    finally:
        _stop_all(root)


def _stop_all(root: str) -> None:
    listed = subprocess.run([*GT, "session", "list", "--json"], cwd=root, env=environment(), capture_output=True)
    for session in json.loads(listed.stdout or b"[]"):
        if session.get("ended") is None:
            subprocess.run([*GT, "session", "stop", session["id"], "--grace", "0.2"], cwd=root, env=environment())


def _created(root: str, n: int) -> str:
    argv = [*GT, "create", f"thirty {n}", "--rig", "big", "-q"]
    done = subprocess.run(argv, cwd=root, env=environment(), capture_output=True, text=True)
    return done.stdout.strip()


GROUPS: dict[str, Callable[[Path, bool], Iterator[Row]]] = {
    "startup": startup,
    "reading": reading,
    "writing": writing,
    "together": together,
    "slinging": slinging,
    "mail": talking.messages,
    "deacon": talking.deacon,
    "syncing": syncing.syncing,
    "many syncs": syncing.many,
}
