"""JSON text to a tree of nodes: strictly JSON, with positions, bounded in every direction.

A program prints JSON for programs, mostly on one line, where a position says nothing. So the text
is laid out first as ``jq .`` lays it out, and positions refer to that layout: an operator who
pipes the program through ``jq`` sees the same lines.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis_provision.documents.decoding import LARGEST_FILE
from aegis_provision.documents.diagnostic import error
from aegis_provision.documents.json_syntax import NotJsonError, TooDeepError, load_strict
from aegis_provision.documents.nodes import Entry, Mapping, Node, Scalar, Sequence
from aegis_provision.documents.reader import MOST_NODES, duplicate_key
from aegis_provision.documents.scalars import resolve
from aegis_provision.documents.source import Source, Span

if TYPE_CHECKING:
    from aegis_provision.documents.diagnostic import Diagnostic

_STRING = r'"(?:[^"\\]|\\.)*"'
_TOKEN = re.compile(rf'{_STRING}|[\[\]{{}}:,]|[^\s\[\]{{}}:,"]+')
_LINE = re.compile(rf" *(?:(?P<key>{_STRING}): )?(?P<value>{_STRING}|[\[{{][\]}}]?|[\]}}]|[^,]+),?")
_INDENT = "  "


def read_json(name: str, data: bytes) -> tuple[Node | None, tuple[Diagnostic, ...]]:
    """Return the JSON value in ``data``, which ``name`` printed, and all that is wrong with it.

    The node is ``None`` where it is no JSON (RFC 8259). Keys that stand twice are errors, but the
    rest is still returned, so that more can be found. No finding repeats the text. Never raises
    for any bytes.
    """
    if len(data) > LARGEST_FILE:
        limit = f"{LARGEST_FILE // 1024 // 1024} MiB"
        return None, (error("too-large", f"{name} prints more than {limit}", hint=_LESS),)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as problem:
        found = f"a byte that is not UTF-8: 0x{data[problem.start]:02x}"
        hint = "let it print JSON in UTF-8, or in ASCII with escapes"
        return None, (error("not-utf8", f"{name} prints {found}", hint=hint),)
    problem_words = _problem(text)
    if problem_words is not None:
        hint = "let it print one JSON object on its standard output, and all else elsewhere"
        return None, (error("not-json", f"{name} {problem_words}", hint=hint),)
    source = Source(name, _laid_out(text))
    if source.text.count("\n") > MOST_NODES:
        found = f"{name} prints more than {MOST_NODES:,} values"
        return None, (error("too-many-nodes", found, hint=_LESS),)
    builder = _Builder(source)
    return builder.root(), tuple(builder.findings)


_LESS = "let it print less: of other programs' variables nothing is used"


def _problem(text: str) -> str | None:
    if not text.strip():
        return "prints nothing"
    try:
        load_strict(text, str)
    except TooDeepError as problem:
        return f"prints JSON that is {problem}"
    except NotJsonError as problem:
        return f"prints no JSON: {problem}"
    return None


def _laid_out(text: str) -> str:
    """Return a valid JSON ``text`` with each value on a line of its own."""
    parts: list[str] = []
    depth, after_opening = 0, False
    for found in _TOKEN.finditer(text):
        piece = found[0]
        if piece in "]}":
            depth -= 1
            if not after_opening:
                parts.append("\n" + _INDENT * depth)
        elif after_opening:
            parts.append("\n" + _INDENT * depth)
        after_opening = piece in "[{"
        if after_opening:
            depth += 1
        parts.append(piece)
        if piece == ":":
            parts.append(" ")
        elif piece == ",":
            parts.append("\n" + _INDENT * depth)
    return "".join(parts)


@dataclass(slots=True)
class _Frame:
    """A collection under construction, with the key that it will stand under."""

    key: Scalar | None
    line: int
    column: int
    entries: dict[str, Entry] | None
    items: list[Node] = field(default_factory=list)


class _Builder:
    """Turns laid out lines into nodes. Iterative: depth costs no stack."""

    def __init__(self, source: Source) -> None:
        self.findings: list[Diagnostic] = []
        self._source = source
        self._stack: list[_Frame] = []
        self._root: Node | None = None

    def root(self) -> Node | None:
        """Read all lines and return the value that they are."""
        for number, line in enumerate(self._source.text.split("\n"), start=1):
            found = _LINE.fullmatch(line)
            if found is None:
                raise ValueError("a line of valid JSON, laid out, has one value")
            self._take(found, number)
        return self._root

    def _take(self, found: re.Match[str], line: int) -> None:
        key = self._string(found["key"], line, found.start("key")) if found["key"] else None
        value, column = found["value"], found.start("value")
        if value in {"{", "["}:
            entries: dict[str, Entry] | None = {} if value == "{" else None
            self._stack.append(_Frame(key, line, column, entries))
            return
        span = Span(self._source, line, column + 1, line, column + 1 + len(value))
        if value in {"}", "]"}:
            frame = self._stack.pop()
            span = Span(self._source, frame.line, frame.column + 1, line, column + 2)
            key = frame.key
            node: Node = (
                Sequence(tuple(frame.items), span)
                if frame.entries is None
                else Mapping(tuple(frame.entries.values()), span)
            )
        elif value == "{}":
            node = Mapping((), span)
        elif value == "[]":
            node = Sequence((), span)
        elif value[0] == '"':
            node = self._string(value, line, column)
        else:
            node = Scalar(resolve(value), value, plain=True, span=span)
        self._add(key, node)

    def _string(self, quoted: str, line: int, column: int) -> Scalar:
        text: str = json.loads(quoted) if "\\" in quoted else quoted[1:-1]
        span = Span(self._source, line, column + 1, line, column + 1 + len(quoted))
        return Scalar(text, text, plain=False, span=span)

    def _add(self, key: Scalar | None, node: Node) -> None:
        if not self._stack:
            self._root = node
            return
        frame = self._stack[-1]
        if frame.entries is None or key is None:
            frame.items.append(node)
            return
        first = frame.entries.get(key.text)
        if first is None:
            frame.entries[key.text] = Entry(key, node)
        else:
            self.findings.append(duplicate_key(first.key, key))
