"""Any YAML text as a tree of values with their places in the text, refusing what a town may not hold.

Built from ruamel's event stream, so that depth, aliases and tags are judged before anything is composed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gastown.model.errors import InvalidFile
from gastown.store.canonical import MAX_DEPTH, printable

MAX_BYTES = 1_048_576

_CONFLICT = re.compile(rb"^(<<<<<<< .*|=======|>>>>>>> .*)\r?$", re.MULTILINE)
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((s + w for s in ("", "+") for w in (".inf", ".Inf", ".INF")), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


class Node:
    """One value and where its text stands: `text[start:end]`; `items` are (key, value) or (None, value)."""

    __slots__ = ("empty", "end", "flow", "items", "kind", "start", "value")

    def __init__(self, kind: str, start: int, *, flow: bool = False) -> None:
        self.kind = kind
        self.start = start
        self.end = start
        self.flow = flow
        self.empty = False
        self.items: list[tuple[Node | None, Node]] = []
        self.value: Any = None


def decode(data: bytes, path: str) -> str:
    """The text of a file, line ends made LF; raises InvalidFile for what no reader should be shown."""
    if len(data) > MAX_BYTES:
        raise InvalidFile(path, f"the file is {len(data):,} bytes; the limit is {MAX_BYTES:,}")
    conflict = _CONFLICT.search(data)
    if conflict:
        line = data.count(b"\n", 0, conflict.start()) + 1
        mark = conflict.group(1).decode("utf-8", "replace")
        raise InvalidFile(path, f"an unresolved git conflict ({mark})", line=line)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidFile(path, f"not UTF-8 at byte {error.start}", line=line) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not printable(text):
        at = next(i for i, c in enumerate(text) if not printable(c))
        reason = f"a character that YAML readers disagree about (U+{ord(text[at]):04X}); write it escaped in quotes"
        raise InvalidFile(path, reason, line=text.count("\n", 0, at) + 1)
    return text


def parse(text: str, path: str) -> Node:
    """The tree of decoded `text`; its top level is a map. Raises InvalidFile."""
    from ruamel.yaml.error import MarkedYAMLError

    try:
        try:
            return _Builder(text, path).build(_events(text, pure=False))
        except MarkedYAMLError as error:
            # libyaml before 0.2.2 stumbles over `{at: 2026-11-23T09:30:00Z}`, which YAML allows
            if error.problem != "found unexpected ':'":
                raise
        return _Builder(text, path).build(_events(text, pure=True))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = "not YAML: " + ", ".join(p for p in (error.context, error.problem) if p)
        line = text.count("\n", 0, mark.index) + 1 if mark else 0
        raise InvalidFile(path, reason, line=line) from None


def _events(text: str, *, pure: bool) -> Iterator[Any]:
    from ruamel.yaml import YAML

    yield from YAML(typ="safe", pure=pure).parse(text)


def plain(node: Node) -> Any:
    """The value of a tree as dicts, lists and scalars."""
    if node.kind == "map":
        return {key.value: plain(value) for key, value in node.items if key is not None}
    if node.kind == "list":
        return [plain(value) for _, value in node.items]
    return node.value


class _Builder:
    """Turns events into Nodes without recursion; every refusal names its line and key."""

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.open: list[Node] = []
        self.keys: list[Node | None] = []  # for each open node, the key waiting for its value
        self.seen: list[set[str]] = []
        self.root: Node | None = None

    def fail(self, reason: str, at: int) -> InvalidFile:
        key = ".".join(k.value for k in self.keys if k is not None)
        return InvalidFile(self.path, reason, line=self.text.count("\n", 0, at) + 1, key=key)

    def build(self, events: Iterator[Any]) -> Node:
        for event in events:
            name = type(event).__name__
            at = event.start_mark.index
            if name == "ScalarEvent":
                self.check(event)
                self.scalar(event)
            elif name in ("MappingStartEvent", "SequenceStartEvent"):
                self.check(event)
                self.start(Node("map" if name[0] == "M" else "list", at, flow=bool(event.flow_style)))
            elif name in ("MappingEndEvent", "SequenceEndEvent"):
                self.finish(event)
            elif name == "AliasEvent":
                raise self.fail("aliases (*name) are refused", at)
            elif name == "DocumentStartEvent":
                if self.root is not None:
                    raise self.fail("more than one YAML document", at)
                if event.version or event.tags:
                    raise self.fail("YAML directives (%) are refused", at)
        if self.root is None:
            raise InvalidFile(self.path, "the file is empty", line=1)
        return self.root

    def check(self, event: Any) -> None:
        at = event.start_mark.index
        if event.tag is not None:
            raise self.fail(f"tags are refused ({event.tag})", at)
        if event.anchor is not None:
            raise self.fail(f"anchors are refused (&{event.anchor})", at)

    def start(self, node: Node) -> None:
        if len(self.open) >= MAX_DEPTH:
            raise self.fail(f"nested deeper than {MAX_DEPTH} levels", node.start)
        if self.open and self.open[-1].kind == "map" and self.keys[-1] is None:
            raise self.fail("a key must be a string", node.start)
        if not self.open and node.kind != "map":
            raise self.fail("the top level must be a map (key: value)", node.start)
        self.open.append(node)
        self.keys.append(None)
        self.seen.append(set())

    def finish(self, event: Any) -> None:
        node = self.open.pop()
        self.keys.pop()
        self.seen.pop()
        if node.flow or not node.items:
            node.end = event.end_mark.index
        else:
            node.end = node.items[-1][1].end
            first_key, first = node.items[0]
            # a block collection's own mark may lie before comments: its first entry says where it stands
            node.start = (first_key or first).start
        self.add(node)

    def scalar(self, event: Any) -> None:
        node = Node("scalar", event.start_mark.index)
        node.end = event.end_mark.index
        style = event.style or ""
        if style in "|>" and style:
            block = self.text[node.start : node.end]
            keeps = "+" in block.split("\n", 1)[0].split("#", 1)[0]
            node.end = node.start + len(block[:-1] if keeps and block[-1:] == "\n" else block.rstrip("\n"))
        node.empty = node.start == node.end
        node.value = event.value if style and style in "|>'\"" else self.resolve(event.value, node.start)
        self.add(node)

    def resolve(self, value: str, at: int) -> Any:
        """A plain scalar by YAML 1.2's core schema; times stay strings."""
        if value in _WORDS:
            return _WORDS[value]
        if value[0] not in "-+.0123456789":
            return value
        if _INT.fullmatch(value):
            if len(value) > 4000:
                raise self.fail(f"a number of {len(value)} digits", at)
            return int(value, 0) if value[:2] in ("0x", "0o") else int(value)
        return float(value) if _FLOAT.fullmatch(value) else value

    def add(self, node: Node) -> None:
        if not self.open:
            if node.kind != "map":
                raise self.fail("the top level must be a map (key: value)", node.start)
            self.root = node
            return
        parent = self.open[-1]
        if parent.kind == "list":
            parent.items.append((None, node))
        elif self.keys[-1] is None:
            self.key(node)
        else:
            key, self.keys[-1] = self.keys[-1], None
            if node.empty:  # its mark is wherever the next token begins
                colon = self.text.find(":", key.end)
                here = colon + 1 if colon >= 0 and not self.text[key.end : colon].strip(" ") else key.end
                node.start = node.end = here
            parent.items.append((key, node))

    def key(self, node: Node) -> None:
        if not isinstance(node.value, str):
            raise self.fail(
                f"a key must be a string: put quotes around {self.text[node.start : node.end]!r}", node.start
            )
        if self.text[node.start : node.end] == "<<":
            raise self.fail("merge keys (<<) are refused", node.start)
        if node.value in self.seen[-1]:
            self.keys[-1] = node
            raise self.fail("the key stands here twice", node.start)
        self.seen[-1].add(node.value)
        self.keys[-1] = node
