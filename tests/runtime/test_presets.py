"""Agent presets: the built-in ones, a town's own, and how a command line is made from one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gastown.model.errors import InvalidFile, NotFound, Refused, UsageError
from gastown.runtime.presets import BUILT_IN, Preset, fill, list_presets, load_preset
from gastown.store import schema

NAMES = ["amp", "auggie", "claude", "codex", "copilot", "cursor", "exec", "gemini", "opencode", "pi"]
UUID = "0199a213-81c0-7800-8aa1-bbab2a035a53"
VALUES: dict[str, Any] = {
    "prompt": 'do "it"; $(rm -rf /) {gt}\nnow',
    "prompt_file": "/t/.gt/run/prompt",
    "session": "s-20261123-0a1b",
    "resume": "0f3c",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "worktree": "/t/work/r/toast",
    "gt": "/opt/gt",
    "hooks_file": "/t/.gt/run/hooks.json",
}


@pytest.fixture
def town(tmp_path: Path) -> Path:
    (tmp_path / "agents").mkdir()
    return tmp_path


def write(town: Path, name: str, text: str) -> Path:
    path = town / "agents" / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


# -- the built-in ones -----------------------------------------------------


def test_all_built_in_presets_load() -> None:
    presets, problems = list_presets(None)
    assert problems == []
    assert [preset.name for preset in presets] == NAMES
    assert {preset.source for preset in presets} == {BUILT_IN}
    assert [one for preset in presets for one in schema.validate("agent", preset.doc, preset.name)] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_form_makes_a_command_line(name: str) -> None:
    preset = load_preset(name, None)
    for form in (preset.headless, preset.terminal):
        if form is None:
            continue
        argv = form.argv(VALUES)
        assert all(isinstance(item, str) for item in argv)
        assert argv[0] in (VALUES["gt"], preset.doc["version"][0])
        assert (VALUES["prompt"] in argv) == (form.prompt_mode == "arg")
        assert not any(re.search(r"(?<!\$)\{[a-z_]+\}", item) for item in argv if item != VALUES["prompt"])
        if form.can_resume:
            resumed = form.resume_argv(VALUES)
            assert VALUES["resume"] in resumed
            assert (VALUES["prompt"] in resumed) == (form.resume_prompt_mode == "arg")


@pytest.mark.parametrize("name", NAMES)
def test_a_command_that_chooses_its_session_id_passes_it(name: str) -> None:
    preset = load_preset(name, None)
    for form in (preset.headless, preset.terminal):
        if form is not None:
            assert ("{uuid}" in form.command) == bool(form.session_id.get("chosen"))


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_can_be_tested_and_runs_without_a_terminal(name: str) -> None:
    preset = load_preset(name, None)
    assert preset.get("version")
    assert not preset.interactive
    assert preset.description


def test_exec_is_gt_itself() -> None:
    preset = load_preset("exec", None)
    assert preset.argv({"gt": "/opt/gt"}) == ["/opt/gt", "exec-work"]
    assert preset.form(terminal=True).argv({"gt": "/opt/gt"}) == ["/opt/gt", "exec-work"]
    assert preset.form(terminal=False).prompt_mode == "none"
    assert fill(preset.get("version"), {"gt": "/opt/gt"}) == ["/opt/gt", "version"]


def test_hooks_are_loaded_only_when_asked_for() -> None:
    preset = load_preset("claude", None)
    assert "--settings" not in preset.argv(VALUES)
    hooks = preset.hooks_args(VALUES)
    assert hooks == ["--settings", VALUES["hooks_file"]]
    argv = preset.argv({**VALUES, "hooks_args": hooks}, terminal=True)
    assert argv[-3:] == ["--settings", VALUES["hooks_file"], VALUES["prompt"]]


@pytest.mark.parametrize("name", NAMES)
def test_who_reads_news_by_a_hook_is_started_with_it_and_who_does_not_is_told_at_a_known_prompt(name: str) -> None:
    preset = load_preset(name, None)
    assert preset.loads_hooks == bool(preset.hooks["supported"])
    if preset.loads_hooks:
        said = str(preset.hooks.get("text", "")) + " ".join(preset.hooks_args(VALUES))
        assert "gt mail check --inject" in said
        assert "gt heartbeat" in said
        given = [*preset.hooks_args(VALUES), *preset.environment(VALUES, hooks=True).values()]
        assert ("text" in preset.hooks) == any(VALUES["hooks_file"] in one for one in given)
        if str(preset.hooks.get("file", "")).endswith(".json") and "text" in preset.hooks:
            assert json.loads(preset.hooks["text"])["hooks"]


def test_variables_are_filled_and_those_of_hooks_only_with_hooks() -> None:
    preset = load_preset("opencode", None)
    assert preset.environment({})["OPENCODE_PERMISSION"] == '{"*": "allow"}'
    assert "OPENCODE_CONFIG_CONTENT" not in preset.environment({})
    given_hooks = preset.environment(VALUES, hooks=True)
    assert given_hooks["OPENCODE_CONFIG_CONTENT"] == '{"plugin": ["file:///t/.gt/run/hooks.json"]}'


def matches(sight: Any, screen: str) -> bool:
    found = "screen" not in sight or re.search(sight["screen"], screen)
    return bool(found) and not ("absent" in sight and re.search(sight["absent"], screen))


@pytest.mark.parametrize(
    ("name", "ready", "busy"),
    [
        ("claude", "❯\u00a0", "* Pondering… (esc to interrupt)\n❯ "),
        ("codex", "› Ask Codex to do anything", "Working (8s • esc to interrupt)\n› Ask Codex to do anything"),
        ("gemini", " > Type your message or @path", "⠏ Thinking (esc to cancel)\n > Type your message"),
        ("opencode", "Ask anything", "running  esc interrupt"),
    ],
)
def test_screens_are_told_apart(name: str, ready: str, busy: str) -> None:
    form = load_preset(name, None).form(terminal=True)
    assert matches(form.get("ready"), ready)
    assert matches(form.get("idle"), ready)
    assert not matches(form.get("busy"), ready)
    assert matches(form.get("busy"), busy)
    assert not matches(form.get("idle"), busy)


@pytest.mark.parametrize(
    "screen",
    [
        "Do you trust this folder?\n\n ❯ 1. Yes, I trust this folder\n   2. No, exit\n",
        "WARNING: Bypass Permissions mode\n\n  ❯ 1. No, exit\n    2. Yes, I accept\n\n  Enter to confirm",
    ],
)
def test_a_question_is_not_taken_for_a_prompt(screen: str) -> None:
    form = load_preset("claude", None).form(terminal=True)
    assert not matches(form.get("ready"), screen)
    assert not matches(form.get("idle"), screen)
    assert [one for one in form.get("dialogs") if re.search(one["match"], screen)]


@pytest.mark.parametrize(
    ("name", "screen", "found"),
    [
        ("codex", f"To go on: codex resume {UUID}", UUID),
        ("gemini", f"gemini --resume {UUID}", UUID),
        ("opencode", "  opencode -s ses_4aB9", "ses_4aB9"),
    ],
)
def test_session_ids_are_found_on_the_screen(name: str, screen: str, found: str) -> None:
    match = re.search(load_preset(name, None).form(terminal=True).session_id["pattern"], screen)
    assert match is not None
    assert match[1] == found


def test_a_usage_limit_yields_its_reset() -> None:
    notice = "5-hour limit · resets 3pm (Europe/Berlin)"
    for limit in load_preset("claude", None).get("limits"):
        match = re.search(limit["match"], notice)
        if match:
            assert (limit["kind"], limit["reset"], match["reset"]) == ("usage", "clock", "3pm (Europe/Berlin)")
            return
    pytest.fail("no limit found")


def test_a_conversation_is_reopened_as_a_copy_where_that_is_possible() -> None:
    form = load_preset("claude", None).form(terminal=True)
    argv = form.fork_argv(VALUES)
    assert argv[-4:] == ["--fork-session", "--resume", VALUES["resume"], VALUES["prompt"]]
    with pytest.raises(Refused, match="without changing it"):
        load_preset("codex", None).form(terminal=False).fork_argv(VALUES)


# -- filling ---------------------------------------------------------------


@settings(max_examples=60)
@given(st.text(), st.text())
def test_values_reach_the_program_as_they_are(prompt: str, worktree: str) -> None:
    filled = fill(["x", "{prompt}", "-C{worktree}"], {"prompt": prompt, "worktree": worktree})
    assert filled == ["x", prompt, f"-C{worktree}"]


def test_a_value_is_not_searched_again() -> None:
    assert fill(["{prompt}"], {"prompt": "{gt}", "gt": "no"}) == ["{gt}"]


def test_other_braces_are_left_alone() -> None:
    items = ['hooks.Stop=[{hooks=[{type="command"}]}]', "${HOME}", "{}", "{Upper}", "{a b}"]
    assert fill(items, {}) == items


def test_a_list_stands_for_its_items() -> None:
    assert fill(["a", "{hooks_args}", "b"], {"hooks_args": ["1", "2"]}) == ["a", "1", "2", "b"]
    assert fill(["a", "{hooks_args}", "b"], {"hooks_args": []}) == ["a", "b"]
    with pytest.raises(UsageError, match="must stand alone"):
        fill(["a{hooks_args}"], {"hooks_args": ["1"]})


def test_a_placeholder_without_a_value_is_an_error() -> None:
    with pytest.raises(UsageError, match="no value"):
        fill(["{worktree}"], {})


# -- a town's own ----------------------------------------------------------

MINE = 'name: mine\n\ncommand:\n  - my-agent\n  - "{prompt}"\n\nprompt:\n  mode: arg\n'


def test_a_town_adds_presets_and_overrides_built_in_ones(town: Path) -> None:
    write(town, "mine", MINE)
    write(town, "codex", MINE.replace("mine", "codex"))
    assert load_preset("mine", town).source == "agents/mine.yaml"
    own = load_preset("codex", town)
    assert own.source == "agents/codex.yaml"
    assert own.argv(VALUES) == ["my-agent", VALUES["prompt"]]
    assert load_preset("codex", None).source == BUILT_IN
    presets, problems = list_presets(town)
    assert [preset.name for preset in presets] == sorted([*NAMES, "mine"])
    assert problems == []


def test_an_unknown_preset_names_near_ones(town: Path) -> None:
    with pytest.raises(NotFound) as caught:
        load_preset("cluade", town)
    assert caught.value.near[0] == "claude"
    with pytest.raises(NotFound) as caught:
        load_preset("zzz", town)
    assert "known presets: amp, auggie" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        (MINE.replace("name: mine", "name: other"), "name", "the preset other"),
        ("name: mine\n", "", "`command` or `terminal` is missing"),
        ("name: mine\n\nterminal:\n  quit:\n    text: /exit\n", "terminal.command", "is missing"),
        (MINE.replace("{prompt}", "{promt}"), "command[1]", "{promt} is no placeholder"),
        (MINE.replace("mode: arg", "mode: telepathy"), "prompt.mode", "must be one of: arg, file, stdin, paste, none"),
        (MINE + '\nlimits:\n  - match: "("\n    kind: usage\n', "limits[0].match", "not a regular expression"),
        (MINE + "\nsession_id:\n  pattern: abc\n", "session_id.pattern", "exactly one group"),
        (MINE + '\nenv:\n  A: "{nothing}"\n', "env", "is no placeholder"),
    ],
)
def test_a_broken_preset_is_told_and_not_replaced(town: Path, text: str, key: str, reason: str) -> None:
    write(town, "mine", text)
    with pytest.raises(InvalidFile, match=re.escape(reason)) as caught:
        load_preset("mine", town)
    assert (caught.value.path, caught.value.key) == ("agents/mine.yaml", key)


def test_one_broken_preset_hides_no_other_and_no_built_in_stands_in(town: Path) -> None:
    write(town, "claude", "name: [\n")
    write(town, "mine", MINE)
    presets, problems = list_presets(town)
    assert [preset.name for preset in presets] == sorted([*NAMES, "mine"])[0:2] + sorted([*NAMES, "mine"])[3:]
    assert [problem.path for problem in problems] == ["agents/claude.yaml"]
    with pytest.raises(InvalidFile):
        load_preset("claude", town)


def test_an_interactive_preset_needs_a_terminal(town: Path) -> None:
    write(town, "mine", MINE + "\ninteractive: true\n")
    preset = load_preset("mine", town)
    assert preset.interactive
    assert preset.form(terminal=True).terminal
    assert preset.argv(VALUES, terminal=True) == ["my-agent", VALUES["prompt"]]
    with pytest.raises(Refused, match="only in a terminal"):
        preset.argv(VALUES)


def test_a_terminal_form_takes_what_it_does_not_say_from_the_top(town: Path) -> None:
    resume = '\nresume:\n  command:\n    - my-agent\n    - "{resume}"\n'
    write(town, "mine", MINE + resume + "\nterminal:\n  ready:\n    delay: 3s\n")
    form = load_preset("mine", town).form(terminal=True)
    assert form.command == ("my-agent", "{prompt}")
    assert form.resume_argv(VALUES) == ["my-agent", "0f3c"]
    assert form.get("ready") == {"delay": "3s"}


def test_a_terminal_command_of_its_own_does_not_take_the_other_forms_resume(town: Path) -> None:
    resume = '\nresume:\n  command:\n    - my-agent\n    - "{resume}"\n'
    write(town, "mine", MINE + resume + '\nterminal:\n  command:\n    - my-tui\n    - "{prompt}"\n')
    form = load_preset("mine", town).form(terminal=True)
    assert form.argv(VALUES)[0] == "my-tui"
    with pytest.raises(Refused, match="cannot take up"):
        form.resume_argv(VALUES)


def test_the_hash_follows_what_is_said_not_how(town: Path) -> None:
    def hashed(text: str) -> str:
        write(town, "mine", text)
        return load_preset("mine", town).content_hash()

    first = hashed(MINE)
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert hashed("# a comment\n" + MINE) == first
    assert hashed('prompt: {mode: arg}\ncommand: [my-agent, "{prompt}"]\nname: mine\n') == first
    assert hashed(MINE.replace("my-agent", "my-agent2")) != first
    assert hashed(MINE + "\nenv:\n  A: b\n") != first


def test_a_preset_cannot_be_changed_by_whoever_holds_it() -> None:
    preset = load_preset("exec", None)
    assert isinstance(preset, Preset)
    with pytest.raises(AttributeError):
        preset.name = "other"  # type: ignore[misc]  # the point of the test
