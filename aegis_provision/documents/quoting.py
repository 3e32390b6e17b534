"""What of the operator's text may be repeated in a message, and how. Fails closed."""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aegis_provision.documents.source import Source, Span

_SECRET_NAME = re.compile(
    r"(?i)token|key|secret|passw|passphrase|pass(?![a-z])|pwd|credential|auth|bearer"
)
_REFERENCE = re.compile(
    r"""["']?\$\{[A-Za-z0-9_]{1,80}(?::-(?:<local-token>|ollama-local)?)?\}["']?"""
)
_HARMLESS_AFTER_KEY = re.compile(
    r"""\s*(?:["']?\$\{[A-Z0-9_]{1,80}(?::-(?:<local-token>|ollama-local)?)?\}["']?|\{\s*|)
        \s*[,}]*\s*(?:\#.*)?""",
    re.VERBOSE,
)
_NAMED = re.compile(
    rf"""(?:{_SECRET_NAME.pattern.removeprefix("(?i)")})[\w.-]{{0,80}}["']?\s*[:=]?""",
    re.VERBOSE | re.IGNORECASE,
)
_URL_SECRET = re.compile(r"://[^/\s]*@|[?&#][\w-]+=")
_KNOWN_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:sk|pk|rk)-[\w-]{3,}"  # but no disk-full
    r"|gh[pousr]_\w{3,}|github_pat_|xox[a-z]-|AKIA[0-9A-Za-z]{4,}|eyJ[\w-]{4,}"
    r"|glpat-|hf_\w{3,}|Bearer\s+\S"
)
_RUN = re.compile(r"[A-Za-z0-9+/=_~-]{20,}")
_LONGEST_SHOWN = 60
_WINDOW = 100
_BLOCK_SCALAR = re.compile(r":\s*(?:[|>][-+0-9]*)?\s*(?:#.*)?$")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A source line to quote: its text, and where the caret goes, in terminal columns."""

    text: str
    caret: int
    width: int


def holds_known_token(text: str) -> bool:
    """Tell whether ``text`` holds a token of a well-known kind, by its prefix."""
    return _KNOWN_TOKEN.search(text) is not None


def looks_secret(text: str) -> bool:
    """Tell whether ``text`` holds something that looks like a token.

    That is a well-known prefix, a URL's user information or query, or a long run of letters and
    digits that is no path, host name or model's name.
    """
    if holds_known_token(text) or _URL_SECRET.search(text):
        return True
    return any(_random(run.group()) for run in _RUN.finditer(text))


def _random(run: str) -> bool:
    words = re.split(r"[-_/=~+]", run)
    longest = max(words, key=len)
    mixed = any(char.isdigit() for char in longest) and any(char.isalpha() for char in longest)
    if len(longest) >= 16 and (mixed or _many_cases(longest)):
        return True
    # Words and dates with dashes between them are names: claude-sonnet-4-20250514.
    changes = sum(
        before.isdigit() != after.isdigit()
        for word in words
        for before, after in itertools.pairwise(str(word))
    )
    return changes >= 4


def _many_cases(word: str) -> bool:
    changes = sum(before.isupper() != after.isupper() for before, after in itertools.pairwise(word))
    return changes >= 5


def shown(text: str) -> str:
    """Return ``text`` in double quotes for use in a message: short, visible, and no secret."""
    if looks_secret(text):
        return "(not shown)"
    short = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
    return f'"{_visible(short)}"'


def excerpt(span: Span) -> Excerpt | None:
    """Return the line that ``span`` begins on, or ``None`` where it may hold a secret.

    A long line is cut around the span. A secret may be on a line whose key is named like one, on
    the lines of a longer value below such a key, and wherever something looks like a token.
    """
    lines = _lines(span.source)
    if not 1 <= span.line <= len(lines):
        return None
    if not may_quote(span.source, span.line):
        return None
    line = lines[span.line - 1]
    end = span.end_column if span.end_line == span.line else len(line) + 1
    return _window(line, span.column - 1, max(1, end - span.column))


@lru_cache(maxsize=256)
def may_quote(source: Source, line: int) -> bool:
    """Tell whether the line (counted from 1) of ``source`` may be repeated."""
    lines = _lines(source)
    return _may_be_quoted(lines[line - 1]) and not _inside_secret_value(lines, line - 1)


@lru_cache(maxsize=4)
def _lines(source: Source) -> list[str]:
    return source.text.split("\n")


def _may_be_quoted(line: str) -> bool:
    if looks_secret(_without_references(line)):
        return False
    referenced = _REFERENCE.sub("${R}", line)
    for found in _NAMED.finditer(referenced):
        if not _harmless(referenced[found.end() :]):
            return False
    return not re.search(r"(?i)!vault|BEGIN [A-Z ]*PRIVATE KEY", line)


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
            if colon and _SECRET_NAME.search(key) and not _harmless(value):
                return True
            if colon and _SECRET_NAME.search(key) and _BLOCK_SCALAR.search(text):
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
            return _BLOCK_SCALAR.search(text) is not None and bool(_SECRET_NAME.search(name))
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
        return len(_visible(char))
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _visible(text: str) -> str:
    return "".join(
        " " if char == "\t" else char if char.isprintable() else _escaped(char) for char in text
    )


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
