"""The short way: what it may import, when it answers, and when it must leave the answer to the long way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gastown.cli import fast
from gastown.model import times
from gastown.store import layout, runstate
from gastown.store.town import Town
from tests.conftest import PROJECT, run_gt

ACTOR = "green/amber"
# All that `gt hook` may load beyond a bare interpreter. Everything else is paid for at every prompt.
ALLOWED = {
    "gastown", "gastown.cli", "gastown.cli.main", "gastown.cli.fast", "gastown.cli.streams",
    "gastown.model", "gastown.model.address", "gastown.model.bead", "gastown.model.beadcheck",
    "gastown.model.errors", "gastown.model.ids",
    "gastown.model.text", "gastown.store", "gastown.store.canonical", "gastown.store.fastread", "gastown.store.files",
    "gastown.store.layout",
    "gastown.store.runstate", "gastown.ui", "gastown.ui.lines",
    "contextlib", "collections", "functools", "types", "operator", "itertools", "keyword", "reprlib",
    "_collections", "_functools", "_operator", "__future__", "collections.abc", "_weakrefset",
}  # fmt: skip

# And what git's merge driver may: it is started once a file.
MERGING = ALLOWED | {
    "gastown.services", "gastown.services.sync", "gastown.services.sync.mergedriver",
    "gastown.store.filemerge", "gastown.store.yaml",
    "gastown.store.orders", "gastown.model.merge", "gastown.model.merge_bead", "gastown.model.merge_doc",
    "gastown.model.merge_text", "gastown.model.times",
}  # fmt: skip


@pytest.fixture
def hooked(town: Town) -> str:
    """The path of a bead under way on the hook of ACTOR, with the hint set."""

    def body(change) -> str:
        mark = {"at": change.at, "by": "overseer"}
        change.put(
            layout.rig_file("green"), {"name": "green", "prefix": "gr", "created": mark, "git": "/x", "branch": "main"}
        )
        worker = {"name": "amber", "kind": "polecat", "rig": "green", "created": mark}
        change.put(layout.worker_file("green", "polecats", "amber"), worker)
        change.emit("rig_add", "added rig green", rig="green")
        return ""

    town.transact("rig add", body)

    def hook(change) -> str:
        bead = change.create("green", title="Mend the roof", assignee=ACTOR)
        bead.move("hooked")
        bead.move("in_progress")
        change.save(bead)
        change.emit("sling", f"slung {bead.id}", bead=bead.id, rig="green")
        return bead.path

    path = town.transact("sling", hook)
    runstate.set_hook_hint(town.root, ACTOR, path)
    return path


@pytest.fixture
def inside(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the agent ACTOR, in the town."""
    monkeypatch.chdir(town.root)
    monkeypatch.setenv("GT_ACTOR", ACTOR)


def test_hook_says_one_line(hooked: str, inside: None, town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    assert fast.run(["hook"]) == 0
    bead_id = layout.bead_of_path(hooked)
    assert capsys.readouterr().out.startswith(f"{bead_id}  P2  in_progress  Mend the roof")


def imported_by(args: list[str], town: Town) -> set[str]:
    """What a command loads beyond a bare interpreter; it must end well."""
    script = (
        "import os, sys; before = set(sys.modules)\n"
        "from gastown.cli.main import main\n"
        f"code = main({args!r})\n"
        "print(*sorted(set(sys.modules) - before), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    env = {"PYTHONPATH": str(PROJECT), "GT_ACTOR": ACTOR, "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-S", "-c", script], cwd=town.root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_hook_imports_nothing_dear(hooked: str, town: Town) -> None:
    assert imported_by(["hook"], town) <= ALLOWED


def test_merging_a_bead_for_git_imports_nothing_dear(hooked: str, town: Town) -> None:
    """A note here, a title and labels there: what concurrent work looks like, without a conflict."""
    path = Path(town.root, hooked)
    base = path.read_text()
    path.with_name("base").write_text(base)
    path.with_name("theirs").write_text(base.replace("title: Mend", "title: Do mend") + "\nlabels:\n  - there\n")
    path.write_text(base + "\nnotes:\n  - at: 2026-11-23T10:00:00Z\n    by: overseer\n    text: |\n      here\n")
    files = [str(path.with_name("base")), str(path), str(path.with_name("theirs"))]
    assert imported_by(["merge-driver", *files, hooked, "7"], town) <= MERGING
    bead = town.bead(str(layout.bead_of_path(hooked)))
    assert (bead.title, bead.labels, bead.notes[0]["text"]) == ("Do mend the roof", ["there"], "here\n")


def test_a_title_never_reaches_the_terminal_raw(
    hooked: str, inside: None, town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(layout.absolute(town.root, hooked))
    path.write_text(path.read_text().replace("title: Mend the roof", 'title: "Mend \\x1b[31m the roof"'))
    assert fast.run(["hook"]) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("status: in_progress", "status: hooked"),
        ("assignee: green/amber", "assignee: green/birch"),
        ("status: in_progress", "status: [torn"),
        ("title: Mend the roof", "title:   odd   # by hand"),
    ],
)
def test_anything_unusual_takes_the_long_way(hooked: str, inside: None, town: Town, old: str, new: str) -> None:
    path = Path(layout.absolute(town.root, hooked))
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert fast.run(["hook"]) is None


def test_no_hint_no_actor_no_town_other_options(
    hooked: str, town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(town.root)
    assert fast.run(["hook"]) is None
    monkeypatch.setenv("GT_ACTOR", "green/nobody")
    assert fast.run(["hook"]) is None
    monkeypatch.setenv("GT_ACTOR", "../../etc/passwd")
    assert fast.run(["hook"]) is None
    monkeypatch.setenv("GT_ACTOR", ACTOR)
    assert fast.run(["hook", "--json"]) is None
    assert fast.run(["hook", "--help"]) is None
    runstate.set_hook_hint(town.root, ACTOR, None)
    assert fast.run(["hook"]) is None
    monkeypatch.chdir(tmp_path)
    assert fast.run(["hook"]) is None


def test_both_ways_say_the_same(hooked: str, town: Town) -> None:
    env = {"GT_ACTOR": ACTOR}
    short = run_gt("hook", cwd=town.root, env=env)
    long = run_gt("hook", ACTOR, cwd=town.root, env=env)
    assert short == long
    assert "in_progress" in short.out
    assert run_gt("heartbeat", cwd=town.root, env=env) == run_gt("--as", ACTOR, "heartbeat", cwd=town.root, env=env)


@pytest.mark.parametrize("arguments", [["hook"], ["hook", ACTOR]])
def test_asking_from_inside_the_session_is_a_sign_of_life(hooked: str, town: Town, arguments: list[str]) -> None:
    run_gt(*arguments, cwd=town.root, env={"GT_ACTOR": ACTOR})
    assert runstate.heartbeat(town.root, ACTOR) is None
    run_gt(*arguments, cwd=town.root, env={"GT_ACTOR": ACTOR, "GT_BEAD": str(layout.bead_of_path(hooked))})
    assert runstate.heartbeat(town.root, ACTOR) is not None


def test_the_first_call_begins_the_work(hooked: str, town: Town) -> None:
    path = Path(layout.absolute(town.root, hooked))
    path.write_text(path.read_text().replace("status: in_progress", "status: hooked"))
    ran = run_gt("hook", cwd=town.root, env={"GT_ACTOR": ACTOR, "GT_BEAD": str(layout.bead_of_path(hooked))})
    assert "  in_progress  " in ran.out
    assert "status: in_progress" in path.read_text()


def test_heartbeat_touches(hooked: str, inside: None, town: Town) -> None:
    assert runstate.heartbeat(town.root, ACTOR) is None
    assert fast.run(["heartbeat"]) == 0
    beat = runstate.heartbeat(town.root, ACTOR)
    assert beat is not None
    assert times.text(beat[0]) > "2026"


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (["ready"], ["ready", "--limit", "999"]),
        (["list"], ["list", "--sort", "priority"]),
        (["status"], ["status", "--interval", "2"]),
        ([], ["status", "--interval", "2"]),
        (["ready", "--json"], ["ready", "--limit", "999", "--json"]),
        (["list", "--json"], ["list", "--sort", "priority", "--json"]),
        (["status", "--json"], ["status", "--interval", "2", "--json"]),
    ],
)
@pytest.mark.parametrize("state", ["sound", "broken", "none"])
def test_plain_lists_say_the_same_both_ways(
    hooked: str, town: Town, state: str, short: list[str], long: list[str]
) -> None:
    def more(change) -> None:
        change.create("green", title="Paint it", priority=1)
        change.create("green", title="Titles may be \x1b[31mred", labels=["x"])

    town.transact("create", more)
    if state == "broken":
        Path(layout.absolute(town.root, hooked)).write_text("id: [torn")
    if state == "none":
        Path(town.root, "town.yaml").unlink()
    said = run_gt(*short, cwd=town.root, code=None)
    assert said == run_gt(*long, cwd=town.root, code=None)
    assert said.code == {"sound": 0, "broken": 1, "none": 4}[state]
    assert "\x1b" not in said.out


@pytest.mark.parametrize("command", ["ready", "list", "status"])
def test_plain_lists_do_without_typer(hooked: str, town: Town, command: str) -> None:
    run_gt("status", cwd=town.root)  # what it found good is not judged again
    script = (
        "import sys\n"
        "from gastown.cli.main import main\n"
        f"code = main([{command!r}])\n"
        "print(*sorted(sys.modules), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    env = {"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-S", "-c", script], cwd=town.root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    dear = {"typer", "dulwich", "ruamel", "email"}
    if command != "status":
        dear |= {"typing", "dataclasses", "inspect"}
    assert not dear & set(done.stderr.split())


def test_reading_a_town_without_a_cache_is_told_on_a_terminal_after_a_second(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gastown.cli.context import _Reading

    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    reading = _Reading()
    for files in (500, 1000, 0):  # quick: not a word
        reading.tell(files)
    assert capsys.readouterr().err == ""
    for files in (500, 1000, 1500):
        reading.tell(files)
        now[0] += 0.8
    assert "reading the town: 1,500 beads" in capsys.readouterr().err
    reading.tell(0)
    assert capsys.readouterr().err == "\r\x1b[2K"
