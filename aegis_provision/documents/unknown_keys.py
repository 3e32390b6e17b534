"""Hides the values of keys that the tool does not know, since any of them may be a secret.

Works on the text alone, because it is needed most where the text is no YAML at all.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from aegis_provision.packaged_files import load_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HIDDEN = "..."
"""What stands for a value that is not shown."""

_SCHEMAS = ("inventory", "playbook")
_PROTOCOL = frozenset({"<<", "_meta", "hostvars", "aegis"})
_ANSIBLES = re.compile(
    r"ansible_(?:(?:ssh_)?(?:host|port|user)|(?:ssh_)?private_key_file|connection|become(?:_user)?)"
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
