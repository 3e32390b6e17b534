"""What all JSON documents share; their schemas are in ``schemas/``."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from enum import StrEnum


Document = dict[str, Any]


def document(kind: str, body: Mapping[str, Any]) -> Document:
    """Return ``body`` under the schema name of ``kind``."""
    return {"schema": f"aegis-provision/{kind}/v1", **body}


def as_text(content: Document) -> str:
    """Return a document as indented JSON text, without a final newline."""
    return _escape_del(json.dumps(content, indent=2))


def as_line(content: Document) -> str:
    """Return a document as JSON text on one line, without a newline."""
    return _escape_del(json.dumps(content))


def _escape_del(text: str) -> str:
    """Escape DEL, the one control character that JSON in ASCII leaves as it is."""
    return text.replace("\x7f", "\\u007f")


def message_of(message: str, hint: str) -> str:
    """Return ``message`` and ``hint`` as one text."""
    return f"{message}; try: {hint}" if hint else message


def count_by_value(values: type[StrEnum], items: Iterable[StrEnum]) -> dict[str, int]:
    """Return how often each of ``values`` is among ``items``."""
    counts = Counter(items)
    return {value.value: counts[value] for value in values}
