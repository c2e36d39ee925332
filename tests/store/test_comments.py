"""Comments in hand-written YAML: which there are, where they belong, and that a merge of two texts keeps them."""

from __future__ import annotations

import pytest

from gastown.store import comments
from gastown.store import yaml as yaml_store
from gastown.store.filemerge import merge_file

PATH = "rigs/app/rig.yaml"
TEXT = b"""# at the top
name: app   # beside
description: |
  # no comment
  text
list:
  - one  # of an item
  # between
  - "# no comment either"
map: {a: b}   # behind a map
# at the end
"""


def test_what_is_a_comment_and_what_it_belongs_to() -> None:
    assert comments.found(TEXT, PATH) == [
        ("# at the top", "name"), ("# beside", "name"), ("# of an item", "list"), ("# between", "list"),
        ("# behind a map", "map"), ("# at the end", ""),
    ]  # fmt: skip
    assert comments.found(b"not: [yaml", PATH) == []
    assert comments.found(b"<<<<<<< HEAD\n", PATH) == []


def test_comments_are_put_where_they_belong_and_change_no_value() -> None:
    bare = b"name: app\n\ndescription: |\n  text\n\nmap: {a: b}"
    full = comments.kept(bare, [("# one", "name"), ("# two", "map"), ("# three", "gone"), ("# four", "")], PATH)
    assert full.decode().split("\n") == [
        "# one", "name: app", "", "description: |", "  text", "", "# two", "map: {a: b}", "# three", "# four", "",
    ]  # fmt: skip
    assert yaml_store.load(full, PATH) == yaml_store.load(bare, PATH)


@pytest.mark.parametrize("key", ["name", "branch"])
def test_a_merge_that_decides_a_value_keeps_the_comments_of_both(key: str) -> None:
    base = b"name: app\nbranch: main\nprefix: ap\n"
    ours = base.replace(f"{key}: ".encode(), f"# our reason\n{key}: our-".encode())
    theirs = base.replace(f"{key}: ".encode(), f"{key}: their-".encode()) + b"# theirs\n"
    one = merge_file(PATH, base, ours, theirs).data
    assert one == merge_file(PATH, base, theirs, ours).data
    assert b"# our reason" in one
    assert b"# theirs" in one
    assert yaml_store.load(one, PATH)[key].startswith("their-")
