"""The schemas, what they say about files, the town template, and where all of it is found."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gastown.model import bead as bead_rules
from gastown.model import event as event_rules
from gastown.model.errors import GtError, InvalidFile
from gastown.model.ids import RESERVED, is_id, is_name
from gastown.model.rig import KEYS as RIG_KEYS
from gastown.store import orders, schema, yaml
from gastown.store.resources import data_path

A_TIME = "must be a UTC time such as 2026-11-23T09:30:00Z"
A_COMMIT = "must be a full commit id of 40 hexadecimal digits"
AN_ADDRESS = "must be an address such as greenplace/toast, mayor or overseer"
CREATED = {"at": "2026-11-23T09:30:00Z", "by": "overseer"}
COMMIT = "9fceb02" + "0" * 33

MERGE = {"type": "merge", "branch": "b", "target": "main", "source": "gp-aaaaa", "worker": "r/w", "commit": COMMIT}


def bead(**changes: Any) -> dict[str, Any]:
    doc: dict[str, Any] = {
        "id": "gp-x7k2m",
        "title": "Refactor",
        "type": "task",
        "status": "open",
        "priority": 2,
        "created": CREATED,
        **changes,
    }
    return {key: value for key, value in doc.items() if value is not ...}


def said(kind: str, doc: Any) -> dict[str, str]:
    return {error.key: error.reason for error in schema.validate(kind, doc, "some/file.yaml")}


# -- the schemas themselves ------------------------------------------------


@pytest.mark.parametrize("kind", schema.KINDS)
def test_every_schema_obeys_the_metaschema_and_allows_unknown_keys(kind: str) -> None:
    loaded = schema.load_schema(kind)
    Draft202012Validator.check_schema(loaded)
    assert loaded["$id"] == f"urn:gastown:schema:{kind}"
    assert loaded["additionalProperties"] is True
    assert loaded["title"]
    assert loaded["description"]


def test_schema_files_and_kinds_are_the_same_set() -> None:
    files = {path.name.removesuffix(".schema.json") for path in data_path("schemas").glob("*.schema.json")}
    assert files == set(schema.KINDS)


@pytest.mark.parametrize("kind", schema.KINDS)
def test_every_pattern_compiles_and_every_reference_resolves(kind: str) -> None:
    loaded = schema.load_schema(kind)

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("pattern"), str):
                re.compile(node["pattern"])
            if "$ref" in node:
                assert node["$ref"].removeprefix("#/$defs/") in loaded["$defs"]
            for one in node.values():
                walk(one)
        elif isinstance(node, list):
            for one in node:
                walk(one)

    walk(loaded)


def test_bead_keys_stand_in_canonical_order() -> None:
    assert tuple(schema.load_schema("bead")["properties"]) == bead_rules.KEYS


def test_bead_words_are_those_of_the_life_cycle() -> None:
    properties = schema.load_schema("bead")["properties"]
    assert tuple(properties["type"]["enum"]) == bead_rules.TYPES
    assert tuple(properties["status"]["enum"]) == bead_rules.STATUSES


def test_rig_schema_describes_every_key_of_a_rig() -> None:
    assert tuple(schema.load_schema("rig")["properties"]) == RIG_KEYS


@pytest.mark.parametrize("kind", ["town", "worker", "machine", "agent"])
def test_every_key_that_has_a_place_in_a_file_is_described(kind: str) -> None:
    ordered = set(getattr(orders, kind.upper()))
    assert ordered <= set(schema.load_schema(kind)["properties"])


def test_names_and_ids_are_judged_as_the_model_judges_them() -> None:
    definitions = schema.load_schema("bead")["$defs"]
    names = ["a", "toast", "a-1", "-a", "1a", "A", "a" * 32, "a" * 33, "", "a_b", "mayors", *RESERVED]
    for name in names:
        assert bool(re.search(definitions["name"]["pattern"], name)) == is_name(name), name
    ids = ["gp-x7k2m", "gp-x7k", "gp-x7k2m.1.2", "gp-x7k2m.", "GP-x7k2m", "gp-x7k2m.a", "toolongprefix-x7k2m", "gp"]
    for text in ids:
        assert bool(re.search(definitions["id"]["pattern"], text)) == is_id(text), text


def test_every_event_type_is_allowed() -> None:
    for kind in event_rules.TYPES:
        event = {"ts": "2026-11-23T09:30:00.123Z", "id": "anvil-0001-000042", "type": kind, "actor": "overseer"}
        assert schema.validate("event", event, "feed") == []


# -- documents that are right ----------------------------------------------

BEAD_FILE = b"""\
id: gp-x7k2m

title: Refactor the authentication module to use JWT

type: task                # task bug feature chore epic decision convoy merge escalation

status: in_progress

priority: 2               # 0 (critical) to 4

created: {at: 2026-11-23T09:30:00Z, by: overseer}

assignee: greenplace/toast

machine: anvil

parent: gp-k3n8p

needs:
  - gp-a1b2c

labels:
  - auth

description: |
  What and why.

acceptance: |
  How one sees it.

branch: polecat/toast/gp-x7k2m.a1

target: main

sessions:
  - {id: s-20261123-0a1b, attempt: 1, agent: claude, started: 2026-11-23T09:31:00Z, outcome: handoff, resume: 0f3c}

notes:
  - at: 2026-11-23T10:02:11Z
    by: greenplace/toast
    text: |
      two call sites left

x-mine: kept
"""


def test_a_bead_file_as_documented_is_valid() -> None:
    doc = yaml.load(BEAD_FILE, "beads/2026-11-23/gp-x7k2m.yaml")
    assert schema.validate("bead", doc, "gp-x7k2m.yaml") == []


def test_a_closed_bead_is_valid_with_its_closing() -> None:
    closed = {"at": "2026-11-23T11:00:00Z", "by": "greenplace/refinery", "reason": "merged", "commit": "9fceb02"}
    assert said("bead", bead(status="closed", closed=closed)) == {}


def test_a_merge_bead_is_valid_with_its_fields() -> None:
    doc = bead(
        type="merge",
        branch="polecat/toast/gp-x7k2m.a1",
        target="main",
        source="gp-x7k2m",
        worker="greenplace/toast",
        commit=COMMIT,
        attempts=1,
        gates=[{"name": "test", "result": "could_not_run", "seconds": 0.5, "detail": "not found"}],
    )
    assert said("bead", doc) == {}


@pytest.mark.parametrize(
    "extra",
    [
        {"type": "convoy", "tracks": ["gp-aaaaa", "to-bbbbb"], "owner": "mayor", "notify": ["overseer", "@leads"]},
        {"type": "escalation", "severity": "high", "acked": CREATED},
        {"labels": ["queued"], "dispatch": {"to": "greenplace", "by": "mayor", "at": "2026-11-23T09:30:00Z"}},
        {"agent": "exec", "command": ["make", "test"]},
        {"type": ..., "status": ..., "priority": ...},
    ],
)
def test_beads_of_every_kind_are_valid(extra: dict[str, Any]) -> None:
    assert said("bead", bead(**extra)) == {}


def test_town_rig_worker_and_machine_are_valid_as_documented() -> None:
    town = {
        "name": "home",
        "prefix": "hq",
        "created": CREATED,
        "version": 1,
        "max_polecats": 8,
        "runtime": "auto",
        "agent": "claude",
        "deacon": {"settle": "0.3s", "rescan": "60s", "quiet": "15m", "begin": "2m", "idle": "15m", "rescue": "10m"},
        "sync": {"interval": "60s", "claims": "refs"},
        "escalation": {"commands": {"critical": "page-me", "high": ["mail-me", "now"]}},
        "budget": {"sessions_per_day": 100, "cost_per_day": 12.5, "per_bead_attempts": 3},
    }
    rig = {
        "name": "greenplace",
        "prefix": "gp",
        "created": CREATED,
        "git": "ssh://example.org/greenplace.git",
        "branch": "main",
        "landing": "push",
        "parked": False,
        "merge": "rebase",
        "batch": 5,
        "gates": [{"name": "test", "run": "make test", "timeout": "10m", "retries": 1}],
        "setup": ["make deps"],
        "agent": "codex",
        "polecats": {"names": ["toast", "nux"], "max": 4},
        "refinery": {"machine": "anvil"},
    }
    worker = {"name": "toast", "kind": "polecat", "rig": "greenplace", "created": CREATED, "agent": "claude"}
    machine = {"name": "anvil", "id": "6f1a", "platform": "linux-x86_64", "created": CREATED, "capacity": 8}
    machine["seen"] = "2026-11-23T09:30:00Z"
    for kind, doc in (("town", town), ("rig", rig), ("worker", worker), ("machine", machine)):
        assert said(kind, doc) == {}, kind


# -- documents that are wrong ----------------------------------------------


@pytest.mark.parametrize(
    ("changes", "key", "reason"),
    [
        ({"id": "nonsense"}, "id", "id is 'nonsense' but must be a bead id such as gp-x7k2m"),
        ({"title": ...}, "title", "`title` is missing"),
        ({"title": "  "}, "title", "title is '  ' but must be a line of text"),
        ({"title": None}, "title", "`title` is missing"),
        ({"priority": 9}, "priority", "priority is 9 but must be at most 4"),
        ({"priority": True}, "priority", "priority is true but must be a whole number"),
        ({"priority": "high"}, "priority", "priority is 'high' but must be a whole number"),
        ({"created": {"at": "today", "by": "me"}}, "created.at", f"at is 'today' but {A_TIME}"),
        ({"created": "today"}, "created", "created is 'today' but must be a map"),
        ({"needs": ["gp-aaaaa", "x"]}, "needs[1]", "needs[1] is 'x' but must be a bead id such as gp-x7k2m"),
        ({"needs": ["gp-aaaaa", "gp-aaaaa"]}, "needs", "needs holds the same item twice"),
        ({"labels": "auth"}, "labels", "labels is 'auth' but must be a list"),
        ({"assignee": "Toast!"}, "assignee", f"assignee is 'Toast!' but {AN_ADDRESS}"),
        ({"notes": [{"at": "2026-11-23T09:30:00Z", "by": "x"}]}, "notes[0].text", "`text` is missing"),
        ({"command": []}, "command", "command is an empty list but must not be empty"),
        ({"status": "closed"}, "closed", "`closed` must be there because status is closed: {at, by, reason}"),
        ({"closed": {**CREATED, "reason": "x"}}, "closed", "`closed` must go, or status must be closed"),
        ({"status": "hooked"}, "assignee", "`assignee` must say who has it, because status is hooked or in_progress"),
        ({**MERGE, "commit": ...}, "commit", "`commit` is needed in a bead of type merge"),
        ({**MERGE, "commit": "9fceb02"}, "commit", f"commit is '9fceb02' but {A_COMMIT}"),
    ],
)  # fmt: skip
def test_a_wrong_bead_is_told_in_one_sentence(changes: dict[str, Any], key: str, reason: str) -> None:
    assert said("bead", bead(**changes)) == {key: reason}


def test_a_bad_word_names_the_allowed_ones() -> None:
    reason = said("bead", bead(status="blocked"))["status"]
    assert reason == "status is 'blocked' but must be one of: open, hooked, in_progress, merging, deferred, closed"


def test_status_closed_without_closing_and_merge_without_fields_are_all_reported() -> None:
    found = said("bead", bead(type="merge", status="closed"))
    assert set(found) == {"closed", "branch", "target", "source", "worker", "commit"}


def test_an_unknown_severity_in_a_map_of_commands_is_named() -> None:
    found = said("town", {"name": "home", "prefix": "hq", "escalation": {"commands": {"loud": "x"}}})
    assert found == {"escalation.commands.loud": "`loud` is not a key here; the keys are: critical, high, medium, low"}


def test_a_document_that_is_no_map_is_reported() -> None:
    assert said("bead", ["a"]) == {"": "must hold a map of keys, not a list"}
    assert said("bead", None) == {"": "must hold a map of keys, not empty"}


def test_a_key_with_nothing_behind_it_is_absent() -> None:
    assert said("bead", bead(assignee=None, description=None)) == {}


def test_lines_are_told_where_the_loader_knows_them() -> None:
    from ruamel.yaml import YAML

    doc = YAML(typ="rt").load(b"id: gp-x7k2m\ntitle: t\ncreated:\n  at: '2026-11-23T09:30:00Z'\n  by: ''\n")
    (error,) = schema.validate("bead", doc, "beads/d/gp-x7k2m.yaml")
    assert (error.path, error.line, error.key) == ("beads/d/gp-x7k2m.yaml", 5, "created.by")


def test_check_raises_the_first_error() -> None:
    with pytest.raises(InvalidFile, match="title") as caught:
        schema.check("bead", bead(title=""), "beads/x.yaml")
    assert caught.value.path == "beads/x.yaml"
    schema.check("bead", bead(), "beads/x.yaml")


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(GtError, match="no schema"):
        schema.validate("beda", {}, "x")


# -- kinds of paths --------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("town.yaml", "town"),
        ("agents/codex.yaml", "agent"),
        ("machines/anvil.yaml", "machine"),
        ("beads/2026-11-23/hq-x7k2m.yaml", "bead"),
        ("rigs/greenplace/beads/2026-11-23/gp-x7k2m.yaml", "bead"),
        ("rigs/greenplace/rig.yaml", "rig"),
        ("rigs/greenplace/polecats/toast.yaml", "worker"),
        ("rigs/greenplace/crew/max.yaml", "worker"),
        ("feed/2026-11-23/anvil-0001.jsonl", "event"),
        ("mail/.groups.yaml", None),
        ("mail/mayor/new/1.M2P3Q4.anvil", None),
        ("roles/mayor.md", None),
        ("rigs/greenplace/roles/mayor.md", None),
        ("rigs/greenplace/polecats/toast.yaml~", None),
        ("formulas/shiny.toml", None),
        (".gt/machine.yaml", None),
        ("sub/town.yaml", None),
        ("", None),
    ],
)
def test_kind_of_a_path(path: str, kind: str | None) -> None:
    assert schema.kind_of(path) == kind


# -- where data files lie --------------------------------------------------


def test_an_installed_wheel_is_preferred_to_a_checkout(tmp_path: Path) -> None:
    package = tmp_path / "site" / "gastown"
    (package / "_data" / "schemas").mkdir(parents=True)
    (tmp_path / "site" / "schemas").mkdir()
    assert data_path("schemas", package=package) == package / "_data" / "schemas"


def test_a_checkout_has_its_data_at_the_top(tmp_path: Path) -> None:
    (tmp_path / "examples" / "town-template").mkdir(parents=True)
    assert data_path("town-template", package=tmp_path / "gastown") == tmp_path / "examples" / "town-template"


def test_missing_data_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(GtError, match="missing"):
        data_path("hooks", package=tmp_path / "gastown")
    with pytest.raises(GtError, match="no data files called"):
        data_path("secrets")


# -- the town template -----------------------------------------------------

TEMPLATE = data_path("town-template")
FILES = sorted(path for path in TEMPLATE.rglob("*") if path.is_file())
# cli.md, the commands that roles may be told of.
COMMANDS = set(
    "bead clone create done handoff hook init mail nudge peek prime ready show sling status trust --help".split()
)


def test_the_template_is_text_without_absolute_paths() -> None:
    for path in FILES:
        data = path.read_bytes()
        text = data.decode("utf-8")
        assert b"\r" not in data, path
        assert not re.search(r"/(home|work|tmp|usr|root|Users)/\w", text), path
        assert path.name == ".gitkeep" or text.endswith("\n"), path


def test_the_template_has_every_folder_of_a_new_town() -> None:
    folders = ["agents", "roles", "formulas", "machines", "beads", "rigs", "feed", ".vscode"]
    folders += [f"mail/{who}/{part}" for who in ("mayor", "overseer") for part in ("new", "cur", "tmp")]
    for folder in folders:
        assert any((TEMPLATE / folder).iterdir()), folder


def test_the_template_readme_names_every_folder() -> None:
    readme = (TEMPLATE / "README.md").read_text(encoding="utf-8")
    for entry in TEMPLATE.iterdir():
        if entry.is_dir():
            assert f"`{entry.name}/`" in readme, entry.name
    for name in ("town.yaml", "rig.yaml", "mail/.groups.yaml", "work/", ".gt/", "polecats/", "crew/"):
        assert f"`{name}`" in readme, name


def test_the_template_yaml_loads() -> None:
    found = [path for path in FILES if path.suffix == ".yaml"]
    assert TEMPLATE / "mail" / ".groups.yaml" in found
    for path in found:
        assert yaml.load(path.read_bytes(), path.name) == {}


def test_roles_and_readme_name_only_commands_that_exist() -> None:
    for path in FILES:
        if path.suffix == ".md":
            for command in re.findall(r"`gt ([a-z-]+)", path.read_text(encoding="utf-8")):
                assert command in COMMANDS, (path.name, command)


def test_editors_find_a_schema_for_every_yaml_file() -> None:
    settings = json.loads((TEMPLATE / ".vscode" / "settings.json").read_text(encoding="utf-8"))
    mapped = settings["yaml.schemas"]
    kinds = {path.removeprefix("./.vscode/schemas/").removesuffix(".schema.json") for path in mapped}
    assert kinds == set(schema.KINDS) - {"event"}
    for path, globs in mapped.items():
        kind = path.removeprefix("./.vscode/schemas/").removesuffix(".schema.json")
        for glob in globs:
            assert schema.kind_of(glob.lstrip("/").replace("*", "x")) == kind


@pytest.fixture
def template_repo(tmp_path: Path) -> Path:
    for name in (".gitattributes", ".gitignore"):
        (tmp_path / name).write_bytes((TEMPLATE / name).read_bytes())
    git(tmp_path, "init", "-q")
    return tmp_path


def git(where: Path, *args: str) -> str:
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin", "HOME": str(where), "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *args], cwd=where, env=env, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("path", "driver"),
    [
        ("town.yaml", "gt"),
        ("agents/codex.yaml", "gt"),
        ("machines/anvil.yaml", "gt"),
        ("beads/2026-11-23/hq-x7k2m.yaml", "gt"),
        ("rigs/greenplace/rig.yaml", "gt"),
        ("rigs/greenplace/beads/2026-11-23/gp-x7k2m.yaml", "gt"),
        ("feed/2026-11-23/anvil-0001.jsonl", "gt"),
        ("mail/greenplace/toast/cur/1.M2P3Q4.anvil:2,S", "gt"),
        ("roles/mayor.md", "unspecified"),
        ("sub/town.yaml", "unspecified"),
    ],
)
def test_git_attributes_name_the_merge_driver(template_repo: Path, path: str, driver: str) -> None:
    assert git(template_repo, "check-attr", "merge", "--", path).rstrip().endswith(f"merge: {driver}")


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        (".gt/lock", True),
        ("work/greenplace/toast/README.md", True),
        ("mail/mayor/tmp/1.M2P3Q4.anvil", True),
        ("mail/mayor/tmp/.gitkeep", False),
        ("mail/mayor/new/1.M2P3Q4.anvil", False),
        ("town.yaml", False),
        ("town.yaml~", True),
        (".town.yaml.swp", True),
        ("rigs/work/rig.yaml", False),
        ("beads/2026-11-23/hq-x7k2m.yaml", False),
    ],
)
def test_git_ignores_local_state_and_leftovers_only(template_repo: Path, path: str, ignored: bool) -> None:
    assert (git(template_repo, "check-ignore", "--", path).strip() == path) is ignored
