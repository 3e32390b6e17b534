"""What of the operator's text may be repeated in a message, and how. Fails closed."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from aegis_provision.documents.secret_detection import (
    HARMLESS_TOKENS,
    MAY_NAME_SECRET,
    may_hold_secret,
)
from aegis_provision.documents.unknown_keys import continues_unknown, hide_values
from aegis_provision.humanize import escape_control

if TYPE_CHECKING:
    from aegis_provision.documents.source import Source, Span

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


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A source line to quote: its text, and where the caret goes, in terminal columns."""

    text: str
    caret: int
    width: int


def quote(text: str) -> str:
    """Return ``text`` in double quotes for use in a message: short, visible, and no secret."""
    if may_hold_secret(text):
        return "(not shown)"
    short = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
    return f'"{_visible(short)}"'


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
    return _may_be_quoted(lines[line - 1]) and not _inside_secret_value(lines, line - 1)


@lru_cache(maxsize=4)
def _lines(source: Source) -> list[str]:
    return source.text.split("\n")


@lru_cache(maxsize=8)
def _may_be_quoted(line: str) -> bool:
    if may_hold_secret(_without_references(line)):
        return False
    referenced = _REFERENCE.sub("${R}", line)
    for found in _NAMED.finditer(referenced):
        if not _harmless(referenced[found.end() :]):
            return False
    return _VAULTED.search(line) is None


def _without_references(line: str) -> str:
    return _REFERENCE.sub(" ", line)


def _harmless(rest: str) -> bool:
    if _HARMLESS_AFTER_KEY.fullmatch(rest):
        return True
    # In a flow mapping other entries follow the reference: each is judged by itself.
    first, separator, _ = rest.partition(",")
    return bool(separator) and _REFERENCE.fullmatch(first.strip()) is not None


def _inside_secret_value(lines: list[str], index: int) -> bool:
    """Tell whether the line continues a value whose key, further up, is named like a secret.

    A list may stand at its key's own indentation, and inside of braces indentation means nothing:
    there the line before counts, if it ends with the key.
    """
    indent = _indent(lines[index]) + lines[index].lstrip().startswith("-")
    if _ends_with_secret_key(lines, index):
        return True
    for above in range(index - 1, max(-1, index - 2000), -1):
        text = lines[above]
        if not text.strip():
            continue
        if _indent(text) < indent or _indent(lines[index]) == 0:
            key, colon, value = text.partition(":")
            if colon and MAY_NAME_SECRET.search(key) and not _harmless(value):
                return True
            if colon and MAY_NAME_SECRET.search(key) and _BLOCK_SCALAR.search(text):
                return True
            indent = min(indent, _indent(text))
            if indent == 0:
                return False
    return False


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
