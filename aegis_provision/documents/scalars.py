"""Plain scalars by the YAML 1.2 core schema, and those that YAML 1.1 read otherwise."""

from __future__ import annotations

import re

Resolved = str | int | float | bool | None

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)")
# YAML 1.1 reads these as octal, grouped or binary numbers, YAML 1.2 as something else.
_AMBIGUOUS = re.compile(
    r"[-+]?0[0-9]+|[-+]?(?=[0-9_]*_)[0-9][0-9_]*|[-+]?0b[01_]+|0x[0-9a-fA-F]*_[0-9a-fA-F_]*"
)
_LONGEST_NUMBER = 300


def is_ambiguous(text: str) -> bool:
    """Tell whether YAML 1.1 and 1.2 read the plain scalar ``text`` as different numbers."""
    return _AMBIGUOUS.fullmatch(text) is not None


def resolve(text: str) -> Resolved:
    """Return the value of the plain scalar ``text`` (YAML 1.2.2, section 10.3.2).

    A number of more than 300 characters stays text: it is no number that a person wrote.
    """
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] not in "+-.0123456789" or len(text) > _LONGEST_NUMBER:
        return text
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text, 0)
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL_FLOAT.fullmatch(text):
        return float(text.replace(".", "").lower())
    return text
