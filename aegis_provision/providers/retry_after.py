"""How long a server asks to wait before the next request (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT = 24 * 3600
"""Seconds. A server that asks for a longer wait means none that anyone could keep."""

_SECONDS = re.compile(r"[0-9]{1,9}")
_LONGEST_DATE = 40


def parse_retry_after(text: str, now: datetime) -> float | None:
    """Return the seconds that ``Retry-After: text`` asks to wait, at the time ``now``.

    Returns ``None`` where it asks for nothing, or for what makes no sense: no number of seconds and
    no date, a moment that has passed, more than :data:`LONGEST_WAIT`.
    """
    text = text.strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        when = _date(text)
        seconds = 0.0 if when is None else (when - now).total_seconds()
    return seconds if 0 < seconds <= LONGEST_WAIT else None


def _date(text: str) -> datetime | None:
    if len(text) > _LONGEST_DATE:
        return None
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
