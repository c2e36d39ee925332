"""The canonical form, its two readers held equal, and what they refuse."""

from __future__ import annotations

import math
import string
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gastown.model.errors import InvalidFile, UsageError
from gastown.store import canonical, yaml
from gastown.store.fastread import read_fast
from gastown.store.roundtrip import load_safe
from gastown.store.splice import same

ROOT = Path(__file__).parents[2]
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

BEAD = b"""\
id: gp-x7k2m

title: Refactor the authentication module to use JWT

type: task

status: open

priority: 2

created: {at: 2026-11-23T09:30:00Z, by: overseer}

assignee: greenplace/toast

machine: anvil

parent: gp-k3n8p

needs:
  - gp-a1b2c

labels:
  - auth

description: |
  Sessions live in memory: a restart logs everybody out.

  Use signed tokens.

acceptance: |
  All tests pass.

branch: polecat/toast/gp-x7k2m.a1

target: main

sessions:
  - {id: s-20261123-0a1b, agent: claude, started: 2026-11-23T09:31:00Z, outcome: handoff, resume: "0e31"}

notes:
  - at: 2026-11-23T10:02:11Z
    by: greenplace/toast
    text: |
      two call sites left

closed: {at: 2026-11-23T12:00:00Z, by: greenplace/refinery, reason: merged, commit: 9fceb02}
"""
ORDER = ("id", "title", "type", "status", "priority", "created", "assignee", "machine", "parent", "needs")

TRICKY = [
    "", " ", "a ", " a", "~", "null", "Null", "yes", "No", "on", "OFF", "y", "N", "true", "1", "-1", "0x1f",
    "0o17", "017", "1_000", "1e5", "12e4567", "1.5", ".5", "+1", ".inf", "-.inf", ".nan", "NaN", "12:30",
    "2026-11-23", "2026-11-23T09:30:00Z", "2026-11-23 09:30:00", "a: b", "a:", "a #b", "#a", "- a", "-", "---",
    "...", "? a", ": a", "[a]", "{a}", "a, b", "a]", "&a", "*a", "!a", "|", ">", "'a'", '"a"', "%a", "@a", "`a`",
    "=", "<<", "<b>", "a\tb", "\ta", "a\\b", 'a"b', "http://x.y/z?q=1", "é", "日本語", "🎉", "\x7f", "\x85", "\xa0",
    "\u2028", "\u2029", "\ufeff", "\ufffe", "\x00", "\x1b[0m", "a\r\nb", "\r", "a\n", "a\n\n", "\na", "\n", "\n\n",
    " a\nb", "\ta\nb", "a\n b\n", "a\n ", "a\n \n", "a\n\n \n\n", "  \na", "\n  a\n", "a\n\tb", "# a\n# b\n",
    "<<<<<<< x\n=======\n", "a\n---\nb\n", "a: |\n  b\n", "x" * 3000, "x " * 700,
]  # fmt: skip

strings = st.sampled_from(TRICKY) | st.text(max_size=30) | st.text("ab \n\t:#-{}[],'\"\\|>0.eZ", max_size=12)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | strings
    | st.integers(-(10**40), 10**40)
)  # fmt: skip
keys = (
    st.sampled_from(["text", "description", "created", "closed", "id", "notes", "needs", "x"])
    | st.text(string.ascii_lowercase, min_size=1, max_size=6)
    | strings.filter(lambda s: len(s) < 60)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
docs = st.dictionaries(keys, values, max_size=6)


def fails(data: bytes) -> InvalidFile:
    with pytest.raises(InvalidFile) as caught:
        yaml.load(data, "beads/x.yaml")
    assert caught.value.path == "beads/x.yaml"
    return caught.value


def test_the_bead_of_the_design_is_canonical():
    doc = read_fast(BEAD)
    assert doc is not None
    assert canonical.dump(doc) == BEAD
    assert load_safe(BEAD, "p") == doc
    assert doc["created"] == {"at": "2026-11-23T09:30:00Z", "by": "overseer"}
    assert doc["notes"][0]["text"] == "two call sites left\n"
    assert doc["closed"]["commit"] == "9fceb02"


@quick
@given(docs)
@example({"k": TRICKY, **{f"k{i}": v for i, v in enumerate(TRICKY)}})
@example({"created": {f"k{i}": v for i, v in enumerate(TRICKY)}, "l": [{"a": v} for v in TRICKY]})
@example({f"k{i}": {"text": v, "m": [{"text": v, "x": [v]}]} for i, v in enumerate(TRICKY)})
@example({v: {v: v} for v in TRICKY if len(v) < 900})
@example({"created": {v: v for v in TRICKY if len(v) < 900 and "\n" not in v}})
def test_what_is_written_is_read_back_by_both_readers(doc):
    data = canonical.dump(doc)
    fast = read_fast(data)
    assert same(fast, doc)
    assert same(load_safe(data, "p"), doc)
    assert list(fast) == list(doc)
    assert canonical.dump(fast) == data


@quick
@given(docs)
def test_an_independent_reader_agrees_with_what_is_written(doc):
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor

    class Times(SafeConstructor):
        pass

    Times.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = Times
    assert same(reader.load(canonical.dump(doc).decode()), doc)


def test_old_readers_take_plain_words_for_strings():
    from ruamel.yaml import YAML

    plain = {f"k{i}": v for i, v in enumerate(TRICKY) if v != "2026-11-23T09:30:00Z"}
    old = b"%YAML 1.1\n---\n" + canonical.dump(plain)
    assert YAML(typ="safe", pure=True).load(old.decode()) == plain


PIECES = [
    "a: b", "a: 1", "a:", "b: 0x1f", "c: 017", "- x", "  - x", "  - - y", "  -", "  - a: b", "    c: d", "  k: v",
    "", "", "t: |", "t: |-", "t: |+", "t: |2", "t: >", "  text", "   text", "    text", "\ttext", "# c", "  # c",
    "e: {}", "f: []", "g: {a: b, c: d}", "g: {a: b,c: d}", "g: {a: 'b', c: \"d\"}", "h: [a, b]", 'q: "x\\ny"',
    'q: "x\\z"', "q: 'it''s'", '"k": v', "'k': v", "? a", "a : b", "a:  b", "a: b ", "a: b # c", "d: &x y", "d: *x",
    "d: !t y", "---", "...", "i: 1_0", "j: 1.", "j: -0", "j: .5", "n: ~", "n: null", "o: on", "p: a:b", "  b: c",
    "r: -", "s: 2026-11-23", "<<: x", "=: y", "1: x", "u: {a: b: c}", "u: {a: }", "v: {\"a\":b}", "w: -x", " a: b",
    "x: \"a\" b", "x: {a: b} c", "y: a\tb", "z: \xa0", "aa: {a: [b]}", "bb: {a: b, a: c}", "cc: {a: b,}", "dd: a\r",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map(lambda p: ("\n".join(p) + "\n").encode()))
def test_hand_made_text_is_read_alike_or_left_to_ruamel(data):
    agree(data)


@settings(max_examples=300, deadline=None)
@given(
    st.just(BEAD) | docs.map(canonical.dump),
    st.integers(0, 10_000),
    st.integers(0, 3),
    st.sampled_from([b"", b" ", b"\n", b"  ", b":", b": ", b"#", b" #", b"-", b"- ", b"'", b'"', b"\\", b"|", b"{",
                     b"}", b"[", b",", b"\t", b"\r", b"\xff", b"\xc2\x85", b"0", b"&a ", b"!", b"?", b"a: b\n"]),
)  # fmt: skip
def test_damaged_text_is_read_alike_or_left_to_ruamel(data, at, cut, put):
    at %= len(data) + 1
    agree(data[:at] + put + data[at + cut :])


@pytest.mark.parametrize(
    ("data", "doc"),
    [
        (b"# groups\n# more\n{}\n", {}), (b"# a: 1\nb: 2\n", {"b": 2}), ("# h\u00f6\nb: 2\n".encode(), {"b": 2}),
        ("# x\u2028a: 1\nb: 2\n".encode(), None), ("# x\x85a: 1\n{}\n".encode(), None), (b"# x\ra: 1\nb: 2\n", None),
        (b"#\tx\nb: 2\n", None), (b"# nothing\n", None), (b"b: 2\n# last\n", None),
    ],
)  # fmt: skip
def test_comments_at_the_head_cost_nothing(data, doc):
    assert read_fast(data) == doc
    agree(data)


@pytest.mark.parametrize(
    "data", [b"a:\n  \n", b"a:\n  - b: c\n    \n", b" \n", b"a: \n", b"a:\n  - \n", b"\n"]
)
def test_blank_ends_are_left_to_ruamel(data):
    assert read_fast(data) is None
    agree(data)


@pytest.mark.parametrize("data", [b"# a\n# b\n{}\n", b"# a\na: b\n", b"#\n" + BEAD])
def test_comments_above_the_map_do_not_slow_its_reading(data):
    assert read_fast(data) is not None
    agree(data)
    assert not yaml.is_canonical(data)


def agree(data):
    fast = read_fast(data)
    if fast is not None:
        assert same(fast, load_safe(data, "p"))
        return
    line = 1
    try:
        load_safe(data, "p")
    except InvalidFile as error:
        line = error.line
    assert line >= 1


@pytest.mark.parametrize("cut", range(0, len(BEAD), 7))
def test_a_truncated_bead_never_reads_as_something_canonical_it_is_not(cut):
    agree(BEAD[:cut])


def test_order_comes_first_and_the_rest_stays():
    data = yaml.dump({"zeta": 1, "title": "t", "alpha": None, "id": "x"}, ("id", "type", "title"))
    assert data == b"id: x\n\ntitle: t\n\nzeta: 1\n\nalpha: null\n"


def test_empty_values_and_kept_newlines():
    doc = {"a": [], "b": {}, "text": "x\n\n", "c": "", "description": ""}
    assert yaml.dump(doc) == b'a: []\n\nb: {}\n\ntext: |+\n  x\n\nc: ""\n\ndescription: ""\n'


def test_a_read_only_map_is_written_like_any_other():
    view = MappingProxyType({"at": "x", "more": MappingProxyType({"a": (1, 2)})})
    assert yaml.load(yaml.dump({"m": view}), "p") == {"m": {"at": "x", "more": {"a": [1, 2]}}}


def test_reading_and_writing_canonical_files_loads_nothing_heavy():
    code = "import sys; from gastown.store import yaml; yaml.load(yaml.dump({'a': [{'b': 'c'}]}), 'p'); "
    code += (
        "print(*{'re', 'typing', 'json', 'dataclasses', 'datetime', 'pathlib', 'ruamel'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == []


def test_nan_is_kept():
    back = yaml.load(yaml.dump({"x": math.nan}), "p")
    assert math.isnan(back["x"])


@pytest.mark.parametrize("value", ["\ud800", {"a": object()}, {1: "x"}, b"bytes", {"k" * 2000: 1}])
def test_what_cannot_be_written_is_said(value):
    with pytest.raises(ValueError, match=r"."):
        canonical.dump({"x": value})
    with pytest.raises(UsageError):
        yaml.dump({"x": value})


def test_depth_is_limited_alike_when_writing_and_reading():
    def nest(levels, value):
        for i in range(levels):
            value = [value] if i % 2 else {"k": value}
        return value

    deepest = {"x": nest(63, "v")}
    assert yaml.load(yaml.dump(deepest), "p") == deepest == load_safe(yaml.dump(deepest), "p")
    with pytest.raises(UsageError):
        yaml.dump({"x": nest(64, "v")})
    with pytest.raises(UsageError):
        yaml.dump({"x": nest(100_000, "v")})


def test_a_text_past_the_limit_is_refused_when_writing():
    with pytest.raises(UsageError, match="limit"):
        yaml.dump({"description": "x" * yaml.MAX_BYTES})


@pytest.mark.parametrize(
    ("data", "line", "key", "words"),
    [
        (b"a: 1\nb: !!python/object:os.system x\n", 2, "b", "tags"),
        (b"a: 1\nb: !x\n  c: d\n", 2, "b", "tags"),
        (b"a: &x 1\nb: *x\n", 1, "a", "anchors"),
        (b"a: 1\nb: *x\n", 2, "b", "aliases"),
        (b"a: 1\nb: 2\na: 3\n", 3, "a", "twice"),
        (b"a:\n  b: 1\n  b: 2\n", 3, "a.b", "twice"),
        (b"a: 1\n---\nb: 2\n", 2, "", "more than one"),
        (b"%YAML 1.1\n---\na: yes\n", 1, "", "directives"),
        (b"- a\n", 1, "", "top level"),
        (b"just words\n", 1, "", "top level"),
        (b"", 1, "", "empty"),
        (b"# nothing\n", 1, "", "empty"),
        (b"a: 1\nb: \xff\n", 2, "", "UTF-8"),
        (b"a: 1\nb: x\xe2\x80\xa8y\n", 2, "", "U+2028"),
        (b"a: 1\n\x00\n", 2, "", "U+0000"),
        (b"a: 1\n<<<<<<< HEAD\nb: 2\n=======\nb: 3\n>>>>>>> x\n", 2, "", "conflict"),
        (b"a: [1\n>>>>>>> \xff theirs\n", 2, "", "conflict"),
        (b"a: 1\n1: x\n", 2, "", "must be a string"),
        (b"a: 1\n[b]: x\n", 2, "", "must be a string"),
        (b"a: 1\n<<: {b: c}\n", 2, "", "merge"),
        (b"a: 1\nb: [1, 2\n", 3, "", "not YAML"),
        (b'a: 1\nb: "x\n', 3, "", "not YAML"),
        (b"a: 1\n b: 2\n", 2, "", "not YAML"),
        (b"a: {b: c\n", 2, "", "not YAML"),
        (b"a: " + b"9" * 5000 + b"\n", 1, "a", "digits"),
    ],
)
def test_refusals_name_their_line_and_key(data, line, key, words):
    error = fails(data)
    assert words in error.reason
    assert (error.line, error.key) == (line, key)


@pytest.mark.parametrize(
    "data",
    [
        b"a: " + b"[" * 10_000,
        b"a: " + b"[" * 10_000 + b"]" * 10_000 + b"\n",
        b"a: " + b"{b: " * 10_000,
        b"".join(b" " * i + b"k:\n" for i in range(1_400)),
        b"a: " + b"- " * 10_000 + b"x\n",
        b"- " * 10_000 + b"x\n",
        b"a:\n  " + b"- " * 10_000 + b"x\n",
    ],
)
def test_deep_nesting_is_refused_without_recursion(data):
    assert fails(data).line >= 1


def test_ten_thousand_levels_of_maps_are_refused():
    data = b"a: " + b"{a: " * 10_000 + b"1" + b"}" * 10_000 + b"\n"
    assert "64 levels" in fails(data).reason


def test_a_bomb_is_refused_at_its_first_anchor():
    bomb = b"a: &a [x, x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (c, c, b", ".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 110)
    )
    error = fails(bomb)
    assert (error.line, error.key) == (1, "a")


def test_two_mebibytes_are_refused():
    assert "limit" in fails(b"a: |\n" + b"  x\n" * 600_000).reason


@pytest.mark.parametrize(
    ("data", "doc"),
    [
        (b"\xef\xbb\xbfa: 1\r\nb: |\r\n  x\r\n  y\r\n", {"a": 1, "b": "x\ny\n"}),
        (b"# c\na: yes\nb: 2026-11-23\nc: 0x1F\nd: ~\ne:\nf: 1e3\n",
         {"a": "yes", "b": "2026-11-23", "c": 31, "d": None, "e": None, "f": 1000.0}),
        (b"{a: {at: 2026-11-23T09:30:00Z}, b: [1, 'x']}", {"a": {"at": "2026-11-23T09:30:00Z"}, "b": [1, "x"]}),
        (b"a: >\n  folded\n  text\nb:\n- x\n- y: z\n", {"a": "folded text\n", "b": ["x", {"y": "z"}]}),
        (b"a: |\n  x\n=======z\n".replace(b"=======z\n", b"b: =======\n"), {"a": "x\n", "b": "======="}),
    ],
)  # fmt: skip
def test_hand_written_yaml_is_understood(data, doc):
    assert yaml.load(data, "p") == doc
