"""How a value is written into YAML or JSON so that every reader takes it for what it is."""

from __future__ import annotations

import json
import re

# What YAML 1.1, YAML 1.2 and a person read as the same text, inside of braces too.
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_./@+-]*")
_URL = re.compile(r"https?://[A-Za-z0-9_./:@~%+-]*[A-Za-z0-9_/]")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_REFERENCE = re.compile(r"\$\{[A-Z0-9_]+\}")
_NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")


def scalar_text(value: str | int, *, as_json: bool, flow: bool, quote: str = "") -> str:
    """Return ``value`` as it is to be written: plain where nobody can mistake it, else quoted.

    ``flow`` says that it will stand inside of braces; ``quote`` is the kind of quotes to use
    whatever the value is (``"`` or ``'``, for a value that takes the place of a quoted one).
    """
    if isinstance(value, int):
        return str(value)
    if quote == "'" and not as_json and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    if as_json or quote or not _may_be_plain(value, flow=flow):
        text = json.dumps(value, ensure_ascii=False)
        return _ESCAPED.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
    return value


def _may_be_plain(value: str, *, flow: bool) -> bool:
    if value.lower() in _NOT_TEXT:
        return False
    if not flow and _REFERENCE.fullmatch(value):
        return True
    return any(form.fullmatch(value) for form in (_WORD, _URL, _DATE))
