"""YAML scalars: plain ones read by the YAML 1.2 core schema, values written for every reader."""

from __future__ import annotations

import json
import re

Resolved = str | int | float | bool | None

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL_OR_HEXADECIMAL = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)")
# YAML 1.1 reads these as octal, grouped or binary numbers, YAML 1.2 as something else.
_AMBIGUOUS = re.compile(
    r"[-+]?0[0-9]+|[-+]?(?=[0-9_]*_)[0-9][0-9_]*|[-+]?0b[01_]+|0x[0-9a-fA-F]*_[0-9a-fA-F_]*"
)
_LONGEST_NUMBER = 300

# Plain text that every reader takes for the same text, inside braces too.
_PLAIN = re.compile(
    r"[A-Za-z_/][A-Za-z0-9_./@+-]*"
    r"|https?://[A-Za-z0-9_./:@~%+-]*[A-Za-z0-9_/]"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}"
)
_REFERENCE = re.compile(r"\$\{[A-Z0-9_]+\}")
_NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


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
    if _OCTAL_OR_HEXADECIMAL.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL_FLOAT.fullmatch(text):
        return float(text.replace(".", "").lower())
    return text


def scalar_text(
    value: str | int, *, flow: bool = False, as_json: bool = False, quote: str = ""
) -> str:
    """Return ``value`` as it is to be written: plain if every reader agrees on it, else quoted.

    ``flow`` says that it will stand inside braces or brackets. ``quote`` (``"`` or ``'``) asks for
    quotes of that kind, for a value that takes the place of a quoted one.
    """
    if isinstance(value, int):
        return json.dumps(value)
    if quote == "'" and not as_json and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    if not as_json and not quote and _may_be_plain(value, flow=flow):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _may_be_plain(value: str, *, flow: bool) -> bool:
    if value.lower() in _NOT_TEXT:
        return False
    return bool(_PLAIN.fullmatch(value) or (not flow and _REFERENCE.fullmatch(value)))
