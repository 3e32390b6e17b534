"""Writes one value into YAML or JSON so that YAML 1.1, YAML 1.2 and people read the same text."""

from __future__ import annotations

import json
import re

# Plain text that every reader takes for the same text, inside braces too.
_PLAIN = re.compile(
    r"[A-Za-z_/][A-Za-z0-9_./@+-]*"
    r"|https?://[A-Za-z0-9_./:@~%+-]*[A-Za-z0-9_/]"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}"
)
_REFERENCE = re.compile(r"\$\{[A-Z0-9_]+\}")
_NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


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
