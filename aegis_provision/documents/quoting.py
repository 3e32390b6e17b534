"""What of the operator's text may be repeated in a message, and how. Fails closed."""

from __future__ import annotations

import itertools
import re
import unicodedata
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from aegis_provision.documents.secret_detection import (
    HARMLESS_TOKENS,
    MAY_NAME_SECRET,
    may_hold_secret,
)
from aegis_provision.humanize import escape_control
from aegis_provision.packaged_files import load_schema
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aegis_provision.documents.nodes import Source, Span

HIDDEN = "..."
"""What stands for a value that is not shown."""

_HARMLESS = "|".join(re.escape(text) for text in sorted(HARMLESS_TOKENS) if text)
_REFERENCE = re.compile(rf"""["']?\$\{{[A-Za-z0-9_]{{1,80}}(?::-(?:{_HARMLESS})?)?\}}["']?""")
_HARMLESS_AFTER_KEY = re.compile(
    rf"""\s*(?:["']?\$\{{[A-Z0-9_]{{1,80}}(?::-(?:{_HARMLESS})?)?\}}["']?|\{{\s*|)
        \s*[,}}]*\s*(?:\#.*)?""",
    re.VERBOSE,
)
_NAMED = re.compile(
    rf"""(?:{MAY_NAME_SECRET.pattern})[\w.-]{{0,80}}["']?\s*[:=]?""",
    re.VERBOSE | re.IGNORECASE,
)
_VAULTED = re.compile(r"!vault", re.IGNORECASE)
_LONGEST_SHOWN = 60
_WINDOW = 100
_BLOCK_SCALAR = re.compile(r":\s*(?:[|>][-+0-9]*)?\s*(?:#.*)?$")

_SCHEMAS = ("inventory", "playbook", "policy")
_PROTOCOL = frozenset({"<<", "_meta", "hostvars", "aegis"})
_ANSIBLES = re.compile(
    r"ansible_(?:(?:ssh_)?(?:host|port|user)|(?:ssh_)?private_key_file|connection"
    r"|become(?:_user|_method)?)"
)
_TOKEN = re.compile(
    r"""
    (?P<mark>[{}\[\],])
    |(?P<colon>(?<=["'}\]]):|:(?=[\s,{}\[\]]|$))
    |(?P<comment>(?:^|(?<=\s))\#.*)
    |(?P<blank>\s+)
    |(?P<text>"(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?
        |(?:[^\s{}\[\],:]|:(?![\s,{}\[\]]|$))+)
    """,
    re.VERBOSE,
)
_INDICATORS = re.compile(r"(?:[-?](?:\s+|$))+")
_ONLY_PROPERTIES = re.compile(r"(?:[&!]\S*\s*)*")
_DOCUMENT = re.compile(r"(?:---|\.\.\.)(?:\s|$)")
_FARTHEST = 2000


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A source line to quote: its text, and where the caret goes, in terminal columns."""

    text: str
    caret: int
    width: int


def quote(text: str, longest: int = _LONGEST_SHOWN) -> str:
    """Return ``text`` in double quotes for use in a message: short, visible, and no secret."""
    if may_hold_secret(text):
        return "(not shown)"
    short = text if len(text) <= longest else text[: longest - 3] + "..."
    return f'"{_visible(short)}"'


def quote_some(names: Sequence[str], most: int = 3) -> str:
    """Return ``names`` in quotes: all of them, or ``most`` and ``and 5 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(quote(name) for name in names[:most]) + more


def excerpt(span: Span) -> Excerpt | None:
    """Return the line that ``span`` begins on, or ``None`` where it may hold a secret.

    A long line is cut around the span. A secret may be on a line whose key is named like one, on
    the lines of a longer value below such a key, and where something looks like a token. Of a line
    with a key that the tool does not know, only the keys are quoted.
    """
    lines = _lines(span.source)
    if not 1 <= span.line <= len(lines):
        return None
    if not may_quote(span.source, span.line) or continues_unknown(lines, span.line - 1):
        return None
    line = lines[span.line - 1]
    start = span.column - 1
    end = span.end_column - 1 if span.end_line == span.line else len(line)
    hidden = hide_values(line)
    if hidden is not None:
        line, last = hidden.text, len(hidden.columns) - 1
        start, end = hidden.columns[min(start, last)], hidden.columns[min(end, last)]
    return _window(line, start, max(1, end - start))


@lru_cache(maxsize=256)
def may_quote(source: Source, line: int) -> bool:
    """Tell whether the line (counted from 1) of ``source`` may be repeated."""
    lines = _lines(source)
    return _may_be_quoted(lines[line - 1]) and not _inside_secret_value(source, line - 1)


@lru_cache(maxsize=4)
def _lines(source: Source) -> list[str]:
    return source.text.split("\n")


@dataclass(frozen=True, slots=True)
class _Outline:
    """How the lines of a text lie in each other; -1 stands for no line.

    ``before`` has for each line the next one above it that is not blank, ``parents`` the next one
    above it that is indented less.
    """

    indents: Sequence[int]
    before: Sequence[int]
    parents: Sequence[int]


@lru_cache(maxsize=4)
def _outline(source: Source) -> _Outline:
    lines = _lines(source)
    indents = [_indent(line) for line in lines]
    before: list[int] = []
    parents: list[int] = []
    last = -1
    for number, line in enumerate(lines):
        before.append(last)
        above = last
        while above >= 0 and indents[above] >= indents[number]:
            above = parents[above]
        parents.append(above)
        if line.strip():
            last = number
    return _Outline(indents, before, parents)


@lru_cache(maxsize=8)
def _may_be_quoted(line: str) -> bool:
    if may_hold_secret(_REFERENCE.sub(" ", line)):
        return False
    referenced = _REFERENCE.sub("${R}", line)
    for found in _NAMED.finditer(referenced):
        if not _harmless(referenced[found.end() :]):
            return False
    return _VAULTED.search(line) is None


def _harmless(rest: str) -> bool:
    if _HARMLESS_AFTER_KEY.fullmatch(rest):
        return True
    # In a flow mapping other entries follow the reference: each is judged by itself.
    first, separator, _ = rest.partition(",")
    return bool(separator) and _REFERENCE.fullmatch(first.strip()) is not None


def _inside_secret_value(source: Source, index: int) -> bool:
    """Tell whether the line continues a value whose key, further up, is named like a secret.

    A list may stand at its key's own indentation, and inside of braces indentation means nothing:
    there the line before counts, if it ends with the key.
    """
    lines, outline = _lines(source), _outline(source)
    if _ends_with_secret_key(lines, index):
        return True
    indent = outline.indents[index] + lines[index].lstrip().startswith("-")
    flush = outline.indents[index] == 0
    above = outline.before[index]
    while above >= 0:
        if flush or outline.indents[above] < indent:
            if _has_secret_key(lines[above]):
                return True
            indent = min(indent, outline.indents[above])
            if indent == 0:
                return False
        # What lies between a line and the next that is indented less is no less indented than it.
        above = outline.before[above] if flush else outline.parents[above]
    return False


def _has_secret_key(line: str) -> bool:
    """Tell whether a key named like a secret stands in ``line``, with a value or one below."""
    key, colon, value = line.partition(":")
    if not colon or not MAY_NAME_SECRET.search(key):
        return False
    return not _harmless(value) or _BLOCK_SCALAR.search(line) is not None


def _ends_with_secret_key(lines: list[str], index: int) -> bool:
    for above in range(index - 1, max(-1, index - 2000), -1):
        text = lines[above].partition(" #")[0].strip()
        if text and not text.startswith("#"):
            name = re.split(r"[,{\[]", text)[-1].partition(":")[0]
            return _BLOCK_SCALAR.search(text) is not None and bool(MAY_NAME_SECRET.search(name))
    return False


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _window(line: str, start: int, length: int) -> Excerpt:
    prefix, suffix = "", ""
    if len(line) > _WINDOW:
        first = max(0, min(start - _WINDOW // 3, len(line) - _WINDOW))
        prefix = "..." if first else ""
        suffix = "..." if first + _WINDOW < len(line) else ""
        line, start = line[first : first + _WINDOW], start - first
    caret = len(prefix) + sum(_columns(char) for char in line[:start])
    width = sum(_columns(char) for char in line[start : start + length])
    return Excerpt(prefix + _visible(line) + suffix, caret, max(1, width))


def _columns(char: str) -> int:
    if char == "\t":
        return 1
    if not char.isprintable():
        return len(escape_control(char))
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _visible(text: str) -> str:
    return escape_control(text.replace("\t", " "))


@dataclass(frozen=True, slots=True)
class HiddenValues:
    """A line with :data:`HIDDEN` for each value, and where the old columns are now.

    ``columns`` has an entry more than the old line had characters: that for its end.
    """

    text: str
    columns: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Part:
    """A key, or a value or comment (then ``key`` is ``None``), from ``start`` to ``end``."""

    start: int
    end: int
    key: str | None


@lru_cache(maxsize=8)
def hide_values(line: str) -> HiddenValues | None:
    """Return ``line`` with its keys only, ``None`` where it has no key that is not known.

    A name of a host or a group is such a key too. What it has is mostly a mapping, which hides
    nothing: a line whose unknown keys have no values by themselves stays as it is.
    """
    parts = tuple(_parts(line))
    if not any(_hides(line, key, follows) for key, follows in itertools.pairwise(parts)):
        return None
    text, columns, end = "", list[int](), 0
    for part in parts:
        if part.key is None:
            columns += range(len(text), len(text) + part.start - end)
            text += line[end : part.start]
            columns += [len(text)] * (part.end - part.start)
            text += HIDDEN
            end = part.end
    columns += range(len(text), len(text) + len(line) - end + 1)
    return HiddenValues(text + line[end:], columns)


def continues_unknown(lines: Sequence[str], index: int) -> bool:
    """Tell whether the line at ``index`` belongs to the value of a key that is not known.

    That is a further line of a long or quoted text, an item of a list, and the line after a key
    that stands alone, as long as it has no keys of its own. Such a line belongs to the next key
    above it, however it is indented: inside of braces and quotes that means nothing.
    """
    if _DOCUMENT.match(lines[index]):
        return False
    column = _first_key(lines[index])
    for above in range(index - 1, max(-1, index - 1 - _FARTHEST), -1):
        first = _first_key(lines[above])
        if first is None or (column is not None and first >= column):
            continue
        if _ends_in_unknown(lines[above], alone_too=column is None):
            return True
        column = first
    return False


@lru_cache(maxsize=4096)
def _first_key(line: str) -> int | None:
    """Return the column in which the first key of ``line`` begins, ``None`` where it has none."""
    return next((part.start for part in _parts(line) if part.key is not None), None)


def _ends_in_unknown(line: str, *, alone_too: bool) -> bool:
    """Tell whether the last key of ``line`` is not known and has a text, or may stand alone."""
    parts = tuple(_parts(line))
    last = max(at for at, part in enumerate(parts) if part.key is not None)
    if alone_too:
        return _is_unknown(parts[last])
    return last + 1 < len(parts) and _hides(line, parts[last], parts[last + 1])


@cache
def _known() -> frozenset[str]:
    """Return every key that a schema of ours names."""
    return _PROTOCOL.union(*(_properties(load_schema(stem)) for stem in _SCHEMAS))


def _properties(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, part in schema.items():
            if key == "properties":
                yield from part
            yield from _properties(part)


def _is_unknown(part: _Part) -> bool:
    if part.key is None:
        return False
    return part.key not in _known() and _ANSIBLES.fullmatch(part.key) is None


def _hides(line: str, key: _Part, follows: _Part) -> bool:
    """Tell whether ``key`` is not known and has a text beside it: no mapping, and not nothing."""
    if not _is_unknown(key) or follows.key is not None or line[follows.start] == "#":
        return False
    if "," in line[key.end : follows.start]:
        return False
    return _ONLY_PROPERTIES.fullmatch(line[follows.start : follows.end]) is None


def _parts(line: str) -> Iterator[_Part]:
    """Yield the keys, values and comments of ``line`` in order.

    A second colon before the next mark belongs to the first one's value.
    """
    start: int | None = None
    end, in_value = 0, False
    for token in _TOKEN.finditer(line):
        kind = token.lastgroup
        if kind == "text" or (kind == "colon" and in_value and start is not None):
            start = token.start() if start is None else start
            end = token.end()
        elif kind != "blank":
            if start is not None:
                yield from _run(line, start, end, is_key=kind == "colon")
                start = None
            in_value = kind == "colon"
            if kind == "comment":
                yield _Part(token.start(), len(line.rstrip()), None)
    if start is not None:
        yield from _run(line, start, end, is_key=False)


def _run(line: str, start: int, end: int, *, is_key: bool) -> Iterator[_Part]:
    """Yield the part from ``start`` to ``end`` less the dashes of lists before it."""
    found = _INDICATORS.match(line, start, end)
    start = found.end() if found else start
    if start < end:
        yield _Part(start, end, line[start:end].strip("\"'") if is_key else None)
