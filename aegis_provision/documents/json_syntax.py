"""JSON (RFC 8259), read strictly: no ``NaN``, no unbounded depth, and an exact place of a fault.

Python's own reader names the place of a fault too, but its words and some of its places differ
from one version of Python to the next.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

DEEPEST = 100
"""How deep objects and lists may lie in each other."""

_MARKS = re.compile(
    r'"(?:[^"\\]++|\\.)*+"?|(?P<open>[\[{])|(?P<close>[\]}])',
    re.DOTALL,
)
_SPACE = re.compile(r"[ \t\n\r]*")
_LITERAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null")
_CONSTANT = re.compile(r"-?Infinity|NaN")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})')


@dataclass(frozen=True, slots=True)
class JsonFault:
    """Why a text is no JSON; ``line`` and ``column`` count from 1 and are the first wrong place."""

    reason: str
    line: int
    column: int

    def __str__(self) -> str:
        """Return the fault in words; none of the text is in them."""
        return f"{self.reason} in line {self.line}, column {self.column}"


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
        line, column = position(text, offset)
        raise TooDeepError(
            f"nested more than {DEEPEST} levels deep in line {line}, column {column}"
        )
    try:
        return json.loads(text, parse_int=number, parse_float=number, parse_constant=_refuse)
    except ValueError:
        raise NotJsonError(str(json_fault(text))) from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


class _FaultError(Exception):
    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset


def json_fault(text: str) -> JsonFault | None:
    """Return the first fault of ``text``, ``None`` where it is one JSON value.

    ``NaN`` and ``Infinity``, which Python's reader takes, are faults. Iterative: the text may be
    nested to any depth.
    """
    try:
        _check(text)
    except _FaultError as fault:
        return JsonFault(fault.reason, *position(text, fault.offset))
    return None


def position(text: str, offset: int) -> tuple[int, int]:
    """Return the line and the column, each from 1, of the character at ``offset``."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


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
        at = _leave(text, at, closing)
        if not closing:
            break
        at = _skip(text, at + 1)
        at = _key(text, at) if closing[-1] == "}" else at
    if at < len(text):
        raise _FaultError("extra data", at)


def _leave(text: str, at: int, closing: list[str]) -> int:
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
