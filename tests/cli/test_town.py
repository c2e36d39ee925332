"""init, status, info, doctor, config, machine, version, and the edge where errors become exit codes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gastown.services.agents import wiring
from gastown.services.mail import escalate
from gastown.store import identity, layout
from gastown.store.town import Town
from tests.conftest import PROJECT, Runner, git, run_gt


def test_version_and_help(tmp_path: Path) -> None:
    assert re.match(r"^gt \d+\.\d+\.\d+$", run_gt("version", cwd=tmp_path).out)
    text = run_gt("--help", cwd=tmp_path).out
    assert "\nFor agents:\n" in text
    assert "  sling " in text


def test_outside_a_town_is_4(tmp_path: Path) -> None:
    for args in ([], ["status"], ["list"], ["create", "x"]):
        ran = run_gt(*args, cwd=tmp_path, code=4)
        assert ran.err.startswith("error: no town at ")
        assert "gt init" in ran.err
    ran = run_gt("list", "--json", cwd=tmp_path, code=4)
    assert ran.json["error"]["code"] == "not_in_town"
    assert "GT_TOWN says" in run_gt("list", cwd=tmp_path, env={"GT_TOWN": str(tmp_path)}, code=4).err


def test_unknown_commands_suggest(tmp_path: Path) -> None:
    ran = run_gt("crate", cwd=tmp_path, code=2)
    assert "`gt create`" in ran.err
    ran = run_gt("bead", "shw", cwd=tmp_path, code=2)
    assert "show" in ran.err
    assert "Commands:" in run_gt("bead", cwd=tmp_path, code=2).err


def test_init_in_a_new_folder(tmp_path: Path) -> None:
    made = run_gt("init", "a/my-place", "--json", cwd=tmp_path).json
    root = tmp_path / "a" / "my-place"
    assert (made["town"], made["prefix"], made["root"]) == ("my-place", "hq", str(root))
    assert git("status", "--porcelain", "--ignored", cwd=root).split() in (["!!", ".gt/", "!!", "work/"], [])
    assert sorted(git("ls-tree", "-r", "--name-only", "HEAD", cwd=root).split()) == sorted(made["files"])
    assert git("log", "--format=%an", cwd=root) == "Pat Overseer"
    assert run_gt("status", cwd=root).out.startswith(f"my-place on {made['machine']}: 0 ready; no remote")
    git("fsck", "--strict", cwd=root)


def test_init_in_a_repository_touches_nothing_there(git_repo: Callable[..., Path]) -> None:
    repo = git_repo("mine", {"README.md": "my words\n", "src/a.py": "a = 1\n", ".gitignore": "*.o\n"})
    (repo / "src" / "a.py").write_text("a = 2\n")
    (repo / "staged.txt").write_text("s\n")
    (repo / "loose.txt").write_text("l\n")
    git("add", "staged.txt", cwd=repo)
    before = git("status", "--porcelain", cwd=repo)
    made = run_gt("init", str(repo), "--json", cwd=repo).json
    assert made["kept"] == [".gitignore", "README.md"]
    assert git("status", "--porcelain", cwd=repo) == before
    assert (repo / "README.md").read_text() == "my words\n"
    assert git("log", "--format=%s", cwd=repo).splitlines()[1:] == ["first"]
    assert git("show", "--format=", "--name-status", "HEAD", cwd=repo).count("A\t") == len(made["files"])


def test_init_refuses(gt: Runner, town: Town, tmp_path: Path) -> None:
    assert "is a town already" in gt("init", code=5).err
    assert "lies inside the town" in gt("init", "sub/dir", code=5).err
    (tmp_path / "file").write_text("")
    assert "is not a folder" in gt("init", str(tmp_path / "file"), code=2).err
    (tmp_path / "full" / "rigs").mkdir(parents=True)
    assert "already holds rigs" in gt("init", str(tmp_path / "full"), code=5).err
    assert "cannot name a town" in gt("init", str(tmp_path / "x"), "--name", "No Way", code=2).err
    assert not (tmp_path / "x").exists()
    assert not Path(town.root, "sub").exists()


def test_init_without_identity_says_so(tmp_path: Path) -> None:
    ran = run_gt("init", "t", cwd=tmp_path, env={"GIT_CONFIG_GLOBAL": os.devnull})
    assert "git does not know who you are" in ran.err
    assert git("log", "--format=%an", cwd=tmp_path / "t") == "overseer"


def test_init_with_an_old_git(tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho git version 2.20.1\n")
    fake.chmod(0o755)
    ran = run_gt("init", "t", cwd=tmp_path, env={"PATH": f"{fake.parent}:{os.environ['PATH']}"}, code=1)
    assert "git 2.20.1 is too old" in ran.err
    assert not (tmp_path / "t").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_read_only_town(gt: Runner, town: Town) -> None:
    for folder, _, _ in os.walk(town.root):
        os.chmod(folder, 0o555)
    try:
        assert gt("list").code == 0
        assert "permission denied" in gt("create", "x", code=1).err
    finally:
        for folder, _, _ in os.walk(town.root):
            os.chmod(folder, 0o755)


def test_a_bug_leaves_a_log(town: Town, tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from gastown.cli import edge\n"
        "sys.exit(edge.report(['x', '--json'], ValueError('odd \\x1b[1m')))\n"
    )
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", script, str(PROJECT)], cwd=town.root, capture_output=True, text=True)
    assert done.returncode == 70
    assert '"code": "bug"' in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    logs = list(Path(layout.log(town.root)).glob("crash-*.log"))
    assert len(logs) == 1
    assert "ValueError" in logs[0].read_text()


def test_status_json_shape(gt: Runner) -> None:
    gt("create", "x")
    doc = gt("status", "--json").json
    assert doc == {
        "town": "demo", "machine": "anvil", "remote": None, "deacon": None, "news": None, "unread": 0, "rigs": [],
        "problems": [],
    }  # fmt: skip


def test_status_names_an_invalid_file_first(gt: Runner, town: Town) -> None:
    path = gt("create", "x", "--json").json["path"]
    Path(town.root, path).write_text("status: [\n")
    ran = gt("status", code=1)
    assert ran.lines[2] == "problems"
    assert path in ran.lines[3]
    assert gt("status", "--json", code=1).json["problems"][0]["kind"] == "invalid_file"


def test_gt_alone_is_status(gt: Runner) -> None:
    assert gt().out == gt("status").out


def test_who_acts(gt: Runner) -> None:
    assert gt("info", "--json").json["actor"] == "overseer"
    assert gt("info", "--json", "--as", "mayor").json["actor"] == "mayor"
    assert gt("info", "--json", env={"GT_ACTOR": "mayor"}).json["actor"] == "mayor"
    assert "may not act as" in gt("--as", "deacon", "info", env={"GT_ACTOR": "mayor"}, code=5).err
    assert "is not an address" in gt("--as", "../x", "info", code=2).err
    gt("create", "by the mayor", "--as", "mayor")
    assert gt("log", "-n", "1", "--json").json[0]["author"] == "mayor"


def test_config_round_trip(gt: Runner, town: Town) -> None:
    assert gt("config", "get", "max_polecats").out == "8\n"
    assert gt("config", "set", "deacon.quiet", "20m").out == "deacon.quiet  20m\n"
    assert gt("config", "get", "deacon.quiet", "--json").json == {"key": "deacon.quiet", "value": "20m", "set": True}
    assert "deacon:\n  quiet: 20m\n" in Path(town.root, "town.yaml").read_text()
    assert "must be a duration" in gt("config", "set", "deacon.quiet", "soon", code=2).err
    assert "is a number" in gt("config", "set", "max_polecats", "many", code=2).err
    assert "not a setting" in gt("config", "set", "name", "other", code=2).err
    ran = gt("config", "set", "my.own", "[a, b]")
    assert "no setting that gt knows" in ran.err
    assert gt("config", "get", "my.own").out == '["a", "b"]\n'
    gt("config", "set", "my.own", "--unset")
    assert "my:" not in Path(town.root, "town.yaml").read_text()
    assert "deacon.quiet" in gt("config", "get", "deacon.quite", code=6).err
    assert git("status", "--porcelain", cwd=town.root) == ""


def test_machine(gt: Runner) -> None:
    assert gt("machine", "list").out.startswith("anvil  here  ")
    assert gt("machine", "show", "--json").json["name"] == "anvil"
    assert "anvil" in gt("machine", "show", "anvel", code=6).err


def test_doctor_finds_and_fixes_what_is_ours(gt: Runner, town: Town) -> None:
    wiring.wire(town)  # the fixture's towns are copies of one
    assert gt("doctor", "--json").json["ok"] is True
    left = Path(town.root, "beads", ".x.yaml" + layout.TEMP_SUFFIX)
    left.write_text("torn")
    for known in (identity.path(town.root), identity.kept(town.root)):
        os.unlink(known)
    ran = gt("doctor", "--json", code=1)
    assert {f["check"] for f in ran.json["findings"] if f["state"] in ("error", "warning")} == {"leftovers", "machine"}
    gt("doctor", "--fix")
    assert not left.exists()
    assert gt("doctor", "--json").json["ok"] is True
    assert gt("feed", "--type", "doctor_fix", "--json").out.count("\n") == 1


def test_doctor_names_foreign_locks_and_broken_files_and_leaves_them(gt: Runner, town: Town) -> None:
    lock = Path(town.root, ".git", "index.lock")
    lock.write_text("")
    broken = Path(town.root, "machines", "other.yaml")
    broken.write_text("name: 7\n")
    ran = gt("doctor", "--fix", code=1)
    assert str(lock) in ran.out
    assert "machines/other.yaml" in ran.out
    assert lock.exists()
    assert broken.read_text() == "name: 7\n"


def test_what_cannot_be_finished_stops_no_command_that_reads(gt: Runner, town: Town, tmp_path: Path) -> None:
    """As on a full disk: git finds no room for the index of a change that stands."""
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(
        '#!/bin/sh\ncase "$*" in *update-index*) echo "fatal: write error" >&2; exit 128;; esac\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    fake.chmod(0o755)
    full = {"PATH": f"{fake.parent}:{os.environ['PATH']}"}
    bead = gt("create", "stands all the same", "-q", env=full).out.strip()
    assert town.unsettled
    for command in (["status"], ["list"], ["ready"], ["prime"], ["feed"], ["mail", "inbox"], ["show", bead]):
        gt(*command, env=full)
    for options in ([], ["--fix"]):
        found = {one["check"]: one for one in gt("doctor", *options, "--json", env=full, code=1).json["findings"]}
        assert found["journal"]["state"] == "error"
        assert "git update-index failed" in found["journal"]["text"]
    assert "write error" in gt("note", bead, "no room", env=full, code=1).err
    gt("list")
    assert not town.unsettled


def test_feed_trail_log(gt: Runner) -> None:
    bead = gt("create", "thing", "-q").out.strip()
    gt("note", bead, "hello")
    events = [line for line in gt("feed", "--bead", bead, "--json").lines]
    assert len(events) == 2
    assert gt("feed", "--type", "note").lines[0].endswith(f"note on {bead}: hello")
    assert "did you mean" in gt("feed", "--type", "nte", code=2).err
    assert gt("trail", "beads").lines[0].split()[1] == "note"
    assert "note: hello" in gt("log", bead).out
    assert [c["subject"].split(":")[0] for c in gt("log", bead, "--json").json] == ["note", "create"]
    assert gt("trail", "nonsense", code=2).err.startswith("error: there is no trail")
    assert gt("feed", "--plain").out == gt("feed").out
    assert gt("feed", "--problems").out == ""
    assert gt("feed", "--since", "9" * 20 + "d").out == gt("feed").out
    assert "no commit as old" in gt("list", "--at", "9" * 20 + "d", code=6).err
    gt("escalate", "help me")
    assert [line.split()[1] for line in gt("feed", "--problems").lines] == ["escalation"]
    assert [line.split()[1] for line in gt("feed", "--problems", "--type", "note").lines] == ["note", "escalation"]


@pytest.mark.parametrize("span", ["inf", "nan", "-1", "1e300", "x"])
@pytest.mark.parametrize(
    "words",
    [
        ("status", "--watch", "--interval"),
        ("session", "stop", "--all", "--grace"),
        ("session", "stop", "--all", "--after"),
        ("sync", "--timeout"),
    ],
    ids=" ".join,
)
def test_what_is_no_time_to_wait_is_refused(gt: Runner, words: tuple[str, ...], span: str) -> None:
    ran = gt(*words, span, code=2)
    assert ran.err.startswith(f"error: '{span}' is no number of seconds\nhint: ")


def test_all_problems_can_be_seen(gt: Runner, town: Town) -> None:
    for number in range(31):
        escalate.escalate(town, f"help {number}")
    assert gt("status").lines[33].strip() == "and 1 more: gt status --all"
    assert gt("status", "--all").out.count("gt escalate ack") == 31


def test_a_word_where_a_number_belongs(gt: Runner) -> None:
    assert "'x' is not a whole number" in gt("list", "-n", "x", code=2).err
    assert "'x' is not a whole number" in gt("create", "y", "-p", "x", code=2).err


def test_the_demo_makes_nothing_for_a_runtime_that_there_is_not(tmp_path: Path) -> None:
    ran = run_gt("demo", str(tmp_path / "d"), "--runtime", "screen", cwd=tmp_path, code=2)
    assert "none of: tmux process auto" in ran.err
    assert not (tmp_path / "d").exists()


def test_a_person_is_not_primed_as_an_agent(gt: Runner) -> None:
    said = gt("prime").out
    assert "gt status" in said
    assert "stop here" not in said


def test_the_doctor_looks_at_all_else_where_git_is_missing(gt: Runner, git_repo: Callable[..., Path]) -> None:
    gt("rig", "add", "one", str(git_repo()))
    ran = gt("doctor", "--json", env={"PATH": "/nonexistent"}, code=1)
    found = {one["check"]: one for one in ran.json["findings"]}
    assert found["git"]["state"] == "error"
    assert "git is not installed" in found["git"]["text"]
    assert found["beads"]["state"] == "ok"
    assert {"files", "machine", "rigs", "sessions"} <= set(found)


def test_an_old_git_is_named_where_it_fails(gt: Runner, tmp_path: Path, git_repo: Callable[..., Path]) -> None:
    repo = git_repo()
    gt("rig", "add", "one", str(repo))
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    real = shutil.which("git")
    # As an old one does: it does not know a word, and does not say why.
    fake.write_text(
        f'#!/bin/sh\n[ "$1" = version ] && {{ echo git version 2.20.1; exit; }}\n'
        f'case "$*" in *config*) exec {real} "$@";; esac\necho "fatal: unknown option" >&2\nexit 129\n'
    )
    fake.chmod(0o755)
    env = {"PATH": f"{fake.parent}:{os.environ['PATH']}"}
    assert "git 2.20.1 is too old" in gt("rig", "add", "two", str(repo), env=env, code=1).err
    assert "git is too old" in gt("log", env=env, code=1).err


@pytest.mark.parametrize("place", ["/dev/null/x", "/proc/x/y"])
def test_a_place_where_no_folder_can_be_is_no_bug(tmp_path: Path, place: str) -> None:
    assert f"the folder {place} cannot be made" in run_gt("init", place, cwd=tmp_path, code=2).err


def test_nothing_near_still_says_where_to_look(gt: Runner) -> None:
    assert "`gt list --all` shows" in gt("show", "zzzzz", code=6).err
    assert "machines: anvil" in gt("machine", "show", "qqq", code=6).err


def test_bytes_that_are_no_text_are_named(town: Town) -> None:
    done = subprocess.run(
        [sys.executable.encode(), b"-m", b"gastown", b"create", b"a \x9b31m title"],
        cwd=town.root, capture_output=True, env={**os.environ, "PYTHONPATH": str(PROJECT), "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.returncode == 2
    assert b"the byte 0x9b, which is no UTF-8" in done.stderr
