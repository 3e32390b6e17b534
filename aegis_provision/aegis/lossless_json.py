"""JSON that keeps numbers as they were written.

A file holds keys of others. Python's own reader would turn ``1.10`` into ``1.1`` and round large
numbers, and its writer can't be told to put the old text back.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, NoReturn

from aegis_provision.documents.json_syntax import beyond_depth, json_fault, position

DEEPEST = 100
"""How deep objects and lists may lie in each other: far more than Aegis' file has use for."""

_INDENT = "  "


@dataclass(frozen=True, slots=True)
class Number:
    """A number's text."""

    text: str

    def as_javascript(self) -> int | float:
        """Return the number as Aegis sees it: a double, whole ones as integers."""
        value = float(self.text)
        return int(value) if math.isfinite(value) and value.is_integer() else value


class NotJsonError(ValueError):
    """A text that is no JSON: why, and where; the text itself may hold secrets."""


class TooDeepError(ValueError):
    """A text that may be JSON, but is nested too deep to be read and written safely."""


def parse(text: str) -> Any:
    """Return the value of a JSON ``text`` (RFC 8259), with numbers as :class:`Number`.

    Of a key that stands twice the last value counts, as in JavaScript. Raises
    :class:`NotJsonError`, and :class:`TooDeepError` for what is nested beyond :data:`DEEPEST`.
    """
    offset = beyond_depth(text, DEEPEST)
    if offset is not None:  # reading or writing it could exhaust the stack
        line, column = position(text, offset)
        raise TooDeepError(
            f"it is nested more than {DEEPEST} levels deep in line {line}, column {column}"
        )
    try:
        return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_refuse)
    except ValueError:
        raise NotJsonError(str(json_fault(text))) from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def dump(value: Any) -> str:
    """Return ``value`` as ``json.dumps(value, indent=2, ensure_ascii=False)`` would.

    Numbers keep their text; a half of a surrogate pair, which UTF-8 can't hold, stays an escape.
    """
    return "".join(_pieces(value, "\n"))


def _pieces(value: Any, newline: str) -> list[str]:
    if isinstance(value, Number):
        return [value.text]
    if isinstance(value, str):
        return [_string(value)]
    if isinstance(value, dict):
        pairs = [
            [_string(key), ": ", *_pieces(item, newline + _INDENT)] for key, item in value.items()
        ]
        return _enclosed("{", pairs, "}", newline)
    if isinstance(value, list):
        return _enclosed("[", [_pieces(item, newline + _INDENT) for item in value], "]", newline)
    return [json.dumps(value)]


def _enclosed(opening: str, parts: list[list[str]], closing: str, newline: str) -> list[str]:
    if not parts:
        return [opening + closing]
    found = [opening]
    for index, part in enumerate(parts):
        found.append(("," if index else "") + newline + _INDENT)
        found.extend(part)
    found.append(newline + closing)
    return found


def _string(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    if not any("\ud800" <= char <= "\udfff" for char in quoted):
        return quoted
    return "".join(
        f"\\u{ord(char):04x}" if "\ud800" <= char <= "\udfff" else char for char in quoted
    )


def as_javascript(value: Any) -> Any:
    """Return ``value`` with plain numbers in it, for checking."""
    if isinstance(value, Number):
        return value.as_javascript()
    if isinstance(value, dict):
        return {key: as_javascript(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_javascript(item) for item in value]
    return value
