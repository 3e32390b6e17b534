"""JSON text to a tree of nodes: strictly JSON, with positions, bounded in every direction.

A program prints JSON for programs, mostly on one line, where a position says nothing. So the text
is laid out first as ``jq .`` lays it out, and positions refer to that layout: an operator who
pipes the program through ``jq`` sees the same lines.

Strict means RFC 8259: no ``NaN``, no unbounded depth. Python's own reader names the place of a
fault too, but its words and some of its places differ from one version of Python to the next.
"""

from __future__ import annotations

import json
import re
from dataclasses import field
from typing import TYPE_CHECKING, Any, NoReturn

from aegis_provision.documents.diagnostic import error
from aegis_provision.documents.nodes import Entry, Mapping, Node, Scalar, Sequence, Source, Span
from aegis_provision.documents.scalars import resolve
from aegis_provision.documents.yaml_reader import DEEPEST, LARGEST_FILE, MOST_NODES, duplicate_key
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.documents.diagnostic import Diagnostic

_STRING = r'"(?:[^"\\]|\\.)*"'
_TOKEN = re.compile(rf'{_STRING}|[\[\]{{}}:,]|[^\s\[\]{{}}:,"]+')
_LINE = re.compile(rf" *(?:(?P<key>{_STRING}): )?(?P<value>{_STRING}|[\[{{][\]}}]?|[\]}}]|[^,]+),?")
_INDENT = "  "
_LESS = "let it print less: of other programs' variables nothing is used"

_MARKS = re.compile(
    r'"(?:[^"\\]++|\\.)*+"?|(?P<open>[\[{])|(?P<close>[\]}])',
    re.DOTALL,
)
_SPACE = re.compile(r"[ \t\n\r]*")
_LITERAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null")
_CONSTANT = re.compile(r"-?Infinity|NaN")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})')


def read_json(
    name: str, data: bytes, *, numbered: bool = True
) -> tuple[Node | None, tuple[Diagnostic, ...]]:
    """Return the JSON value in ``data``, which ``name`` printed, and all that is wrong with it.

    The node is ``None`` where it is no JSON (RFC 8259). Keys that stand twice are errors, but the
    rest is still returned, so that more can be found. ``numbered`` is for its source. No
    diagnostic repeats the text. Never raises for any bytes.
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
    source = Source(name, _pretty_print(text), numbered)
    if source.text.count("\n") > MOST_NODES:
        found = f"{name} prints more than {MOST_NODES:,} values"
        return None, (error("too-many-nodes", found, hint=_LESS),)
    builder = _Builder(source)
    return builder.root(), tuple(builder.diagnostics)


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


def _pretty_print(text: str) -> str:
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
        self.diagnostics: list[Diagnostic] = []
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
            self.diagnostics.append(duplicate_key(first.key, key))


class NotJsonError(ValueError):
    """A text that is no JSON: why, and where; none of the text is in the message."""


class TooDeepError(ValueError):
    """A text that may be JSON, but is nested too deep to be read and written safely."""


def load_strict(text: str, number: Callable[[str], Any]) -> Any:
    """Return the value of a JSON ``text``, with ``number`` of each number's text.

    Of a key that stands twice the last value counts. Raises :class:`NotJsonError`, and
    :class:`TooDeepError` for what is nested beyond :data:`DEEPEST`: reading or writing it could
    exhaust the stack.
    """
    offset = beyond_depth(text, DEEPEST)
    if offset is not None:
        raise TooDeepError(f"nested more than {DEEPEST} levels deep {_place(text, offset)}")
    try:
        return json.loads(text, parse_int=number, parse_float=number, parse_constant=_refuse)
    except ValueError:
        raise NotJsonError(json_fault(text)) from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


class _FaultError(Exception):
    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset


def json_fault(text: str) -> str | None:
    """Return the first fault of ``text`` and its place, ``None`` where it is one JSON value.

    ``NaN`` and ``Infinity``, which Python's reader takes, are faults. Iterative: the text may be
    nested to any depth.
    """
    try:
        _check(text)
    except _FaultError as fault:
        return f"{fault.reason} {_place(text, fault.offset)}"
    return None


def _place(text: str, offset: int) -> str:
    line, column = text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
    return f"in line {line}, column {column}"


def beyond_depth(text: str, deepest: int) -> int | None:
    """Return the offset of the first bracket that opens a level below ``deepest``, if any does.

    ``text`` may be no JSON at all.
    """
    depth = 0
    for found in _MARKS.finditer(text):
        depth += (found["open"] is not None) - (found["close"] is not None)
        if depth > deepest:
            return found.start()
    return None


def _check(text: str) -> None:
    """Raise :class:`_FaultError` unless ``text`` is one JSON value."""
    closing: list[str] = []  # of the objects and lists that are open, the innermost last
    at = _skip(text, 0)
    while True:
        opened = text[at : at + 1]
        if opened in {"{", "["}:
            closing.append("}" if opened == "{" else "]")
            at = _skip(text, at + 1)
            if text[at : at + 1] != closing[-1]:
                at = _key(text, at) if opened == "{" else at
                continue
        else:
            at = _scalar(text, at)
        at = _close_levels(text, at, closing)
        if not closing:
            break
        at = _skip(text, at + 1)
        at = _key(text, at) if closing[-1] == "}" else at
    if at < len(text):
        raise _FaultError("extra data", at)


def _close_levels(text: str, at: int, closing: list[str]) -> int:
    """Return the offset of the comma after a value, or of the end, the closed levels left."""
    at = _skip(text, at)
    while closing and text[at : at + 1] == closing[-1]:
        closing.pop()
        at = _skip(text, at + 1)
    if closing and text[at : at + 1] != ",":
        raise _FaultError("expecting ',' delimiter", at)
    return at


def _key(text: str, at: int) -> int:
    """Return the offset of the value whose key begins at ``at``."""
    if text[at : at + 1] != '"':
        raise _FaultError("expecting property name enclosed in double quotes", at)
    at = _skip(text, _string(text, at))
    if text[at : at + 1] != ":":
        raise _FaultError("expecting ':' delimiter", at)
    return _skip(text, at + 1)


def _scalar(text: str, at: int) -> int:
    if text[at : at + 1] == '"':
        return _string(text, at)
    found = _LITERAL.match(text, at)
    if found is None:
        constant = _CONSTANT.match(text, at)
        reason = f"{constant.group()} is no JSON" if constant else "expecting value"
        raise _FaultError(reason, at)
    return found.end()


def _string(text: str, start: int) -> int:
    at = start + 1
    while True:
        found = _PLAIN.match(text, at)
        at = at if found is None else found.end()
        match text[at : at + 1]:
            case '"':
                return at + 1
            case "":
                raise _FaultError("unterminated string starting at", start)
            case "\\":
                escape = _ESCAPE.match(text, at)
                if escape is None:
                    raise _FaultError("invalid escape", at)
                at = escape.end()
            case _:
                raise _FaultError("invalid control character", at)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()
