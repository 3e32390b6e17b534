"""JSON that keeps numbers as they were written.

Aegis' file holds keys that are not ours to change. Python's own reader would turn ``1.10`` into
``1.1`` and round large numbers, and its writer can't be told to put the old text back.
"""

from __future__ import annotations

import json
import math
from typing import Any

from aegis_provision.documents.json_reader import load_strict
from aegis_provision.values import dataclass

_INDENT = "  "


@dataclass(frozen=True, slots=True)
class Number:
    """A number's text."""

    text: str

    def as_javascript(self) -> int | float:
        """Return the number as Aegis sees it: a double, whole ones as integers."""
        value = float(self.text)
        return int(value) if math.isfinite(value) and value.is_integer() else value


def parse(text: str) -> Any:
    """Return the value of a JSON ``text`` (RFC 8259), with numbers as :class:`Number`.

    Of a key that stands twice the last value counts, as in JavaScript. Raises what
    :func:`load_strict` does.
    """
    return load_strict(text, Number)


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
