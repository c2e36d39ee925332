"""A person's file changed by us keeps what the person wrote."""

from __future__ import annotations

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gastown.model.errors import InvalidFile
from gastown.store import canonical, yaml
from gastown.store.roundtrip import edit, load_safe
from gastown.store.splice import same
from tests.store.test_yaml import BEAD, ORDER, docs, values

COMMENTED = b"""\
# This bead is mine.
# Two lines of it.
id: gp-x7k2m   # never changes
title: 'Refactor the "auth" module'  # short, please
type: task
priority: 0x2
# who made it
created: {at: 2026-11-23T09:30:00Z, by: overseer}   # the day

my-own-key:            # unknown to the program
    deep:  [a,  "b"]   # kept
    # inside
    other: ~

needs:
# the first one
- gp-a1b2c   # blocks us
# the second one
- "gp-zzzz"
labels:
  # areas
  - auth     # the module
  - 'web'
  # - maybe
description: |
  # not a comment
  text
# discussion
notes:
  - at: 2026-11-23T10:02:11Z  # utc
    by: greenplace/toast
    # what was said
    text: |
      two call sites left
# the end
"""


def change(data, **changes):
    """The edited text, after holding that it loads as meant and that comment lines survive."""
    doc = yaml.load(data, "p")
    for key, value in changes.items():
        if value is ...:
            doc.pop(key.replace("_", "-"))
        else:
            doc[key] = value(copy.deepcopy(doc[key])) if callable(value) else value
    out = edit(data, doc, ORDER, "p")
    assert load_safe(out, "p") == doc
    comments = [
        ln.strip() for ln in data.decode().splitlines() if ln.lstrip()[:1] == "#" and " not a " not in ln
    ]
    left = [ln.strip() for ln in out.decode().splitlines()]
    for comment in comments:
        assert comment in left
    return out.decode()


def differing(before, after):
    old, new = before.decode().splitlines(), after.splitlines()
    return [ln for ln in old if ln not in new], [ln for ln in new if ln not in old]


def test_no_change_is_no_byte():
    assert change(COMMENTED) == COMMENTED.decode()


def test_a_title_changes_on_its_line_only():
    out = change(COMMENTED, title="New: title")
    assert differing(COMMENTED, out) == (
        ["title: 'Refactor the \"auth\" module'  # short, please"],
        ['title: "New: title"  # short, please'],
    )


def test_a_note_is_appended():
    note = {"at": "2026-11-24T08:00:00Z", "by": "overseer", "text": "go\non\n"}
    out = change(COMMENTED, notes=lambda n: [*n, note])
    assert differing(COMMENTED, out)[0] == []
    tail = "  - at: 2026-11-24T08:00:00Z\n    by: overseer\n    text: |\n      go\n      on\n"
    assert "two call sites left\n" + tail + "# the end\n" in out


def test_labels_come_and_go():
    assert "  - 'web'\n  - new\n" in change(COMMENTED, labels=["auth", "web", "new"])
    out = change(COMMENTED, labels=["web"])
    assert differing(COMMENTED, out) == (["  - auth     # the module"], [])
    out = change(COMMENTED, labels=["auth", "mid", "web"])
    assert "  - auth     # the module\n  - mid\n  - 'web'\n" in out
    assert "  - first\n  - auth     # the module\n" in change(COMMENTED, labels=["first", "auth", "web"])


def test_a_list_without_indentation_keeps_its_way():
    out = change(COMMENTED, needs=["gp-a1b2c", "gp-mmmm", "gp-zzzz"])
    assert '- gp-a1b2c   # blocks us\n- gp-mmmm\n# the second one\n- "gp-zzzz"\n' in out


def test_a_list_emptied_and_a_list_removed_leave_the_comments():
    assert "labels: []\n  # areas\n" in change(COMMENTED, labels=[])
    change(COMMENTED, labels=...)
    change(COMMENTED, needs=[])
    change(COMMENTED, notes=...)


def test_new_keys_go_where_the_order_puts_them():
    out = change(COMMENTED, status="open", assignee="greenplace/toast")
    assert "type: task\n\nstatus: open\n\npriority: 0x2\n" in out
    assert "# the day\n\nassignee: greenplace/toast\n\nmy-own-key:" in out
    assert out.endswith("two call sites left\n# the end\n")


def test_a_key_unknown_to_the_order_goes_last():
    out = change(COMMENTED, closed={"at": "2026-11-24T08:00:00Z", "by": "overseer"})
    assert "left\n\nclosed: {at: 2026-11-24T08:00:00Z, by: overseer}\n\n# the end\n" in out


def test_texts_become_and_stay_literal_blocks():
    out = change(COMMENTED, description="one\n\ntwo\n", acceptance="all\n")
    assert "description: |\n  one\n\n  two\n" in out
    assert "acceptance: |\n  all\n" in out
    out = change(COMMENTED, title="two\nlines\n")
    assert "title: |  # short, please\n  two\n  lines\n" in out


def test_inside_unknown_maps_only_the_change_is_made():
    out = change(COMMENTED, **{"my-own-key": {"deep": ["a", "c"], "other": 5, "more": {"x": "z"}}})
    assert "    deep:  [a,  c]   # kept\n    # inside\n    other: 5\n    more:\n      x: z\n" in out


def test_a_value_changes_its_kind():
    change(COMMENTED, labels="auth", title=["a", "b"], created="x", description=[{"text": "x\n"}])
    change(COMMENTED, needs={"a": {"b": "c"}}, notes="x\ny\n", priority=None)


def test_flow_values_are_edited_in_the_flow():
    out = change(COMMENTED, created={"at": "2026-11-25T00:00:00Z", "by": "overseer"})
    assert "created: {at: 2026-11-25T00:00:00Z, by: overseer}   # the day\n" in out
    out = change(COMMENTED, created={"at": "2026-11-23T09:30:00Z", "by": "overseer", "via": "a, b"})
    assert 'created: {at: 2026-11-23T09:30:00Z, by: overseer, via: "a, b"}   # the day\n' in out


def test_a_file_without_a_final_newline_and_with_crlf():
    assert change(b"id: x # c\r\ntext: |\r\n  a", title="t") == "id: x # c\n\ntitle: t\n\ntext: |-\n  a\n"


def test_rewrite_keeps_canonical_files_canonical():
    doc = yaml.load(BEAD, "p")
    doc["title"] = "x"
    order = tuple(doc)
    assert yaml.rewrite(BEAD, doc, order, "p") == canonical.dump(doc, order)
    assert yaml.rewrite(None, doc, order, "p") == canonical.dump(doc, order)


def test_rewrite_keeps_a_person_s_comment_in_an_otherwise_canonical_file():
    data = b"# mine\n" + BEAD
    doc = yaml.load(data, "p")
    doc["status"] = "closed"
    out = yaml.rewrite(data, doc, tuple(doc), "p")
    assert out == data.replace(b"status: open", b"status: closed")


def test_what_cannot_be_changed_in_place_keeps_the_leading_comments():
    out = edit(b"# mine\n\n# too\n? a\n: b\n", {"z": 1}, (), "p")
    assert out == b"# mine\n\n# too\n\nz: 1\n"


def test_a_change_that_would_make_the_file_unreadable_is_written_clean():
    # only the pure reader takes this tab, and only the flow map sends the file to it
    data = b"# mine\nat: {at: 2026-11-23T09:30:00Z}\nx:\n  - t: |\n     \t a\n"
    doc = load_safe(data, "p")
    del doc["at"]
    out = edit(data, doc, (), "p")
    assert out.startswith(b"# mine\n")
    assert load_safe(out, "p") == doc


def test_an_unreadable_file_is_never_rewritten():
    with pytest.raises(InvalidFile):
        yaml.rewrite(b"a: [\n", {"a": 1}, (), "p")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(docs.filter(bool), docs, st.data())
def test_any_edit_loads_as_meant(old, new, data):
    text = b"# head\n" + canonical.dump(old).replace(b"\n\n", b"\n# between\n", 1)
    try:
        before = load_safe(text, "p")
    except InvalidFile:
        return
    mixed = {k: v for k, v in before.items() if data.draw(st.booleans())} | new
    for key in list(mixed)[:2]:
        if isinstance(mixed[key], list):
            mixed[key] = [*mixed[key][1:], data.draw(values)]
    assert same(load_safe(edit(text, mixed, ("id", "text"), "p"), "p"), mixed)
