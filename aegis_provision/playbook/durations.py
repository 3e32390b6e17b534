"""Durations as an operator writes them: ``30s``, ``5m``, ``1h``, or bare seconds."""

from __future__ import annotations

import re

from aegis_provision.documents.quoting import quote

LONGEST = 24 * 60 * 60
"""The longest duration that is taken, in seconds: nothing in a run waits for more than a day."""

HOW_TO_WRITE_DURATION = "write 30s, 5m or 1h, or seconds as a bare number"

_DURATION = re.compile(r"(?P<number>[0-9]{1,9})(?P<unit>[smh]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def parse_duration(text: str) -> float:
    """Return the seconds that ``text`` means.

    Raises :class:`ValueError` whose text says what ``text`` is instead, such as
    ``is no duration: "soon"``.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        if text.startswith("-"):
            raise ValueError("is negative, and time does not run backwards")
        raise ValueError(f"is no duration: {quote(text)}")
    seconds = int(match["number"]) * _SECONDS[match["unit"]]
    if seconds > LONGEST:
        raise ValueError(f"is {text}, and 24h is the longest")
    return float(seconds)
