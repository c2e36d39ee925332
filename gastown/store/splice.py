"""The smallest change of a hand-written YAML text that makes it hold other values.

Works on places in the text, not on a re-emitted document, so every untouched byte stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

from gastown.store import canonical
from gastown.store.yamltree import Node, plain


class Unfit(Exception):
    """This part of the text cannot take the change in place; the caller rewrites a larger part."""


def spliced(text: str, tree: Node, target: dict[str, Any], order: Sequence[str]) -> str:
    """`text` (LF, ending in a newline, read as `tree`) changed towards `target`; the caller checks the result.

    Raises Unfit if only a complete rewrite would do.
    """
    work = _Splicer(text)
    if tree.flow:
        work.flow(tree, target)
    else:
        work.block_map(tree, target, order, top=True)
    return work.result()


def same(a: object, b: object) -> bool:
    """Whether two values are equal with their types (1 is not 1.0 or True), map order aside."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and repr(a) == repr(b)


class _Splicer:
    def __init__(self, text: str) -> None:
        self.text = text
        self.edits: list[tuple[int, int, str]] = []

    def result(self) -> str:
        out: list[str] = []
        at = 0
        for start, end, new in sorted(self.edits, key=lambda e: e[:2]):
            if start < at:
                raise Unfit
            out += (self.text[at:start], new)
            at = end
        return "".join(out) + self.text[at:]

    # -- places ----------------------------------------------------------------------------------

    def line(self, at: int) -> int:
        """Where the line of `at` begins."""
        return self.text.rfind("\n", 0, at) + 1

    def after(self, at: int) -> int:
        """Where the line after `at` begins."""
        return self.text.index("\n", at) + 1

    def column(self, at: int) -> int:
        return at - self.line(at)

    def own_line(self, at: int) -> int:
        """The start of the line of `at`, which must hold nothing before it."""
        start = self.line(at)
        if self.text[start:at].strip(" "):
            raise Unfit
        return start

    def colon(self, key: Node) -> int:
        at = self.text.find(":", key.end)
        if at < 0 or self.text[key.end : at].strip(" "):
            raise Unfit
        return at

    def dash(self, item: Node) -> int:
        """Where the dash of a block list's item stands."""
        line = self.line(item.start)
        before = self.text[line : item.start].rstrip(" ")
        if item.empty or before[-1:] != "-":
            raise Unfit
        return line + len(before) - 1

    def past(self, end: int, column: int) -> int:
        """The start of the first line after `end` that is not a comment deeper than `column`."""
        at = self.after(end)
        while at < len(self.text):
            line = self.text[at : self.text.index("\n", at)]
            if not line.lstrip(" ").startswith("#") or len(line) - len(line.lstrip(" ")) <= column:
                break
            at = self.after(at)
        return at

    def comments(self, start: int, end: int, node: Node) -> list[str]:
        """The whole-line comments in `text[start:end]` that are not part of a scalar of `node`."""
        spans = list(_scalar_spans(node))
        out = []
        while start < end:
            stop = self.after(start)
            line = self.text[start : stop - 1]
            if line.lstrip(" ").startswith("#") and not any(a < start < b for a, b in spans):
                out.append(line)
            start = stop
        return out

    # -- changes ---------------------------------------------------------------------------------

    def value(self, key: Node | None, node: Node, new: Any) -> None:
        """One value of a block map (under `key`) or of a block list."""
        if same(plain(node), new):
            return
        mark = len(self.edits)
        try:
            if node.kind == "map" and isinstance(new, dict) and new:
                return self.flow(node, new) if node.flow else self.block_map(node, new, ())
            if node.kind == "list" and isinstance(new, list) and new:
                return self.flow(node, new) if node.flow else self.block_list(node, new)
        except Unfit:
            del self.edits[mark:]
        if key is None:
            self.replace_item(node, new)
        else:
            self.replace_value(key, node, new)

    def block_map(self, node: Node, new: dict[str, Any], order: Sequence[str], *, top: bool = False) -> None:
        kept: dict[str, int] = {}  # where an entry that stays ends
        for key, value in node.items:
            if key is None:
                raise Unfit
            if key.value in new:
                self.value(key, value, new[key.value])
                kept[key.value] = max(value.end, self.colon(key))
            else:
                self.remove(key.start, value, top=top)
        if not kept:
            raise Unfit
        first = next(k for k, _ in node.items if k is not None)
        column = self.column(first.start)
        added = [k for k in new if k not in kept]
        wanted = [*(k for k in order if k in new), *(k for k in new if k not in order)]
        for anchor, keys in _anchored(kept, added, wanted):
            blocks = [_entry(k, new[k], column) for k in keys]
            if anchor:
                self.insert_entries(self.past(kept[anchor], column), blocks, top=top)
            else:
                gap = "\n" if top else ""
                start = self.own_line(first.start)
                self.edits.append((start, start, "".join(b + gap for b in blocks)))

    def insert_entries(self, at: int, blocks: list[str], *, top: bool) -> None:
        if not top:
            self.edits.append((at, at, "".join(blocks)))
            return
        lead = "" if self.text[:at].endswith("\n\n") else "\n"
        tail = "" if at >= len(self.text) or self.text[at] == "\n" else "\n"
        self.edits.append((at, at, lead + "\n".join(blocks) + tail))

    def remove(self, start: int, node: Node, *, top: bool = False) -> None:
        """The lines of an entry or item that begins at `start`; comment lines among them stay."""
        begin = self.own_line(start)
        end = self.after(max(node.end, start))
        keep = "".join(line + "\n" for line in self.comments(begin, end, node))
        if top and not keep and (not begin or self.text[:begin].endswith("\n\n")):
            while self.text[end : end + 1] == "\n":
                end += 1
        self.edits.append((begin, end, keep))

    def block_list(self, node: Node, new: list[Any]) -> None:
        items = [item for _, item in node.items]
        dashes = [self.dash(item) for item in items]
        column = self.column(dashes[0])
        matcher = SequenceMatcher(
            None, [repr(plain(i)) for i in items], [repr(v) for v in new], autojunk=False
        )
        for op, a, b, c, d in matcher.get_opcodes():
            if op == "equal":
                continue
            pairs = min(b - a, d - c)
            for old, value in zip(items[a : a + pairs], new[c : c + pairs], strict=True):
                self.value(None, old, value)
            for i in range(a + pairs, b):
                self.remove(dashes[i], items[i])
            fresh = "".join(_item(v, column) for v in new[c + pairs : d])
            if fresh:
                spot = a + pairs
                at = self.past(items[spot - 1].end, column) if spot else self.own_line(dashes[0])
                self.edits.append((at, at, fresh))

    def replace_value(self, key: Node, node: Node, new: Any) -> None:
        colon = self.colon(key)
        head, *body = _entry(key.value, new, self.column(key.start)).split("\n")[:-1]
        written = canonical.scalar(key.value)
        head = head[self.column(key.start) + len(written) + 1 :].strip(" ")
        below = "".join(line + "\n" for line in body)
        inline = "\n" not in self.text[colon : node.start]
        if inline and (node.flow or node.kind == "scalar"):
            self.edits.append((colon + 1, node.end, " " + head if head else ""))
            if below:
                at = self.after(node.end)
                self.edits.append((at, at, below))
            return
        begin, end = self.after(colon), self.after(node.end)
        keep = self.comments(begin, end, node)
        if head.startswith("|"):  # deeper, they would become part of the text
            below += "".join(" " * self.column(key.start) + line.lstrip(" ") + "\n" for line in keep)
        else:
            below = "".join(line + "\n" for line in keep) + below
        if head:
            self.edits.append((colon + 1, colon + 1, " " + head))
        self.edits.append((begin, end, below))

    def replace_item(self, node: Node, new: Any) -> None:
        dash = self.dash(node)
        fresh = _item(new, self.column(dash))
        if node.kind == "scalar" and fresh.count("\n") == 1 and "{" not in fresh[:1]:
            self.edits.append((node.start, node.end, fresh[self.column(dash) + 2 : -1]))
            return
        begin, end = self.own_line(dash), self.after(node.end)
        keep = "".join(line + "\n" for line in self.comments(begin, end, node))
        self.edits.append((begin, end, keep + fresh))

    def flow(self, node: Node, new: Any) -> None:
        """A flow map or list: in place if only values changed, else written anew on one line."""
        olds = [value for _, value in node.items]
        if isinstance(new, dict):
            news = list(new.values()) if [k.value for k, _ in node.items if k] == list(new) else []
        else:
            news = new
        if len(olds) == len(news) and not any(v.empty for v in olds):
            for old, value in zip(olds, news, strict=True):
                if not same(plain(old), value):
                    self.edits.append((old.start, old.end, _flow_text(value)))
            return
        source = self.text[node.start : node.end]
        if "\n" in source and "#" in source:
            raise Unfit
        self.edits.append((node.start, node.end, _flow_text(new, self.sources(node))))

    def sources(self, node: Node) -> dict[str, tuple[str, Any, str]]:
        """How each entry of a flow map is written now: key text, value, value text."""
        return {
            k.value: (self.text[k.start : k.end], plain(v), self.text[v.start : v.end] or "null")
            for k, v in node.items
            if k is not None
        }


def _anchored(kept: dict[str, int], added: list[str], wanted: list[str]) -> list[tuple[str, list[str]]]:
    """Added keys, grouped under the kept key each follows in the wanted order ("": before all)."""
    groups: dict[str, list[str]] = {}
    anchor = ""
    new = set(added)
    for key in wanted:
        if key in new:
            groups.setdefault(anchor, []).append(key)
        else:
            anchor = key
    last = max(kept, key=lambda k: kept[k])
    if wanted and groups.get(anchor) and anchor != last:  # keys after all known ones go to the end
        groups.setdefault(last, []).extend(groups.pop(anchor))
    return list(groups.items())


def _scalar_spans(node: Node) -> list[tuple[int, int]]:
    if node.kind == "scalar":
        return [(node.start, node.end)]
    return [span for _, value in node.items for span in _scalar_spans(value)]


def _entry(key: str, value: Any, column: int) -> str:
    lines = canonical.entry_lines(key, value, column)
    if isinstance(value, str) and not lines[-1]:  # a kept literal would swallow the blank lines after it
        lines = [f"{' ' * column}{canonical.scalar(key)}: {canonical.scalar(value)}"]
    return "".join(line + "\n" for line in lines)


def _item(value: Any, column: int) -> str:
    lines = canonical.item_lines(value, column)
    if isinstance(value, str) and not lines[-1]:
        lines = [f"{' ' * column}- {canonical.scalar(value)}"]
    return "".join(line + "\n" for line in lines)


def _flow_text(value: Any, sources: dict[str, tuple[str, Any, str]] | None = None) -> str:
    if isinstance(value, dict):
        parts = []
        for k, v in value.items():
            key, old, text = (sources or {}).get(k, (canonical.scalar(k, flow=True), ..., ""))
            parts.append(f"{key}: {text if same(old, v) else _flow_text(v)}")
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow_text, value)) + "]"
    return canonical.scalar(value, flow=True)
