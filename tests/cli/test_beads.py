"""Bead commands as a person calls them: output, exit codes, JSON shapes, mistakes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from gastown.store import runstate
from gastown.store.town import Town
from tests.conftest import Runner, git

ID = re.compile(r"^hq-[0-9a-z]{5}$")


def make(gt: Runner, *args: str) -> str:
    """A new bead's id."""
    return gt("create", *args, "-q").out.strip()


def test_create_prints_id_and_title_and_commits(gt: Runner, town: Town) -> None:
    line = gt("create", "Mend the roof", "-p", "1", "-l", "house", "-d", "soon").lines
    bead_id, title = line[0].split("  ")
    assert ID.match(bead_id)
    assert title == "Mend the roof"
    said = git("log", "-1", "--format=%an %s", cwd=town.root)
    assert said == f"Pat Overseer create: created {bead_id}: Mend the roof"
    assert git("status", "--porcelain", cwd=town.root) == ""


def test_create_json_is_the_bead(gt: Runner) -> None:
    first = make(gt, "first")
    doc = gt("create", "second", "--need", first, "--acceptance", "it works", "--json").json
    assert {k: doc[k] for k in ("title", "type", "status", "priority", "needs", "ready", "blocked_by", "rig")} == {
        "title": "second", "type": "task", "status": "open", "priority": 2, "needs": [first], "ready": False,
        "blocked_by": [first], "rig": None,
    }  # fmt: skip
    assert doc["path"].endswith(f"/{doc['id']}.yaml")
    assert doc["acceptance"] == "it works\n"


def test_text_from_stdin_and_file(gt: Runner, tmp_path: Path) -> None:
    (tmp_path / "text.md").write_text("from a file\n")
    assert gt("create", "a", "-F", str(tmp_path / "text.md"), "--json").json["description"] == "from a file\n"
    assert gt("create", "b", "--stdin", "--json", stdin="from stdin").json["description"] == "from stdin\n"
    refused = gt("create", "c", "--stdin", "-d", "x", code=2)
    assert "cannot be used together" in refused.err


@pytest.mark.parametrize("title", ["--urgent", "-x", "   ", ""])
def test_titles_that_are_options_or_nothing(gt: Runner, title: str) -> None:
    before = gt("list", "--json").json
    ran = gt("create", "--", title, code=2)
    assert ran.err.startswith("error: ")
    assert "hint: " in ran.err
    assert gt("list", "--json").json == before


def test_unknown_option_names_the_nearest(gt: Runner) -> None:
    ran = gt("create", "x", "--priorty", "1", code=2)
    assert "--priority" in ran.err


def test_ready_and_blocked(gt: Runner) -> None:
    first = make(gt, "first")
    second = make(gt, "second", "--need", first)
    assert [line.split()[0] for line in gt("ready").lines] == [first]
    assert gt("blocked").lines == [f"{second}  P2  {first}(open)  second"]
    gt("close", first, "-r", "done")
    assert [line.split()[0] for line in gt("ready").lines] == [second]
    assert gt("blocked").lines == []
    assert gt("blocked", "--json").json == []


def test_list_columns_and_filters(gt: Runner) -> None:
    low = make(gt, "low", "-p", "4", "-l", "x")
    high = make(gt, "high", "-p", "0", "--type", "bug")
    assert gt("list").lines == [f"{high}  P0  open  bug   -  high", f"{low}  P4  open  task  -  low"]
    assert [b["id"] for b in gt("list", "--label", "x", "--json").json] == [low]
    assert [b["id"] for b in gt("list", "--type", "bug", "--json").json] == [high]
    assert [b["id"] for b in gt("list", "--sort", "title", "--json").json] == [high, low]
    gt("close", low, "-r", "no")
    assert [b["id"] for b in gt("list", "--json").json] == [high]
    assert [b["id"] for b in gt("list", "--all", "--json").json] == [high, low]
    assert "did you mean open" in gt("list", "--status", "opn", code=2).err


def test_close_note_reopen_round_trip(gt: Runner) -> None:
    bead = make(gt, "work")
    assert "needs a reason" in gt("close", bead, code=2).err
    assert gt("note", bead, "half", "done").lines == [f"{bead}  noted"]
    closed = gt("close", bead, "-r", "not needed", "--json").json
    assert closed["status"] == "closed"
    assert closed["closed"]["reason"] == "not needed"
    assert closed["notes"][0]["text"] == "half done\n"
    assert gt("close", bead, "-r", "again").lines == [f"{bead}  was closed already: not needed"]
    assert gt("reopen", bead, "--json").json["status"] == "open"


def test_update_fields_and_transitions(gt: Runner) -> None:
    bead = make(gt, "work")
    options = ["--title", "better", "-p", "0", "-l", "a", "-l", "b", "--status", "deferred"]
    doc = gt("update", bead, *options, "--json").json
    assert (doc["title"], doc["priority"], doc["labels"], doc["status"]) == ("better", 0, ["a", "b"], "deferred")
    assert gt("update", bead, "--unlabel", "a", "--json").json["labels"] == ["b"]
    assert gt("update", bead, "--title", "better").lines == [f"{bead}  unchanged"]
    assert "gt sling" in gt("update", bead, "--status", "hooked", code=2).err
    assert "gt close" in gt("update", bead, "--status", "closed", code=2).err
    assert "nothing to change" in gt("update", bead, code=2).err


def test_ids_by_prefix_and_last(gt: Runner) -> None:
    bead = make(gt, "work")
    assert gt("show", bead[3:6], "--json").json["id"] == bead
    assert gt("show", "@last", "--json").json["id"] == bead


def test_unknown_id_is_6_with_suggestion_and_json_error(gt: Runner) -> None:
    bead = make(gt, "work")
    wrong = bead[:-1] + ("a" if bead[-1] != "a" else "b")
    ran = gt("show", wrong, "--json", code=6)
    assert ran.json["error"]["code"] == "not_found"
    assert bead in ran.json["error"]["hint"]
    assert ran.err.startswith(f"error: no bead '{wrong}'")


def test_show_several_shows_what_is_there(gt: Runner) -> None:
    one, two = make(gt, "one"), make(gt, "two")
    assert [b["id"] for b in gt("show", one, two, "--json").json] == [one, two]
    ran = gt("show", one, "zz-zzzzz", code=6)
    assert ran.out.startswith(f"{one}  one\n")
    assert "gt log " + one in ran.out
    assert ran.err.startswith("error: no bead 'zz-zzzzz'")
    missing, there = gt("show", "zz-zzzzz", one, "--json", code=6).json
    assert (missing["error"]["code"], there["id"]) == ("not_found", one)


def test_of_several_beads_one_that_fails_hides_nothing_of_the_others(gt: Runner) -> None:
    first, parent, last = make(gt, "first"), make(gt, "parent"), make(gt, "last")
    ran = gt("update", first, parent, last, "--parent", parent, code=2)
    assert ran.lines == [f"{first}  changed parent", f"{last}  changed parent"]
    assert ran.err.startswith("error: ")
    assert gt("update", first, parent, last, "--parent", parent, "-q", code=2).lines == [first, last]
    one, failed, other = gt("update", first, parent, last, "--parent", parent, "--json", code=2).json
    assert [one["id"], other["id"]] == [first, last]
    assert failed["error"]["code"] == "usage"
    assert gt("close", first, last, code=2).err.count("closing needs a reason") == 1


def test_of_several_beads_none_is_touched_where_one_is_no_bead(gt: Runner) -> None:
    bead = make(gt, "work")
    for verb in ("close", "reopen", "update"):
        ran = gt(verb, bead, "zz-zzzzz", *(["-p", "0"] if verb == "update" else []), code=6)
        assert ran.out == ""
    doc = gt("show", bead, "--json").json
    assert (doc["status"], doc["priority"]) == ("open", 2)


def test_dependencies_refuse_circles_and_unknown(gt: Runner) -> None:
    one, two = make(gt, "one"), make(gt, "two")
    gt("bead", "dep", "add", one, two)
    assert f"{one} needs {two}" in gt("bead", "dep", "add", two, one, code=2).err
    assert gt("bead", "dep", "add", one, "hq-zzzzz", code=6).err.startswith("error: no bead")
    assert gt("bead", "dep", "list", two, "--json").json == {"id": two, "needs": [], "needed_by": [one]}
    assert gt("bead", "dep", "remove", one, two).lines == [f"{one}  needs nothing"]


def test_children_tree_and_labels(gt: Runner) -> None:
    parent = make(gt, "parent", "--type", "epic")
    child = make(gt, "child", "--parent", parent)
    assert child == f"{parent}.1"
    assert gt("bead", "tree", parent).lines == [f"{parent}  P2  open  parent", f"└─ {child}  P2  open  child"]
    assert "lies below" in gt("update", parent, "--parent", child, code=2).err
    assert gt("bead", "label", "add", child, "red").lines == [f"{child}  labels: red"]
    assert gt("bead", "label", "list", "--json").json == [{"label": "red", "beads": 1}]


def test_at_reads_the_past(gt: Runner) -> None:
    bead = make(gt, "before")
    gt("update", bead, "--title", "after")
    assert gt("show", bead, "--json", "--at", "HEAD~1").json["title"] == "before"
    assert [b["title"] for b in gt("list", "--json", "--at", "HEAD~1").json] == ["before"]
    assert gt("list", "--json", "--at", "HEAD~2").json == []
    assert gt("list", "--at", "nonsense", code=2).err.startswith("error: 'nonsense'")


CONFLICT = b"<<<<<<< ours\ntitle: a\n=======\ntitle: b\n>>>>>>> theirs\n"


@pytest.mark.parametrize("content", [b"id: [\n", CONFLICT, b"\xff\xfe"])
def test_one_broken_file_is_named_and_hides_nothing(gt: Runner, town: Town, content: bytes) -> None:
    good, bad = make(gt, "good"), gt("create", "bad", "--json").json
    Path(town.root, bad["path"]).write_bytes(content)
    for command in ("list", "ready", "status"):
        ran = gt(command, code=1)
        assert bad["path"] in ran.err + ran.out
    assert [b["id"] for b in gt("list", "--json", code=1).json] == [good]
    assert bad["path"] in gt("show", bad["id"], code=1).err
    assert bad["path"] in gt("note", bad["id"], "x", code=1).err
    assert Path(town.root, bad["path"]).read_bytes() == content
    gt("note", good, "still works")


def test_escapes_never_reach_the_terminal(gt: Runner, town: Town) -> None:
    evil = "red \x1b[31m \x9b bell \x07 \u202e reversed"
    path = Path(town.root, gt("create", "x", "--json").json["path"])
    path.write_text(path.read_text().replace("title: x", "title: " + json.dumps(evil)))
    for args in (["list"], ["show", "@last"], ["ready"], ["list", "--json"], ["show", "@last", "--json"], ["status"]):
        ran = gt(*args)
        assert not set("\x1b\x9b\x07\u202e") & set(ran.out + ran.err), args
    assert gt("show", "@last", "--json").json["title"] == evil


def test_unknown_keys_and_comments_survive(gt: Runner, town: Town) -> None:
    doc = gt("create", "x", "--json").json
    path = Path(town.root, doc["path"])
    path.write_text("# mine\n" + path.read_text() + "\nflavour: vanilla\n")
    gt("update", doc["id"], "-p", "0")
    text = path.read_text()
    assert text.startswith("# mine\n")
    assert "flavour: vanilla" in text
    assert "priority: 0" in text


def test_broken_pipe_is_quiet(gt: Runner, town: Town) -> None:
    from tests.conftest import PROJECT, gt_argv

    make(gt, "x")
    shell = f"cd {PROJECT}; {' '.join(gt_argv())} --town {town.root} feed --json | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")


def test_needs_as_they_were(gt: Runner) -> None:
    first, second = make(gt, "first"), make(gt, "second")
    gt("bead", "dep", "add", second, first)
    gt("bead", "dep", "remove", second, first)
    assert gt("bead", "dep", "list", second).out == ""
    assert gt("bead", "dep", "list", second, "--at", "HEAD~1").out == f"needs  {first}  open  first\n"


def test_a_mistyped_type_suggests_the_nearest(gt: Runner) -> None:
    assert "hint: did you mean task?" in gt("create", "x", "--type", "tsk", code=2).err
    assert "hint: one of: task bug" in gt("create", "x", "--type", "qqq", code=2).err


def test_an_empty_answer_says_so_and_stays_empty(gt: Runner) -> None:
    for args in (["list"], ["list", "--all"], ["ready"], ["blocked"], ["agents"], ["session", "list"], ["mq", "list"]):
        ran = gt(*args)
        assert (ran.out, bool(ran.err)) == ("", True), args
        assert gt(*args, "--json").out == "[]\n"


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"\0\0\0\0", b""])
def test_a_hint_that_is_garbage_is_no_error(gt: Runner, town: Town, damage: bytes) -> None:
    bead = gt("create", "one", "-q").out.strip()
    Path(town.root, ".gt/run/last/overseer").write_bytes(damage)
    assert "bug" not in gt("show", "@last", code=None).err
    gt("note", bead, "two")
    assert gt("show", "@last", "--json").json["id"] == bead
    runstate.set_hook_hint(town.root, "green/toast", "x")
    Path(town.root, ".gt/run/hooks/green__toast").write_bytes(damage)
    assert runstate.hook_hint(town.root, "green/toast") is None
